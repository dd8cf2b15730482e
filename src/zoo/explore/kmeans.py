"""k-means, and how many clusters: elbow, silhouette and the gap statistic."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from zoo.errors import ConfigError, unknown
from zoo.explore.distances import LIMIT, SEED, as_points, pairwise
from zoo.explore.knee import knee
from zoo.explore.labels import Clustering, check_count, check_positive, in_order, means
from zoo.explore.validity import silhouette, sse
from zoo.metrics import Array

LARGEST = 10
REFERENCES = 10
STARTS = 5
RULES = {
    "elbow": "the summed squared distance lies furthest below the chord of its curve",
    "silhouette": "the mean silhouette is largest",
    "gap": "the gap statistic is within a standard error of the next one's",
}


class Curves(NamedTuple):
    """What each number of clusters gives, all (numbers); `gap` with its standard error."""

    k: Array
    sse: Array
    silhouette: Array
    gap: Array
    gap_error: Array

    def choices(self) -> dict[str, int]:
        """Return the number of clusters by each of `RULES`."""
        places = {
            "elbow": knee(self.sse),
            "silhouette": int(self.silhouette.argmax()),
            "gap": first_within_error(self.gap, self.gap_error),
        }
        return {rule: int(self.k[place]) for rule, place in places.items()}


def kmeans(
    points: ArrayLike,
    *,
    k: int | None = None,
    rule: str = "silhouette",
    largest: int = LARGEST,
    distance: str = "euclidean",
    limit: int = LIMIT,
    seed: int = SEED,
) -> Clustering:
    """Cluster points (points, features) about means, from k-means++ (Arthur and Vassilvitskii, 2007).

    Without `k` it is chosen from 1 to `largest` by one of `RULES`; what the others say is reported too. Means belong to
    Euclidean distances, so others are refused. Numbers are tried on at most `limit` points, then all are clustered.
    """
    points = as_points(points)
    if distance != "euclidean":
        raise ConfigError(f"`kmeans` needs `distance` euclidean, but it is {distance}; `kmedoids` takes every distance")
    if rule not in RULES:
        raise ConfigError(unknown("rule", rule, RULES))
    different = len(np.unique(points, axis=0))
    if k is not None:
        check_count("k", k, most=different, of="the number of different points")
        notes = {"distance": distance, "points": len(points), "sampled": len(points), "distance_bytes": 0}
        return _clustering(points, k, seed, {"rule": "given", "why": "given", **notes}, {})
    check_positive("largest", largest)
    pairs = pairwise(points, limit=limit, seed=seed)
    curves = measure(points[pairs.rows], pairs.square, largest=largest, seed=seed)
    choices = curves.choices()
    why = {"rule": rule, "why": RULES[rule], "by_rule": choices, **pairs.notes()}
    return _clustering(points, choices[rule], seed, why, curves._asdict())


def _clustering(points: Array, k: int, seed: int, why: dict[str, Any], evidence: dict[str, Array]) -> Clustering:
    labels = in_order(fit(points, k, seed=seed).labels_)
    centers = means(points, labels)
    return Clustering(labels, centers, {"k": len(centers), **why, "sse": sse(points, labels)}, evidence)


def fit(points: Array, k: int, *, seed: int = SEED, starts: int = STARTS) -> KMeans:
    """Return scikit-learn's k-means, the best of some starts; of points that rounding makes equal, fewer clusters."""
    # Threads would add in an order that chance decides.
    with threadpool_limits(limits=1, user_api="openmp"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(k, n_init=starts, random_state=seed).fit(points)


def measure(points: Array, square: Array, *, largest: int = LARGEST, seed: int = SEED) -> Curves:
    """Measure each number of clusters from 1 to `largest`, or to the number of different points.

    points is (points, features), square (points, points) their distances. The silhouette of one cluster counts as 0.
    """
    ks = np.arange(1, min(largest, len(np.unique(points, axis=0))) + 1)
    fits = [fit(points, int(k), seed=seed) for k in ks]
    silhouettes = [silhouette(square, fitted.labels_) or 0.0 for fitted in fits]
    gaps, errors = gap_statistic(points, ks, seed=seed)
    return Curves(ks, np.array([fitted.inertia_ for fitted in fits]), np.array(silhouettes), gaps, errors)


def gap_statistic(points: Array, ks: Array, *, references: int = REFERENCES, seed: int = SEED) -> tuple[Array, Array]:
    """Return the gap of each k and its standard error (Tibshirani, Walther and Hastie, 2001, eq. 3 and section 3).

    The references are uniform in the box along the points' principal axes (their choice b). Distances within clusters
    are the same in rotated axes, so nothing is turned back.
    """
    centered = points - points.mean(0)
    turned = centered @ np.linalg.svd(centered, full_matrices=False)[2].T
    low, high, rng = turned.min(0), turned.max(0), np.random.default_rng(seed)
    drawn = [_log_within(rng.uniform(low, high, turned.shape), ks, seed) for _ in range(references)]
    errors = np.std(drawn, axis=0) * np.sqrt(1 + 1 / references)
    return np.mean(drawn, axis=0) - _log_within(turned, ks, seed), errors


def _log_within(points: Array, ks: Array, seed: int) -> Array:
    within = [fit(points, int(k), seed=seed, starts=1).inertia_ for k in ks]
    return np.log(np.maximum(within, np.finfo(float).tiny))  # as many clusters as points leave nothing within


def first_within_error(gaps: Array, errors: Array) -> int:
    """Return the first place whose gap is at least the next one's less its error; the last where there is none."""
    good = np.flatnonzero(gaps[:-1] >= gaps[1:] - errors[1:])
    return int(good[0]) if len(good) else len(gaps) - 1
