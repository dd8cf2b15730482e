"""What a clustering is: a label for each point, a center for each cluster, and how it came about."""

from typing import Any, NamedTuple

import numpy as np

from zoo.errors import ConfigError
from zoo.metrics import Array

NOISE = -1


class Clustering(NamedTuple):
    """Labels (points) from 0 for the largest cluster, -1 for noise; centers (clusters, features), means or medoids.

    `chosen` says what was chosen and why, in plain values for a report; `evidence` holds the arrays behind that, for
    figures.
    """

    labels: Array
    centers: Array
    chosen: dict[str, Any]
    evidence: dict[str, Array]


def in_order(labels: Array) -> Array:
    """Number clusters by size, the largest 0; of equals, the one with the first point. Noise stays -1."""
    names, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    real = names != NOISE
    rank = np.full(len(names), NOISE)
    order = np.lexsort((first, -counts))
    rank[order[real[order]]] = np.arange(real.sum())
    return rank[inverse]


def means(points: Array, labels: Array) -> Array:
    """Return the mean (clusters, features) of the points of each cluster 0, 1, ..."""
    count = int(labels.max(initial=NOISE)) + 1
    centers = np.zeros((count, points.shape[1]))
    np.add.at(centers, labels[labels != NOISE], points[labels != NOISE])
    return centers / np.bincount(labels[labels != NOISE], minlength=count)[:, None]


def check_count(name: str, value: int, *, most: int, of: str) -> None:
    """Raise ConfigError where a number of clusters or points is not from 1 to `most`."""
    if not 1 <= value <= most:
        raise ConfigError(f"`{name}` must be from 1 to {most} ({of}), but is {value}")


def check_positive(name: str, value: float) -> None:
    """Raise ConfigError where a value is not above 0."""
    if not value > 0:
        raise ConfigError(f"`{name}` must be above 0, but is {value:g}")
