"""The order of the work: scale, reduce, cluster the reduced points, and say what came of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from zoo.errors import ConfigError, DataError
from zoo.explore.clustering import cluster
from zoo.explore.distances import LIMIT
from zoo.explore.explain import explain
from zoo.explore.labels import NOISE, Clustering
from zoo.explore.options import EXTRACTION, Plan
from zoo.explore.probe import majority
from zoo.explore.reducing import STOPS_ITSELF, SUPERVISED, Data, Reduced, data_of, reduce
from zoo.explore.selection import SCALED
from zoo.explore.sources import Source
from zoo.explore.targets import is_numeric
from zoo.explore.validity import Figures, inside, outside
from zoo.metrics import Array

FEWEST = 3
"""Points that can be reduced and clustered."""

Step = Callable[[str], None]
"""Told what is done next."""


class Clustered(NamedTuple):
    """Points (points, features) as they were clustered, the clusters, and what they are worth and made of."""

    points: Array
    clustering: Clustering
    inside: Figures
    outside: Figures
    members: list[dict[str, Any]]


class Findings(NamedTuple):
    """All that was found in a source. `main` is the reduction that was asked for, `beside` are PCA and PLS."""

    source: Source
    plan: Plan
    data: Data
    main: Reduced | None
    beside: dict[str, Reduced]
    clustered: Clustered | None
    notes: tuple[str, ...]

    @property
    def reductions(self) -> dict[str, Reduced]:
        """Return all reductions by name: PCA and PLS where there are labels, and what was asked for."""
        own = {self.main.reduction.name: self.main} if self.main is not None else {}
        return {**self.beside, **own}

    @property
    def baseline(self) -> float | None:
        """Return the accuracy of the most frequent label, None where labels are no classes."""
        judge = self.data.judge
        return None if judge is None or is_numeric(judge) else majority(judge)


def explore(source: Source, plan: Plan, *, step: Step = lambda text: None) -> Findings:
    """Scale the points of a source, reduce them, cluster what comes out, and compare PCA with PLS.

    `step` is told each of the `steps` before it begins.
    """
    if len(source.table.x) < FEWEST:
        raise DataError(
            f"{source.name}: {len(source.table.x)} points ({source.what}) are too few to explore; {FEWEST} are needed"
        )
    scale = plan.scale or SCALED.get(plan.reduce, source.scaling)
    data = data_of(source.table.x, source.table.y, scale=scale, seed=plan.seed)
    main = None
    if plan.reduce:
        step(f"reducing by {plan.reduce}")
        main = reduce(plan.reduce, data, components=plan.components)
    beside: dict[str, Reduced] = {}
    for name in _names_beside(data):
        step(f"reducing by {name}")
        beside[name] = main if main and main.reduction.name == name else _reduced_beside(name, data, plan)
    clustered = None
    if plan.cluster:
        step(f"clustering by {plan.cluster}")
        clustered = _clustered(source, plan, data.scaled if main is None else main.scores)
    return Findings(source, plan, data, main, beside, clustered, _notes(source, plan, data, main, clustered))


def steps(source: Source, plan: Plan) -> int:
    """Return how many steps an exploration has at most."""
    return bool(plan.reduce) + (2 if source.table.y is not None else 1) + bool(plan.cluster)


def _names_beside(data: Data) -> tuple[str, ...]:
    """Return what is shown beside the reduction that was asked for: PCA, and PLS where labels can guide it."""
    return ("pca", "pls") if data.judge is not None else ("pca",)


def _reduced_beside(name: str, data: Data, plan: Plan) -> Reduced:
    """Reduce to as many components as were asked for, not where that is a number of features."""
    return reduce(name, data, components=plan.components if plan.reduce in EXTRACTION else 0)


def _clustered(source: Source, plan: Plan, points: Array) -> Clustered:
    try:
        found = cluster(points, plan.cluster, seed=plan.seed, **plan.clustering)
    except ConfigError as error:
        raise ConfigError(str(error).replace("`k`", "`--clusters`")) from error
    distance = found.chosen.get("distance", "euclidean")
    truth = source.table.labels
    members = explain(points, found, source.texts, distance=distance)
    for member in members:
        for text in (*member["nearest"], *member["farthest"]):
            if truth is not None:
                text["label"] = str(truth[text["row"]])
            text["row"] = int(source.rows[text["row"]])
    return Clustered(
        points,
        found,
        inside(points, found.labels, distance=distance, seed=plan.seed),
        {} if truth is None else outside(found.labels, truth),
        members,
    )


def _notes(
    source: Source, plan: Plan, data: Data, main: Reduced | None, clustered: Clustered | None
) -> tuple[str, ...]:
    """Return what a reader has to know to take figures for what they are."""
    notes = [*source.notes, data.scaling.note(source.table.names)]
    if data.refusal:
        notes.append(f"no cross-validation: {data.refusal}")
    if main is not None:
        notes += main.reduction.notes
        if main.probe is not None and main.probe is not main.choice.curve:
            notes += [f"{note}, for the probe" for note in main.probe.notes]
        if plan.reduce in STOPS_ITSELF and not plan.components:
            notes.append(f"{plan.reduce} was allowed {main.choice.components} features and took {main.scores.shape[1]}")
    if clustered is not None:
        if plan.reduce in SUPERVISED and clustered.outside:
            notes.append(f"{plan.reduce} has seen the labels, so that clusters agree with them more than they should")
        if len(clustered.points) > LIMIT:
            notes.append(
                f"what needs all pairs of points is measured on {LIMIT:,} of {len(clustered.points):,}: pairs grow "
                f"with the square of the points, and these take {8 * LIMIT**2 // 10**6} MB"
            )
    return tuple(dict.fromkeys(filter(None, notes)))


def cluster_names(labels: Array) -> list[tuple[int, str]]:
    """Return the clusters by size and what each is called; noise comes last."""
    found = np.unique(labels)
    return [(int(one), str(one)) for one in found[found != NOISE]] + ([(NOISE, "noise")] if NOISE in found else [])
