"""The probe's figures are of points that nothing has seen."""

from typing import Any

import numpy as np
import pytest

from zoo.errors import ConfigError, DataError
from zoo.explore.probe import Curve, folds_of, majority, probe_accuracy, probe_curve, sample_rows, splits
from zoo.explore.projection import Reduction, pca, pls
from zoo.explore.selection import Selecting
from zoo.metrics import Array


def noise(points: int = 150, features: int = 400) -> tuple[Array, Array]:
    """Return points that have nothing to do with their labels."""
    return np.random.default_rng(0).normal(size=(points, features)), np.arange(points) % 2


@pytest.mark.parametrize("reducer", [pls, Selecting("forward")])
def test_labels_by_chance_are_not_found_on_held_out_points(reducer: Any) -> None:
    x, labels = noise()
    whole = reducer(x, labels, components=3)
    assert probe_accuracy(whole.scores, labels, whole.scores, labels) > 0.65  # what a leak would show
    assert probe_curve(x, labels, reducer, [1, 3]).mean == pytest.approx([0.5, 0.5], abs=0.1)


def test_the_reduction_is_fitted_on_scaled_training_points_alone() -> None:
    x, labels = noise(40, 3)
    x = x * [1, 10, 100] + 5
    seen: list[Array] = []

    def reducer(part: Array, y: Array, *, components: int, seed: int) -> Reduction:
        seen.append(part)
        return pca(part, y, components=components, seed=seed)

    probe_curve(x, labels, reducer, [1, 2], folds=4)
    assert [part.shape for part in seen] == [(30, 3)] * 4
    for part in seen:
        assert part.mean(0) == pytest.approx(np.zeros(3), abs=1e-12)
        assert part.std(0) == pytest.approx(np.ones(3))


def test_each_point_is_held_out_once_and_labels_are_spread_evenly() -> None:
    labels = np.array(["a"] * 30 + ["b"] * 10)
    parts = list(splits(labels, folds=5))
    assert sorted(np.concatenate([held for _, held in parts]).tolist()) == list(range(40))
    for train, held in parts:
        assert not set(train.tolist()) & set(held.tolist())
        assert (labels[held] == "b").sum() == 2


def test_folds_depend_on_the_seed_alone() -> None:
    x, labels = noise(40, 3)
    first, again, other = (list(folds_of(x, labels, seed=seed)) for seed in (3, 3, 4))
    assert all((one.x_test == two.x_test).all() for one, two in zip(first, again, strict=True))
    assert any((one.x_test != two.x_test).any() for one, two in zip(first, other, strict=True))


def test_a_reducer_without_order_is_called_for_each_number_of_components() -> None:
    x, labels = noise(40, 5)
    asked: list[int] = []

    def reducer(part: Array, y: Array, *, components: int, seed: int) -> Reduction:
        asked.append(components)
        return pca(part, y, components=components, seed=seed)

    nested = probe_curve(x, labels, reducer, [1, 3], folds=2)
    assert asked == [3, 3]
    asked.clear()
    apart = probe_curve(x, labels, reducer, [1, 3], folds=2, nested=False)
    assert asked == [1, 3, 1, 3]
    assert nested.values.tolist() == apart.values.tolist()


def test_the_fewest_components_are_those_within_one_standard_error_of_the_best() -> None:
    values = np.array([[0.5, 0.78, 0.79, 0.81], [0.5, 0.80, 0.81, 0.80], [0.5, 0.82, 0.83, 0.79]])
    curve = Curve("accuracy", (1, 2, 3, 4), values)
    assert curve.mean == pytest.approx([0.5, 0.80, 0.81, 0.80])
    assert curve.error[2] == pytest.approx(0.02 / np.sqrt(3))
    assert curve.fewest() == 2
    assert Curve("accuracy", (1, 5), np.array([[0.5, 0.9], [0.5, 0.9]])).fewest() == 5


def test_the_baseline_is_the_share_of_the_most_frequent_label() -> None:
    assert majority(np.array(["a", "b", "a", "a"])) == 0.75


def test_what_cannot_be_probed_is_refused() -> None:
    x, labels = noise(40, 3)
    with pytest.raises(ConfigError, match="the probe needs labels, but is given numbers"):
        probe_curve(x, x[:, 0], pca, [1])
    with pytest.raises(DataError, match=r"label '7' has 3 points, fewer than the 5 folds"):
        probe_curve(x, np.where(np.arange(40) < 3, 7, labels), pca, [1])
    with pytest.raises(DataError, match=r"6 points are too few for 5 folds; 10 are needed"):
        probe_curve(x[:6], labels[:6], pca, [1])


def test_a_sample_keeps_the_shares_of_labels_and_the_rare_ones() -> None:
    labels = np.array(["a"] * 600 + ["b"] * 390 + ["c"] * 10)
    rows, notes = sample_rows(labels, labels, most=100)
    assert [int((labels[rows] == one).sum()) for one in "abc"] == [60, 39, 5]
    assert notes == ("104 of 1,000 points, drawn at random",)
    assert rows.tolist() == sorted(set(rows.tolist())) == sample_rows(labels, labels, most=100)[0].tolist()
    assert sample_rows(labels, None, most=100, seed=2)[0].tolist() != sample_rows(labels, None, most=100)[0].tolist()
    everything, silence = sample_rows(labels, labels, most=1000)
    assert (len(everything), silence) == (1000, ())
