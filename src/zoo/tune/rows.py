"""What came of each of several runs, the trials of a search or the jobs of a sweep, ranked and as CSV."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo.config import Direction, TrainConfig, monitor_of
from zoo.storage import write_durably

STATES = ("finished", "finished before", "pruned", "stopped", "failed")
"""How a run may have ended, those first whose values can be compared."""


class Row(NamedTuple):
    """What came of one run: the best value of the metric on the validation part, or an exit code and an error.

    `overrides` are what tells it from the others. Trials of a search have no figure of the test part. A rank is 0 where
    there is none.
    """

    number: int
    overrides: str
    status: str
    rank: int = 0
    exit_code: int = 0
    metric: str = ""
    valid: float | None = None
    test: float | None = None
    best_epoch: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    run_dir: str = ""
    error: str = ""


def figures_of(config: TrainConfig, results: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that a run's results fill."""
    metric = monitor_of(config)
    valid, test = (results.get(part, {}).get(metric) for part in ("valid", "test"))
    costs = {key: results.get(key) for key in ("best_epoch", "epochs", "seconds")}
    return {"metric": metric, "valid": valid, "test": test, "run_dir": results.get("run_dir", ""), **costs}


def error_line(error: BaseException) -> str:
    """Return the text of an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def direction_of(metric: str, config: TrainConfig | None = None) -> str:
    """Return what is good of a metric, min or max; a config may say so."""
    from zoo.metrics import BETTER

    if config is not None and config.direction != Direction.auto:
        return str(config.direction)
    return BETTER[metric]


def ranked(rows: Sequence[Row], direction: str | None = None) -> list[Row]:
    """Return the rows with their ranks, the best first; in their order where they were not judged by one metric."""
    done = [row for row in rows if row.status in STATES[:2] and row.valid is not None]
    metrics = {row.metric for row in done}
    if len(metrics) != 1:
        return list(rows)
    sign = 1 if (direction or direction_of(metrics.pop())) == "min" else -1
    order = sorted(rows, key=lambda row: (_place(row), sign * (row.valid or 0.0) if row.valid is not None else 0.0))
    places = {row.number: place for place, row in enumerate(order, 1) if row in done}
    return [row._replace(rank=places.get(row.number, 0)) for row in order]


def _place(row: Row) -> int:
    return max(1, STATES.index(row.status)) if row.status in STATES else 1


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows with their names as CSV, whole or not at all."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([Row._fields, *rows])
    write_durably(path, file.getvalue().encode("utf-8", "backslashreplace"))
