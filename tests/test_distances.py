"""Distances, against SciPy and closed forms, and the samples that bound their memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from zoo.errors import ConfigError, DataError
from zoo.explore.distances import METRICS, Geometry, as_points, pairwise, sample
from zoo.metrics import Array

SCIPY = {"euclidean": "euclidean", "manhattan": "cityblock", "cosine": "cosine", "correlation": "correlation"}


def drawn(count: int = 30, features: int = 4, *, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(count, features)) + 1


@pytest.mark.parametrize("distance", SCIPY)
def test_distances_are_those_of_scipy(distance: str) -> None:
    points = drawn()
    assert pairwise(points, distance=distance).square == pytest.approx(
        cdist(points, points, SCIPY[distance]), abs=1e-12
    )


def test_mahalanobis_is_that_of_the_inverse_covariance() -> None:
    points = drawn() @ np.diag([1, 10, 100, 0.1])
    expected = cdist(points, points, "mahalanobis", VI=np.linalg.inv(np.cov(points, rowvar=False)))
    assert pairwise(points, distance="mahalanobis").square == pytest.approx(expected)


def test_mahalanobis_leaves_out_directions_without_spread() -> None:
    points = drawn(features=3)
    expected = pairwise(points, distance="mahalanobis").square
    wide = np.hstack([points, points[:, :1] - 2 * points[:, 1:2], np.full((30, 1), 7.0)])
    assert pairwise(wide, distance="mahalanobis").square == pytest.approx(expected)


def test_mahalanobis_of_no_more_points_than_features_is_the_same_for_all_pairs() -> None:
    square = pairwise(drawn(5, 9), distance="mahalanobis").square
    assert square == pytest.approx(np.sqrt(8) * (1 - np.eye(5)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(sorted(METRICS)))
def test_what_a_distance_does_not_see_changes_nothing(seed: int, distance: str) -> None:
    points, rng = drawn(12, 3, seed=seed), np.random.default_rng(seed)
    changed = {
        "euclidean": points @ np.linalg.qr(rng.normal(size=(3, 3)))[0] + 5,
        "manhattan": points[:, [2, 0, 1]] - 3,
        "cosine": points * rng.uniform(0.5, 2, (12, 1)),
        "correlation": points * rng.uniform(0.5, 2, (12, 1)) + rng.normal(size=(12, 1)),
        "mahalanobis": points @ (np.eye(3) + np.triu(rng.normal(size=(3, 3)), 1)) + 5,
    }[distance]
    expected = pairwise(points, distance=distance).square
    assert pairwise(changed, distance=distance).square == pytest.approx(expected, abs=1e-7)
    assert expected == pytest.approx(expected.T)
    assert not expected.diagonal().any()


@pytest.mark.parametrize(("distance", "blank"), [("cosine", [0.0, 0, 0]), ("correlation", [0.1, 0.1, 0.1])])
def test_a_row_without_direction_is_one_from_others_and_zero_from_its_like(distance: str, blank: list[float]) -> None:
    points = np.array([blank, [1.0, 2, 4], blank, [3.0, 1, 1]])
    square = pairwise(points, distance=distance).square
    assert square[0].tolist() == [0, 1, 0, 1]
    assert square[2].tolist() == [0, 1, 0, 1]
    assert np.isfinite(square).all()


@pytest.mark.parametrize("distance", METRICS)
def test_of_one_point_and_of_equal_points_all_distances_are_zero(distance: str) -> None:
    for count in (1, 3):
        assert pairwise(np.full((count, 2), 3.0), distance=distance).square == pytest.approx(np.zeros((count, count)))


def test_the_nearest_of_some_is_found_in_chunks_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    points, some = drawn(50), np.array([3, 40, 7])
    expected = cdist(points, points[some])
    for chunk in (1 << 22, 10):
        monkeypatch.setattr("zoo.explore.distances.CHUNK", chunk)
        which, away = pairwise(points).nearest(some)
        assert which.tolist() == expected.argmin(1).tolist()
        assert away == pytest.approx(expected.min(1))


def test_more_points_than_the_limit_are_sampled_and_the_notes_say_so() -> None:
    pairs = pairwise(drawn(100), limit=20, seed=3)
    assert len(set(pairs.rows.tolist())) == 20
    assert pairs.square == pytest.approx(cdist(drawn(100)[pairs.rows], drawn(100)[pairs.rows]))
    assert pairs.notes() == {"distance": "euclidean", "points": 100, "sampled": 20, "distance_bytes": 3200}
    assert sample(100, limit=20, seed=3).tolist() == pairs.rows.tolist() != sample(100, limit=20, seed=4).tolist()
    assert sample(20, limit=20).tolist() == list(range(20))


def test_labels_of_a_sample_go_to_the_points_nearest_to_it() -> None:
    points = np.array([[0.0], [1], [2], [10], [11], [12]])
    pairs = pairwise(points, limit=3, seed=1)
    labels = (pairs.placed[pairs.rows, 0] > 5).astype(int)
    assert 0 < labels.sum() < 3
    assert pairs.spread(labels).tolist() == [0, 0, 0, 1, 1, 1]


def test_a_wrong_distance_and_wrong_points_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown distance 'euclid'; did you mean 'euclidean'\? \(choices: euc"):
        Geometry.of(drawn(), "euclid")
    with pytest.raises(DataError, match=r"points must be rows of numbers .* but are of shape \(3,\)"):
        as_points([1, 2, 3])
    with pytest.raises(DataError, match=r"but are of shape \(0, 4\)"):
        as_points(np.empty((0, 4)))
    with pytest.raises(DataError, match="row 1 of the points holds a value that is not finite"):
        as_points([[1, 2], [3, np.nan]])
    with pytest.raises(DataError, match=r"row 0 .* or above 1e\+140; drop or fill"):
        as_points([[1, 1e200]])


def test_the_nearest_of_many_points_are_found_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.explore.distances.CHUNK", 1 << 14)
    points = drawn(20_000, 2)
    pairs = pairwise(points, limit=200)
    tracemalloc.start()
    which, _ = pairs.nearest(pairs.rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert which.shape == (20_000,)
    assert peak < 2_000_000, "all distances take 32 MB"
