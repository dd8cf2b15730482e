"""What a linear probe finds in the first components, on points that neither it nor the reduction has seen."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold

from zoo.errors import ConfigError, DataError
from zoo.explore.projection import Reduction
from zoo.explore.scaling import fit_scaling
from zoo.explore.targets import is_numeric
from zoo.metrics import Array

FOLDS = 5
SAMPLE = 4000
"""Points on which a curve is measured, at most."""
Reducer = Callable[..., Reduction]
"""Called as reducer(x, y, components=..., seed=...)."""


class Fold(NamedTuple):
    """One part held out: x (points, features) scaled as the training points are, and y of both sides."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


class Curve(NamedTuple):
    """A figure for each number of components: values (folds, counts) on what each fold holds out."""

    measure: str
    counts: tuple[int, ...]
    values: Array
    notes: tuple[str, ...] = ()

    @property
    def mean(self) -> Array:
        """Return the mean over folds (counts)."""
        return np.asarray(self.values.mean(0))

    @property
    def error(self) -> Array:
        """Return the standard error of the mean (counts)."""
        return np.asarray(self.values.std(0, ddof=1) / np.sqrt(len(self.values)))

    def fewest(self) -> int:
        """Return the fewest components whose mean is within one standard error of the best (Breiman et al., 1984)."""
        best = int(self.mean.argmax())
        return self.counts[int((self.mean >= self.mean[best] - self.error[best]).argmax())]


def sample_rows(x: Array, y: Array | None, *, most: int, seed: int = 1) -> tuple[Array, tuple[str, ...]]:
    """Return the rows of about `most` points drawn at random, in order, and a note of it; all where there are no more.

    Of each label in y (points) the same share is drawn, but no fewer than `FOLDS` points.
    """
    if len(x) <= most:
        return np.arange(len(x)), ()
    order = np.random.default_rng(seed).permutation(len(x))
    if y is None or is_numeric(y):
        rows = order[:most]
    else:
        labels = y.astype(str)[order]
        counts = {label: max(FOLDS, -(-count * most // len(x))) for label, count in _counts(labels)}
        rows = np.concatenate([order[labels == label][:count] for label, count in counts.items()])
    return np.sort(rows), (f"{len(rows):,} of {len(x):,} points, drawn at random",)


def _counts(labels: Array) -> list[tuple[str, int]]:
    names, counts = np.unique(labels, return_counts=True)
    return list(zip(names.tolist(), counts.tolist(), strict=True))


def folds_of(x: Array, y: Array, *, scaling: str = "zscore", folds: int = FOLDS, seed: int = 1) -> Iterator[Fold]:
    """Yield each fold; scaling is fitted on its training points alone. Labels are spread evenly over folds."""
    for train, test in splits(y, folds=folds, seed=seed):
        fitted = fit_scaling(x[train], scaling)
        yield Fold(fitted.apply(x[train]), y[train], fitted.apply(x[test]), y[test])


def splits(y: Array, *, folds: int = FOLDS, seed: int = 1) -> Iterator[tuple[Array, Array]]:
    """Yield the rows for training and those held out, of each fold; DataError where a class has too few points."""
    if len(y) < 2 * folds:
        raise DataError(f"{len(y)} points are too few for {folds} folds; {2 * folds} are needed")
    if is_numeric(y):
        return iter(KFold(folds, shuffle=True, random_state=seed).split(y))
    label, fewest = min(_counts(y.astype(str)), key=lambda one: one[1])
    if fewest < folds:
        raise DataError(
            f"label '{label}' has {fewest} points, fewer than the {folds} folds; remove its points, join it with "
            "another label, or read the column as targets where its values are numbers"
        )
    return iter(StratifiedKFold(folds, shuffle=True, random_state=seed).split(y, y.astype(str)))


def probe_accuracy(scores: Array, labels: Array, test_scores: Array, test_labels: Array) -> float:
    """Return the share of test points whose label logistic regression finds, fitted on scores (points, components).

    Scores are brought to variance 1 first, since the probe's L2 penalty (C=1) would else weigh them by their size.
    """
    fitted = fit_scaling(scores)
    probe = LogisticRegression(max_iter=2000).fit(fitted.apply(scores), labels.astype(str))
    return float((probe.predict(fitted.apply(test_scores)) == test_labels.astype(str)).mean())


def probe_curve(
    x: Array,
    labels: Array,
    reducer: Reducer,
    counts: Sequence[int],
    *,
    nested: bool = True,
    scaling: str = "zscore",
    folds: int = FOLDS,
    seed: int = 1,
) -> Curve:
    """Return the accuracy of the probe on held-out points against the number of components.

    x (points, features) is not scaled yet: scaling, reduction and probe are fitted inside of each fold. A reducer is
    `nested` if its first components are those of a smaller one, and is then called once for a fold. Of more than
    `SAMPLE` points so many are drawn.
    """
    if is_numeric(labels):
        raise ConfigError("the probe needs labels, but is given numbers; name a column of classes with --label")
    rows, notes = sample_rows(x, labels, most=SAMPLE, seed=seed)
    parts = folds_of(x[rows], labels[rows], scaling=scaling, folds=folds, seed=seed)
    values = [_accuracies(fold, reducer, counts, nested=nested, seed=seed) for fold in parts]
    return Curve("accuracy", tuple(counts), np.array(values), notes)


def _accuracies(fold: Fold, reducer: Reducer, counts: Sequence[int], *, nested: bool, seed: int) -> list[float]:
    found = []
    largest = reducer(fold.x_train, fold.y_train, components=max(counts), seed=seed) if nested else None
    for count in counts:
        reduction = largest or reducer(fold.x_train, fold.y_train, components=count, seed=seed)
        held = reduction.transform(fold.x_test)
        found.append(probe_accuracy(reduction.scores[:, :count], fold.y_train, held[:, :count], fold.y_test))
    return found


def majority(labels: Array) -> float:
    """Return the accuracy of answering with the most frequent label, which needs no features."""
    return max(count for _, count in _counts(labels.astype(str))) / len(labels)
