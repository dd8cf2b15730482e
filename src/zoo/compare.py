"""Runs side by side, and whether the difference of two is real."""

from collections.abc import Sequence
from typing import Any

from zoo.bootstrap import Difference, differences
from zoo.config import TrainConfig, metrics_of
from zoo.errors import DataError
from zoo.evaluation import Outcome
from zoo.experiment import Run
from zoo.experiment.directory import RunDirectory, run_path
from zoo.metrics import BETTER
from zoo.models import count_parameters

LEVEL = 0.05
"""Differences whose p is below are taken for real."""


def row_of(name: str) -> dict[str, Any]:
    """Return what a run is and what its `results.json` says of the task's main metric; None for what it lacks."""
    run = RunDirectory(run_path(name))
    config = run.read_config()
    results = run.read_results() if run.finished else {}
    part = "test" if "test" in results else "valid"
    metric = main_metric(config)
    return {
        "run": name,
        "model": config.model.name,
        "dataset": config.dataset.name,
        "part": part if results else None,
        "metric": metric,
        "value": results.get(part, {}).get(metric),
        "parameters": results.get("parameters"),
        "seconds": results.get("seconds"),
    }


def row_with(name: str, run: Run, outcome: Outcome, part: str) -> dict[str, Any]:
    """Return the row of a run that has just been evaluated on a part."""
    row = row_of(name)
    figures = {"part": part, "value": outcome.metrics()[row["metric"]], "parameters": count_parameters(run.model)}
    return {**row, **figures}


def main_metric(config: TrainConfig) -> str:
    """Return the metric that a run's task is judged by."""
    return metrics_of(config)[-1]


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
