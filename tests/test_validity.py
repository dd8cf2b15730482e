"""What a clustering is worth, against hand-worked examples, published ones and scikit-learn."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from zoo.errors import DataError
from zoo.explore.validity import INSIDE, OUTSIDE, inside, outside, silhouette_values

LINE = np.array([[0.0], [1], [10], [12]])
MANNING = ["xxxxxo", "xooood", "xxddd"]
"""Manning, Raghavan and Schütze (2008), "Introduction to Information Retrieval", figure 16.4: a text a cluster."""
quick = settings(max_examples=60, deadline=None)


def test_inside_figures_of_four_points_on_a_line_are_those_worked_by_hand() -> None:
    found = inside(LINE, np.array([0, 0, 1, 1]))
    assert list(found) == list(INSIDE)
    assert found["sse"] == pytest.approx(0.5 + 2)
    assert found["silhouette"] == pytest.approx((10 / 11 + 9 / 10 + 7.5 / 9.5 + 9.5 / 11.5) / 4)
    assert found["dunn"] == pytest.approx(9 / 2)
    assert found["davies_bouldin"] == pytest.approx((0.5 + 1) / 10.5)
    assert found["calinski_harabasz"] == pytest.approx((4 * 5.25**2 / 1) / (2.5 / 2))


def test_noise_does_not_count() -> None:
    points = np.vstack([LINE, [[500.0]], [[-70]]])
    assert inside(points, np.array([0, 0, 1, 1, -1, -1])) == inside(LINE, np.array([0, 0, 1, 1]))


@quick
@given(st.integers(0, 10_000), st.integers(2, 4), st.sampled_from(["euclidean", "manhattan", "cosine"]))
def test_inside_figures_are_those_of_scikit_learn_and_of_loops(seed: int, k: int, distance: str) -> None:
    rng = np.random.default_rng(seed)
    points, labels = rng.normal(size=(12, 3)), np.append(np.arange(k), rng.integers(0, k, 12 - k))
    found = inside(points, labels, distance=distance)
    assert found["silhouette"] == pytest.approx(silhouette_score(points, labels, metric=distance))
    assert found["davies_bouldin"] == pytest.approx(davies_bouldin_score(points, labels))
    assert found["calinski_harabasz"] == pytest.approx(calinski_harabasz_score(points, labels))
    pairs = cdist(points, points, {"manhattan": "cityblock"}.get(distance, distance))
    apart = min(pairs[i, j] for i in range(12) for j in range(12) if labels[i] != labels[j])
    within = max(pairs[i, j] for i in range(12) for j in range(12) if labels[i] == labels[j])
    assert found["dunn"] == pytest.approx(apart / within)
    parts = [points[labels == number] for number in range(k)]
    assert found["sse"] == pytest.approx(sum(float(((part - part.mean(0)) ** 2).sum()) for part in parts))


@quick
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(-1, 3)), min_size=1, max_size=9),
       st.randoms(use_true_random=False))  # fmt: skip
def test_the_order_of_points_and_the_names_of_clusters_do_not_matter(rows: list[tuple[int, ...]], rng: Any) -> None:
    table = np.array(rows, dtype=float)
    points, labels = table[:, :2], table[:, 2].astype(int)
    order, names = list(range(len(rows))), [0, 1, 2, 3]
    rng.shuffle(order)
    rng.shuffle(names)
    renamed = np.array([names[label] if label >= 0 else -1 for label in labels[order]])
    found = inside(points, labels)
    assert inside(points[order], renamed) == pytest.approx(found, nan_ok=False)
    assert all(value is None or np.isfinite(value) for value in found.values())
    truth = points[:, 0]
    assert outside(renamed, truth[order]) == pytest.approx(outside(labels, truth))
    assert all(value is not None and -1 <= value <= 1 + 1e-9 for value in outside(labels, truth).values())


@pytest.mark.parametrize(("labels", "sse"), [([0, 0, 0, 0], 112.75), ([-1] * 4, None), ([0, 1, 2, 3], 0.0),
                                             ([2, -1, -1, 3], 0.0)])  # fmt: skip
def test_clusterings_without_two_clusters_or_without_two_points_in_one_have_no_figures(
    labels: list[int], sse: float | None
) -> None:
    assert inside(LINE, np.array(labels)) == {**dict.fromkeys(INSIDE), "sse": sse}
    assert silhouette_values(np.zeros((4, 4)), np.zeros(4)) is None


def test_clusters_of_equal_points_have_no_ratio_to_what_is_within() -> None:
    found = inside([[0.0], [0], [5], [5]], np.array([0, 0, 1, 1]))
    assert found == {"sse": 0, "silhouette": 1, "dunn": None, "davies_bouldin": 0, "calinski_harabasz": None}
    same = inside(np.zeros((4, 2)), np.array([0, 0, 1, 1]))
    assert same == {"sse": 0, "silhouette": 0, "dunn": None, "davies_bouldin": 0, "calinski_harabasz": None}


def test_ratios_beyond_all_floats_are_none() -> None:
    found = inside([[0.0], [1e-200], [1e130], [1e130]], np.array([0, 0, 1, 1]), distance="manhattan")
    assert found["dunn"] is None
    assert found["calinski_harabasz"] is None


def test_one_point_has_the_figures_of_one_cluster() -> None:
    assert inside([[1.0, 2]], np.array([0])) == {**dict.fromkeys(INSIDE), "sse": 0.0}
    assert outside(np.array([0]), ["a"]) == dict.fromkeys(OUTSIDE, 1.0)


def test_figures_of_a_sample_are_near_those_of_all_points() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    points = rng.normal(size=(600, 2)) + 8 * labels[:, None]
    whole, part = inside(points, labels), inside(points, labels, limit=200)
    assert part["silhouette"] == pytest.approx(whole["silhouette"], abs=0.02)
    assert part["silhouette"] != whole["silhouette"]
    assert part["sse"] == whole["sse"]


def test_outside_figures_are_those_of_the_textbook() -> None:
    truth = list("".join(MANNING))
    labels = np.repeat(np.arange(3), [len(one) for one in MANNING])
    found = outside(labels, truth)
    assert list(found) == list(OUTSIDE)
    assert found["purity"] == pytest.approx(12 / 17)
    assert found["rand"] == pytest.approx((20 + 72) / 136)
    assert found["jaccard"] == pytest.approx(20 / (20 + 20 + 24))
    assert found["nmi"] == pytest.approx(0.36, abs=0.005)


def test_the_adjusted_rand_index_is_that_of_its_published_example() -> None:
    # Yeung and Ruzzo (2001), "Details of the adjusted Rand index", table 2: 0.711 and 0.313.
    counts = [[1, 1, 0], [1, 2, 1], [0, 0, 4]]
    pairs = [(u, v) for u, row in enumerate(counts) for v, count in enumerate(row) for _ in range(count)]
    found = outside(np.array([v for _, v in pairs]), [u for u, _ in pairs])
    assert found["rand"] == pytest.approx(0.711, abs=5e-4)
    assert found["adjusted_rand"] == pytest.approx(0.313, abs=5e-4)


def test_equal_partitions_are_one_whatever_their_names() -> None:
    truth = ["b", "a", "b", "c"]
    assert outside(np.array([0, -1, 0, 5]), truth) == pytest.approx(dict.fromkeys(OUTSIDE, 1.0))
    assert outside(np.zeros(4), ["a"] * 4) == pytest.approx(dict.fromkeys(OUTSIDE, 1.0))
    assert outside(np.arange(4), list("abcd")) == pytest.approx(dict.fromkeys(OUTSIDE, 1.0))


def test_labels_of_chance_are_worth_nothing_to_the_adjusted_rand_index() -> None:
    rng = np.random.default_rng(0)
    found = [outside(rng.integers(0, 3, 60), rng.integers(0, 4, 60))["adjusted_rand"] for _ in range(40)]
    assert np.mean([one for one in found if one is not None]) == pytest.approx(0, abs=0.01)


def test_labels_that_do_not_fit_the_points_are_refused() -> None:
    with pytest.raises(DataError, match=r"a label for each of 4 points, but they are of shape \(3,\)"):
        inside(LINE, np.zeros(3))
    with pytest.raises(DataError, match=r"a label for each of 2 points, but they are of shape \(1,\)"):
        outside(np.zeros(2), ["a"])
    with pytest.raises(DataError, match="no points"):
        outside(np.zeros(0), [])
