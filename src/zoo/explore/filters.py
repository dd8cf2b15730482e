"""Feature selection by a score of each feature: PCA's loadings, variance, chi-square, information gain."""

import math
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.feature_selection import chi2, mutual_info_classif

from zoo.errors import ConfigError, DataError
from zoo.explore.probe import SAMPLE, sample_rows
from zoo.explore.projection import broken_stick, pca, spectrum
from zoo.explore.targets import is_numeric, require_y
from zoo.metrics import Array

BINS = 10


class Selection(NamedTuple):
    """Which features were chosen: their numbers, the best first or in the order of choosing.

    scores (features) are there where each feature has one. curve holds a wrapper's score after each of its steps: of
    points that its probes hold out, but by which it chooses, so that it flatters the choice.
    """

    name: str
    chosen: tuple[int, ...]
    scores: Array | None = None
    curve: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def best_of(name: str, scores: Array, count: int, notes: tuple[str, ...] = ()) -> Selection:
    """Return the `count` features of the largest scores (features); of equals, the first ones."""
    check_count(count, len(scores))
    order = np.argsort(-scores, kind="stable")[:count]
    return Selection(name, tuple(order.tolist()), scores, notes=notes)


def check_count(count: int, features: int) -> None:
    """Raise ConfigError for a number of features that there is not."""
    if not 1 <= count <= features:
        raise ConfigError(f"`count` must be between 1 and the number of features ({features:,}), but is {count:,}")


def pca_loadings(x: Array, y: Array | None = None, *, count: int, seed: int = 1) -> Selection:
    """Score each feature of x (points, features) by how much of it the leading components hold (Jolliffe, 2002, 6.3).

    That is the sum over components of the explained share times the squared weight; leading are those that the broken
    stick leaves. Labels are not looked at.
    """
    rows, notes = sample_rows(x, None, most=SAMPLE, seed=seed)
    leading = broken_stick(spectrum(x[rows]))
    found = pca(x, components=leading, seed=seed)
    assert found.weights is not None
    note = ", ".join([f"leading components of PCA: {leading}", *notes])
    return best_of("pca_loadings", found.weights**2 @ found.explained_x, count, (note, *found.notes))


def variance(x: Array, y: Array | None = None, *, count: int, seed: int = 1) -> Selection:
    """Score each feature of x (points, features) by its variance; labels are not looked at.

    DataError where all variances are the same, as after a z-score.
    """
    scores = x.var(0)
    varying = scores[scores > 1e-12]
    if len(scores) > 1 and len(varying) > 1 and np.ptp(varying) < 1e-9 * varying.max():
        raise DataError(f"all features have variance {varying[0]:.3g}, which tells none apart; set scaling=none")
    return best_of("variance", scores, count)


def chi_square(x: Array, y: Array | None = None, *, count: int, seed: int = 1) -> Selection:
    """Score each feature of x (points, features) by the chi-square statistic of its sums in each class.

    x counts something, as words in a text: DataError for a negative value. y are labels (points).
    """
    labels = require_y("chi_square", y)
    if is_numeric(labels):
        raise ConfigError("chi_square needs labels, but is given numbers; use information_gain or lasso")
    negative = np.argwhere(x < 0)
    if len(negative):
        point, feature = negative[0].tolist()
        raise DataError(
            f"chi_square takes counts, but point {point} has {x[point, feature]:.4g} in feature {feature} (from 0); "
            "set scaling=minmax or none"
        )
    with np.errstate(invalid="ignore"):  # a feature that is always zero
        found = chi2(x, labels.astype(str))[0]
    return best_of("chi_square", np.nan_to_num(found), count)


def information_gain(x: Array, y: Array | None = None, *, count: int, seed: int = 1, bins: int = BINS) -> Selection:
    """Score each feature of x (points, features) by how many bits it tells about y (Quinlan, 1986).

    That is the mutual information of two discrete variables: features, and numbers in y, are cut in `bins` intervals of
    about equally many points first, unless they have no more values than that. Several targets are added up.
    """
    given = require_y("information_gain", y)
    discrete = np.column_stack([discretize(column, bins) for column in x.T])
    targets = given.reshape(len(given), -1).T if is_numeric(given) else [given.astype(str)]
    codes = [discretize(target, bins) if is_numeric(given) else target for target in targets]
    with warnings.catch_warnings():  # scikit-learn takes many classes for a regression, which labels never are
        warnings.filterwarnings("ignore", message="The number of unique classes")
        gains = [mutual_info_classif(discrete, code, discrete_features=True) for code in codes]
    return best_of("information_gain", np.sum(gains, axis=0) / math.log(2), count)


def discretize(values: Array, bins: int = BINS) -> Array:
    """Return the number of the interval of each value (points); at most `bins`, of about equally many points.

    Values that are equal stay together, and where there are no more than `bins` of them, each is its own.
    """
    distinct, codes = np.unique(values, return_inverse=True)
    if len(distinct) <= bins:
        return np.asarray(codes)
    last = (np.arange(1, bins) * len(values) + bins - 1) // bins - 1  # the rank of each interval's largest value
    return np.searchsorted(np.unique(np.sort(values)[last]), values)
