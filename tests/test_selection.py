"""Selections by name, LASSO, and selections as reductions."""

import numpy as np
import pytest

from zoo.errors import ConfigError, DataError
from zoo.explore.scaling import fit_scaling
from zoo.explore.selection import NESTED, SCALED, SELECTIONS, Selecting, added_shares, lasso, select
from zoo.metrics import Array


def points() -> tuple[Array, Array]:
    """Return points of which features 1 and 4 tell the class and vary more than others."""
    rng = np.random.default_rng(0)
    numbers = np.arange(150) % 3
    x = rng.normal(size=(150, 6))
    x[:, 1] += 3 * (numbers == 0)
    x[:, 4] += 3 * (numbers == 1)
    return x, np.array(["a", "b", "c"])[numbers]


@pytest.mark.parametrize("name", [name for name in SELECTIONS if name != "pca_loadings"])
def test_every_method_finds_the_two_features_that_tell_the_class(name: str) -> None:
    x, labels = points()
    scaled = fit_scaling(x, SCALED.get(name, "zscore")).apply(x)
    found = select(name, scaled, labels, count=2)
    assert found.name == name
    assert set(found.chosen) == {1, 4}
    assert found.chosen == select(name, scaled, labels, count=2).chosen
    assert found.scores is None or found.scores.shape == (6,)


def test_lasso_gives_noise_no_weight_and_says_what_it_kept() -> None:
    x, labels = points()
    found = lasso(x, labels, count=6)
    assert found.scores is not None
    assert found.scores[[1, 4]].min() > 3 * found.scores[[0, 2, 3, 5]].max()
    assert set(found.chosen) == set(np.flatnonzero(found.scores))
    assert found.notes[-1].endswith(f"keeps {len(found.chosen)} of 6 features")


@pytest.mark.parametrize("targets", [1, 2])
def test_lasso_of_numbers_keeps_those_that_explain_them(targets: int) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(100, 8))
    y = x[:, [2, 5]] @ rng.uniform(1, 2, size=(2, targets)) + 0.1 * rng.normal(size=(100, targets))
    assert set(lasso(x, y, count=2).chosen) == {2, 5}


def test_a_selection_is_a_reduction_to_the_features_themselves() -> None:
    x, labels = points()
    found = Selecting("information_gain")(x, labels, components=2)
    assert found.name == "information_gain"
    chosen = select("information_gain", x, labels, count=2).chosen
    assert found.scores.tolist() == x[:, chosen].tolist()
    assert found.transform(2 * x).tolist() == (2 * x[:, chosen]).tolist()
    assert Selecting("variance")(x, components=2).explained_y is None


def test_shares_are_what_each_column_adds_to_least_squares() -> None:
    x, _ = points()
    matrix = x - x.mean(0)
    columns = np.column_stack([x[:, 1] + x[:, 2], x[:, 2], 2 * x[:, 1] + 7])  # the third adds nothing
    shares = added_shares(columns, matrix)
    for count in (1, 2, 3):
        centered = (columns - columns.mean(0))[:, :count]
        left = matrix - centered @ np.linalg.lstsq(centered, matrix, rcond=None)[0]
        assert shares[:count].sum() == pytest.approx(1 - (left**2).sum() / (matrix**2).sum())
    assert shares[2] == 0
    assert added_shares(x, matrix).sum() == pytest.approx(1)


def test_more_features_than_points_explain_all_of_it_and_no_more() -> None:
    x = np.random.default_rng(0).normal(size=(9, 12))
    shares = added_shares(x, x - x.mean(0))
    assert shares.shape == (12,)
    assert shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", [name for name in NESTED if name in SELECTIONS])
def test_what_is_nested_begins_with_what_a_smaller_one_has(name: str) -> None:
    x, labels = points()
    scaled = fit_scaling(x, SCALED.get(name, "zscore")).apply(x)
    assert select(name, scaled, labels, count=4).chosen[:2] == select(name, scaled, labels, count=2).chosen


def test_a_wrong_name_is_told_with_the_nearest() -> None:
    x, labels = points()
    with pytest.raises(ConfigError, match=r"unknown selection 'lassoo'; did you mean 'lasso'\?"):
        select("lassoo", x, labels, count=1)


def test_where_no_feature_tells_anything_lasso_says_so() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(ConfigError, match="lasso gives no feature a weight"):
        lasso(rng.normal(size=(60, 2)), rng.normal(size=60), count=1)
    for y in (points()[1], rng.normal(size=150)):
        with pytest.raises(DataError, match="all features are constant"):
            lasso(np.ones((150, 2)), y, count=1)
