"""How sure a figure is, and whether two models differ: resampling of sources (Efron 1979; Koehn 2004)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from zoo.metrics import Array, Scores

REPEATS = 1000
SEED = 1
SHARE = 0.95


class Interval(NamedTuple):
    """Bounds between which 95 % of the resampled figures lie."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Array) -> "Interval":
        tail = (1 - SHARE) / 2
        low, high = np.quantile(values, [tail, 1 - tail]).tolist()
        return cls(low, high)


class Difference(NamedTuple):
    """How much larger a figure is of the second model: by `value`, by resamples from `low` to `high`.

    `p` is the probability of a difference at least as large, either way, between models that are equally good.
    """

    value: float
    low: float
    high: float
    p: float


def resamples(count: int, *, repeats: int = REPEATS, seed: int = SEED) -> Iterator[Array]:
    """Yield how often each of `count` sources was drawn (sources), in `count` draws with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        yield np.bincount(rng.integers(0, count, count), minlength=count)


def intervals(scores: Scores, *, repeats: int = REPEATS, seed: int = SEED) -> dict[str, Interval]:
    """Return the interval of each figure of `scores`."""
    drawn = [scores.metrics(weights) for weights in resamples(len(scores), repeats=repeats, seed=seed)]
    return {name: Interval.of(np.array([one[name] for one in drawn])) for name in drawn[0]}


def differences(first: Scores, second: Scores, *, repeats: int = REPEATS, seed: int = SEED) -> dict[str, Difference]:
    """Return for each figure that both have how the second model differs, both measured on the same resamples.

    The scores are of the same sources in the same order. p counts resampled differences that are further from their
    mean than the measured one is from zero (as sacreBLEU's paired bootstrap does).
    """
    if len(first) != len(second):
        raise ValueError(f"the models must have answered the same sources, but there are {len(first)}, {len(second)}")
    drawn = [
        _subtract(first.metrics(weights), second.metrics(weights))
        for weights in resamples(len(first), repeats=repeats, seed=seed)
    ]
    measured = _subtract(first.metrics(), second.metrics())
    return {name: _difference(value, np.array([one[name] for one in drawn])) for name, value in measured.items()}


def _subtract(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    return {name: second[name] - value for name, value in first.items() if name in second}


def _difference(value: float, drawn: Array) -> Difference:
    further = int((np.abs(drawn - drawn.mean()) >= abs(value)).sum())
    return Difference(value, *Interval.of(drawn), (further + 1) / (len(drawn) + 1))
