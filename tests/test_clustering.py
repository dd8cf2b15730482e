"""The methods by name: one kind of result, and what is promised of each."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import ConfigError, DataError
from zoo.explore.clustering import CLUSTERINGS, cluster, options_of
from zoo.explore.distances import METRICS
from zoo.explore.explain import explain
from zoo.explore.validity import inside, outside
from zoo.metrics import Array


def blobs(count: int = 90, features: int = 3, *, apart: float = 12.0, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    truth = np.sort(rng.integers(0, 3, count))
    return rng.normal(size=(count, features)) + apart * np.eye(3, features)[truth], truth


def test_the_names_are_those_of_the_command_line() -> None:
    assert list(CLUSTERINGS) == ["kmeans", "kmedoids", "hierarchical", "dbscan"]
    assert all({"distance", "limit", "seed"} <= set(options_of(method)) for method in CLUSTERINGS)


@pytest.mark.parametrize("method", CLUSTERINGS)
def test_every_method_finds_separate_blobs_and_says_in_plain_values_how(method: str) -> None:
    points, truth = blobs()
    found = cluster(points, method)
    real = found.labels >= 0
    assert real.mean() > 0.8
    assert len(set(zip(found.labels[real].tolist(), truth[real].tolist(), strict=True))) == 3
    assert found.centers.shape == (3, 3)
    assert found.chosen["method"] == method
    assert found.chosen["k"] == 3
    assert found.chosen["why"]
    assert (found.chosen["points"], found.chosen["sampled"], found.chosen["distance_bytes"]) == (90, 90, 90 * 90 * 8)
    assert json.loads(json.dumps(found.chosen)) == found.chosen


@pytest.mark.parametrize("method", CLUSTERINGS)
def test_the_same_seed_gives_the_same_and_the_points_are_left_as_they_were(method: str) -> None:
    points = blobs(apart=1.0)[0]
    before = points.copy()
    one, other = cluster(points, method, limit=50), cluster(points, method, limit=50)
    assert (points == before).all()
    assert one.chosen == other.chosen
    assert (one.labels == other.labels).all()
    assert all((one.evidence[name] == other.evidence[name]).all() for name in one.evidence)


@pytest.mark.parametrize("distance", METRICS)
@pytest.mark.parametrize("method", ["kmedoids", "hierarchical", "dbscan"])
def test_every_distance_is_taken_where_it_is_defined(method: str, distance: str) -> None:
    options = {"linkage": "average"} if method == "hierarchical" else {}
    found = cluster(blobs()[0], method, distance=distance, **options)
    assert found.chosen["distance"] == distance
    assert found.labels.shape == (90,)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, -2.5, 1e-200, 1 + 1e-15, 1e130])] * 3), min_size=1, max_size=8),
       st.sampled_from(sorted(CLUSTERINGS)), st.sampled_from(sorted(METRICS)))  # fmt: skip
def test_odd_points_are_clustered_without_a_warning_and_all_that_is_said_is_finite(
    rows: list[tuple[float, ...]], method: str, distance: str
) -> None:
    if method == "kmeans":
        distance = "euclidean"
    options = {"kmeans": {"largest": 3}, "hierarchical": {"linkage": "average"}}.get(method, {})
    found = cluster(rows, method, distance=distance, **options)
    assert set(found.labels.tolist()) - {-1} == set(range(found.chosen["k"]))
    assert found.centers.shape == (found.chosen["k"], 3)
    figures = {**inside(rows, found.labels, distance=distance), **outside(found.labels, np.arange(len(rows)) % 2)}
    json.dumps([figures, found.chosen, explain(rows, found, ["text"] * len(rows), distance=distance)], allow_nan=False)
    assert all(np.isfinite(values).all() for name, values in found.evidence.items() if name != "kinds")


@pytest.mark.parametrize("method", CLUSTERINGS)
def test_wrong_points_are_refused(method: str) -> None:
    with pytest.raises(DataError, match="row 1 of the points"):
        cluster([[0.0], [np.inf]], method)


def test_an_unknown_method_or_an_option_of_another_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown clustering 'kmean'; did you mean 'kmeans'\? \(choices: kmeans, kme"
    ):
        cluster([[0.0]], "kmean")
    with pytest.raises(ConfigError, match=r"unknown option of dbscan 'k' \(choices: eps, min_samples, distance"):
        cluster([[0.0]], "dbscan", k=3)


@pytest.mark.nightly
@pytest.mark.parametrize("apart", [0.0, 8.0])
@pytest.mark.parametrize("method", CLUSTERINGS)
def test_ten_thousand_points_of_512_features_take_less_than_a_minute(method: str, apart: float) -> None:
    points, _ = blobs(10_000, 512, apart=apart)
    begun = time.process_time()
    found = cluster(points, method)
    assert time.process_time() - begun < 60
    assert found.chosen["sampled"] < found.chosen["points"] == len(found.labels) == 10_000
