"""DBSCAN: what is dense, what lies at the border, what is noise, and where eps comes from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from zoo.errors import ConfigError
from zoo.explore.density import KINDS, dbscan, k_distances
from zoo.explore.distances import METRICS, pairwise
from zoo.metrics import Array


def rings(*, noise: int = 0, seed: int = 0) -> Array:
    """Return two rings of 100 points around each other, and points strewn far outside."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    far = rng.uniform(8, 30, (noise, 2)) * rng.choice([-1, 1], (noise, 2))
    return np.vstack([circle, 3 * circle, far])


def test_k_distances_count_a_point_as_its_own_first_neighbor() -> None:
    square = pairwise([[0.0], [1], [3], [7]]).square
    assert k_distances(square, 1).tolist() == [0, 0, 0, 0]
    assert k_distances(square, 2).tolist() == [1, 1, 2, 4]
    assert k_distances(square, 3).tolist() == [2, 3, 3, 6]
    assert k_distances(square, 9).tolist() == [4, 6, 7, 7]


def test_rings_are_found_at_the_knee_and_far_points_are_noise() -> None:
    found = dbscan(rings(noise=12))
    assert found.chosen["k"] == 2
    assert found.labels[:200].tolist() == [0] * 100 + [1] * 100
    assert (found.labels[200:] == -1).all()
    assert found.chosen["noise"] == 12
    assert found.chosen["rule"] == "knee"
    assert found.centers == pytest.approx(np.zeros((2, 2)), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5), st.floats(0.1, 2), st.sampled_from(sorted(METRICS)))
def test_kinds_are_those_of_the_definition(seed: int, min_samples: int, eps: float, distance: str) -> None:
    points = np.random.default_rng(seed).normal(size=(15, 2 + (distance == "correlation")))
    found = dbscan(points, eps=eps, min_samples=min_samples, distance=distance)
    near = pairwise(points, distance=distance).square <= eps
    core = near.sum(1) >= min_samples
    border = ~core & near[:, core].any(1)
    assert (found.evidence["kinds"] == np.select([core, border], KINDS[:2], KINDS[2])).all()
    assert [found.chosen[kind] for kind in KINDS] == [core.sum(), border.sum(), (~core & ~border).sum()]
    assert ((found.labels == -1) == (~core & ~border)).all()


def test_clusters_are_those_of_scikit_learn() -> None:
    points = np.random.default_rng(0).normal(size=(200, 2))
    expected = DBSCAN(eps=0.4, min_samples=5).fit_predict(points)
    found = dbscan(points, eps=0.4).labels
    assert ((found[:, None] == found) == (expected[:, None] == expected)).all()


def test_points_outside_of_the_sample_go_to_core_points_within_eps() -> None:
    points = np.vstack([np.random.default_rng(0).uniform(size=(400, 2)), [[50.0, 50]]])
    found = dbscan(points, eps=0.3, limit=100)
    assert found.chosen["sampled"] == 100
    assert found.labels.tolist() == [0] * 400 + [-1]
    assert 99 <= found.chosen["core"] <= 100
    assert found.chosen["core"] + found.chosen["border"] == 400
    assert (dbscan(points, limit=100).labels == dbscan(points, limit=100).labels).all()


def test_points_that_lie_alike_are_one_cluster() -> None:
    assert dbscan(np.ones((6, 2))).labels.tolist() == [0] * 6
    assert dbscan(np.arange(50.0)[:, None], min_samples=2).chosen["k"] == 1


def test_fewer_points_than_density_asks_for_are_noise() -> None:
    found = dbscan([[0.0, 1], [2, 3]])
    assert found.labels.tolist() == [-1, -1]
    assert found.chosen["k"] == 0
    assert found.centers.shape == (0, 2)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="`eps` must be above 0, but is -1"):
        dbscan(rings(), eps=-1)
    with pytest.raises(ConfigError, match="`min_samples` must be above 0, but is 0"):
        dbscan(rings(), min_samples=0)
