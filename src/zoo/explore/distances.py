"""Distances between points, of all pairs of a sample or to the nearest of a few.

What grows with the square of the points says how much memory it takes, and above `LIMIT` points works on a sample.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist, pdist, squareform

from zoo.errors import ConfigError, DataError, unknown
from zoo.metrics import Array

LIMIT = 3000
"""More points than these are sampled: 9 million distances, 72 MB."""
SEED = 1
CHUNK = 1 << 22  # distances to the nearest of a few that are held at once: 32 MiB
LARGE = 1e140  # its square can still be summed
TINY = 1e-12  # of the largest: what is smaller is rounding

METRICS = {
    "euclidean": "euclidean",
    "manhattan": "cityblock",
    "cosine": "cosine",
    "correlation": "cosine",
    "mahalanobis": "euclidean",
}
"""SciPy's metric for each distance, of points that `Geometry.place` has moved."""


class Geometry(NamedTuple):
    """A distance and what it needs of the data; `whitening` (features, rank) is of `mahalanobis` alone."""

    distance: str
    whitening: Array | None = None

    @classmethod
    def of(cls, points: Array, distance: str) -> "Geometry":
        """Fit the distance to points (points, features); ConfigError where it is unknown."""
        if distance not in METRICS:
            raise ConfigError(unknown("distance", distance, METRICS))
        return cls(distance, _whitening(points) if distance == "mahalanobis" else None)

    def place(self, points: Array) -> Array:
        """Move points to where SciPy's metric measures the distance.

        Correlation is the cosine of rows less their mean. Mahalanobis is Euclidean after whitening by the
        pseudo-inverse of the covariance (dividing by points - 1): directions without spread do not count, and where the
        points are not more than the features, all are equally far from each other.
        """
        if self.whitening is not None:
            return np.asarray(points @ self.whitening)
        if METRICS[self.distance] != "cosine":
            return points
        moved = points - points.mean(1, keepdims=True) if self.distance == "correlation" else points
        lengths, scale = np.linalg.norm(moved, axis=1), np.linalg.norm(points, axis=1)
        return np.where((lengths > TINY * scale)[:, None], moved / np.maximum(lengths, 1e-300)[:, None], 0.0)

    def between(self, placed: Array, others: Array) -> Array:
        """Return the distances (points, others) of two sets that `place` has moved."""
        return self._defined(cdist(placed, others, METRICS[self.distance]), placed, others)

    def among(self, placed: Array) -> Array:
        """Return the distances (points, points) among points that `place` has moved."""
        return self._defined(squareform(pdist(placed, METRICS[self.distance])), placed, placed)

    def _defined(self, found: Array, placed: Array, others: Array) -> Array:
        """Put a number where an angle has none: a row of zeros is 1 from every other row, and 0 from another such."""
        if METRICS[self.distance] == "cosine":
            blank, blank_others = ~placed.any(1), ~others.any(1)
            found[blank], found[:, blank_others] = 1, 1
            found[np.ix_(blank, blank_others)] = 0
        return np.maximum(found, 0, out=found)


class Pairwise(NamedTuple):
    """All distances of a sample: rows (sampled) are its points, square (sampled, sampled) their distances.

    placed (points, features) are all points, moved by the geometry.
    """

    geometry: Geometry
    placed: Array
    rows: Array
    square: Array

    def notes(self) -> dict[str, Any]:
        """Say how many points were sampled, and the bytes that their distances take."""
        return {
            "distance": self.geometry.distance,
            "points": len(self.placed),
            "sampled": len(self.rows),
            "distance_bytes": self.square.nbytes,
        }

    def nearest(self, some: Array) -> tuple[Array, Array]:
        """Return for each point which of `some` points (indices) is nearest, as a place in `some`, and how far it is.

        Takes points * some distances, of which 32 MiB are held at once.
        """
        which, far = np.empty(len(self.placed), np.int64), np.empty(len(self.placed))
        for part in parts(len(self.placed), width=len(some)):
            distances = self.geometry.between(self.placed[part], self.placed[some])
            which[part], far[part] = distances.argmin(1), distances.min(1)
        return which, far

    def spread(self, labels: Array) -> Array:
        """Give every point the label (sampled) of the sampled point nearest to it."""
        if len(self.rows) == len(self.placed):
            return labels
        spread = labels[self.nearest(self.rows)[0]]
        spread[self.rows] = labels
        return spread


def parts(points: int, *, width: int) -> Iterator[slice]:
    """Yield parts of points, each of which has at most `CHUNK` distances to `width` others, or is one point."""
    rows = max(1, CHUNK // max(1, width))
    return (slice(first, first + rows) for first in range(0, points, rows))


def pairwise(points: ArrayLike, *, distance: str = "euclidean", limit: int = LIMIT, seed: int = SEED) -> Pairwise:
    """Measure all pairs of at most `limit` points, drawn without replacement where there are more.

    Takes 8 * limit**2 bytes. `distance` is one of `METRICS`; points is (points, features).
    """
    points = as_points(points)
    geometry = Geometry.of(points, distance)
    placed, rows = geometry.place(points), sample(len(points), limit=limit, seed=seed)
    return Pairwise(geometry, placed, rows, geometry.among(placed[rows]))


def sample(count: int, *, limit: int = LIMIT, seed: int = SEED) -> Array:
    """Return at most `limit` of `count` indices, in ascending order; all of them where they are not more."""
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))


def as_points(points: ArrayLike) -> Array:
    """Return points (points, features) as float64; DataError names the first row that is no number."""
    found = np.asarray(points, dtype=np.float64)
    if found.ndim != 2 or not found.size:
        raise DataError(
            f"points must be rows of numbers (points, features), none empty, but are of shape {found.shape}"
        )
    wrong = np.flatnonzero(~(np.abs(found) <= LARGE).all(1))
    if len(wrong):
        raise DataError(
            f"row {wrong[0]} of the points holds a value that is not finite, or above {LARGE:g}; drop or fill such rows"
        )
    return found


def _whitening(points: Array) -> Array:
    """Return the root (features, rank) of the pseudo-inverse of the covariance."""
    centered = points - points.mean(0)
    values, vectors = np.linalg.eigh(centered.T @ centered / max(len(points) - 1, 1))
    kept = values > max(values[-1], 0) * TINY * len(values)
    root: Array = vectors[:, kept] / np.sqrt(values[kept])
    return root if kept.any() else np.zeros((points.shape[1], 1))
