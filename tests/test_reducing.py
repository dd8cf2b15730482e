"""How many components each reduction gets, by which rule, and what a probe is asked."""

import numpy as np
import pytest

from zoo.errors import ConfigError
from zoo.explore.options import SELECTION
from zoo.explore.reducing import REMADE, SUPERVISED, Data, choose, data_of, plane_of, reduce
from zoo.metrics import Array

UNSUPERVISED = ("pca_loadings", "variance")


def points(*, classes: int = 2, count: int = 60, features: int = 5) -> tuple[Array, Array]:
    """Return points whose first feature tells their label, in directions of unequal spread."""
    rng = np.random.default_rng(3)
    labels = np.arange(count) % classes
    x = rng.normal(size=(count, features)) * np.arange(1, features + 1)
    x[:, 0] += 6 * labels
    return x, labels.astype(str)


def data(y: Array | None, x: Array | None = None) -> Data:
    return data_of(points()[0] if x is None else x, y, scale="zscore", seed=1)


def test_supervised_are_the_selections_that_ask_for_labels() -> None:
    for name in SELECTION:
        assert (name in SUPERVISED) == (name not in UNSUPERVISED)
        if name in SUPERVISED:
            scale = "minmax" if name == "chi_square" else "zscore"
            with pytest.raises(ConfigError, match=f"{name} needs labels or numbers"):
                reduce(name, data_of(points()[0], None, scale=scale, seed=1), components=1)


def test_a_filter_is_judged_by_itself_and_a_wrapper_by_the_information_gain() -> None:
    given = data(points()[1])
    own, other = choose("information_gain", given), choose("genetic", given)
    assert own.rule == "fewest within one standard error of the best held-out accuracy"
    assert other.rule == f"{own.rule} with the features of the largest information_gain"
    assert own.components == other.components == 1
    assert choose("lasso", given).rule == "until no other makes it better"


def test_for_numbers_a_selection_takes_as_many_as_pca() -> None:
    x, _ = points()
    given = data(x[:, 1] + 0.5)
    found = choose("forward", given)
    assert found.components == choose("pca", given).components
    assert found.rule.startswith("as many as PCA has components: fewest within one standard error of the best Q2")


def test_what_is_nested_is_probed_for_all_numbers_and_others_at_theirs() -> None:
    given = data(points()[1])
    nested = reduce("pls", given, components=2).probe
    alone = reduce("stepwise", given, components=2).probe
    assert nested is not None
    assert alone is not None
    assert nested.counts == (1, 2, 3, 4, 5)
    assert alone.counts == (len(reduce("stepwise", given, components=2).reduction.scores.T),)
    assert len(alone.values) == REMADE
    assert nested.mean.max() > 0.9


@pytest.mark.parametrize(("y", "refusal"), [
    (np.array(["a"] * 60), "all points have the label 'a'"),
    (np.ones(60), "a target has the same value at all points"),
    (np.array(["a"] * 58 + ["b"] * 2), "label 'b' has 2 points, fewer than the 5 folds"),
])  # fmt: skip
def test_what_cannot_judge_is_said_and_not_used(y: Array, refusal: str) -> None:
    given = data(y)
    assert given.refusal == refusal
    assert given.judge is None
    assert reduce("pca", given).choice.rule == "broken stick of PCA"
    assert reduce("pca", given).probe is None


def test_few_points_of_a_label_still_guide_pls() -> None:
    x, _ = points()
    found = reduce("pls", data(np.array(["a"] * 57 + ["b"] * 3), x))
    assert found.reduction.vip is not None
    assert found.choice.rule == "broken stick of PCA"


def test_a_picture_of_one_component_is_given_a_second() -> None:
    given = data(points()[1])
    found = reduce("pls", given, components=1)
    plane = plane_of(found, given)
    assert plane is not None
    assert found.scores.shape[1] == 1
    np.testing.assert_allclose(plane.scores[:, 0], found.scores[:, 0])
    one = data(points()[1], points()[0][:, :1])
    assert plane_of(reduce("pca", one), one) is None
