"""How much each setting mattered in a search, and how the search went, as numbers and as pictures."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna import Study
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from zoo.record.drawing import COLORS, blank_figure, whole_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 4
"""Finished trials below which nothing is said of importance."""


def importance_of(study: Study, *, seed: int = 0) -> dict[str, float]:
    """Return how much of the variance of the values each setting explains alone (Hutter et al., 2014, fANOVA).

    As shares of what all of them explain alone, so that they add up to 1; what several explain together is left out. Of
    finished trials, and of the settings that all of these had; empty where there are too few, or all are alike.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < FEWEST or len({trial.value for trial in finished}) == 1:
        return {}
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    return {key: float(value) for key, value in found.items()}


def not_judged(study: Study) -> list[str]:
    """Return the settings that some finished trials did not have, as those under `when`; no share can be told."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    had = dict.fromkeys(key for trial in finished for key in trial.params)
    return [key for key in had if not all(key in trial.params for trial in finished)]


def importance_figure(importance: Mapping[str, float], metric: str, left_out: Sequence[str] = ()) -> "Figure":
    """Draw a bar for each setting, the most important one at the top, and name those that are left out."""
    keys = list(importance)[::-1]
    figure = blank_figure(6, 1.2 + 0.35 * len(keys) + (0.15 * (1 + len(left_out)) if left_out else 0))
    axes = figure.add_subplot()
    bars = axes.barh(keys, [importance[key] for key in keys], color=COLORS[0])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_xlim(0, 1.15 * max(importance.values()))
    axes.set_xlabel(f"share of the explained variance\nof valid {metric}")
    if left_out:
        axes.set_title("\n".join(["not judged, since some trials lack them:", *left_out]), fontsize=8, loc="left")
    return figure


def history_figure(study: Study, metric: str) -> "Figure":
    """Draw the value of each finished trial, the best so far, and where trials were pruned."""
    trials = study.get_trials(deepcopy=False)
    done = [(trial.number + 1, trial.value) for trial in trials if trial.state == TrialState.COMPLETE]
    numbers, values = (np.array(part, dtype=float) for part in zip(*done, strict=True))
    figure = blank_figure(6, 3.5)
    axes: Any = figure.add_subplot()
    best = np.minimum if study.direction.name == "MINIMIZE" else np.maximum
    axes.step(numbers, best.accumulate(values), where="post", color=COLORS[1], label="best so far")
    axes.scatter(numbers, values, color=COLORS[0], label="finished", zorder=3)
    pruned = [(trial.number + 1, last_value(trial)) for trial in trials if trial.state == TrialState.PRUNED]
    if pruned:
        axes.scatter(*zip(*pruned, strict=True), marker="x", color=COLORS[3], label="pruned, at its last epoch")
    axes.set_xlabel("trial")
    axes.set_ylabel(f"valid {metric}")
    whole_ticks(axes)
    axes.legend()
    return figure


def last_value(trial: Any) -> float:
    """Return a trial's value after its last epoch."""
    return float(trial.intermediate_values[max(trial.intermediate_values)])
