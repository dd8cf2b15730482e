"""Feature selection by a genetic algorithm (Siedlecki and Sklansky, 1989)."""

from collections.abc import Callable, Iterable

import numpy as np

from zoo.explore.filters import Selection
from zoo.explore.wrappers import FORWARD, by_loss, trial_of
from zoo.metrics import Array

POPULATION, GENERATIONS = 40, 25
ELITE = 2
"""Subsets that live on unchanged."""
RIVALS = 3
"""Subsets of which the best becomes a parent."""
MUTATION = 0.3
"""How probably a child has one of its features exchanged."""

Subset = tuple[int, ...]


def genetic(
    x: Array,
    y: Array | None = None,
    *,
    count: int,
    seed: int = 1,
    population: int = POPULATION,
    generations: int = GENERATIONS,
) -> Selection:
    """Breed subsets of `count` features by the score of the probe on held-out points.

    x is (points, features); takes at most `population` times `generations` + 1 trials, however many features there are.
    The features are in the order of what the probe loses without them; the curve is the best score of each generation.
    """
    trial = trial_of("genetic", x, y, count=count, most=FORWARD, seed=seed)
    rng, features = np.random.default_rng(seed), len(trial.features)
    alive = [_subset(rng.permutation(features)[:count]) for _ in range(population)]
    curve = []
    for _ in range(generations):
        alive = _next(alive, trial.probe.score, features, rng)
        curve.append(trial.probe.score(alive[0]))
    return trial.selection("genetic", by_loss(trial.probe.score, list(alive[0])), curve)


def _next(
    alive: list[Subset], score: Callable[[Iterable[int]], float], features: int, rng: np.random.Generator
) -> list[Subset]:
    """Return the next generation, the best subset first."""
    ranked = sorted(alive, key=lambda one: (-score(one), one))
    children = [
        mutate(cross(_parent(ranked, rng), _parent(ranked, rng), rng), features, rng) for _ in range(len(alive) - ELITE)
    ]
    return sorted([*ranked[:ELITE], *children], key=lambda one: (-score(one), one))


def _parent(ranked: list[Subset], rng: np.random.Generator) -> Subset:
    return ranked[int(rng.integers(0, len(ranked), RIVALS).min())]


def cross(first: Subset, second: Subset, rng: np.random.Generator) -> Subset:
    """Return a child with the features that both parents have, and some of those that one has."""
    both = sorted({*first} & {*second})
    either = sorted({*first} ^ {*second})
    return _subset([*both, *rng.permutation(either)[: len(first) - len(both)]])


def mutate(subset: Subset, features: int, rng: np.random.Generator) -> Subset:
    """Exchange one feature for another of all `features`, sometimes."""
    if rng.random() >= MUTATION or len(subset) == features:
        return subset
    lost, found = int(rng.integers(len(subset))), int(rng.integers(features - len(subset)))
    others = np.setdiff1d(np.arange(features), subset)
    return _subset([*subset[:lost], *subset[lost + 1 :], others[found]])


def _subset(features: Iterable[int]) -> Subset:
    return tuple(sorted(int(feature) for feature in features))
