"""What a clustering is worth: by its own distances (inside), and against known labels (outside).

Nothing here is NaN or raises for odd clusterings. A figure that is not defined is None: of less than two clusters, of
clusters of single points only, or where it would divide by zero or exceed what a float can hold.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics
from sklearn.metrics.cluster import contingency_matrix, pair_confusion_matrix

from zoo.errors import DataError
from zoo.explore.distances import LIMIT, SEED, as_points, pairwise
from zoo.explore.labels import NOISE, in_order, means
from zoo.metrics import Array

INSIDE = ("silhouette", "dunn", "davies_bouldin", "calinski_harabasz", "sse")
OUTSIDE = ("rand", "adjusted_rand", "jaccard", "nmi", "purity")

Figures = dict[str, float | None]


def inside(
    points: ArrayLike, labels: Array, *, distance: str = "euclidean", limit: int = LIMIT, seed: int = SEED
) -> Figures:
    """Return the figures `INSIDE` of labels (points) by name; noise (-1) does not count.

    `sse`, `davies_bouldin` and `calinski_harabasz` are Euclidean by definition, about the means. `silhouette` and
    `dunn` take the distance that is named, of all pairs of at most `limit` points: above it, of a sample.
    """
    points = as_points(points)
    labels = _same_length(labels, len(points))
    pairs = pairwise(points, distance=distance, limit=limit, seed=seed)
    real = labels != NOISE
    drawn = np.flatnonzero(real[pairs.rows])
    square, sampled = pairs.square[np.ix_(drawn, drawn)], labels[pairs.rows[drawn]]
    return {
        "silhouette": silhouette(square, sampled),
        "dunn": dunn(square, sampled),
        "davies_bouldin": _if_defined(metrics.davies_bouldin_score, points[real], labels[real]),
        "calinski_harabasz": calinski_harabasz(points[real], labels[real]),
        "sse": sse(points[real], labels[real]),
    }


def sse(points: Array, labels: Array) -> float | None:
    """Return the summed squared Euclidean distance of points to the means of their clusters; None without points."""
    if not len(labels):
        return None
    labels = in_order(labels)
    return float(np.square(points - means(points, labels)[labels]).sum())


def silhouette_values(square: Array, labels: Array) -> Array | None:
    """Return each point's silhouette in [-1, 1], 0 of points alone (Rousseeuw, 1987); square is (points, points)."""
    if not is_comparable(labels):
        return None
    return np.asarray(metrics.silhouette_samples(square, labels, metric="precomputed"))


def silhouette(square: Array, labels: Array) -> float | None:
    """Return the mean silhouette."""
    values = silhouette_values(square, labels)
    return None if values is None else float(values.mean())


def dunn(square: Array, labels: Array) -> float | None:
    """Return the least distance between clusters over the largest within one (Dunn, 1974).

    square is (points, points). None also where all points of each cluster are the same.
    """
    if not is_comparable(labels):
        return None
    together = labels[:, None] == labels
    with np.errstate(all="ignore"):
        return _if_finite(square[~together].min() / square[together].max())


def calinski_harabasz(points: Array, labels: Array) -> float | None:
    """Return the ratio of spread between to spread within clusters (1974); None also where there is none within."""
    within = sse(points, labels)
    return _if_defined(metrics.calinski_harabasz_score, points, labels) if within else None


def is_comparable(labels: Array) -> bool:
    """Whether there are two clusters at least, and one of two points at least."""
    return 2 <= len(np.unique(labels)) < len(labels)


def _if_defined(score: Callable[..., Any], points: Array, labels: Array) -> float | None:
    if not is_comparable(labels):
        return None
    with np.errstate(all="ignore"):
        return _if_finite(score(points, labels))


def _if_finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def outside(labels: Array, truth: ArrayLike) -> Figures:
    """Return the figures `OUTSIDE` of labels (points) against true labels of any kind, by name; 1 is best.

    Noise (-1) counts as one cluster more. Of a single point, and where both put all points together or each alone, all
    figures are 1.
    """
    labels = np.unique(labels, return_inverse=True)[1]
    truth = np.unique(_same_length(truth, len(labels)), return_inverse=True)[1]
    if not len(labels):
        raise DataError("no points to compare with their true labels")
    with warnings.catch_warnings():
        # scikit-learn takes many classes for a regression, which labels never are.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        return {
            "rand": float(metrics.rand_score(truth, labels)),
            "adjusted_rand": float(metrics.adjusted_rand_score(truth, labels)),
            "jaccard": _jaccard(pair_confusion_matrix(truth, labels)),
            "nmi": float(metrics.normalized_mutual_info_score(truth, labels)),
            "purity": float(contingency_matrix(truth, labels).max(0).sum() / len(labels)),
        }


def _jaccard(pairs: Array) -> float:
    """Return the pairs that both put together over those that either does; pairs (2, 2) as scikit-learn counts them."""
    (_, wrong), (missed, right) = pairs.tolist()
    together = wrong + missed + right
    return right / together if together else 1.0


def _same_length(labels: ArrayLike, count: int) -> Array:
    found = np.asarray(labels)
    if found.shape != (count,):
        raise DataError(f"there must be a label for each of {count} points, but they are of shape {found.shape}")
    return found
