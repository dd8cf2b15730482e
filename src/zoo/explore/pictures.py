"""Which pictures an exploration has, and what each shows, in words for who does not see them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zoo.explore.cluster_figures import (
    choice_figure,
    dendrogram_figure,
    k_distance_figure,
    scatter_figure,
    silhouette_figure,
)
from zoo.explore.exploring import Clustered, Findings, cluster_names
from zoo.explore.figures import curves_figure, explained_figure, side_by_side, vip_figure
from zoo.explore.labels import Clustering
from zoo.explore.projection import Reduction
from zoo.explore.reducing import plane_of
from zoo.explore.targets import is_numeric
from zoo.metrics import Array
from zoo.record.drawing import text_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture(NamedTuple):
    """A figure, the name of its file without `.png`, its title, what it shows, and how to read it."""

    name: str
    title: str
    figure: "Figure"
    alt: str
    reading: str


def pictures_of(found: Findings) -> list[Picture]:
    """Draw all that there is to see of what was found, reductions first."""
    return [*_reduction_pictures(found), *_cluster_pictures(found)]


def _reduction_pictures(found: Findings) -> list[Picture]:
    drawn = [_planes(found), _explained(found), _vip(found), _probe(found), _components(found)]
    return [picture for picture in drawn if picture is not None]


def _planes(found: Findings) -> Picture | None:
    planes = [plane_of(one, found.data) for one in found.reductions.values()]
    shown = [plane for plane in planes if plane is not None]
    if not shown:
        return None
    names = " beside ".join(plane.name for plane in shown)
    y = found.source.table.y
    colored = "" if y is None else " in the color of its number" if is_numeric(y) else " in the color of its label"
    told = [text for plane in shown if (text := _accuracy_of_two(found, plane.name))]
    alt = f"{len(found.data.x):,} points by their first two components of {names}, each{colored or ' alike'}."
    reading = "PCA looks for directions in which the points vary, whatever they mean."
    if any(plane.name == "pls" for plane in shown):
        reading += (
            " PLS is given the labels and looks for directions that vary together with them: where labels lie apart in"
            " PLS alone, what tells them apart is a small part of the variance. It has fitted these very points; the"
            " probe's accuracy is of points that were held out."
        )
    columns = found.source.table.names
    features = {name: [columns[one] for one in reduced.selection.chosen]
                for name, reduced in found.reductions.items() if reduced.selection is not None}  # fmt: skip
    figure = side_by_side(shown, y, features=features)
    return Picture("reductions", f"The plane of {names}", figure, " ".join([alt, *told]), reading)


def _accuracy_of_two(found: Findings, name: str) -> str:
    probe = found.reductions[name].probe
    if probe is None or 2 not in probe.counts:
        return ""
    return f"With two components of {name}, a linear probe finds {probe.mean[probe.counts.index(2)]:.1%} of the labels."


def _explained(found: Findings) -> Picture:
    reductions = [one.reduction for one in found.reductions.values()]
    told = [
        f"{one.name}: {one.scores.shape[1]} explain {one.explained_x.sum():.1%} of x"
        + ("" if one.explained_y is None else f" and {one.explained_y.sum():.1%} of y")
        for one in reductions
    ]
    return Picture(
        "explained",
        "Explained variance",
        explained_figure(reductions),
        f"Share of the variance explained against the number of components. {'; '.join(told)}.",
        "How much of the spread of the features (x) and of the labels (y) is left in the first components.",
    )


def _vip(found: Findings) -> Picture | None:
    pls = found.reductions.get("pls")
    if pls is None or pls.reduction.vip is None:
        return None
    vip, names = pls.reduction.vip, found.source.table.names
    first = [f"{names[feature]} {vip[feature]:.2f}" for feature in np.argsort(-vip, kind="stable")[:5].tolist()]
    return Picture(
        "vip",
        "VIP: which features matter to PLS",
        vip_figure(vip, names),
        f"Bars of the features of the largest VIP: {', '.join(first)}. {int((vip > 1).sum()):,} of {len(vip):,} are "
        "above 1.",
        "The mean of the squared scores is 1: what is above 1 matters more than most.",
    )


def _probe(found: Findings) -> Picture | None:
    curves = {name: one.probe for name, one in found.reductions.items() if one.probe is not None}
    if not curves:
        return None
    best = "; ".join(
        f"{name} {curve.mean.max():.1%} with {curve.counts[int(curve.mean.argmax())]}" for name, curve in curves.items()
    )
    return Picture(
        "probe",
        "What a linear probe finds",
        curves_figure(curves, baseline=found.baseline),
        f"Accuracy of logistic regression on held-out points against the number of components; at best {best}"
        + ("." if found.baseline is None else f"; the most frequent label alone reaches {found.baseline:.1%}."),
        "Scaling, reduction and probe are fitted anew without the fold that they are judged on.",
    )


def _components(found: Findings) -> Picture | None:
    """Draw the curves by which numbers of components were chosen, where they are not the probe's own."""
    curves = {
        name: one.choice.curve
        for name, one in found.reductions.items()
        if one.choice.curve is not None and one.choice.curve is not one.probe
    }
    if not curves:
        return None
    chosen = [f"{name}: {found.reductions[name].choice.components}" for name in curves]
    return Picture(
        "components",
        "How many components",
        curves_figure(curves),
        f"What held-out points say of each number of components; chosen are {', '.join(chosen)}.",
        "The fewest components within one standard error of the best are kept.",
    )


def _cluster_pictures(found: Findings) -> list[Picture]:
    if found.clustered is None:
        return []
    clustering = found.clustered.clustering
    drawn = [_scatter(found, found.clustered), _silhouette(found, found.clustered)]
    for name, key, draw in (("choice", "silhouette", _choice), ("dendrogram", "tree", _dendrogram),
                            ("k_distance", "k_distances", _k_distance)):  # fmt: skip
        if key in clustering.evidence:
            drawn.append(Picture(name, *draw(clustering, found.source.texts)))
    return drawn


Drawn = tuple[str, "Figure", str, str]
"""All of a picture but its name."""


def _choice(clustering: Clustering, texts: Sequence[str]) -> Drawn:
    chosen = clustering.chosen
    rules = chosen.get("by_rule", {chosen["rule"]: chosen["k"]})
    told = ", ".join(f"{rule} says {k}" for rule, k in rules.items())
    reading = "The elbow is where more clusters no longer help much; silhouette and gap are best where high."
    return "How many clusters", choice_figure(clustering), f"What each number of clusters gives: {told}.", reading


def _dendrogram(clustering: Clustering, texts: Sequence[str]) -> Drawn:
    chosen = clustering.chosen
    alt = f"Tree of merges, {chosen['linkage']} linkage, cut at {chosen['height']:.4g} into {chosen['k']} clusters."
    reading = (
        "The higher a line, the farther apart what it joins; where heights leave a wide gap is a good place to cut."
    )
    return "Dendrogram with the cut", dendrogram_figure(clustering, texts=texts), alt, reading


def _k_distance(clustering: Clustering, texts: Sequence[str]) -> Drawn:
    chosen = clustering.chosen
    alt = f"Distance to the last of {chosen['min_samples']} nearest points in ascending order; eps is "
    reading = "Points left of the bend lie densely; what lies right of it is far from its neighbors."
    return "How near neighbors are", k_distance_figure(clustering), f"{alt}{chosen['eps']:.4g}.", reading


def _scatter(found: Findings, clustered: Clustered) -> Picture:
    plane, names = _plane(found, clustered)
    points, clustering = clustered.points, clustered.clustering
    if plane is not None:
        clustering = clustering._replace(centers=_moved(plane, clustering.centers))
        points = plane.scores
    figure = scatter_figure(points, clustering)
    axes = figure.axes[0]
    style = text_style(names)
    if points.shape[1] > 1:
        axes.set_xlabel(names[0], **style)
        axes.set_ylabel(names[1], **style)
    else:
        axes.set_ylabel(names[0], **style)
    counts = [f"{name}: {(clustering.labels == number).sum():,}" for number, name in cluster_names(clustering.labels)]
    return Picture(
        "clusters",
        "The clusters",
        figure,
        f"Points in the colors of their clusters, with the centers. Points in each: {', '.join(counts)}.",
        "Two dimensions of those that were clustered: what overlaps here may lie apart in others."
        + (" Black crosses are noise, small marks border points." if "kinds" in clustering.evidence else ""),
    )


def _plane(found: Findings, clustered: Clustered) -> tuple[Reduction | None, tuple[str, str]]:
    """Return the reduction in whose plane clusters of unreduced points are shown, and the names of its axes."""
    if found.main is not None:
        chosen = found.main.selection
        all_names, numbers = found.source.table.names, chosen.chosen if chosen else ()
        return None, _first_two([all_names[one] for one in numbers] or ["component 1", "component 2"])
    if clustered.points.shape[1] <= 2:
        return None, _first_two(found.source.table.names)
    plane = plane_of(found.beside["pca"], found.data)
    return plane, ("component 1 of pca", "component 2 of pca")


def _first_two(names: Sequence[str]) -> tuple[str, str]:
    return names[0], names[1] if len(names) > 1 else ""


def _moved(plane: Reduction, centers: Array) -> Array:
    return plane.transform(centers) if len(centers) else np.zeros((0, plane.scores.shape[1]))


def _silhouette(found: Findings, clustered: Clustered) -> Picture:
    distance = clustered.clustering.chosen.get("distance", "euclidean")
    figure = silhouette_figure(clustered.points, clustered.clustering.labels, distance=distance, seed=found.plan.seed)
    value = clustered.inside["silhouette"]
    return Picture(
        "silhouette",
        "Silhouette of each point",
        figure,
        "Silhouettes of the points of each cluster"
        + (", not defined here." if value is None else f"; their mean is {value:.3f}."),
        "Near 1: deep in its cluster; near 0: between two; below 0: nearer to another cluster than to its own.",
    )
