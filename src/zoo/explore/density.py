"""DBSCAN: clusters are where points lie densely, and what lies apart is noise."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cluster import DBSCAN

from zoo.explore.distances import LIMIT, SEED, Pairwise, as_points, pairwise
from zoo.explore.knee import knee
from zoo.explore.labels import NOISE, Clustering, check_positive, in_order, means
from zoo.metrics import Array

MIN_SAMPLES = 5
KINDS = ("core", "border", "noise")


def dbscan(
    points: ArrayLike,
    *,
    eps: float | None = None,
    min_samples: int = MIN_SAMPLES,
    distance: str = "euclidean",
    limit: int = LIMIT,
    seed: int = SEED,
) -> Clustering:
    """Cluster points (points, features) by density (Ester et al., 1996).

    A core point has `min_samples` points, itself among them, within `eps`; without `eps` it is read off at the knee of
    the k-distance curve. A border point near core points of several clusters goes to the first of these that is found.
    Density is that of at most `limit` points; every point outside of the sample goes to the nearest core point within
    `eps`. `evidence["kinds"]` (points) tells core, border and noise apart.
    """
    points = as_points(points)
    check_positive("min_samples", min_samples)
    pairs = pairwise(points, distance=distance, limit=limit, seed=seed)
    curve = k_distances(pairs.square, min_samples)
    rule, why = "given", "given"
    if eps is None:
        eps, rule, why = knee_eps(curve), "knee", "the k-distance curve lies furthest below its chord there"
    else:
        check_positive("eps", eps)
    labels, core = _dense(pairs, eps, min_samples)
    kinds = kinds_of(labels, core)
    counts = {kind: int((kinds == kind).sum()) for kind in KINDS}
    chosen = {"k": int(labels.max()) + 1, "rule": rule, "why": why, "eps": eps, "min_samples": min_samples}
    return Clustering(labels, means(points, labels), {**chosen, **counts, **pairs.notes()},
                      {"k_distances": curve, "kinds": kinds})  # fmt: skip


def k_distances(square: Array, min_samples: int) -> Array:
    """Return in ascending order how far it is from each point to the last of its `min_samples` nearest, itself first.

    square (points, points) holds distances; where there are fewer points, the farthest counts.
    """
    place = min(min_samples, len(square)) - 1
    return np.sort(np.partition(square, place, axis=1)[:, place])


def knee_eps(curve: Array) -> float:
    """Return the k-distance at the curve's knee, or the last where it has none: then all points lie alike."""
    return float(curve[knee(curve) or -1])


def kinds_of(labels: Array, core: Array) -> Array:
    """Return `core`, `border` or `noise` for each point; labels (points), core (points) True at core points."""
    return np.select([core, labels != NOISE], KINDS[:2], default=KINDS[2])


def _dense(pairs: Pairwise, eps: float, min_samples: int) -> tuple[Array, Array]:
    """Return the labels (points), and which are core (points)."""
    reach = max(eps, np.finfo(float).tiny)  # 0: points that are the same
    fitted = DBSCAN(eps=reach, min_samples=min_samples, metric="precomputed").fit(pairs.square)
    labels, core = np.full(len(pairs.placed), NOISE), np.zeros(len(pairs.placed), bool)
    cores = pairs.rows[fitted.core_sample_indices_]
    core[cores] = True
    if len(cores) and len(pairs.rows) < len(pairs.placed):
        which, away = pairs.nearest(cores)
        labels = np.where(away <= reach, fitted.labels_[fitted.core_sample_indices_][which], NOISE)
    labels[pairs.rows] = fitted.labels_
    return in_order(labels), core
