"""Where a curve bends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.explore.knee import knee


def test_the_knee_of_two_straight_lines_is_where_they_meet() -> None:
    assert knee([10, 6, 2, 1.5, 1, 0.5]) == 2
    assert knee([0, 0.1, 0.2, 0.3, 5, 10]) == 3


def test_the_knee_of_a_smooth_curve_is_where_its_slope_is_that_of_the_chord() -> None:
    x = np.linspace(0, 1, 1001)
    assert knee(x**2) == 500
    assert knee((1 - x) ** 3) == pytest.approx(1000 * (1 - np.sqrt(1 / 3)), abs=1)


@given(st.floats(-1e3, 1e3), st.floats(0.01, 1e3))
def test_units_do_not_matter(shift: float, scale: float) -> None:
    assert knee(shift + scale * np.array([9.0, 5, 2, 1, 0.5, 0])) == 2


@pytest.mark.parametrize("curve", [[], [3], [3, 1], [2, 2, 2, 2], [1, 2, 3, 4], [0.3, 0.2, 0.1], [0, 3, 4, 4.5]])
def test_a_curve_that_does_not_bend_downwards_has_its_knee_at_the_start(curve: list[float]) -> None:
    assert knee(curve) == 0
