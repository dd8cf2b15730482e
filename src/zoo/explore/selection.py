"""Feature selection by name, and a selection as a reduction."""

import warnings
from typing import Protocol

import numpy as np
from sklearn import __version__ as sklearn_version
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV, LogisticRegression, MultiTaskLassoCV
from sklearn.model_selection import cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import l1_min_c

from zoo.errors import ConfigError, unknown
from zoo.explore.filters import (
    Selection,
    best_of,
    check_count,
    chi_square,
    information_gain,
    pca_loadings,
    variance,
)
from zoo.explore.genetic import genetic
from zoo.explore.probe import sample_rows, splits
from zoo.explore.projection import NOTHING, Reduction, check_varies
from zoo.explore.targets import fit_targets, is_numeric, require_y
from zoo.explore.wrappers import FOLDS, POINTS, backward, forward, stepwise
from zoo.metrics import Array

PENALTIES = np.geomspace(2, 200, 6)
"""Multiples of the smallest C at which L1 logistic regression keeps a feature."""


class Selector(Protocol):
    """Choose `count` features of x (points, features); y are labels, numbers or None."""

    def __call__(self, x: Array, y: Array | None = None, *, count: int, seed: int = 1) -> Selection:
        """Return the features that were chosen."""
        ...


def lasso(x: Array, y: Array | None = None, *, count: int, seed: int = 1) -> Selection:
    """Keep the features to which a linear model with an L1 penalty gives a weight (Tibshirani, 1996).

    x is (points, features) and should be scaled. Labels: logistic regression of each class against the rest; numbers:
    LASSO, of several targets together. The penalty is chosen by cross-validation, for labels the strongest within one
    standard error of the best. Scores are the largest absolute weight of any class, or its length over targets; there
    may be fewer than `count` that have one.
    """
    given = require_y("lasso", y)
    check_count(count, x.shape[1])
    check_varies(x)
    rows, notes = sample_rows(x, given, most=POINTS, seed=seed)
    fit = _lasso_of_numbers if is_numeric(given) else _lasso_of_labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # which features have a weight is known long before
        scores, note = fit(x[rows], given[rows], seed)
    kept = int((scores > 0).sum())
    if not kept:
        raise ConfigError("lasso gives no feature a weight: none tells about y in a line; use information_gain")
    return best_of("lasso", scores, min(count, kept), (*notes, f"{note} keeps {kept:,} of {x.shape[1]:,} features"))


def _lasso_of_labels(x: Array, labels: Array, seed: int) -> tuple[Array, str]:
    labels = labels.astype(str)
    smallest = l1_min_c(x, labels, loss="log")
    parts = list(splits(labels, folds=FOLDS, seed=seed))
    models = [_l1_logistic(float(factor * smallest), seed) for factor in PENALTIES]
    found = np.array([cross_val_score(model, x, labels, cv=parts) for model in models])  # (penalties, folds)
    mean, error = found.mean(1), found.std(1, ddof=1) / np.sqrt(FOLDS)
    best = int(mean.argmax())
    model = models[int((mean >= mean[best] - error[best]).argmax())].fit(x, labels)
    weights = np.concatenate([one.coef_ for one in model.estimators_])
    return np.abs(weights).max(0), f"C={model.estimator.C:.3g}"


def _l1_logistic(c: float, seed: int) -> OneVsRestClassifier:
    modern = tuple(int(part) for part in sklearn_version.split(".")[:2]) >= (1, 8)
    penalty = {"l1_ratio": 1.0} if modern else {"penalty": "l1"}
    return OneVsRestClassifier(LogisticRegression(C=c, solver="liblinear", random_state=seed, **penalty))


def _lasso_of_numbers(x: Array, y: Array, seed: int) -> tuple[Array, str]:
    matrix = fit_targets(y).matrix
    parts = list(splits(y, folds=FOLDS, seed=seed))
    if matrix.shape[1] == 1:
        model = LassoCV(cv=parts, max_iter=5000).fit(x, matrix[:, 0])
        return np.abs(model.coef_), f"alpha={model.alpha_:.3g}"
    model = MultiTaskLassoCV(cv=parts, max_iter=5000).fit(x, matrix)
    return np.linalg.norm(model.coef_, axis=0), f"alpha={model.alpha_:.3g}"


SELECTIONS: dict[str, Selector] = {
    "pca_loadings": pca_loadings,
    "variance": variance,
    "chi_square": chi_square,
    "information_gain": information_gain,
    "forward": forward,
    "backward": backward,
    "stepwise": stepwise,
    "genetic": genetic,
    "lasso": lasso,
}
SCALED = {"variance": "none", "chi_square": "minmax"}
"""The scaling that suits a method, where that is no z-score."""

NESTED = ("pca", "pls", "pca_loadings", "variance", "chi_square", "information_gain", "forward")
"""Reductions whose first components are those of a smaller one."""


def select(name: str, x: Array, y: Array | None = None, *, count: int, seed: int = 1) -> Selection:
    """Choose `count` features of x (points, features), which is scaled as the method wants it, by a name."""
    if name not in SELECTIONS:
        raise ConfigError(unknown("selection", name, SELECTIONS))
    return SELECTIONS[name](x, y, count=count, seed=seed)


class Selecting:
    """A selection that is called as a reduction: its components are the chosen features, as they are."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, x: Array, y: Array | None = None, *, components: int, seed: int = 1) -> Reduction:
        """Return the chosen features of x (points, features), and what each adds to what is explained linearly."""
        return reduction_of(select(self.name, x, y, count=components, seed=seed), x, y)


def reduction_of(found: Selection, x: Array, y: Array | None = None) -> Reduction:
    """Return a selection of the features of x (points, features) as a reduction."""
    chosen = list(found.chosen)
    return Reduction(
        found.name,
        x[:, chosen],
        lambda more: more[:, chosen],
        added_shares(x[:, chosen], x - x.mean(0)),
        None if y is None else added_shares(x[:, chosen], fit_targets(y).matrix),
        notes=found.notes,
    )


def added_shares(scores: Array, matrix: Array) -> Array:
    """Return what each column of scores adds to the share of a centered matrix that is linear in them (components).

    Columns beyond the number of points add nothing.
    """
    centered = scores - scores.mean(0)
    basis, triangle = np.linalg.qr(centered)
    count = len(triangle)
    new = np.abs(np.diag(triangle)) > np.sqrt(NOTHING) * np.linalg.norm(centered[:, :count], axis=0)
    shares = np.zeros(scores.shape[1])
    shares[:count] = np.where(new, ((basis.T @ matrix) ** 2).sum(1) / (matrix**2).sum(), 0.0)
    return shares
