"""Wrappers against the library's probe, its own search, and trying all subsets."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from zoo.errors import ConfigError
from zoo.explore.probe import splits
from zoo.explore.wrappers import LinearProbe, backward, forward, stepwise
from zoo.metrics import Array


def points(classes: int = 3, features: int = 7) -> tuple[Array, Array]:
    """Return points whose first three features tell the class, more and more weakly."""
    rng = np.random.default_rng(0)
    numbers = np.arange(120) % classes
    x = rng.normal(size=(120, features))
    x[:, 0] += 2.0 * (numbers == 0)
    x[:, 1] += 1.5 * (numbers == 1)
    x[:, 2] += 0.3 * numbers
    return x * np.arange(1, features + 1), numbers.astype(str)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_probe_of_labels_is_the_ridge_classifier_of_the_library(classes: int) -> None:
    x, labels = points(classes)
    probe = LinearProbe(x, labels, folds=4, seed=3)
    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1.0))
    for subset in ([0], [1, 4], [0, 1, 2, 6]):
        expected = cross_val_score(model, x[:, subset], labels, cv=list(splits(labels, folds=4, seed=3)))
        assert probe.score(subset) == pytest.approx(expected.mean())


def test_the_probe_of_numbers_is_ridge_regression() -> None:
    x, _ = points()
    y = x @ np.arange(7) + np.random.default_rng(1).normal(size=120)
    probe = LinearProbe(x, y, folds=4, seed=3)
    expected = []
    for train, held in splits(y, folds=4, seed=3):
        model = make_pipeline(StandardScaler(), Ridge(alpha=1.0))
        mean, scale = y[train].mean(), y[train].std()
        predicted = model.fit(x[train][:, [1, 3]], (y[train] - mean) / scale).predict(x[held][:, [1, 3]])
        truth = (y[held] - mean) / scale
        expected.append(1 - ((truth - predicted) ** 2).sum() / (truth**2).sum())
    assert probe.score([3, 1]) == pytest.approx(np.mean(expected))
    assert probe.fits == 4


def test_no_features_are_worth_the_most_frequent_label_or_the_mean() -> None:
    x, labels = points(2)
    assert LinearProbe(x, labels).score([]) == pytest.approx(0.5)
    assert LinearProbe(x, x[:, 0].copy()).score([]) == 0


def test_forward_equals_the_search_of_the_library() -> None:
    x, labels = points()
    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1.0))
    for count in (1, 2, 3):
        search = SequentialFeatureSelector(
            model, n_features_to_select=count, cv=list(splits(labels, folds=3, seed=1)), tol=None
        )
        assert set(forward(x, labels, count=count).chosen) == set(np.flatnonzero(search.fit(x, labels).get_support()))


def test_forward_chooses_in_order_and_counts_what_it_cost() -> None:
    x, labels = points()
    found = forward(x, labels, count=2)
    assert set(found.chosen) == {0, 1}
    assert found.curve[0] < found.curve[1]
    assert found.notes == ("fitted 39 linear probes, 3 for each trial",)  # (7 + 6) times 3
    assert forward(x, labels, count=1).chosen == found.chosen[:1]


def test_backward_leaves_what_the_probe_needs_the_most_needed_first() -> None:
    x, labels = points()
    found = backward(x, labels, count=2)
    assert set(found.chosen) == {0, 1}
    probe = LinearProbe(x, labels)
    assert found.curve[-1] == probe.score([0, 1])
    assert probe.score([found.chosen[0]]) >= probe.score([found.chosen[1]])
    assert len(found.curve) == 5


def test_stepwise_takes_back_a_feature_that_two_later_ones_replace() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(300, 2))
    x = np.column_stack([base.sum(1) + 0.8 * rng.normal(size=300), base])
    y = base.sum(1)
    assert forward(x, y, count=3).chosen[0] == 0
    found = stepwise(x, y, count=3)
    assert set(found.chosen) == {1, 2}
    assert all(before < after for before, after in zip(found.curve, found.curve[1:], strict=False))


def test_stepwise_ends_where_nothing_makes_the_probe_better() -> None:
    x, labels = points()
    found = stepwise(x, labels, count=7)
    probe = LinearProbe(x, labels)
    now = probe.score(found.chosen)
    assert len(found.chosen) < 7
    assert all(probe.score([*found.chosen, other]) <= now for other in range(7) if other not in found.chosen)


def test_stepwise_keeps_one_feature_where_none_makes_the_probe_better() -> None:
    x = np.random.default_rng(1).normal(size=(12, 4))
    labels = np.array(["a", "b"] * 6)
    found = stepwise(x, labels, count=2)
    probe = LinearProbe(x, labels)
    assert probe.score(found.chosen) <= probe.score([]) or len(found.chosen) == 1
    assert len(found.chosen) == len(found.curve) >= 1


def test_the_best_pair_is_found_where_features_do_not_need_each_other() -> None:
    x, labels = points()
    probe = LinearProbe(x, labels)
    best = max(combinations(range(7), 2), key=probe.score)
    assert set(forward(x, labels, count=2).chosen) == set(best) == set(backward(x, labels, count=2).chosen)


def test_what_is_left_out_for_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.explore.wrappers.POINTS", 90)
    monkeypatch.setattr("zoo.explore.wrappers.BACKWARD", 4)
    x, labels = points()
    found = backward(x, labels, count=2)
    assert found.notes[:2] == (
        "90 of 120 points, drawn at random",
        "backward over 7 features takes too long: only the 4 of the largest information gain are tried",
    )
    assert found.chosen == backward(x, labels, count=2).chosen
    with pytest.raises(ConfigError, match=r"`count` must be between 1 and the number of features \(4\), but is 5"):
        backward(x, labels, count=5)
    with pytest.raises(ConfigError, match="forward needs labels or numbers"):
        forward(x, count=1)
