"""Scalings, fitted on training rows alone."""

import numpy as np
import pytest

from zoo.errors import ConfigError
from zoo.explore.scaling import fit_scaling

X = np.array([[1.0, 10, 5], [2, 20, 5], [6, 60, 5]])


def test_zscore_has_mean_zero_and_variance_one_and_minmax_runs_from_zero_to_one() -> None:
    scaled = fit_scaling(X).apply(X)
    assert scaled.mean(0) == pytest.approx(np.zeros(3))
    assert scaled.std(0) == pytest.approx([1, 1, 0])
    within = fit_scaling(X, "minmax").apply(X)
    assert within.min(0).tolist() == [0, 0, 0]
    assert within.max(0).tolist() == [1, 1, 0]
    assert fit_scaling(X, "none").apply(X).tolist() == X.tolist()


@pytest.mark.parametrize("scaling", ["zscore", "minmax", "none"])
def test_other_points_are_mapped_as_the_training_points_were(scaling: str) -> None:
    fitted = fit_scaling(X, scaling)
    assert fitted.apply(X[:1]).tolist() == fitted.apply(X)[:1].tolist()
    assert fitted.apply(2 * X)[0] == pytest.approx((2 * X[0] - fitted.shift) / fitted.scale)


@pytest.mark.parametrize("scaling", ["zscore", "minmax", "none"])
def test_constant_features_become_finite_and_are_told(scaling: str) -> None:
    fitted = fit_scaling(X, scaling)
    assert np.isfinite(fitted.apply(X + 1)).all()
    assert fitted.constant.tolist() == [False, False, True]
    assert fitted.note(["a", "b", "c"]) == "1 feature is constant and can tell nothing: c"


def test_many_constant_features_are_told_shortly_and_none_not_at_all() -> None:
    names = [f"f{number}" for number in range(9)]
    assert fit_scaling(np.ones((3, 9))).note(names).startswith("9 features are constant and can tell nothing: f0, f1")
    assert fit_scaling(np.ones((3, 9))).note(names).endswith("f4, ...")
    assert fit_scaling(X[:, :2]).note(["a", "b"]) == ""


def test_a_large_constant_with_rounding_is_constant_and_a_small_variance_is_not() -> None:
    tiny = np.array([[0.1 + 0.2, 1e-9], [0.3, 2e-9], [0.3, 3e-9]])
    assert fit_scaling(tiny).constant.tolist() == [True, False]


def test_an_unknown_scaling_is_told_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"unknown scaling 'z-score'; did you mean 'zscore'\?"):
        fit_scaling(X, "z-score")
