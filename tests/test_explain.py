"""Clusters explained by texts."""

import numpy as np
import pytest

from zoo.errors import DataError
from zoo.explore.explain import center_distances, explain
from zoo.explore.kmeans import kmeans
from zoo.explore.labels import Clustering

POINTS = np.array([[0.0], [1], [5], [100], [103], [40], [70]])
TEXTS = ["zero", "one", "five", "hundred", "more", "between", "beyond"]
FOUND = Clustering(np.array([0, 0, 0, 1, 1, -1, -1]), np.array([[2.0], [101.5]]), {}, {})


def test_the_nearest_and_the_farthest_texts_come_first_and_equals_in_their_order() -> None:
    first, second, noise = explain(POINTS, FOUND, TEXTS, count=2)
    assert (first["cluster"], first["points"]) == (0, 3)
    assert first["nearest"] == [
        {"row": 1, "text": "one", "distance": 1.0},
        {"row": 0, "text": "zero", "distance": 2.0},
    ]
    assert [one["text"] for one in first["farthest"]] == ["five", "zero"]
    assert (
        [one["text"] for one in second["nearest"]] == [one["text"] for one in second["farthest"]] == ["hundred", "more"]
    )
    assert noise == {
        "cluster": -1,
        "points": 2,
        "nearest": [],
        "farthest": [
            {"row": 5, "text": "between", "distance": 38.0},
            {"row": 6, "text": "beyond", "distance": 31.5},
        ],
    }


def test_noise_alone_has_texts_and_no_distance() -> None:
    alone = Clustering(np.full(7, -1), np.empty((0, 1)), {}, {})
    (noise,) = explain(POINTS, alone, TEXTS, count=1)
    assert noise["farthest"] == [{"row": 0, "text": "zero", "distance": 0.0}]


def test_distances_to_centers_are_those_that_are_named() -> None:
    points = np.random.default_rng(0).normal(size=(40, 3))
    found = kmeans(points, k=3)
    own = found.centers[found.labels]
    assert center_distances(points, found) == pytest.approx(np.linalg.norm(points - own, axis=1))
    assert center_distances(points, found, distance="manhattan") == pytest.approx(np.abs(points - own).sum(1))
    inverse = np.linalg.inv(np.cov(points, rowvar=False))
    expected = np.sqrt(np.einsum("ni,ij,nj->n", points - own, inverse, points - own))
    assert center_distances(points, found, distance="mahalanobis") == pytest.approx(expected)


def test_texts_that_are_not_of_the_points_are_refused() -> None:
    with pytest.raises(DataError, match="every point needs its text, but there are 7 points and 2 texts"):
        explain(POINTS, FOUND, ["a", "b"])
