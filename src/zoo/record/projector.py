"""Clouds of points for TensorBoard's Projector, which reads them from files beside the events."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from zoo.record.text import visible
from zoo.storage import write_durably

FOLDER = "projector"
CONFIG = "projector_config.pbtxt"
"""The file that TensorBoard looks for beside the events of a run."""
LONGEST_CELL = 100


class Cloud(NamedTuple):
    """Vectors (points, dim), and what is known of each point: columns of values (points)."""

    name: str
    vectors: NDArray[Any]
    columns: Mapping[str, Sequence[Any]]


def write_clouds(run_dir: Path, clouds: Sequence[Cloud]) -> None:
    """Write the files of the clouds, and last of all the one that leads to them; StorageError where that fails."""
    from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig

    shown = []
    for cloud in clouds:
        vectors, columns = f"{FOLDER}/{cloud.name}.tsv", f"{FOLDER}/{cloud.name}.columns.tsv"
        write_durably(run_dir / vectors, vector_table(cloud.vectors).encode())
        write_durably(run_dir / columns, column_table(cloud.columns).encode())
        shown.append(EmbeddingInfo(tensor_name=cloud.name, tensor_path=vectors, metadata_path=columns))
    write_durably(run_dir / CONFIG, str(ProjectorConfig(embeddings=shown)).encode())


def vector_table(vectors: NDArray[Any]) -> str:
    """Return vectors (points, dim) as lines of numbers parted by tabs, to four digits."""
    return "".join("\t".join(map("%.4g".__mod__, row)) + "\n" for row in vectors.tolist())


def column_table(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return columns as lines of cells parted by tabs, their names first; two or more, for one would have no name."""
    rows = zip(*columns.values(), strict=True)
    lines = [list(columns), *([_cell(value) for value in row] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


def _cell(value: Any) -> str:
    text = "".join(map(visible, str(value)))
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}\u2026"
