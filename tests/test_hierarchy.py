"""Trees of merges, their cuts, and what linkages are defined for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster

from zoo.errors import ConfigError
from zoo.explore.distances import pairwise
from zoo.explore.hierarchy import (
    cut,
    cut_height,
    dendrogram_lines,
    hierarchical,
    merge,
    widest_gap,
)
from zoo.explore.options import LINKAGE
from zoo.metrics import Array

BACTERIA = np.array(
    [[0, 17, 21, 31, 23], [17, 0, 30, 34, 21], [21, 30, 0, 28, 39], [31, 34, 28, 0, 43], [23, 21, 39, 43, 0]], float
)
"""Distances of five bacteria by their 5S ribosomal RNA, the worked example of Wikipedia's articles on the linkages."""


def groups(labels: Array) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == name).tolist()) for name in set(labels.tolist())}


def separate(seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(30, 2)) + np.repeat([[0.0, 0], [20, 0], [0, 20]], 10, axis=0)


@pytest.mark.parametrize(
    ("linkage", "heights"),
    [("single", [17, 21, 21, 28]), ("complete", [17, 23, 28, 43]), ("average", [17, 22, 28, 33])],
)
def test_heights_are_those_of_the_worked_example(linkage: str, heights: list[float]) -> None:
    assert merge(BACTERIA, linkage)[:, 2] == pytest.approx(heights)


def test_centroid_merges_at_the_distance_of_means_and_ward_at_the_root_of_what_it_adds() -> None:
    square = pairwise([[0.0], [2], [9]]).square
    assert merge(square, "centroid")[:, 2] == pytest.approx([2, 8])
    # Two clusters of a and b points whose means are d apart merge at d * sqrt(2ab / (a + b)) (Ward, 1963).
    assert merge(square, "ward")[:, 2] == pytest.approx([2, 8 * np.sqrt(2 * 2 / 3)])


@pytest.mark.parametrize("linkage", LINKAGE)
def test_separate_groups_are_found_at_the_widest_gap(linkage: str) -> None:
    found = hierarchical(separate(), linkage=linkage)
    assert found.chosen["k"] == 3
    assert groups(found.labels) == groups(np.repeat([0, 1, 2], 10))
    assert found.centers == pytest.approx(separate().reshape(3, 10, 2).mean(1)[[0, 1, 2]])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 8), st.sampled_from(["single", "complete", "average", "ward"]))
def test_a_cut_is_that_of_scipy_where_heights_rise(seed: int, k: int, linkage: str) -> None:
    tree = merge(pairwise(np.random.default_rng(seed).normal(size=(8, 2))).square, linkage)
    assert groups(cut(tree, k)) == groups(fcluster(tree, k, "maxclust"))
    assert groups(cut(tree, k)) == groups(fcluster(tree, cut_height(tree, k), "distance"))


def test_a_cut_gives_as_many_clusters_as_asked_where_heights_are_equal_or_fall() -> None:
    grid = np.array([[x, y] for x in range(3) for y in range(3)], float)
    triangle = np.array([[0.0, 0], [1, 0], [0.5, 0.87]])  # the third merge lies below the second
    for points, linkage in [(grid, "single"), (triangle, "centroid")]:
        tree = merge(pairwise(points).square, linkage)
        for k in range(1, len(points) + 1):
            assert len(groups(cut(tree, k))) == k
    assert (np.diff(tree[:, 2]) < 0).any()


def test_the_widest_gap_is_looked_for_among_the_last_merges() -> None:
    tree = np.array([[0, 1, 1.0, 2], [2, 3, 1.5, 2], [5, 6, 9, 4], [4, 7, 10, 5]])
    assert widest_gap(tree) == 3
    assert cut_height(tree, 3) == pytest.approx((1.5 + 9) / 2)
    assert widest_gap(tree, largest=2) == 2
    assert widest_gap(tree, largest=1) == 1


def test_points_outside_of_the_sample_go_with_the_nearest_of_it() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 2)) + np.repeat([[0.0, 0], [30, 0]], 100, axis=0)
    found = hierarchical(points, limit=40, linkage="single")
    assert found.chosen["k"] == 2
    assert (found.chosen["sampled"], found.chosen["points"]) == (40, 200)
    assert groups(found.labels) == groups(np.repeat([0, 1], 100))
    assert (hierarchical(points, limit=40, linkage="single").labels == found.labels).all()


@pytest.mark.parametrize("linkage", LINKAGE)
def test_one_point_and_equal_points_are_one_cluster(linkage: str) -> None:
    for count in (1, 2, 5):
        found = hierarchical(np.ones((count, 2)), linkage=linkage)
        assert found.chosen["k"] == 1
        assert found.labels.tolist() == [0] * count
    assert hierarchical([[0.0], [1]], linkage=linkage).chosen["k"] == 2


def test_a_linkage_is_refused_for_distances_that_it_is_not_defined_for() -> None:
    for linkage in ("centroid", "ward"):
        message = f"`linkage` {linkage} needs `distance` euclidean, but it is cosine; take single, complete, average"
        with pytest.raises(ConfigError, match=message):
            hierarchical(separate(), linkage=linkage, distance="cosine")
        assert hierarchical(separate(), linkage=linkage, distance="mahalanobis").chosen["k"] > 1
    with pytest.raises(ConfigError, match="unknown linkage 'avrage'; did you mean 'average'"):
        hierarchical(separate(), linkage="avrage")
    with pytest.raises(ConfigError, match="unknown distance 'cosin'"):
        hierarchical(separate(), distance="cosin")
    with pytest.raises(ConfigError, match=r"`k` must be from 1 to 30 \(the points of the tree\), but is 31"):
        hierarchical(separate(), k=31)


def test_a_dendrogram_has_the_merges_of_the_tree_and_the_clusters_of_the_cut() -> None:
    tree = merge(BACTERIA, "average")
    drawn = dendrogram_lines(tree, cut(tree, 2))
    assert sorted(drawn.up.max(1)) == pytest.approx([17, 22, 28, 33])
    assert sorted(drawn.leaves) == ["0", "1", "2", "3", "4"]
    assert {float(up.max()): cluster for up, cluster in zip(drawn.up, drawn.clusters.tolist(), strict=True)} == {
        17: 0,
        22: 0,
        28: 1,
        33: -1,
    }


def test_a_dendrogram_of_many_points_shows_the_topmost_merges() -> None:
    tree = merge(pairwise(np.arange(3000.0)[:, None] ** 1.5).square, "single")  # a chain, deeper than Python recurses
    drawn = dendrogram_lines(tree, cut(tree, 3), leaves=10)
    assert len(drawn.leaves) == 10
    assert len(drawn.up) == len(drawn.clusters) == 9
    assert "(2991)" in drawn.leaves
    assert dendrogram_lines(np.empty((0, 4)), np.zeros(1)).leaves == ["0"]
