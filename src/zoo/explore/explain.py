"""Clusters explained by the texts of their points."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from zoo.errors import DataError
from zoo.explore.distances import Geometry, as_points, parts
from zoo.explore.labels import NOISE, Clustering
from zoo.metrics import Array

COUNT = 5


def explain(
    points: ArrayLike, clustering: Clustering, texts: Sequence[str], *, distance: str = "euclidean", count: int = COUNT
) -> list[dict[str, Any]]:
    """Return for each cluster, and for noise (-1) where there is some, its size and the texts that tell what it is.

    `nearest` are the points nearest to the cluster's own center, `farthest` those of its points farthest from it, each
    with `row`, `text` and `distance`; of equally far ones the first. Noise has no center: its `farthest` are those
    farthest from the nearest center, and none is nearest.
    """
    points = as_points(points)
    if len(texts) != len(points):
        raise DataError(f"every point needs its text, but there are {len(points)} points and {len(texts)} texts")
    away = center_distances(points, clustering, distance=distance)
    groups = np.unique(clustering.labels)
    rows = {
        int(group): np.flatnonzero(clustering.labels == group) for group in [*groups[groups >= 0], *groups[groups < 0]]
    }
    return [
        {
            "cluster": group,
            "points": len(own),
            "nearest": _listed(own[np.argsort(away[own], kind="stable")[:count]], away, texts) if group >= 0 else [],
            "farthest": _listed(own[np.argsort(-away[own], kind="stable")[:count]], away, texts),
        }
        for group, own in rows.items()
    ]


def center_distances(points: Array, clustering: Clustering, *, distance: str = "euclidean") -> Array:
    """Return how far each point (points, features) is from its own center, or of noise from the nearest; 0 of none."""
    if not len(clustering.centers):
        return np.zeros(len(points))
    geometry = Geometry.of(points, distance)
    placed, centers, found = geometry.place(points), geometry.place(clustering.centers), np.empty(len(points))
    for part in parts(len(points), width=len(centers)):
        away, labels = geometry.between(placed[part], centers), clustering.labels[part]
        own = np.where(labels == NOISE, away.argmin(1), labels)
        found[part] = away[np.arange(len(away)), own]
    return found


def _listed(rows: Array, away: Array, texts: Sequence[str]) -> list[dict[str, Any]]:
    return [{"row": row, "text": texts[row], "distance": float(away[row])} for row in rows.tolist()]
