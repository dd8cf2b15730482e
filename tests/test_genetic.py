"""The genetic search, on tables small enough to try all subsets."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.explore.genetic import cross, genetic, mutate
from zoo.explore.wrappers import LinearProbe
from zoo.metrics import Array


def exclusive() -> tuple[Array, Array]:
    """Return noise and two features that tell a number only together: alone, each is worth next to nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 9))
    x[:, 7] = x[:, 2] + 0.1 * rng.normal(size=200)
    return x, (x[:, 7] - x[:, 2]) * 10 + 0.3 * x[:, 4]


def test_the_search_finds_the_best_subset_there_is() -> None:
    x, y = exclusive()
    probe = LinearProbe(x, y)
    best = max(combinations(range(9), 3), key=probe.score)
    found = genetic(x, y, count=3)
    assert set(found.chosen) == set(best) == {2, 4, 7}
    assert found.curve[-1] == probe.score(best)
    assert list(found.curve) == sorted(found.curve)


def test_the_seed_decides_and_trials_are_bounded() -> None:
    x, y = exclusive()
    first, again = (genetic(x, y, count=2, population=6, generations=3) for _ in range(2))
    assert first == again
    fitted = int(first.notes[-1].split()[1])
    assert fitted <= 3 * (6 * 4 + 2)


subsets = st.sets(st.integers(0, 11), min_size=4, max_size=4).map(lambda found: tuple(sorted(found)))


@given(subsets, subsets, st.integers(0, 99))
def test_children_have_as_many_features_as_their_parents_and_keep_what_both_have(
    first: tuple[int, ...], second: tuple[int, ...], seed: int
) -> None:
    child = cross(first, second, np.random.default_rng(seed))
    assert {*first} & {*second} <= {*child} <= {*first} | {*second}
    assert len(set(child)) == 4


@given(subsets, st.integers(0, 99))
def test_a_mutation_exchanges_one_feature_at_most(subset: tuple[int, ...], seed: int) -> None:
    child = mutate(subset, 12, np.random.default_rng(seed))
    assert len({*child} - {*subset}) == len({*subset} - {*child}) <= 1
    assert child == tuple(sorted(child))
    assert mutate(subset, 4, np.random.default_rng(seed)) == subset


def test_mutations_happen_about_as_often_as_they_should() -> None:
    rng = np.random.default_rng(0)
    changed = [mutate((0, 1, 2, 3), 12, rng) != (0, 1, 2, 3) for _ in range(2000)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.04)
