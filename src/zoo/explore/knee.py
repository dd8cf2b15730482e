"""Where a curve bends."""

import numpy as np
from numpy.typing import ArrayLike


def knee(heights: ArrayLike) -> int:
    """Return the place where a convex curve of evenly spaced points lies furthest below its chord; 0: nowhere.

    Both axes are scaled to [0, 1] first, so that units do not matter (Satopaa et al., 2011, "Finding a Kneedle in a
    Haystack", without the smoothing). Of equally low places, the first.
    """
    curve = np.asarray(heights, dtype=np.float64)
    span = np.ptp(curve) if len(curve) else 0.0
    if len(curve) < 3 or span == 0:
        return 0
    chord = np.linspace(curve[0], curve[-1], len(curve))
    below = (chord - curve) / span
    return int(below.argmax()) if below.max() > 1e-9 else 0  # a straight line is bent by rounding alone
