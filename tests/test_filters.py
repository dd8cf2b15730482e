"""Scores of features against published examples and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import ConfigError, DataError
from zoo.explore.filters import chi_square, discretize, information_gain, pca_loadings, variance

TENNIS = """
sunny hot high weak no
sunny hot high strong no
overcast hot high weak yes
rain mild high weak yes
rain cool normal weak yes
rain cool normal strong no
overcast cool normal strong yes
sunny mild high weak no
sunny cool normal weak yes
rain mild normal weak yes
sunny mild normal strong yes
overcast mild high strong yes
overcast hot normal weak yes
rain mild high strong no
"""


def test_information_gain_of_the_weather_data_is_that_of_quinlan_and_mitchell() -> None:
    rows = np.array([line.split() for line in TENNIS.split("\n") if line])
    x = np.column_stack([np.unique(column, return_inverse=True)[1] for column in rows[:, :4].T]).astype(float)
    found = information_gain(x, rows[:, 4], count=4)
    assert found.scores == pytest.approx(
        [0.246, 0.029, 0.151, 0.048], abs=1.1e-3
    )  # outlook, temperature, humidity, wind
    assert found.chosen == (0, 2, 3, 1)


def test_a_feature_that_is_the_label_gains_its_entropy_and_a_constant_none() -> None:
    labels = np.repeat(["a", "b", "c", "d"], 5)
    x = np.column_stack([np.repeat(np.arange(4.0), 5), np.ones(20)])
    assert information_gain(x, labels, count=1).scores == pytest.approx([2, 0])


def test_numbers_are_cut_like_features_and_several_targets_add_up() -> None:
    values = np.random.default_rng(0).normal(size=(100, 2))
    x = np.column_stack([values[:, 0] ** 3, values[:, 1]])
    both = information_gain(x, values, count=2).scores
    each = [information_gain(x, target, count=2).scores for target in values.T]
    assert each[0] is not None
    assert each[0][0] == pytest.approx(np.log2(10))  # ten equal parts, and the order is the same
    assert both == pytest.approx(np.sum(each, axis=0))


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=60), st.integers(2, 8))
def test_equal_values_share_an_interval_and_the_order_is_kept(values: list[int], bins: int) -> None:
    found = discretize(np.array(values, float), bins)
    assert found.max() < bins
    assert all((one < other) <= (a <= b) for a, one in zip(values, found, strict=True)
               for b, other in zip(values, found, strict=True))  # fmt: skip
    assert all(a != b or one == other for a, one in zip(values, found, strict=True)
               for b, other in zip(values, found, strict=True))  # fmt: skip


def test_intervals_hold_equally_many_of_distinct_values() -> None:
    assert np.bincount(discretize(np.random.default_rng(0).permutation(50).astype(float), 5)).tolist() == [10] * 5


def test_labels_that_are_nearly_all_different_are_classes_still() -> None:
    numbers = np.arange(30)
    found = information_gain(numbers[:, None] / 30, np.array([f"id {number}" for number in numbers]), count=1)
    assert found.scores == pytest.approx([np.log2(10)])  # a label tells its interval


def test_chi_square_of_a_table_of_counts_is_known() -> None:
    """Class a has 2 of 4 points and 9 of 12 counts: (9 - 6)^2 / 6 + (3 - 6)^2 / 6 = 3."""
    x = np.array([[4.0, 1, 0], [5, 1, 0], [1, 1, 0], [2, 1, 0]])
    found = chi_square(x, np.array(["a", "a", "b", "b"]), count=2)
    assert found.scores == pytest.approx([3, 0, 0])
    assert found.chosen == (0, 1)


def test_chi_square_refuses_negative_values_and_numbers_as_labels() -> None:
    x = np.array([[1.0, 2], [3, -0.5]])
    with pytest.raises(DataError, match=r"point 1 has -0.5 in feature 1 \(from 0\); set scaling=minmax or none"):
        chi_square(x, np.array(["a", "b"]), count=1)
    with pytest.raises(ConfigError, match="chi_square needs labels, but is given numbers"):
        chi_square(x, np.array([0.5, 1.5]), count=1)


def test_variance_prefers_what_varies_and_refuses_what_a_zscore_left() -> None:
    x = np.array([[0.0, 0, 5], [1, 4, 5], [2, 8, 5]])
    found = variance(x, count=2)
    assert found.scores == pytest.approx([2 / 3, 32 / 3, 0])
    assert found.chosen == (1, 0)
    with pytest.raises(DataError, match="all features have variance 1, which tells none apart; set scaling=none"):
        variance((x[:, :2] - x[:, :2].mean(0)) / x[:, :2].std(0), count=1)


def test_pca_loadings_choose_the_features_that_vary_together() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=200)
    x = np.column_stack([rng.normal(size=200), base + 0.1 * rng.normal(size=200), -base, rng.normal(size=200)])
    found = pca_loadings(x, count=2)
    assert set(found.chosen) == {1, 2}
    assert found.notes == ("leading components of PCA: 1",)
    assert found.scores is not None
    assert found.scores.sum() == pytest.approx(0.5, abs=0.05)  # the weights have length 1, and the share is a half


def test_what_is_missing_or_impossible_is_told() -> None:
    x = np.eye(3)
    with pytest.raises(ConfigError, match="information_gain needs labels or numbers to explain"):
        information_gain(x, count=1)
    with pytest.raises(ConfigError, match=r"`count` must be between 1 and the number of features \(3\), but is 4"):
        variance(x * [1, 2, 3], count=4)
