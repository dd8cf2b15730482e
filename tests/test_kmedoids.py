"""k-medoids against brute force, and against what R's `pam` gives."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from zoo.errors import ConfigError
from zoo.explore.distances import METRICS, pairwise
from zoo.explore.kmedoids import best_swap, build, kmedoids, swap
from zoo.metrics import Array

IRIS = load_iris().data
quick = settings(max_examples=40, deadline=None)


def cost(square: Array, medoids: list[int]) -> float:
    return float(square[medoids].min(0).sum())


def separate(seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(15, 2)) + np.repeat([[0.0, 0], [9, 0], [0, 9]], 5, axis=0)


def test_medoids_of_iris_are_those_of_r() -> None:
    # `cluster::pam(iris[1:4], 3)`: medoids 8, 79, 113 (from 1), objective 0.6709391 after BUILD, 0.6542077 after SWAP.
    square = pairwise(IRIS).square
    first = build(square, 3)
    assert cost(square, first.tolist()) / 150 == pytest.approx(0.6709391, abs=1e-7)
    found = kmedoids(IRIS, k=3)
    assert sorted(found.chosen["medoids"]) == [7, 78, 112]
    assert found.chosen["cost"] / 150 == pytest.approx(0.6542077, abs=1e-7)


@quick
@given(st.integers(0, 1000), st.integers(2, 4), st.integers(5, 9))
def test_the_best_swap_is_that_of_all_swaps_tried(seed: int, k: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    square = pairwise(rng.normal(size=(count, 2)), distance="manhattan").square
    medoids = rng.choice(count, k, replace=False)
    tried = {}
    for out in range(k):
        for into in set(range(count)) - set(medoids.tolist()):
            tried[out, into] = cost(square, [*np.delete(medoids, out).tolist(), into]) - cost(square, medoids.tolist())
    best = best_swap(square, medoids)
    if min(tried.values()) < 0:
        assert best.change == pytest.approx(min(tried.values()))
        assert tried[best.out, best.into] == pytest.approx(best.change)
    else:
        assert best.change == pytest.approx(0, abs=1e-12)  # a medoid for itself


@quick
@given(st.integers(0, 1000), st.integers(1, 4))
def test_no_single_swap_betters_what_is_found_and_swapping_betters_the_first_choice(seed: int, k: int) -> None:
    square = pairwise(np.random.default_rng(seed).normal(size=(9, 2))).square
    first = build(square, k)
    found = swap(square, first).tolist()
    assert len(set(found)) == k
    assert cost(square, found) <= cost(square, first.tolist())
    for out in range(k):
        for into in range(9):
            assert cost(square, [*found[:out], *found[out + 1 :], into]) >= cost(square, found) - 1e-9


def test_swapping_ends_where_rounding_promises_what_no_swap_holds() -> None:
    a, b, c, d = 1e-200, 1 + 1e-15, 1e130, -2.5
    rows = [[0, a, b], [c, a, d], [1, d, d], [b, c, 0], [c, a, d], [b, a, 1], [1, b, a], [a, d, b]]
    assert kmedoids(rows, distance="mahalanobis").labels.shape == (8,)


@pytest.mark.parametrize("distance", ["euclidean", "manhattan", "mahalanobis"])
def test_of_separate_clusters_the_best_of_all_medoids_are_found(distance: str) -> None:
    for seed in range(5):
        points = separate(seed)
        square = pairwise(points, distance=distance).square
        best = min(cost(square, list(medoids)) for medoids in combinations(range(15), 3))
        found = kmedoids(points, k=3, distance=distance)
        assert found.chosen["cost"] == pytest.approx(best)
        assert found.centers.tolist() == points[found.chosen["medoids"]].tolist()


@pytest.mark.parametrize("distance", METRICS)
def test_points_belong_to_the_nearest_medoid_in_every_distance(distance: str) -> None:
    found = kmedoids(IRIS, k=4, distance=distance)
    near = pairwise(IRIS, distance=distance).square[found.chosen["medoids"]]
    assert near[found.labels, np.arange(150)] == pytest.approx(near.min(0))
    assert found.labels[found.chosen["medoids"]].tolist() == [0, 1, 2, 3]


def test_the_number_of_clusters_is_that_of_the_largest_silhouette() -> None:
    found = kmedoids(separate(), largest=5)
    assert found.chosen["k"] == 3
    assert found.evidence["k"].tolist() == [1, 2, 3, 4, 5]
    assert found.evidence["silhouette"].argmax() == 2
    assert found.evidence["silhouette"][0] == 0
    assert (np.diff(found.evidence["cost"]) < 0).all()


def test_medoids_of_a_sample_serve_all_points_and_the_same_seed_gives_the_same() -> None:
    points = np.random.default_rng(0).normal(size=(300, 2)) + np.repeat([[0.0, 0], [9, 9]], 150, axis=0)
    found = kmedoids(points, limit=50)
    assert found.chosen["k"] == 2
    assert found.chosen["sampled"] == 50
    assert sorted([set(found.labels[:150]), set(found.labels[150:])], key=str) == [{0}, {1}]
    assert kmedoids(points, limit=50).chosen == found.chosen
    assert kmedoids(points, limit=50, seed=2).chosen != found.chosen


@pytest.mark.parametrize(("rows", "k"), [([[1.0, 2]], 1), ([[1.0]] * 4, 1), ([[0.0], [0], [9]], 2), ([[0.0], [9]], 1)])
def test_a_few_points_are_clustered_as_well(rows: list[list[float]], k: int) -> None:
    found = kmedoids(rows)
    assert found.chosen["k"] == k
    assert found.labels.max() == k - 1


def test_more_medoids_than_points_that_differ_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`k` must be from 1 to 3 \(the sampled points\), but is 4"):
        kmedoids([[0.0], [0], [1]], k=4)
    with pytest.raises(ConfigError, match=r"`k` must be from 1 to 2 \(the sampled points that differ\), but is 3"):
        kmedoids([[0.0], [0], [1]], k=3)
    with pytest.raises(ConfigError, match="`k` must be from 1 to 3"):
        kmedoids([[0.0], [0], [1]], k=0)
    with pytest.raises(ConfigError, match="`largest` must be above 0, but is 0"):
        kmedoids([[0.0]], largest=0)
