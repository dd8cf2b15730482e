"""The report in TensorBoard: figures as images, curves and scores as scalars, points in the Projector."""

import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.explore.exploring import Findings
from zoo.explore.labels import NOISE
from zoo.explore.pictures import Picture
from zoo.metrics import Array

POINTS = 5000
"""Points in the Projector, at most: evenly spread over the source."""
WIDTH = 3
"""Dimensions that the Projector needs at least."""
CONFIG = """\
embeddings {
  tensor_name: "points"
  tensor_path: "points.tsv"
  metadata_path: "metadata.tsv"
}
"""


def event_file(report: Mapping[str, Any], pictures: Sequence[Picture], images: Mapping[str, bytes]) -> bytes:
    """Return TensorBoard's event file of a report and its pictures; `images` holds their PNG files by name."""
    from torch.utils.tensorboard import SummaryWriter

    build: Any = SummaryWriter
    with tempfile.TemporaryDirectory() as directory:
        writer = build(directory)
        for tag, value, step in scalars(report):
            writer.add_scalar(tag, value, step)
        for picture in pictures:
            writer.file_writer.add_summary(_image(picture.name, images[picture.name]))
            writer.add_text(picture.name, f"**{picture.title}.** {picture.alt} {picture.reading}".replace("|", r"\|"))
        writer.add_text("notes", "\n".join(f"    {note}" for note in report["notes"]) or "    none")
        writer.close()
        return next(Path(directory).iterdir()).read_bytes()


def _image(tag: str, png: bytes) -> Any:
    """Return a PNG file as TensorBoard keeps images, without decoding and encoding it again."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = struct.unpack(">II", png[16:24])
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def scalars(report: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """Yield tag, value and step of each figure; curves have a step for each number of components."""
    for key, value in report.items():
        if isinstance(value, float):
            yield f"explore/{key}", value, 0
        elif key.endswith(("probe_accuracy", "components_accuracy", "components_q2")):
            yield from ((f"components/{key}", one, int(count)) for count, one in value.items())
        elif key.endswith(("explained_x", "explained_y")):
            yield from ((f"components/{key}", one, place) for place, one in enumerate(np.cumsum(value).tolist(), 1))


def projector_files(found: Findings) -> dict[str, bytes]:
    """Return the files that the Projector reads: the points, what each is, and where both lie."""
    rows = np.unique(np.linspace(0, len(found.data.x) - 1, POINTS).astype(int))
    lines = ["\t".join(f"{value:.6g}" for value in point) for point in _points(found)[rows].tolist()]
    return {
        "points.tsv": _joined(lines),
        "metadata.tsv": _joined(_metadata(found, rows)),
        "projector_config.pbtxt": CONFIG.encode(),
    }


def _points(found: Findings) -> Array:
    """Return the points (points, 3 or more) as they were clustered, or in the components of PCA."""
    points = found.main.scores if found.main is not None else found.beside["pca"].scores
    missing = max(0, WIDTH - points.shape[1])
    return np.hstack([points, np.zeros((len(points), missing))])


def _metadata(found: Findings, rows: Array) -> Iterator[str]:
    columns: dict[str, list[str]] = {"row": [str(found.source.rows[row]) for row in rows.tolist()]}
    table = found.source.table
    if table.labels is not None:
        columns["label"] = [str(table.labels[row]) for row in rows.tolist()]
    if table.targets is not None:
        columns["target"] = [f"{table.targets[row, 0]:.6g}" for row in rows.tolist()]
    if found.clustered is not None:
        clusters = found.clustered.clustering.labels[rows].tolist()
        columns["cluster"] = ["noise" if one == NOISE else str(one) for one in clusters]
    columns["text"] = [found.source.texts[row] for row in rows.tolist()]
    yield "\t".join(columns)
    yield from ("\t".join(map(_plain, fields)) for fields in zip(*columns.values(), strict=True))


def _plain(text: str) -> str:
    """Return a text without the tabs and line breaks that would end a field."""
    return " ".join(text.split()) or " "


def _joined(lines: Any) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
