"""How numbers are spread, in a few bins: small enough to be kept of every tensor at many epochs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 32
SAMPLE = 10_000
"""Numbers that are looked at, at most: evenly spread over the tensor."""


def spread(values: NDArray[Any]) -> NDArray[Any]:
    """Return at most `SAMPLE` of the finite numbers of an array, evenly spread over it, as float64 (numbers)."""
    flat = values.reshape(-1)
    some = flat[:: -(-len(flat) // SAMPLE) or 1].astype(np.float64)
    finite: NDArray[Any] = some[np.isfinite(some)]
    return finite


def histogram(values: NDArray[Any]) -> dict[str, Any] | None:
    """Return the arguments of `SummaryWriter.add_histogram_raw`, or None where there is no finite number."""
    numbers = spread(values)
    if not len(numbers):
        return None
    counts, edges = np.histogram(numbers, BINS)
    return {
        "min": float(numbers.min()),
        "max": float(numbers.max()),
        "num": len(numbers),
        "sum": float(numbers.sum()),
        "sum_squares": float(numbers @ numbers),
        "bucket_limits": edges[1:].tolist(),
        "bucket_counts": counts.tolist(),
    }
