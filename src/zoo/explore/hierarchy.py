"""Hierarchical clustering: a tree of merges, and where it is cut."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import dendrogram
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.spatial.distance import squareform

from zoo.errors import ConfigError, unknown
from zoo.explore.distances import LIMIT, METRICS, SEED, as_points, pairwise
from zoo.explore.labels import NOISE, Clustering, check_count, check_positive, in_order, means
from zoo.explore.options import LINKAGE
from zoo.metrics import Array

LARGEST = 10
LEAVES = 30
EUCLIDEAN = ("centroid", "ward")
"""Linkages that speak of means, which Euclidean distances have (and Mahalanobis: those of whitened points)."""


class Dendrogram(NamedTuple):
    """Lines of a tree: across and up (merges, 4) are the corners of each merge, clusters (merges) says whose it is.

    A merge that joins clusters has -1. `leaves` are the names below, from the left; they stand at 5, 15, 25, ...
    """

    across: Array
    up: Array
    clusters: Array
    leaves: list[str]


def hierarchical(
    points: ArrayLike,
    *,
    k: int | None = None,
    linkage: str = "ward",
    largest: int = LARGEST,
    distance: str = "euclidean",
    limit: int = LIMIT,
    seed: int = SEED,
) -> Clustering:
    """Merge points (points, features) step by step, and cut the tree into `k` clusters.

    Without `k` the cut is in the largest gap of heights that leaves 2 to `largest` clusters, 1 where all points are
    the same. The tree is of at most `limit` points, and every other point goes with the nearest of those.
    """
    points = as_points(points)
    check_linkage(linkage, distance)
    check_positive("largest", largest)
    pairs = pairwise(points, distance=distance, limit=limit, seed=seed)
    tree = merge(pairs.square, linkage)
    rule, why = "gap", "the gap of heights is largest there"
    if k is None:
        k = widest_gap(tree, largest=largest)
    else:
        check_count("k", k, most=len(pairs.rows), of="the points of the tree")
        rule, why = "given", "given"
    labels = in_order(pairs.spread(cut(tree, k)))
    chosen = {"k": k, "rule": rule, "why": why, "linkage": linkage, "height": cut_height(tree, k), **pairs.notes()}
    return Clustering(labels, means(points, labels), chosen, {"tree": tree, "rows": pairs.rows})


def check_linkage(linkage: str, distance: str) -> None:
    """Raise ConfigError where a linkage is unknown, or not defined for a distance."""
    if linkage not in LINKAGE:
        raise ConfigError(unknown("linkage", linkage, LINKAGE))
    if linkage in EUCLIDEAN and METRICS.get(distance, "euclidean") != "euclidean":
        others = ", ".join(name for name in LINKAGE if name not in EUCLIDEAN)
        raise ConfigError(f"`linkage` {linkage} needs `distance` euclidean, but it is {distance}; take {others}")


def merge(square: Array, linkage: str) -> Array:
    """Return SciPy's tree (points - 1, 4): two nodes, their height, the points below; square is (points, points)."""
    if len(square) < 2:
        return np.empty((0, 4))
    return np.asarray(scipy_linkage(squareform(square, checks=False), linkage))


def cut(tree: Array, k: int) -> Array:
    """Return labels (points) of the `k` clusters that the last k - 1 merges join.

    SciPy's `fcluster` gives fewer where heights are equal, and other ones where a centroid's merge lies below the
    merges before it.
    """
    count = len(tree) + 1
    above = np.arange(2 * count - 1)
    for number, (left, right) in enumerate(tree[: count - k, :2].astype(np.int64).tolist()):
        above[[left, right]] = count + number
    for node in range(2 * count - 2, -1, -1):  # a merge comes after what it joins
        above[node] = above[above[node]]
    return np.unique(above[:count], return_inverse=True)[1]


def widest_gap(tree: Array, *, largest: int = LARGEST) -> int:
    """Return the number of clusters, 2 to `largest`, above which the next merge is highest; of equals the smallest."""
    heights = np.concatenate([[0.0], tree[:, 2]])
    gaps = np.diff(heights)[::-1][: largest - 1]  # first the gap below the last merge, whose cut leaves two clusters
    return int(gaps.argmax()) + 2 if gaps.max(initial=0) > 0 else 1


def cut_height(tree: Array, k: int) -> float:
    """Return the height halfway between the last merge that is made and the first that is not."""
    heights = np.concatenate([[0.0], tree[:, 2], tree[-1:, 2] * 1.1])
    place = len(tree) + 1 - k
    return float(heights[place : place + 2].mean()) if len(tree) else 0.0


def dendrogram_lines(tree: Array, labels: Array, *, leaves: int = LEAVES) -> Dendrogram:
    """Return the lines of a tree's topmost merges, with at most `leaves` below them; labels (points) are of a cut.

    A leaf `(12)` stands for 12 points, one without brackets is the number of a point.
    """
    if not len(tree):
        return Dendrogram(np.empty((0, 4)), np.empty((0, 4)), np.empty(0, np.int64), ["0"])
    owners = _owners(tree, labels)
    drawn: dict[str, Any] = dendrogram(tree, p=leaves, truncate_mode="lastp", no_plot=True,
                                       link_color_func=lambda node: str(owners[node]))  # fmt: skip
    clusters = np.array(drawn["color_list"], dtype=np.int64)
    return Dendrogram(np.array(drawn["icoord"]), np.array(drawn["dcoord"]), clusters, drawn["ivl"])


def _owners(tree: Array, labels: Array) -> list[int]:
    """Return for each node of the tree the cluster that all points below it belong to, -1 where there are several."""
    owners: list[int] = labels.tolist()
    for left, right in tree[:, :2].astype(np.int64).tolist():
        owners.append(owners[left] if owners[left] == owners[right] else NOISE)
    return owners
