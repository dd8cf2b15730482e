"""Runs side by side, and whether the difference of two is real."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.bootstrap import Difference, differences
from zoo.data import load_codecs
from zoo.errors import DataError, StorageError
from zoo.evaluation import Outcome
from zoo.experiment import Run
from zoo.experiment.comparison import comparison_figure
from zoo.experiment.curves import Curves, read_curves
from zoo.experiment.directory import RunDirectory, run_path
from zoo.experiment.naming import names_of
from zoo.metrics import BETTER
from zoo.models import build_model, count_parameters
from zoo.record import save_figure
from zoo.storage import write_durably

LEVEL = 0.05
"""Differences whose p is below are taken for real."""


def row_of(name: str) -> dict[str, Any]:
    """Return what a run is, finished or not, and how good it was by its task's main metric; None for what it lacks.

    valid is the best epoch's figure, as metrics.jsonl has it, and value that of the last part in `results.json`.
    """
    run = RunDirectory(run_path(name, trained=False))
    curves = read_curves(run.path)
    results, metric = curves.results, curves.metric
    part = "test" if "test" in results else "valid"
    best = curves.best
    return {
        "run": name,
        "model": curves.config.model.name,
        "dataset": curves.config.dataset.name,
        "metric": metric,
        "valid": None if best is None else float(curves.of(f"valid_{metric}")[best]),
        "epoch": None if best is None else curves.epoch(best),
        "epochs": curves.epoch(-1) if len(curves) else None,
        "part": part if results else None,
        "value": results.get(part, {}).get(metric),
        "parameters": results.get("parameters") or _parameters(run, curves),
        "seconds": results.get("seconds") or (curves.rows[-1].get("seconds") if len(curves) else None),
    }


def _parameters(run: RunDirectory, curves: Curves) -> int | None:
    """Count the parameters of a run that has not finished, whose data has been read."""
    if not (run.vocabulary / "coding.json").exists():
        return None
    return count_parameters(build_model(curves.config.model, load_codecs(run.vocabulary).sizes))


def rows_of(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of several runs, with the options that tell them apart where there are some."""
    rows = [row_of(name) for name in names]
    told = names_of([RunDirectory(run_path(name, trained=False)).read_config() for name in names], names)
    if not any("=" in words for words in told):
        return rows
    return [{"run": row["run"], "options": words, **row} for row, words in zip(rows, told, strict=True)]


def has_best(name: str) -> bool:
    """Whether a run has a best epoch, to be evaluated."""
    return RunDirectory(run_path(name, trained=False)).best.exists()


def write_comparison(rows: Sequence[dict[str, Any]], directory: Path, *, by: str = "epoch") -> None:
    """Write `compare.csv`, the rows, and `curves.png`, the runs' curves by epoch, step or time, into a directory.

    Raises DataError where no run has an epoch to draw.
    """
    paths = [str(row["run"]) for row in rows]
    figure = comparison_figure([read_curves(run_path(path, trained=False)) for path in paths], paths, by=by)
    text, image = io.StringIO(), io.BytesIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    save_figure(figure, image, dpi=90)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{directory}: cannot be made ({error.strerror}); name another with --out") from error
    write_durably(directory / "compare.csv", text.getvalue().encode("utf-8", "backslashreplace"))
    write_durably(directory / "curves.png", image.getvalue())


def row_with(name: str, run: Run, outcome: Outcome, part: str) -> dict[str, Any]:
    """Return the row of a run that has just been evaluated on a part."""
    row = row_of(name)
    figures = {"part": part, "value": outcome.metrics()[row["metric"]], "parameters": count_parameters(run.model)}
    return {**row, **figures}


def check_same_part(names: Sequence[str], outcomes: Sequence[Outcome]) -> None:
    """Raise DataError where runs did not answer the same sources."""
    for name, outcome in zip(names[1:], outcomes[1:], strict=True):
        if outcome.sources != outcomes[0].sources:
            raise DataError(
                f"{names[0]} and {name} are scored on different sources ({len(outcomes[0].sources):,} and "
                f"{len(outcome.sources):,}); name one file for all with --data (toys are drawn from the seed)"
            )


def paired(runs: Sequence[Run], outcomes: Sequence[Outcome], *, repeats: int) -> dict[str, Difference]:
    """Return for each metric how the second run differs from the first, and how sure that is.

    Token error rates of targets that are split in different ways are not compared, nor are figures whose signatures
    differ.
    """
    found = differences(outcomes[0].scores, outcomes[1].scores, repeats=repeats)
    kinds = {codec.tokenizer.name for run in runs for side, codec in run.coding.codecs.items() if side == "tgt"}
    if len(kinds) > 1:
        found.pop("token_error_rate", None)
    signatures = [outcome.scores.signatures for outcome in outcomes]
    for name in set(signatures[0]) | set(signatures[1]):
        if signatures[0].get(name) != signatures[1].get(name):
            found.pop(name.removesuffix("_signature"), None)
    return found


def verdict(metric: str, difference: Difference) -> str:
    """Say whether the second run is better, worse, or may differ by chance."""
    if difference.p >= LEVEL:
        return "may be chance"
    return "better" if (difference.value < 0) == (BETTER[metric] == "min") else "worse"
