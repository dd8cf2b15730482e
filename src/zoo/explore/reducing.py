"""A reduction with all that is to be said of it: how many components and why, and what a probe finds in them."""

from typing import NamedTuple

import numpy as np

from zoo.errors import ConfigError, DataError
from zoo.explore.filters import Selection
from zoo.explore.options import EXTRACTION
from zoo.explore.probe import FOLDS, SAMPLE, Curve, Reducer, probe_curve, splits
from zoo.explore.projection import Reduction
from zoo.explore.reduction import MOST, REDUCTIONS, Choice, choose_components, counts_up_to
from zoo.explore.scaling import Scaling, fit_scaling
from zoo.explore.selection import NESTED, Selecting, reduction_of, select
from zoo.explore.targets import is_numeric
from zoo.metrics import Array

SUPERVISED = ("pls", "chi_square", "information_gain", "forward", "backward", "stepwise", "genetic", "lasso")
STOPS_ITSELF = ("stepwise", "lasso")
"""Selections that end where another feature makes nothing better."""
PLANE = 2
REMADE = 3
"""Folds in which what is no part of a larger reduction is probed: each costs a reduction of its own."""


class Data(NamedTuple):
    """Points (points, features) as they are, how they are scaled, and what y tells of them.

    refusal says why y cannot be cross-validated, empty where it can; y is then given to methods that ask for it alone.
    """

    x: Array
    scaling: Scaling
    scale: str
    y: Array | None
    refusal: str
    seed: int

    @property
    def scaled(self) -> Array:
        return self.scaling.apply(self.x)

    @property
    def judge(self) -> Array | None:
        """Return y where it can tell how many components there should be."""
        return None if self.refusal else self.y

    @property
    def most(self) -> int:
        """Return how many components there can be."""
        return int(min(self.x.shape[1], len(self.x) - 1))


class Reduced(NamedTuple):
    """A reduction, the number of its components and its choice, and a probe's accuracy for numbers of them."""

    reduction: Reduction
    choice: Choice
    probe: Curve | None = None
    selection: Selection | None = None

    @property
    def scores(self) -> Array:
        return self.reduction.scores


def data_of(x: Array, y: Array | None, *, scale: str, seed: int) -> Data:
    """Return points ready to be reduced; y that is the same everywhere is nobody's guide."""
    return Data(x, fit_scaling(x, scale), scale, y, _refusal(y), seed)


def _refusal(y: Array | None) -> str:
    """Say why held-out points cannot judge with y."""
    if y is None:
        return ""
    if not is_numeric(y) and len(np.unique(y)) < 2:
        return f"all points have the label '{y[0]}'"
    if is_numeric(y) and not np.ptp(y, axis=0).all():
        return "a target has the same value at all points"
    try:
        list(splits(y))
    except DataError as error:
        return str(error).partition(";")[0]
    return ""


def reduce(name: str, data: Data, *, components: int = 0) -> Reduced:
    """Reduce by a name, to `components` or, if 0, to as many as `choose` says."""
    if components > data.most:
        raise ConfigError(
            f"`--components` must be at most {data.most} for {len(data.x):,} points of {data.x.shape[1]:,} features, "
            f"but is {components}"
        )
    choice = Choice(components, "given") if components else choose(name, data)
    if name in REDUCTIONS:
        guide = data.y if name in SUPERVISED else data.judge
        found = REDUCTIONS[name](data.scaled, guide, components=choice.components, seed=data.seed)
        return Reduced(found, choice, probe(name, data, choice))
    selection = select(name, data.scaled, data.y, count=choice.components, seed=data.seed)
    found = reduction_of(selection, data.scaled, data.judge)
    probed = probe(name, data, choice)
    if name in STOPS_ITSELF and probed is not None:
        probed = probed._replace(counts=(len(selection.chosen),))  # in each fold as many as it takes there
    return Reduced(found, choice, probed, selection)


def choose(name: str, data: Data) -> Choice:
    """Return how many components a reduction, or how many features a selection should keep."""
    if name in EXTRACTION:
        of = "pca" if data.judge is None else name
        return _extracted(of, data)
    if name in STOPS_ITSELF:
        return Choice(min(MOST, data.x.shape[1]), "until no other makes it better")
    if data.judge is None or is_numeric(data.judge):
        like = _extracted("pca", data)
        return like._replace(rule=f"as many as PCA has components: {like.rule}")
    judge = name if name in NESTED and name != "forward" else "information_gain"
    curve = _curve(judge, data, counts_up_to(min(MOST, data.most)))
    of = "" if judge == name else f" with the features of the largest {judge}"
    return Choice(curve.fewest(), f"fewest within one standard error of the best held-out accuracy{of}", curve)


def _extracted(name: str, data: Data) -> Choice:
    return choose_components(name, data.x, data.judge, scaling=data.scale, seed=data.seed)


def probe(name: str, data: Data, choice: Choice) -> Curve | None:
    """Return what a linear probe finds in the first components of held-out points; None without labels.

    What is no part of a larger reduction would have to be made anew for each number of components and fold, and is
    measured at the number that was chosen alone.
    """
    if data.judge is None or is_numeric(data.judge):
        return None
    most = min(MOST, data.most, min(len(data.x), SAMPLE) * 4 // 5 - 1)
    if name == "pca" and choice.curve is not None:
        return choice.curve
    if name in NESTED and name != "forward":
        return _curve(name, data, counts_up_to(max(1, most)))
    return _curve(name, data, (choice.components,), folds=REMADE)


def _curve(name: str, data: Data, counts: tuple[int, ...], *, folds: int = FOLDS) -> Curve:
    assert data.judge is not None
    reducer: Reducer = REDUCTIONS[name] if name in REDUCTIONS else Selecting(name)
    return probe_curve(
        data.x,
        data.judge,
        reducer,
        counts,
        nested=name in NESTED,
        scaling=data.scale,
        folds=folds,
        seed=data.seed,
    )


def plane_of(reduced: Reduced, data: Data) -> Reduction | None:
    """Return a reduction to two components at least, for a picture; None where there are not so many."""
    found = reduced.reduction
    if found.scores.shape[1] >= PLANE:
        return found
    if found.name not in ("pca", "pls") or data.most < PLANE:
        return None
    guide = data.y if found.name in SUPERVISED else data.judge
    again = REDUCTIONS[found.name](data.scaled, guide, components=PLANE, seed=data.seed)
    return again if again.scores.shape[1] >= PLANE else None
