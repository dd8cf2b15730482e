"""k-medoids: clusters about points of the data, in any distance."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from zoo.explore.distances import LIMIT, SEED, as_points, pairwise
from zoo.explore.labels import Clustering, check_count, check_positive, in_order
from zoo.explore.validity import silhouette
from zoo.metrics import Array

LARGEST = 10


class Swap(NamedTuple):
    """How much the summed distance changes where the medoid at place `out` gives way to the point `into`."""

    change: float
    out: int
    into: int


def kmedoids(
    points: ArrayLike,
    *,
    k: int | None = None,
    largest: int = LARGEST,
    distance: str = "euclidean",
    limit: int = LIMIT,
    seed: int = SEED,
) -> Clustering:
    """Cluster points (points, features) about medoids by PAM (Kaufman and Rousseeuw, 1990).

    Without `k` it is the one from 1 to `largest` of the largest mean silhouette, which counts as 0 of one cluster. The
    medoids are found among at most `limit` points, one sample where CLARA tries several; every point then goes to the
    nearest.
    """
    points = as_points(points)
    pairs = pairwise(points, distance=distance, limit=limit, seed=seed)
    if k is None:
        check_positive("largest", largest)
        tried = _try(pairs.square, largest)
        evidence = {name: np.array([one[name] for one in tried]) for name in ("k", "silhouette", "cost")}
        best = tried[int(evidence["silhouette"].argmax())]
        why = {"rule": "silhouette", "why": "the mean silhouette is largest"}
    else:
        best, evidence, why = _given(pairs.square, k), {}, {"rule": "given", "why": "given"}
    medoids = pairs.rows[best["medoids"]]
    own, away = pairs.nearest(medoids)
    own[medoids] = np.arange(len(medoids))
    labels = in_order(own)
    order = [own[(labels == number).argmax()] for number in range(len(medoids))]
    chosen = {"k": len(medoids), **why, "medoids": medoids[order].tolist(), "cost": float(away.sum()), **pairs.notes()}
    return Clustering(labels, points[medoids[order]], chosen, evidence)


def _try(square: Array, largest: int) -> list[dict[str, Any]]:
    first = build(square, min(largest, len(square)))  # greedy: the medoids of fewer clusters come first
    return [_measured(square, swap(square, first[:k])) for k in range(1, len(first) + 1)]


def _given(square: Array, k: int) -> dict[str, Any]:
    check_count("k", k, most=len(square), of="the sampled points")
    first = build(square, k)
    check_count("k", k, most=len(first), of="the sampled points that differ")
    return _measured(square, swap(square, first))


def _measured(square: Array, medoids: Array) -> dict[str, Any]:
    near = square[medoids]
    value = silhouette(square, near.argmin(0)) or 0.0
    return {"k": len(medoids), "medoids": medoids, "silhouette": value, "cost": float(near.min(0).sum())}


def build(square: Array, k: int) -> Array:
    """Choose medoids one by one, each the point that brings the summed distance down most (BUILD).

    square (points, points) holds distances. Returns indices; fewer than `k` where there are fewer different points.
    """
    medoids = [int(square.sum(1).argmin())]
    nearest = square[medoids[0]]
    while len(medoids) < k and nearest.any():
        gains = np.maximum(nearest - square, 0).sum(1)
        medoids.append(int(gains.argmax()))
        nearest = np.minimum(nearest, square[medoids[-1]])
    return np.array(medoids)


def swap(square: Array, medoids: Array) -> Array:
    """Exchange a medoid for another point, the best pair first, until that no longer lowers the summed distance."""
    while len(medoids) > 1:
        best, swapped = best_swap(square, medoids), medoids.copy()
        swapped[best.out] = best.into
        if not square[swapped].min(0).sum() < square[medoids].min(0).sum():  # `change` is rounded, and may never end
            break
        medoids = swapped
    return medoids


def best_swap(square: Array, medoids: Array) -> Swap:
    """Find the best of all exchanges of a medoid and a point in one pass (FastPAM1, Schubert and Rousseeuw, 2019).

    square (points, points); two medoids at least. A point nearer to the new medoid than to its own goes there whichever
    leaves; those whose own leaves go to the new one or to their second nearest, whichever is nearer.
    """
    near = square[medoids]  # (medoids, points)
    own = (near.argmin(0)[:, None] == np.arange(len(medoids))).astype(np.float64)  # (points, medoids)
    first, second = np.partition(near, 1, axis=0)[:2]
    gained = np.minimum(square - first, 0).sum(1)
    lost = (np.clip(square, first, second) - first) @ own  # of the medoid's points, once it has left
    change = gained[:, None] + lost  # (points, medoids)
    into, out = np.unravel_index(change.argmin(), change.shape)
    return Swap(float(change[into, out]), int(out), int(into))
