"""Feature selection by trying: the score that a linear probe reaches on held-out points with some of the features."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from zoo.explore.filters import Selection, check_count, information_gain
from zoo.explore.probe import folds_of, sample_rows
from zoo.explore.targets import Targets, fit_targets, require_y
from zoo.metrics import Array

FOLDS = 3
POINTS = 2000
"""Points that are tried on, at most."""
FORWARD, BACKWARD = 1000, 100
"""Features that are tried, at most: those of the largest information gain. Going backward starts with all of them."""
ALPHA = 1.0
"""The ridge penalty, on features of variance 1."""


class _Products(NamedTuple):
    """What a least-squares probe of any features needs of one fold."""

    gram: Array  # (features, features), of training points
    cross: Array  # (features, targets)
    x_test: Array
    y_test: Array
    targets: Targets


class LinearProbe:
    """The cross-validated score of a linear probe on some of the features, remembered.

    The probe is least squares with a ridge penalty on one column for each class, whose largest output is the label
    (scikit-learn's RidgeClassifier), or on numbers. Its score is the accuracy, or Q2. Since the products of features
    are the same for all subsets, a trial costs tens of microseconds where logistic regression takes milliseconds.
    """

    def __init__(self, x: Array, y: Array, *, folds: int = FOLDS, seed: int = 1) -> None:
        self.parts, self.known = [], dict[tuple[int, ...], float]()
        for fold in folds_of(x, y, folds=folds, seed=seed):
            targets = fit_targets(fold.y_train)
            products = fold.x_train.T @ fold.x_train, fold.x_train.T @ targets.matrix
            self.parts.append(_Products(*products, fold.x_test, targets.encode(fold.y_test), targets))

    @property
    def fits(self) -> int:
        """How many probes were fitted."""
        return len(self.known) * len(self.parts)

    def score(self, features: Iterable[int]) -> float:
        """Return the mean over folds of accuracy or Q2 with these features; none at all tell the mean."""
        subset = tuple(sorted(features))
        if subset not in self.known:
            self.known[subset] = float(np.mean([self._judge(part, list(subset)) for part in self.parts]))
        return self.known[subset]

    def _judge(self, part: _Products, subset: list[int]) -> float:
        gram = part.gram[np.ix_(subset, subset)] + ALPHA * np.eye(len(subset))
        predicted = part.x_test[:, subset] @ np.linalg.solve(gram, part.cross[subset])
        return part.targets.judge(predicted, part.y_test)


class Trial(NamedTuple):
    """A probe, and the numbers in the table of the features that it knows."""

    probe: LinearProbe
    features: Array
    notes: tuple[str, ...]

    def selection(self, name: str, chosen: list[int], curve: list[float]) -> Selection:
        """Return chosen features of the probe as those of the table, and what they cost."""
        notes = (*self.notes, f"fitted {self.probe.fits:,} linear probes, {len(self.probe.parts)} for each trial")
        return Selection(name, tuple(self.features[chosen].tolist()), curve=tuple(curve), notes=notes)


def trial_of(name: str, x: Array, y: Array | None, *, count: int, most: int, seed: int) -> Trial:
    """Return a probe on at most `POINTS` points, drawn at random, and `most` features; notes say what was left out."""
    given = require_y(name, y)
    check_count(count, min(x.shape[1], most))
    rows, notes = sample_rows(x, given, most=POINTS, seed=seed)
    x, given, features = x[rows], given[rows], np.arange(x.shape[1])
    if x.shape[1] > most:
        features = np.sort(information_gain(x, given, count=most).chosen)
        notes += (
            f"{name} over {x.shape[1]:,} features takes too long: only the {most:,} of the largest information gain "
            "are tried",
        )
    return Trial(LinearProbe(x[:, features], given, seed=seed), features, notes)


def forward(x: Array, y: Array | None = None, *, count: int, seed: int = 1) -> Selection:
    """Add to no features, `count` times, the one with which the probe does best (Whitney, 1971).

    x is (points, features); takes `features` times `count` trials. Of equals, the first feature.
    """
    trial = trial_of("forward", x, y, count=count, most=FORWARD, seed=seed)
    chosen: list[int] = []
    curve = [_add(trial, chosen) for _ in range(count)]
    return trial.selection("forward", chosen, curve)


def backward(x: Array, y: Array | None = None, *, count: int, seed: int = 1) -> Selection:
    """Take from all features the one without which the probe does best, until `count` are left (Marill, Green, 1963).

    x is (points, features); takes about half the square of `features` in trials. The features that are left are in the
    order of what the probe loses without them, the most first.
    """
    trial = trial_of("backward", x, y, count=count, most=BACKWARD, seed=seed)
    chosen, curve = list(range(len(trial.features))), []
    while len(chosen) > count:
        curve.append(_remove(trial, chosen))
    return trial.selection("backward", by_loss(trial.probe.score, chosen), curve)


def stepwise(x: Array, y: Array | None = None, *, count: int, seed: int = 1) -> Selection:
    """Go forward, and after each step take away what the probe does as well without (Efroymson, 1960).

    x is (points, features). Ends with `count` features, or fewer where none that is left makes the probe better, but
    keeps one where none does.
    """
    trial = trial_of("stepwise", x, y, count=count, most=FORWARD, seed=seed)
    chosen: list[int] = []
    curve = [trial.probe.score([])]
    while len(chosen) < count:
        before = list(chosen)
        if _add(trial, chosen) <= curve[-1] and before:
            return trial.selection("stepwise", before, curve[1:])
        _prune(trial, chosen)
        curve.append(trial.probe.score(chosen))
    return trial.selection("stepwise", chosen, curve[1:])


def _prune(trial: Trial, chosen: list[int]) -> None:
    """Take away features as long as the score does not fall; it has just risen, so that no set comes twice."""
    while len(chosen) > 1:
        smaller = list(chosen)
        if _remove(trial, smaller) < trial.probe.score(chosen):
            return
        chosen[:] = smaller


def _add(trial: Trial, chosen: list[int]) -> float:
    """Append the best feature, and return the score with it."""
    left = [feature for feature in range(len(trial.features)) if feature not in chosen]
    best = max(left, key=lambda feature: trial.probe.score([*chosen, feature]))
    chosen.append(best)
    return trial.probe.score(chosen)


def _remove(trial: Trial, chosen: list[int]) -> float:
    """Take away the feature that is missed least, and return the score without it."""
    worst = max(chosen, key=lambda feature: trial.probe.score(one for one in chosen if one != feature))
    chosen.remove(worst)
    return trial.probe.score(chosen)


def by_loss(score: Callable[[Iterable[int]], float], chosen: list[int]) -> list[int]:
    """Return features in the order of the score without them, the lowest first."""
    return sorted(chosen, key=lambda feature: score(one for one in chosen if one != feature))
