"""Rows of `results/NAME.csv`: what each model of a recipe reached, with which seed, on which part."""

import csv
import io
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import mean
from typing import Any

from zoo.errors import BusyError, DataError
from zoo.storage import alone, sweep, write_durably

MACRO = "macro"
"""The task of rows that are means over all tasks of a recipe."""
ENSEMBLE = "ensemble"
PATIENCE = 10.0
"""Seconds to wait for another process that writes rows, which takes it far less than one."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure, the bounds of 95 % of its bootstrap resamples, and what it is of.

    `seed` is empty for baselines and ensembles, whose runs `members` names. `seconds` are those of training and
    validation, `hardware` is what was trained on, `config` the digest of the options (`training_jobs.digest`), of
    ensembles those of all members, and `commit` that of the training, with a + where code or configs had changed
    since; of baselines and ensembles it is that of the scoring.
    """

    recipe: str
    task: str
    model: str
    seed: str
    split: str
    metric: str
    value: float
    low: float
    high: float
    sources: int
    parameters: int
    seconds: float
    hardware: str
    members: str
    signature: str
    config: str
    version: str
    commit: str

    @property
    def key(self) -> tuple[str, ...]:
        """What is there once in a file."""
        return self.task, self.model, self.seed, self.split, self.metric

    @property
    def training(self) -> tuple[str, str, float, str]:
        """What tells one training of a model from another; the commit of an ensemble is that of its scoring."""
        return self.config, self.members, self.seconds, self.commit if self.seed else ""

    @property
    def order(self) -> tuple[Any, ...]:
        """What rows are sorted by: baselines, models and their seeds, ensembles."""
        kind = (self.model == ENSEMBLE, not self.model.startswith("baseline"), self.model)
        return self.task, kind, len(self.seed), self.seed, self.split, self.metric


COLUMNS = [field.name for field in fields(Row)]
TYPES = {field.name: field.type for field in fields(Row)}


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file, none where it does not exist; DataError where it is none of ours."""
    found: dict[tuple[str, ...], Row] = {}
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        try:
            if next(reader, None) != COLUMNS:
                raise ValueError(f"the columns are not {','.join(COLUMNS)}")
            for cells in reader:
                row = _row(cells)
                if row.recipe != path.stem or row.key in found:
                    raise ValueError("the row is of another recipe, or is there twice")
                found[row.key] = row
        except (ValueError, csv.Error) as error:
            where = f"{path}:{max(reader.line_num, 1)}"
            raise DataError(f"{where}: malformed ({error}); move the file away and run again") from error
    return list(found.values())


def _row(cells: Sequence[str]) -> Row:
    """Return the row of a line; ValueError where its cells are not those of one."""
    row = Row(**{name: TYPES[name](text) for name, text in zip(COLUMNS, cells, strict=True)})  # type: ignore[operator]
    if not all(math.isfinite(figure) for figure in (row.value, row.low, row.high, row.seconds)):
        raise ValueError("a figure is not finite")
    return row


def add_rows(path: Path, rows: Sequence[Row], *, tasks: Sequence[str] = ()) -> None:
    """Put rows into a file, in the place of those with the same keys or of another training of the same model.

    `tasks` are those of the recipe where it has several: then means over all of them are made anew.
    """
    made = {row.key[:3]: row.training for row in rows}

    def changed(old: Sequence[Row]) -> list[Row]:
        return [*(row for row in old if made.get(row.key[:3]) in (None, row.training)), *rows]

    _rewrite(path, changed, tasks)


def drop_others(path: Path, task: str, models: Collection[tuple[str, str]], *, tasks: Sequence[str] = ()) -> None:
    """Take away the rows of a task whose model and seed are not among some, as a recipe that has changed leaves them.

    `tasks` are as in `add_rows`.
    """

    def changed(old: Sequence[Row]) -> list[Row]:
        return [row for row in old if row.task != task or (row.model, row.seed) in models]

    _rewrite(path, changed, tasks)


def _rewrite(path: Path, changed: Callable[[Sequence[Row]], list[Row]], tasks: Sequence[str]) -> None:
    """Write what is made of a file's rows, of those with the same key the last, and the means over all tasks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone_in_time(path.parent):
        sweep(path.parent)
        found = {row.key: row for row in changed(read_rows(path)) if row.task != MACRO}
        kept = [*found.values(), *(macro_rows(list(found.values()), tasks) if tasks else [])]
        write_durably(path, _text(sorted(kept, key=lambda row: row.order)).encode())


@contextmanager
def _alone_in_time(folder: Path) -> Iterator[None]:
    """Have a directory alone as soon as no other process has it; BusyError where one keeps it."""
    until = time.monotonic() + PATIENCE
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(alone(folder, doing="writing rows", way="name another place with --results"))
                break
            except BusyError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        yield


def _text(rows: Iterable[Row]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    return file.getvalue()


def macro_rows(rows: Iterable[Row], tasks: Sequence[str]) -> Iterator[Row]:
    """Yield the mean over all tasks of each model, seed, part and metric that there is of every one of them.

    The tasks have sources of their own, so that the squares of the distances to the bounds add up. Parameters and
    seconds are the means of a task's.
    """
    groups: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        groups[row.key[1:]][row.task] = row
    for group in groups.values():
        if set(group) == set(tasks):
            yield _macro_row([group[task] for task in tasks])


def _macro_row(rows: Sequence[Row]) -> Row:
    value = mean(row.value for row in rows)
    below, above = (
        sum(distance**2 for distance in distances) ** 0.5 / len(rows)
        for distances in ([row.value - row.low for row in rows], [row.high - row.value for row in rows])
    )
    texts = {name: "; ".join(dict.fromkeys(getattr(row, name) for row in rows if getattr(row, name)))
             for name in ("hardware", "members", "signature", "config", "version", "commit")}  # fmt: skip
    return Row(
        recipe=rows[0].recipe, task=MACRO, model=rows[0].model, seed=rows[0].seed, split=rows[0].split,
        metric=rows[0].metric, value=rounded(value), low=rounded(value - below), high=rounded(value + above),
        sources=sum(row.sources for row in rows), parameters=round(mean(row.parameters for row in rows)),
        seconds=round(mean(row.seconds for row in rows), 1), **texts,
    )  # fmt: skip


def rounded(value: float) -> float:
    """Return a figure as it is written: six decimals, which no table shows."""
    return round(value, 6)
