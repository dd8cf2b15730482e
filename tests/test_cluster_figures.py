"""Pictures of clusterings: what they show, and that they need neither a display nor pyplot."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from zoo.explore.cluster_figures import (
    choice_figure,
    cluster_style,
    dendrogram_figure,
    k_distance_figure,
    scatter_figure,
    silhouette_figure,
)
from zoo.explore.clustering import CLUSTERINGS, cluster
from zoo.explore.validity import inside
from zoo.metrics import Array
from zoo.record.drawing import figure_pixels

OWN = {
    "kmeans": choice_figure,
    "kmedoids": choice_figure,
    "hierarchical": dendrogram_figure,
    "dbscan": k_distance_figure,
}
"""The figure that a method has beside those that all have."""


def blobs(features: int = 2) -> Array:
    rng = np.random.default_rng(0)
    return rng.normal(size=(45, features)) + 12 * np.eye(3, features)[np.repeat([0, 1, 2], 15)]


@pytest.mark.parametrize("method", CLUSTERINGS)
def test_the_figures_of_one_point_and_of_many_can_be_rendered(method: str) -> None:
    for count in (1, 45):
        points = blobs()[:count]
        found = cluster(points, method)
        figures = scatter_figure(points, found), silhouette_figure(points, found.labels), OWN[method](found)
        assert all(figure_pixels(figure).std() > 1 for figure in figures)


def test_a_scatter_has_all_points_by_cluster_and_the_centers() -> None:
    points = np.vstack([blobs(), [[90.0, -90]]])
    found = cluster(points, "dbscan", eps=2.5)
    (axes,) = scatter_figure(points, found).axes
    parts = [one for one in axes.collections if isinstance(one, PathCollection)]
    drawn = [np.asarray(part.get_offsets()) for part in parts]
    assert np.concatenate(drawn[:-1]).tolist() == points[np.argsort(found.labels, kind="stable")].tolist()
    assert drawn[-1] == pytest.approx(found.centers)
    assert parts[0].get_label() == f"noise ({(found.labels == -1).sum()})"
    (axes,) = scatter_figure(points[:, :1], cluster(points[:, :1], k=2)).axes
    assert axes.get_xlabel() == "point"


def test_the_choice_shows_each_curve_and_what_each_rule_takes() -> None:
    found = cluster(blobs(), "kmeans", largest=5, rule="gap")
    panels = choice_figure(found).axes
    assert [axes.get_title() for axes in panels] == ["elbow: k = 3", "silhouette: k = 3", "gap: k = 3 (taken)"]
    for axes, name in zip(panels, ("sse", "silhouette", "gap"), strict=True):
        assert np.asarray(axes.lines[0].get_ydata()) == pytest.approx(found.evidence[name])
    panels = choice_figure(cluster(blobs(), "kmedoids", largest=5)).axes
    assert [axes.get_title() for axes in panels] == ["", "silhouette: k = 3 (taken)"]


def test_the_cut_of_the_dendrogram_crosses_as_many_lines_as_there_are_clusters() -> None:
    found = cluster(blobs(), "hierarchical", k=4)
    (axes,) = dendrogram_figure(found, leaves=12).axes
    *merges, line = axes.lines
    height = found.chosen["height"]
    assert set(np.asarray(line.get_ydata()).tolist()) == {height}
    feet = [(up[0], up[1]) for up in (np.asarray(one.get_ydata()) for one in merges)]
    feet += [(up[3], up[2]) for up in (np.asarray(one.get_ydata()) for one in merges)]
    assert sum(low < height < high for low, high in feet) == 4
    assert sum(one.get_color() == cluster_style(-1)[0] for one in merges) == 3
    assert len(axes.get_xticklabels()) == 12


def test_the_k_distances_are_drawn_with_the_eps_that_was_taken() -> None:
    found = cluster(blobs(), "dbscan")
    curve, line = k_distance_figure(found).axes[0].lines
    assert np.asarray(curve.get_ydata()) == pytest.approx(found.evidence["k_distances"])
    assert set(np.asarray(line.get_ydata()).tolist()) == {found.chosen["eps"]}


def test_the_silhouettes_mean_is_the_one_that_is_reported() -> None:
    labels = cluster(blobs(), k=3).labels
    (axes,) = silhouette_figure(blobs(), labels).axes
    assert np.asarray(axes.lines[0].get_xdata())[0] == pytest.approx(inside(blobs(), labels)["silhouette"])
    assert len(axes.collections) == 3
    assert "not defined" in silhouette_figure(blobs(), np.zeros(45, int)).axes[0].get_title()


def test_clusters_differ_in_color_or_marker() -> None:
    styles = [cluster_style(number) for number in range(-1, 80)]
    assert len(set(styles)) == 81
    assert len({color for color, _ in styles[:11]}) == 11


def test_no_figure_imports_pyplot() -> None:
    script = (
        "import sys; from zoo.explore.clustering import cluster;"
        "from zoo.explore import cluster_figures as figures;"
        "points = [[0.0, 1], [1, 0], [9, 9], [8, 9]];"
        "found = cluster(points, 'hierarchical');"
        "figures.scatter_figure(points, found); figures.silhouette_figure(points, found.labels);"
        "figures.dendrogram_figure(found); figures.choice_figure(cluster(points, 'kmeans'));"
        "figures.k_distance_figure(cluster(points, 'dbscan'));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
