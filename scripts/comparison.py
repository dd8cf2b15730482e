"""Rows of a table: what the zoo reaches beside what another reaches, measured in turn."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from zoo.benchmark import Spread, alternate
from zoo.cli.overrides import config_of
from zoo.config import TrainConfig

Task = Callable[[], float]


class Row(NamedTuple):
    """A line of the table: what was done, the zoo's figure, the other's, and the ratios of the rounds."""

    work: str
    unit: str
    ours: Spread
    other: str
    theirs: Spread | None
    ratio: Spread | None


def compare(work: str, unit: str, ours: Task, others: dict[str, Task | str], *,
            repeats: int) -> list[Row]:  # fmt: skip
    """Measure the zoo and the others in turn; one that is a text is absent, for the reason that the text gives."""
    present = {name: task for name, task in others.items() if not isinstance(task, str)}
    found = alternate({"zoo": ours, **present}, repeats=repeats)
    if not others:
        return [Row(work, unit, Spread.of(found["zoo"]), "", None, None)]
    rows = []
    for name, task in others.items():
        if isinstance(task, str):
            rows.append(Row(work, unit, Spread.of(found["zoo"]), f"{name}: {task}", None, None))
            continue
        ratios = [a / b for a, b in zip(found["zoo"], found[name], strict=True)]
        rows.append(Row(work, unit, Spread.of(found["zoo"]), name, Spread.of(found[name]), Spread.of(ratios)))
    return rows


class Bench(NamedTuple):
    """How many rounds are measured, of how many steps, where a trained model is kept, and the lines of a long file."""

    repeats: int
    steps: int
    folder: Path
    lines: int


def recipe(**overrides: object) -> TrainConfig:
    """Return a config as the command line would compose it."""
    return config_of({key.replace("__", "."): str(value) for key, value in overrides.items()})


def table(rows: Sequence[Row]) -> str:
    """Write rows as Markdown; a ratio is the median of the rounds, with the least and the greatest."""
    lines = ["| work | unit | zoo | other | its figure | zoo / other |", "| --- | --- | --: | --- | --: | --: |"]
    for row in rows:
        theirs = "" if row.theirs is None else number(row.theirs.median)
        ratio = "" if row.ratio is None else f"{row.ratio.median:.2f} ({row.ratio.low:.2f} to {row.ratio.high:.2f})"
        lines.append(f"| {row.work} | {row.unit} | {number(row.ours.median)} | {row.other} | {theirs} | {ratio} |")
    return "\n".join(lines)


def number(value: float) -> str:
    """Write a figure with three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
