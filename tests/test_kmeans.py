"""k-means and how many clusters there are."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from zoo.errors import ConfigError
from zoo.explore.kmeans import RULES, Curves, first_within_error, gap_statistic, kmeans
from zoo.metrics import Array

IRIS = load_iris().data


def blobs(sizes: tuple[int, ...] = (25, 25, 50), *, seed: int = 0) -> Array:
    """Return Tibshirani's second data set: three normal clusters around (0, 0), (0, 5) and (5, -3)."""
    centers = np.array([[0.0, 0], [0, 5], [5, -3]])
    return np.random.default_rng(seed).normal(size=(sum(sizes), 2)) + np.repeat(centers, sizes, axis=0)


def separate() -> Array:
    return np.random.default_rng(0).normal(size=(100, 2)) + np.repeat(
        [[0.0, 0], [0, 20], [20, 0]], [25, 25, 50], axis=0
    )


@pytest.mark.parametrize(("k", "sse"), [(2, 152.348), (3, 78.851)])
def test_the_summed_squares_of_iris_are_the_published_ones(k: int, sse: float) -> None:
    found = kmeans(IRIS, k=k)
    assert found.chosen["sse"] == pytest.approx(sse, abs=5e-4)
    assert found.chosen["rule"] == "given"
    assert found.evidence == {}


def test_every_point_is_with_the_nearest_center_and_centers_are_means() -> None:
    found = kmeans(IRIS, k=4)
    assert (((IRIS[:, None] - found.centers) ** 2).sum(2).argmin(1) == found.labels).all()
    assert found.centers == pytest.approx(np.array([IRIS[found.labels == number].mean(0) for number in range(4)]))
    assert (np.diff(np.bincount(found.labels)) <= 0).all()


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_finds_three_separate_blobs(rule: str) -> None:
    found = kmeans(separate(), rule=rule, largest=6)
    assert found.chosen["k"] == 3
    assert found.chosen["by_rule"] == dict.fromkeys(RULES, 3)
    assert np.bincount(found.labels).tolist() == [50, 25, 25]
    assert found.chosen["why"] == RULES[rule]


def test_the_gap_statistic_finds_the_three_clusters_of_its_paper() -> None:
    found = [kmeans(blobs(seed=seed), rule="gap", largest=5).chosen["k"] for seed in range(5)]
    assert found == [3] * 5


@pytest.mark.parametrize(("features", "seed"), [(2, 0), (10, 1)])
def test_the_gap_statistic_finds_one_cluster_in_uniform_noise(features: int, seed: int) -> None:
    points = np.random.default_rng(seed).uniform(size=(200, features))
    assert kmeans(points, rule="gap", largest=5).chosen["k"] == 1


def test_the_gap_of_the_references_own_law_is_zero_within_its_error() -> None:
    points = np.random.default_rng(5).uniform(size=(300, 3)) * [1, 4, 16]
    gaps, errors = gap_statistic(points, np.arange(1, 4))
    assert np.abs(gaps).max() < 3 * errors.max() < 0.2


def test_turning_the_points_leaves_the_gap_as_it_is() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(2, 2)))[0]
    gaps, errors = gap_statistic(blobs(), np.arange(1, 4))
    turned, _ = gap_statistic(blobs() @ turn + 3, np.arange(1, 4))
    assert turned == pytest.approx(gaps, abs=4 * errors.max())


def test_the_rule_of_one_standard_error_takes_the_first_gap_that_the_next_does_not_beat() -> None:
    assert first_within_error(np.array([0.1, 0.5, 0.52, 0.9]), np.array([0, 0.01, 0.05, 0.01])) == 1
    assert first_within_error(np.array([0.1, 0.5, 0.52, 0.9]), np.zeros(4)) == 3
    assert first_within_error(np.array([0.5]), np.array([0.1])) == 0


def test_rules_read_their_own_curve() -> None:
    ks, zeros = np.arange(1, 6), np.zeros(5)
    curves = Curves(ks, np.array([10, 6, 1, 0.9, 0.8]), np.array([0, 0.2, 0.3, 0.7, 0.1]), zeros, zeros)
    assert curves.choices() == {"elbow": 3, "silhouette": 4, "gap": 1}


def test_the_same_seed_gives_the_same_bits() -> None:
    one, other = (kmeans(blobs(), largest=4, limit=60) for _ in range(2))
    assert (one.labels == other.labels).all()
    assert one.chosen == other.chosen
    assert all((one.evidence[name] == other.evidence[name]).all() for name in Curves._fields)


def test_curves_are_of_a_sample_and_clusters_of_all_points() -> None:
    found = kmeans(separate(), largest=4, limit=60)
    assert found.chosen["sampled"] == 60
    assert found.chosen["points"] == len(found.labels) == 100
    assert found.chosen["k"] == 3


@pytest.mark.parametrize(("rows", "k"), [([[1.0, 2]], 1), ([[1.0]] * 4, 1), ([[0.0], [0], [9]], 2), ([[0.0], [9]], 1)])
def test_a_few_points_are_clustered_as_well(rows: list[list[float]], k: int) -> None:
    found = kmeans(rows)
    assert found.chosen["k"] == k
    assert found.labels.max() == k - 1
    assert all(np.isfinite(values).all() for values in found.evidence.values())


def test_what_k_means_cannot_do_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="needs `distance` euclidean, but it is cosine; `kmedoids` takes every distance"
    ):
        kmeans(IRIS, distance="cosine")
    with pytest.raises(ConfigError, match=r"unknown rule 'elbows'; did you mean 'elbow'\?"):
        kmeans(IRIS, rule="elbows")
    with pytest.raises(ConfigError, match=r"`k` must be from 1 to 2 \(the number of different points\), but is 3"):
        kmeans([[0.0], [0], [1]], k=3)
    with pytest.raises(ConfigError, match="`largest` must be above 0, but is 0"):
        kmeans(IRIS, largest=0)
