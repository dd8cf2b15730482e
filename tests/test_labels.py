"""Names of clusters and their means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.explore.labels import in_order, means

labels_of_points = st.lists(st.integers(-1, 5), max_size=20).map(lambda names: np.array(names, dtype=np.int64))


def test_clusters_are_numbered_by_size_and_equals_by_their_first_point() -> None:
    assert in_order(np.array([7, 3, 3, -1, 5, 5, 9, -1, 3])).tolist() == [2, 0, 0, -1, 1, 1, 3, -1, 0]


@given(labels_of_points)
def test_numbering_keeps_the_clusters_and_is_done_once(labels: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> None:
    found = in_order(labels)
    assert (in_order(found) == found).all()
    assert ((found[:, None] == found) == (labels[:, None] == labels)).all()
    assert ((found == -1) == (labels == -1)).all()
    counts = np.bincount(found[found >= 0])
    assert (np.diff(counts) <= 0).all()
    assert counts.all()


def test_means_are_of_the_points_of_each_cluster_and_noise_has_none() -> None:
    points = np.array([[0.0, 0], [2, 4], [9, 9], [5, 5]])
    assert means(points, np.array([0, 0, -1, 1])).tolist() == [[1, 2], [5, 5]]
    assert means(points, np.full(4, -1)).shape == (0, 2)
    assert means(points, np.arange(4)) == pytest.approx(points)
