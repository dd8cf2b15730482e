"""The ways to cluster, by name."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from numpy.typing import ArrayLike

from zoo.errors import ConfigError, unknown
from zoo.explore.density import dbscan
from zoo.explore.hierarchy import hierarchical
from zoo.explore.kmeans import kmeans
from zoo.explore.kmedoids import kmedoids
from zoo.explore.labels import Clustering

CLUSTERINGS: dict[str, Callable[..., Clustering]] = {
    "kmeans": kmeans,
    "kmedoids": kmedoids,
    "hierarchical": hierarchical,
    "dbscan": dbscan,
}


def cluster(points: ArrayLike, method: str = "kmeans", **options: Any) -> Clustering:
    """Cluster points (points, features) by a named method; ConfigError for an option that it does not have."""
    if method not in CLUSTERINGS:
        raise ConfigError(unknown("clustering", method, CLUSTERINGS))
    names = options_of(method)
    for name in options:
        if name not in names:
            raise ConfigError(unknown(f"option of {method}", name, names))
    found = CLUSTERINGS[method](points, **options)
    return found._replace(chosen={"method": method, **found.chosen})


def options_of(method: str) -> list[str]:
    """Return the names of what can be set of a method."""
    return list(signature(CLUSTERINGS[method]).parameters)[1:]
