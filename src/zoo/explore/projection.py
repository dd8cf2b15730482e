"""Feature extraction by linear maps: PCA, which does not know the labels, and PLS, which does."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from zoo.errors import ConfigError, DataError
from zoo.explore.targets import fit_targets, require_y
from zoo.metrics import Array

NOTHING = 1e-12
"""The share of a variance below which it is rounding."""


class Reduction(NamedTuple):
    """Points in fewer dimensions, and how each feature takes part.

    scores (points, components). transform maps points (points, features) to scores. explained_x (components) are shares
    of the variance of x; where components share it without order, the one share of all. explained_y (components)
    likewise of y, or None where no y was given. Of linear maps, loadings (features, components) rebuild the centered x
    from scores, and weights (features, components) have length 1; loadings are the weights themselves for PCA. vip
    (features) is that of PLS. coefficients (components, targets) predict the targets' matrix from scores.
    """

    name: str
    scores: Array
    transform: Callable[[Array], Array]
    explained_x: Array
    explained_y: Array | None = None
    loadings: Array | None = None
    weights: Array | None = None
    vip: Array | None = None
    coefficients: Array | None = None
    notes: tuple[str, ...] = ()


def pca(x: Array, y: Array | None = None, *, components: int, seed: int = 1) -> Reduction:
    """Turn x (points, features) to its directions of largest variance (Pearson 1901; Hotelling 1933).

    x is centered and not scaled here. y, labels or numbers, changes nothing but adds the share of its variance that
    each component explains. The largest weight of each component is positive.
    """
    _check(x, components)
    mean = x.mean(0)
    centered = x - mean  # before the products, in which a large mean would drown the variance
    found = PCA(components, svd_solver=_solver(x, components), random_state=seed).fit(centered)
    weights = found.components_.T * signs(found.components_.T)
    scores = centered @ weights
    result = Reduction(
        "pca",
        scores,
        lambda more: (more - mean) @ weights,
        found.explained_variance_ratio_,
        loadings=weights,
        weights=weights,
        notes=("components are approximate: exact ones would take minutes",)
        if found.svd_solver == "randomized"
        else (),
    )
    if y is None:
        return result
    targets = fit_targets(y)
    lengths = (scores**2).sum(0)
    lengths = np.where(lengths > NOTHING * lengths.max(), lengths, np.inf)
    coefficients = scores.T @ targets.matrix / lengths[:, None]
    return result._replace(explained_y=_explained(scores, coefficients, targets.matrix), coefficients=coefficients)


def spectrum(x: Array) -> Array:
    """Return the share of variance of each component that PCA of x (points, features) has, the largest first."""
    _check(x, 1)
    centered = x - x.mean(0)
    products = centered.T @ centered if x.shape[1] < len(x) else centered @ centered.T
    values = np.linalg.eigvalsh(products)[::-1][: min(len(x) - 1, x.shape[1])].clip(0)
    return np.asarray(values / values.sum())


def broken_stick(shares: Array) -> int:
    """Return how many leading shares (components) of a whole are larger than chance breaks it (Jackson, 1993).

    A stick broken at random in p parts has on average (1/k + ... + 1/p) / p in the k-th largest. At least 1.
    """
    parts = len(shares)
    expected = np.cumsum(1 / np.arange(parts, 0, -1))[::-1] / parts
    larger = shares > expected
    return max(1, parts if larger.all() else int(larger.argmin()))


def _solver(x: Array, components: int) -> str:
    """Choose an exact way where one is affordable; scikit-learn's own choice is random from 500 features on."""
    if x.shape[1] <= min(2000, len(x)):
        return "covariance_eigh"
    return "full" if min(x.shape) <= 2000 or components > min(x.shape) // 10 else "randomized"


def pls(x: Array, y: Array | None = None, *, components: int, seed: int = 1) -> Reduction:
    """Turn x (points, features) to the directions of largest covariance with y, by NIPALS (Wold et al., 2001).

    y are labels (points), which makes this PLS-DA on a column for each class (Barker and Rayens, 2003), or numbers
    (points) or (points, targets). The explained variances are those that each component takes out of x and y, which
    PLSRegression does not tell. x is not scaled here, which PLSRegression would do on its own. `seed` has no effect:
    nothing is random. The largest weight of each component is positive. There are fewer components where they explain
    x or y before; a note says so.
    """
    _check(x, components)
    targets, mean = fit_targets(require_y("pls", y)), x.mean(0)
    weights, loadings, coefficients, slow = _nipals(x - mean, targets.matrix, components)
    sign = signs(weights)
    weights, loadings, coefficients = weights * sign, loadings * sign, coefficients * sign[:, None]
    rotation = weights @ np.linalg.inv(loadings.T @ weights)
    scores = (x - mean) @ rotation
    explained_y = _explained(scores, coefficients, targets.matrix)
    return Reduction(
        "pls",
        scores,
        lambda more: (more - mean) @ rotation,
        _explained(scores, loadings.T, x - mean),
        explained_y,
        loadings,
        weights,
        vip_scores(weights, explained_y),
        coefficients,
        _pls_notes(weights.shape[1], components, slow),
    )


def _nipals(x: Array, y: Array, components: int) -> tuple[Array, Array, Array, int]:
    """Return weights and loadings (features, components), coefficients (components, targets), and what did not settle.

    x and y are centered. Each component is scikit-learn's for what those before it left of x and y; asked for all of
    them at once, it divides by zero where nothing is left. Its own tolerance of 1e-6 leaves 1e-3 to the start.
    """
    left_x, left_y, slow = x, y, 0
    found: list[tuple[Array, Array, Array]] = []
    least = 1e-10 * np.linalg.norm(x) * np.linalg.norm(y)
    while len(found) < components and np.linalg.norm(left_x.T @ left_y) > least:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            one = PLSRegression(1, scale=False, max_iter=1000, tol=1e-10).fit(left_x, left_y)
        slow += any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        left_x = left_x - one.x_scores_ @ one.x_loadings_.T
        left_y = left_y - one.x_scores_ @ one.y_loadings_.T
        found.append((one.x_weights_, one.x_loadings_, one.y_loadings_))
    if not found:
        raise ConfigError("no feature has any covariance with y, so that PLS finds no direction; use --reduce pca")
    weights, loadings, coefficients = (np.hstack(parts) for parts in zip(*found, strict=True))
    return weights, loadings, coefficients.T, slow


def _pls_notes(found: int, components: int, slow: int) -> tuple[str, ...]:
    count = "1 component explains" if found == 1 else f"{found} components explain"
    few = (f"{count} all that x and y share, so that there are not {components}",) if found < components else ()
    return (*few, f"NIPALS had not settled after 1,000 rounds for {slow} of them") if slow else few


def vip_scores(weights: Array, explained_y: Array) -> Array:
    """Return the variable importance in projection of each feature (Wold et al., 1993; Chong and Jun, 2005).

    VIP_j = sqrt(features * sum_a SSY_a w_ja^2 / sum_a SSY_a), with weights (features, components) of length 1 and
    explained_y (components), the variance of y that each explains. The mean of the squares is 1, so that a feature
    above 1 matters more than most.
    """
    squares = (weights / np.linalg.norm(weights, axis=0)) ** 2
    return np.asarray(np.sqrt(len(weights) * (squares @ explained_y) / explained_y.sum()))


def signs(weights: Array) -> Array:
    """Return +1 or -1 (components): what makes the largest weight of each column positive."""
    largest = np.abs(weights).argmax(0)
    return np.where(weights[largest, np.arange(weights.shape[1])] < 0, -1.0, 1.0)


def _explained(scores: Array, coefficients: Array, matrix: Array) -> Array:
    """Return the share of a centered matrix that scores without correlation explain, one by one."""
    return np.asarray((scores**2).sum(0) * (coefficients**2).sum(1) / (matrix**2).sum())


def _check(x: Array, components: int) -> None:
    most = min(len(x) - 1, x.shape[1])
    if not 1 <= components <= most:
        raise ConfigError(
            f"`components` must be between 1 and {most} for {len(x):,} points of {x.shape[1]:,} features, but is "
            f"{components}"
        )
    check_varies(x)


def check_varies(x: Array) -> None:
    """Raise DataError where all features are constant."""
    if not (np.ptp(x, axis=0) ** 2).any():  # squares, which may be zero where the numbers are not
        raise DataError("all features are constant, so that there is nothing to reduce; give others")
