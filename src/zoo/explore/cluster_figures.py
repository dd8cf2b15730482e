"""Clusterings as pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from zoo.explore.distances import LIMIT, SEED, as_points, pairwise
from zoo.explore.hierarchy import LEAVES, dendrogram_lines
from zoo.explore.labels import NOISE, Clustering
from zoo.explore.validity import silhouette_values
from zoo.metrics import Array
from zoo.record.drawing import COLORS, blank_figure, style_of, text_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED = 16
"""Clusters that a legend names, at most: the largest, which come first."""
LETTERS = 20
"""Letters of a text that stand below a tree, at most."""
MARK: dict[str, Any] = {"color": COLORS[2], "linestyle": "--", "linewidth": 1}
"""How what was chosen is drawn."""


def cluster_style(cluster: int) -> tuple[str, str]:
    """Return the color and the marker of a cluster; black crosses are noise."""
    return ("black", "x") if cluster == NOISE else style_of(cluster)


def scatter_figure(points: ArrayLike, clustering: Clustering) -> "Figure":
    """Draw points by their first two features, centers as crosses; of one feature, over the points' numbers.

    points is (points, features), as they were clustered. Border points of `dbscan` are smaller than core points.
    """
    points = as_points(points)
    figure, (axes,) = _panels(1)
    sizes = np.where(clustering.evidence.get("kinds", np.empty(len(points), "U6")) == "border", 5.0, 14.0)
    across, up = _plane(points, np.arange(len(points)))
    for cluster in np.unique(clustering.labels).tolist():
        own, (color, marker) = clustering.labels == cluster, cluster_style(cluster)
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
    figure, panels = _panels(len(drawn))
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
    figure, (axes,) = _panels(1)
    for across, up, cluster in zip(drawn.across, drawn.up, drawn.clusters.tolist(), strict=True):
        axes.plot(across, up, color=cluster_style(cluster)[0], linewidth=1)
    axes.axhline(clustering.chosen["height"], label=f"cut: {clustering.chosen['k']} clusters", **MARK)
    names = _leaf_names(drawn.leaves, clustering.evidence["rows"], texts)
    axes.set_xticks(5.0 + 10 * np.arange(len(names)), names, rotation=90, fontsize="small", **text_style(names))
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
    figure, (axes,) = _panels(1)
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
    figure, (axes,) = _panels(1)
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
            color=cluster_style(cluster)[0],
            label=str(cluster) if cluster < NAMED else "_hidden",
            step="mid",
        )
    axes.axvline(float(values.mean()), label=f"mean {values.mean():.3f}", **MARK)
    axes.invert_yaxis()
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small", frameon=False)
    return figure


def _panels(count: int) -> "tuple[Figure, list[Axes]]":
    figure = blank_figure(7, 5) if count == 1 else blank_figure(4 * count, 4)
    return figure, list(figure.subplots(1, count, squeeze=False)[0])
