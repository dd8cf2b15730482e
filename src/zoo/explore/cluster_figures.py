"""Clusterings as pictures: no pyplot, no display, and colors that color-blind people can tell apart."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from zoo.explore.distances import LIMIT, SEED, as_points, pairwise
from zoo.explore.hierarchy import LEAVES, dendrogram_lines
from zoo.explore.labels import NOISE, Clustering
from zoo.explore.validity import silhouette_values
from zoo.metrics import Array
from zoo.record.attention import font_families

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Those of Okabe and Ito (2008), "Color Universal Design"."""
GRAY = "#999999"
NAMED = 16
"""Clusters that a legend names, at most: the largest, which come first."""
LETTERS = 20
"""Letters of a text that stand below a tree, at most."""
MARKERS = "osD^vP*"
MARK: dict[str, Any] = {"color": COLORS[5], "linestyle": "--", "linewidth": 1}
"""How what was chosen is drawn."""


def style_of(cluster: int) -> tuple[str, str]:
    """Return the color and the marker of a cluster, each pair once in 56 clusters; gray crosses are noise."""
    if cluster == NOISE:
        return GRAY, "x"
    return COLORS[cluster % len(COLORS)], MARKERS[cluster // len(COLORS) % len(MARKERS)]


def scatter_figure(points: ArrayLike, clustering: Clustering) -> "Figure":
    """Draw points by their first two features, centers as crosses; of one feature, over the points' numbers.

    points is (points, features), as they were clustered. Border points of `dbscan` are smaller than core points.
    """
    points = as_points(points)
    figure, (axes,) = _figure()
    sizes = np.where(clustering.evidence.get("kinds", np.empty(len(points), "U6")) == "border", 5.0, 14.0)
    across, up = _plane(points, np.arange(len(points)))
    for cluster in np.unique(clustering.labels).tolist():
        own, (color, marker) = clustering.labels == cluster, style_of(cluster)
        name = f"{'noise' if cluster == NOISE else cluster} ({own.sum():,})" if cluster < NAMED else "_hidden"
        axes.scatter(across[own], up[own], s=sizes[own], c=color, marker=marker, linewidths=0.8, label=name)
    if points.shape[1] > 1 and len(clustering.centers):
        x, y = clustering.centers[:, :2].T
        axes.scatter(x, y, s=90, c="white", marker="P", edgecolors="black", label="center")
    axes.set_xlabel("first feature" if points.shape[1] > 1 else "point")
    axes.set_ylabel("second feature" if points.shape[1] > 1 else "feature")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small", frameon=False)
    return figure


def _plane(points: Array, numbers: Array) -> tuple[Array, Array]:
    return (points[:, 0], points[:, 1]) if points.shape[1] > 1 else (numbers, points[:, 0])


def choice_figure(clustering: Clustering) -> "Figure":
    """Draw what each number of clusters gives, and which each rule takes: `kmeans` and `kmedoids` without `k`."""
    evidence, chosen = clustering.evidence, clustering.chosen
    names = {"sse": "elbow", "cost": "", "silhouette": "silhouette", "gap": "gap"}
    drawn = [name for name in names if name in evidence]
    figure, panels = _figure(columns=len(drawn))
    for name, axes in zip(drawn, panels, strict=True):
        axes.errorbar(evidence["k"], evidence[name], yerr=evidence.get(f"{name}_error"), marker="o", color=COLORS[0])
        rule = names[name]
        k = chosen.get("by_rule", {chosen["rule"]: chosen["k"]}).get(rule)
        if k is not None:
            axes.axvline(k, **MARK)
            axes.set_title(f"{rule}: k = {k}{' (taken)' if rule == chosen['rule'] else ''}", fontsize="medium")
        axes.set_xlabel("clusters")
        axes.set_ylabel({"sse": "summed squared distance", "cost": "summed distance"}.get(name, name))
        axes.set_xticks(evidence["k"])
    return figure


def dendrogram_figure(clustering: Clustering, *, leaves: int = LEAVES, texts: Sequence[str] | None = None) -> "Figure":
    """Draw the topmost merges of `hierarchical`'s tree in the colors of its clusters, and the height of the cut.

    texts (points) name the leaves that are points, which are else named by their numbers.
    """
    labels = clustering.labels[clustering.evidence["rows"]]
    drawn = dendrogram_lines(clustering.evidence["tree"], labels, leaves=leaves)
    figure, (axes,) = _figure()
    for across, up, cluster in zip(drawn.across, drawn.up, drawn.clusters.tolist(), strict=True):
        axes.plot(across, up, color=style_of(cluster)[0], linewidth=1)
    axes.axhline(clustering.chosen["height"], label=f"cut: {clustering.chosen['k']} clusters", **MARK)
    names = _leaf_names(drawn.leaves, clustering.evidence["rows"], texts)
    style: dict[str, Any] = {"fontfamily": font_families("".join(names)), "parse_math": False, "fontsize": "small"}
    axes.set_xticks(5.0 + 10 * np.arange(len(names)), names, rotation=90, **style)
    axes.set_xlabel("point, or (number of points)")
    axes.set_ylabel(f"height ({clustering.chosen['linkage']}, {clustering.chosen['distance']})")
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def _leaf_names(leaves: Sequence[str], rows: Array, texts: Sequence[str] | None) -> list[str]:
    """Return what stands below a tree: `(12)` for 12 points, a text cut to `LETTERS`, or the number of a point."""
    points = [None if leaf.startswith("(") else int(rows[int(leaf)]) for leaf in leaves]
    return [
        leaf if point is None else str(point) if texts is None else " ".join(texts[point].split())[:LETTERS]
        for leaf, point in zip(leaves, points, strict=True)
    ]


def k_distance_figure(clustering: Clustering) -> "Figure":
    """Draw how far the points' neighbors are, in ascending order, and the `eps` that `dbscan` took."""
    curve, chosen = clustering.evidence["k_distances"], clustering.chosen
    figure, (axes,) = _figure()
    axes.plot(np.arange(1, len(curve) + 1), curve, color=COLORS[0])
    axes.axhline(chosen["eps"], label=f"eps = {chosen['eps']:.4g} ({chosen['rule']})", **MARK)
    axes.set_xlabel("points, in order")
    axes.set_ylabel(f"distance to the last of {chosen['min_samples']} nearest ({chosen['distance']})")
    axes.legend(frameon=False)
    return figure


def silhouette_figure(
    points: ArrayLike, labels: Array, *, distance: str = "euclidean", limit: int = LIMIT, seed: int = SEED
) -> "Figure":
    """Draw the silhouette of each point of at most `limit`, cluster by cluster, and their mean (Rousseeuw, 1987)."""
    pairs = pairwise(points, distance=distance, limit=limit, seed=seed)
    drawn = np.flatnonzero(labels[pairs.rows] != NOISE)
    labels = labels[pairs.rows[drawn]]
    values = silhouette_values(pairs.square[np.ix_(drawn, drawn)], labels)
    figure, (axes,) = _figure()
    axes.set_xlabel("silhouette")
    axes.set_ylabel("points, by cluster")
    if values is None:
        axes.set_title("not defined: less than two clusters, or single points only", fontsize="medium")
        return figure
    order = np.lexsort((-values, labels))
    for cluster in np.unique(labels).tolist():
        places = np.flatnonzero(labels[order] == cluster)
        axes.fill_betweenx(
            places,
            0,
            values[order][places],
            color=style_of(cluster)[0],
            label=str(cluster) if cluster < NAMED else "_hidden",
            step="mid",
        )
    axes.axvline(float(values.mean()), label=f"mean {values.mean():.3f}", **MARK)
    axes.invert_yaxis()
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small", frameon=False)
    return figure


def cluster_figures(
    points: ArrayLike, clustering: Clustering, *, limit: int = LIMIT, seed: int = SEED
) -> dict[str, "Figure"]:
    """Return all figures that a clustering of points (points, features) has, by name."""
    distance = clustering.chosen.get("distance", "euclidean")
    by_evidence: dict[str, tuple[str, Callable[[Clustering], Figure]]] = {
        "choice": ("silhouette", choice_figure),
        "dendrogram": ("tree", dendrogram_figure),
        "k_distance": ("k_distances", k_distance_figure),
    }
    return {
        "scatter": scatter_figure(points, clustering),
        "silhouette": silhouette_figure(points, clustering.labels, distance=distance, limit=limit, seed=seed),
        **{name: draw(clustering) for name, (key, draw) in by_evidence.items() if key in clustering.evidence},
    }


def _figure(*, columns: int = 1) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7 if columns == 1 else 4 * columns, 5 if columns == 1 else 4), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])
