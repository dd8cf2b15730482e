"""Labels and numbers as the matrix that a linear method explains."""

from typing import NamedTuple

import numpy as np

from zoo.errors import ConfigError, DataError
from zoo.metrics import Array


class Targets(NamedTuple):
    """A matrix (points, targets): numbers with mean 0 and variance 1, or one centered column for each class.

    mean and scale (targets) lead back: numbers = matrix * scale + mean. classes is empty for numbers.
    """

    matrix: Array
    mean: Array
    scale: Array
    classes: tuple[str, ...]

    def encode(self, y: Array) -> Array:
        """Return other points' labels or numbers as a matrix on the same scale; unknown labels are in no class."""
        raw = one_hot(y, self.classes) if self.classes else _columns(y)
        return np.asarray((raw - self.mean) / self.scale)

    def judge(self, predicted: Array, truth: Array) -> float:
        """Return the accuracy of the largest output for classes, and Q2 = 1 - PRESS / SS over all targets for numbers.

        Both are (points, targets) on this scale, so that SS sums the squared distances from the mean of training.
        """
        if self.classes:
            return float(((predicted + self.mean).argmax(1) == (truth + self.mean).argmax(1)).mean())
        return 1 - float(((truth - predicted) ** 2).sum() / (truth**2).sum())


def is_numeric(y: Array) -> bool:
    """Whether y are numbers to predict: floats. Texts, integers and booleans are classes."""
    return y.dtype.kind == "f"


def require_y(name: str, y: Array | None) -> Array:
    """Return y; ConfigError where a method has none to be guided by."""
    if y is None:
        raise ConfigError(f"{name} needs labels or numbers to explain; name their column with --label")
    return y


def fit_targets(y: Array) -> Targets:
    """Return labels (points), or numbers (points) or (points, targets), as a matrix.

    Numbers get variance 1, so that a target counts for as much in meters as in miles; classes do not, so that one with
    few points has no more weight than its points.
    """
    if is_numeric(y):
        raw = _columns(y)
        scale = raw.std(0)
        if (scale <= 1e-12 * np.maximum(np.abs(raw).max(0), 1e-300)).any():
            raise DataError("a target has the same value at all points, so that nothing explains it; leave it out")
        return Targets((raw - raw.mean(0)) / scale, raw.mean(0), scale, ())
    classes = tuple(np.unique(y.astype(str)).tolist())
    if len(classes) < 2:
        raise DataError(f"all {len(y):,} points have the label '{classes[0]}', so that nothing tells them apart")
    raw = one_hot(y, classes)
    return Targets(raw - raw.mean(0), raw.mean(0), np.ones(len(classes)), classes)


def one_hot(y: Array, classes: tuple[str, ...]) -> Array:
    """Return a column of zeros and ones for each class (points, classes)."""
    return np.asarray(y.astype(str)[:, None] == np.array(classes), dtype=np.float64)


def _columns(y: Array) -> Array:
    return np.asarray(y, dtype=np.float64).reshape(len(y), -1)
