"""PCA and PLS against worked examples, closed forms and the libraries that compute them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import PLSRegression

from zoo.errors import ConfigError, DataError
from zoo.explore.projection import Reduction, broken_stick, pca, pls, signs, spectrum, vip_scores
from zoo.explore.scaling import fit_scaling
from zoo.metrics import Array

UP, SIDE = np.array([1.0, 1, -1, -1]), np.array([1.0, -1, 1, -1])


def points(seed: int = 0, count: int = 60, features: int = 6) -> tuple[Array, Array]:
    """Return correlated points of three classes whose means differ."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(count) % 3
    x = rng.normal(size=(count, features)) @ rng.normal(size=(features, features))
    return x + 2 * rng.normal(size=(3, features))[numbers], np.array(["a", "b", "c"])[numbers]


def test_pca_of_an_orthogonal_design_is_known() -> None:
    found = pca(np.column_stack([SIDE, 3 * UP]) + 7, components=2)
    assert found.explained_x == pytest.approx([0.9, 0.1])
    assert found.weights == pytest.approx(np.array([[0, 1], [1, 0]]))
    assert found.scores == pytest.approx(np.column_stack([3 * UP, SIDE]))


def test_pca_equals_the_singular_value_decomposition() -> None:
    x, _ = points()
    found = pca(x, components=4)
    _, sizes, directions = np.linalg.svd(x - x.mean(0), full_matrices=False)
    directions = directions[:4].T * signs(directions[:4].T)
    assert found.weights == pytest.approx(directions)
    assert found.explained_x == pytest.approx(sizes[:4] ** 2 / (sizes**2).sum())
    assert found.scores == pytest.approx((x - x.mean(0)) @ directions)


def test_pca_with_labels_is_the_same_and_tells_what_it_explains_of_them() -> None:
    x, labels = points()
    plain, told = pca(x, components=6), pca(x, labels, components=6)
    assert plain.explained_y is None
    assert told.scores.tolist() == plain.scores.tolist()
    assert told.explained_y is not None
    matrix = (labels[:, None] == np.array(["a", "b", "c"])) - 1 / 3
    left = matrix - x_centered(x) @ np.linalg.lstsq(x_centered(x), matrix, rcond=None)[0]
    assert told.explained_y.sum() == pytest.approx(1 - (left**2).sum() / (matrix**2).sum())


def x_centered(x: Array) -> Array:
    return np.asarray(x - x.mean(0))


def test_more_features_than_points_and_constant_ones_go_through_pca() -> None:
    rng = np.random.default_rng(0)
    wide = np.column_stack([rng.normal(size=(8, 30)), np.ones(8)])
    found = pca(wide, np.arange(8) % 2, components=7)
    assert found.explained_x.sum() == pytest.approx(1)


def test_a_large_mean_does_not_drown_the_variance() -> None:
    x, _ = points()
    near, far = pca(x, components=3), pca(x + 1e8, components=3)
    assert far.explained_x == pytest.approx(near.explained_x, rel=1e-6)
    assert far.scores == pytest.approx(near.scores, abs=1e-5)


def test_pls_equals_the_example_worked_out_by_hand() -> None:
    """x1 = 2 up, x2 = side, y = x1 + x2: X'y = (16, 4), so that w1 = (4, 1) / sqrt(17), and w2 is orthogonal to it.

    Then t1 = (9, 7, -7, -9) / sqrt(17), t1't1 = 260 / 17, and p1 = (64, 4) sqrt(17) / 260, q1 = 68 sqrt(17) / 260.
    """
    found = pls(np.column_stack([2 * UP, SIDE]) + 5, 2 * UP + SIDE - 3, components=2)
    root = np.sqrt(17)
    assert found.weights == pytest.approx(np.array([[4, -1], [1, 4]]) / root)
    assert found.scores[:, 0] == pytest.approx(np.array([9, 7, -7, -9]) / root)
    assert found.loadings is not None
    assert found.loadings[:, 0] == pytest.approx(np.array([64, 4]) * root / 260)
    assert found.explained_x == pytest.approx([4112 / 5200, 1 - 4112 / 5200])
    first = 4624 / 5200
    assert found.explained_y == pytest.approx([first, 1 - first])
    squares = [2 * (first * 16 + (1 - first)) / 17, 2 * (first + (1 - first) * 16) / 17]
    assert found.vip == pytest.approx(np.sqrt(squares))


def test_vip_of_one_component_is_its_weights_times_the_root_of_their_number() -> None:
    weights = np.array([[0.6], [0.8]])
    assert vip_scores(weights, np.array([0.3])) == pytest.approx(np.sqrt(2) * weights[:, 0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 4), st.booleans())
def test_the_mean_square_of_vip_is_one(seed: int, components: int, labelled: bool) -> None:
    x, labels = points(seed)
    y = labels if labelled else np.random.default_rng(seed).normal(size=(len(x), 2)) + x[:, :2]
    found = pls(x, y, components=components)
    assert found.vip is not None
    assert (found.vip**2).mean() == pytest.approx(1)


@pytest.mark.parametrize("targets", [1, 2, 3])
def test_pls_predicts_what_the_library_predicts_without_its_scaling(targets: int) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 5)) * [1, 2, 3, 4, 50]
    y = x @ rng.normal(size=(5, targets)) + rng.normal(size=(40, targets))
    found = pls(x, y, components=3)
    assert found.coefficients is not None
    ours = found.transform(x) @ found.coefficients * y.std(0) + y.mean(0)
    theirs = PLSRegression(3, scale=False, tol=1e-12).fit(x, (y - y.mean(0)) / y.std(0)).predict(x).reshape(ours.shape)
    assert ours == pytest.approx(theirs * y.std(0) + y.mean(0), abs=1e-4)
    scaled = pls(fit_scaling(x).apply(x), y, components=3)
    assert scaled.coefficients is not None
    default = PLSRegression(3, tol=1e-12).fit(x, y).predict(x).reshape(ours.shape)  # scales x and y on its own
    again = scaled.scores @ scaled.coefficients * y.std(0) + y.mean(0)
    assert again == pytest.approx(default, abs=1e-4)
    assert again != pytest.approx(ours, rel=1e-3)


def test_pls_explains_what_least_squares_on_its_scores_does() -> None:
    x, labels = points()
    found = pls(x, labels, components=3)
    matrix = (labels[:, None] == np.array(["a", "b", "c"])) - 1 / 3
    assert found.explained_y is not None
    for shares, whole in ((found.explained_x, x_centered(x)), (found.explained_y, matrix)):
        left = whole - found.scores @ np.linalg.lstsq(found.scores, whole, rcond=None)[0]
        assert shares.sum() == pytest.approx(1 - (left**2).sum() / (whole**2).sum())


@pytest.mark.parametrize("reduce", [pca, pls])
def test_scores_are_uncorrelated_centered_and_repeated_by_transform(reduce: type[Reduction]) -> None:
    x, labels = points()
    found = reduce(x, labels, components=4)
    products = found.scores.T @ found.scores
    assert products == pytest.approx(np.diag(np.diag(products)), abs=1e-8)
    assert found.scores.mean(0) == pytest.approx(np.zeros(4), abs=1e-12)
    assert found.transform(x) == pytest.approx(found.scores)
    assert np.linalg.norm(found.weights, axis=0) == pytest.approx(np.ones(4))


@pytest.mark.parametrize("reduce", [pca, pls])
def test_signs_do_not_depend_on_the_order_of_points(reduce: type[Reduction]) -> None:
    x, labels = points()
    order = np.random.default_rng(1).permutation(len(x))
    first, second = reduce(x, labels, components=3), reduce(x[order], labels[order], components=3)
    assert second.scores == pytest.approx(first.scores[order], abs=1e-4)  # NIPALS begins with another column
    assert (np.take_along_axis(first.weights, np.abs(first.weights).argmax(0)[None], 0) > 0).all()


@pytest.mark.parametrize("reduce", [pca, pls])
def test_two_equal_reductions_are_equal_to_the_bit(reduce: type[Reduction]) -> None:
    x, labels = points()
    first, second = reduce(x, labels, components=3), reduce(x, labels, components=3)
    assert first.scores.tobytes() == second.scores.tobytes()


def test_pls_needs_the_label_to_find_a_direction_of_little_variance() -> None:
    rng = np.random.default_rng(0)
    numbers = np.arange(200) % 2
    x = np.column_stack([10 * rng.normal(size=(200, 3)), numbers + 0.1 * rng.normal(size=200)])
    first_pca = pca(x, components=1).scores[:, 0]
    first_pls = pls(fit_scaling(x).apply(x), numbers, components=1).scores[:, 0]
    assert abs(np.corrcoef(first_pca, numbers)[0, 1]) < 0.2
    assert abs(np.corrcoef(first_pls, numbers)[0, 1]) > 0.9


def test_components_that_explain_nothing_more_are_left_out_and_told() -> None:
    found = pls(np.column_stack([UP, SIDE]), 2 * UP + SIDE, components=2)  # X'y = (8, 4) = 4 w1 |...|, t1 = y / sqrt(5)
    assert found.scores == pytest.approx((2 * UP + SIDE)[:, None] / np.sqrt(5))
    assert found.explained_y == pytest.approx([1])
    assert found.explained_x == pytest.approx([0.5])
    assert found.vip == pytest.approx(np.sqrt([8 / 5, 2 / 5]))
    assert found.notes == ("1 component explains all that x and y share, so that there are not 2",)


def test_pls_of_collinear_features_ends_where_the_rank_does() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(30, 2))
    x = np.column_stack([base, base @ rng.normal(size=(2, 3)), np.ones(30)])
    found = pls(x, rng.normal(size=(30, 2)), components=5)
    assert found.scores.shape == (30, 2)
    assert found.explained_x.sum() == pytest.approx(1)
    assert np.isfinite(found.transform(x)).all()


def test_impossible_numbers_of_components_and_empty_data_are_refused() -> None:
    x, labels = points()
    for reduce in (pca, pls):
        with pytest.raises(ConfigError, match=r"`components` must be between 1 and 6 for 60 points of 6 features"):
            reduce(x, labels, components=7)
        with pytest.raises(DataError, match="all features are constant"):
            reduce(np.ones((60, 3)), labels, components=2)
    with pytest.raises(ConfigError, match="no feature has any covariance with y"):
        pls(np.column_stack([UP, UP]), SIDE, components=1)


def test_pls_ends_where_what_is_left_of_y_has_nothing_to_do_with_x() -> None:
    found = pls(np.column_stack([UP, 0 * UP]), UP + SIDE, components=2)
    assert found.scores[:, 0] == pytest.approx(UP)
    assert found.explained_y == pytest.approx([0.5])


def test_the_broken_stick_of_three_parts_is_known() -> None:
    expected = np.array([11 / 18, 5 / 18, 2 / 18])  # (1 + 1/2 + 1/3) / 3, (1/2 + 1/3) / 3, (1/3) / 3
    up = np.array([0.01, 0.01, -0.02])
    assert broken_stick(expected + up) == 2
    assert broken_stick(expected - up) == 1
    assert broken_stick(np.array([1.0])) == 1


@pytest.mark.parametrize(("count", "features"), [(40, 6), (6, 40)])
def test_the_spectrum_is_what_all_components_explain(count: int, features: int) -> None:
    x, _ = points(count=count, features=features)
    most = min(count - 1, features)
    assert spectrum(x) == pytest.approx(pca(x, components=most).explained_x)
    assert spectrum(x).sum() == pytest.approx(1)


def test_a_table_too_large_for_all_of_its_components_gets_the_first_ones_nearly() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2100, 3)) @ rng.normal(size=(3, 2150)) + 0.01 * rng.normal(size=(2100, 2150))
    found = pca(x, components=3)
    assert found.notes == ("components are approximate: exact ones would take minutes",)
    assert found.explained_x.sum() == pytest.approx(1, abs=1e-3)
    assert found.scores.tobytes() == pca(x, components=3).scores.tobytes()
