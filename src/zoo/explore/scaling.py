"""Features on one scale, as training rows have it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from zoo.errors import ConfigError, unknown
from zoo.explore.options import SCALE
from zoo.metrics import Array


class Scaling(NamedTuple):
    """A map of each feature: (x - shift) / scale, all of them (features).

    A feature that was constant where the scaling was fitted is only shifted, so that it becomes zero.
    """

    shift: Array
    scale: Array
    constant: Array

    def apply(self, x: Array) -> Array:
        """Return scaled points (points, features)."""
        return np.asarray((x - self.shift) / self.scale)

    def note(self, names: Sequence[str]) -> str:
        """Say which features tell nothing, or nothing where all do."""
        found = [name for name, constant in zip(names, self.constant, strict=True) if constant]
        few = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        count = "1 feature is" if len(found) == 1 else f"{len(found):,} features are"
        return f"{count} constant and can tell nothing: {few}" if found else ""


def fit_scaling(x: Array, scaling: str = "zscore") -> Scaling:
    """Fit on training points (points, features): zscore to mean 0 and variance 1, minmax to 0 ... 1, none leaves x.

    The variance divides by the number of points, as scikit-learn has it. Constant is what varies by rounding alone.
    """
    if scaling not in SCALE:
        raise ConfigError(unknown("scaling", scaling, SCALE))
    zeros, ones = np.zeros(x.shape[1]), np.ones(x.shape[1])
    standard = StandardScaler().fit(x)  # knows a variance that is rounding from one that is small
    constant = (standard.scale_ == 1) & (standard.var_ < 0.5)
    if scaling == "zscore":
        return Scaling(standard.mean_, standard.scale_, constant)
    if scaling == "minmax":
        found = MinMaxScaler().fit(x)
        return Scaling(found.data_min_, np.where(constant, ones, found.data_range_), constant)
    return Scaling(zeros, ones, constant)
