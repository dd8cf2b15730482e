"""What is asked of an exploration, checked before anything heavy is imported."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from zoo.errors import ConfigError, unknown

EXTRACTION = ("pca", "pls", "autoencoder")
SELECTION = (
    "pca_loadings", "variance", "chi_square", "information_gain", "forward", "backward", "stepwise", "genetic", "lasso",
)  # fmt: skip
REDUCE = (*EXTRACTION, *SELECTION)
CLUSTER = ("kmeans", "kmedoids", "hierarchical", "dbscan")
DISTANCE = ("euclidean", "manhattan", "cosine", "correlation", "mahalanobis")
LINKAGE = ("single", "complete", "average", "centroid", "ward")
SCALE = ("zscore", "minmax", "none")
RULES = ("silhouette", "elbow", "gap")
"""Ways to choose the number of clusters of k-means."""

HEEDED = {
    "clusters": ("kmeans", "kmedoids", "hierarchical"),
    "distance": ("kmedoids", "hierarchical", "dbscan"),
    "linkage": ("hierarchical",),
    "eps": ("dbscan",),
    "min_samples": ("dbscan",),
}
"""Which ways to cluster heed an option."""

MEANS = ("euclidean", "mahalanobis")
"""Distances that Ward's and the centroid's linkage are defined for."""


class Plan(NamedTuple):
    """What to do with points: scale, reduce, then cluster; empty where a step is left out.

    scale is empty where the source and the method choose it, components 0 where they are chosen; clustering holds the
    options of `zoo.explore.clustering.cluster`.
    """

    reduce: str = "pca"
    cluster: str = "kmeans"
    scale: str = ""
    components: int = 0
    clustering: Mapping[str, Any] = {}
    seed: int = 1


def plan_of(
    *,
    reduce: str | None = None,
    cluster: str | None = None,
    scale: str | None = None,
    components: int | None = None,
    seed: int = 1,
    **given: Any,
) -> Plan:
    """Return what options mean together, of which those that are None were not given.

    Where neither `reduce` nor `cluster` is given, both are done, by PCA and k-means; else what is named. ConfigError
    for a name that there is not, a number out of range, and an option that has no effect.
    """
    if reduce is None and cluster is None:
        reduce, cluster = "pca", "kmeans"
    for kind, name, choices in (("reduction", reduce, REDUCE), ("clustering", cluster, CLUSTER),
                                ("scaling", scale, SCALE)):  # fmt: skip
        if name is not None and name not in choices:
            raise ConfigError(unknown(kind, name, choices))
    if components is not None and reduce is None:
        raise ConfigError("`--components` has no effect without `--reduce`; add it, or leave it out")
    if components is not None and components < 1:
        raise ConfigError(f"`--components` must be at least 1, but is {components}")
    if not 0 <= seed < 2**32:
        raise ConfigError(f"`--seed` must be from 0 to {2**32 - 1}, but is {seed}")
    chosen = {name: value for name, value in given.items() if value is not None}
    options = _clustering(cluster, chosen)
    return Plan(reduce or "", cluster or "", scale or "", components or 0, options, seed)


def _clustering(method: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a way to cluster, as `zoo.explore.clustering.cluster` takes them."""
    for name in given:
        flag = f"--{name.replace('_', '-')}"
        if method is None:
            raise ConfigError(f"`{flag}` has no effect without `--cluster`; add it, or leave it out")
        if method not in HEEDED[name] and not (name == "distance" and given[name] == "euclidean"):
            raise ConfigError(
                f"`{flag}` has no effect on `--cluster {method}`; leave it out, or take {', '.join(HEEDED[name])}"
            )
    for name, choices in (("distance", DISTANCE), ("linkage", LINKAGE)):
        if name in given and given[name] not in choices:
            raise ConfigError(unknown(name, given[name], choices))
    options = {name: value for name, value in given.items() if name != "clusters"}
    if method == "hierarchical":
        _check_linkage(options)
    for name in ("eps", "min_samples"):
        if name in options and not 0 < options[name] < math.inf:
            raise ConfigError(f"`--{name.replace('_', '-')}` must be above 0 and finite, but is {options[name]:g}")
    return {**options, **(_count(method, given["clusters"]) if "clusters" in given else {})}


def _check_linkage(options: dict[str, Any]) -> None:
    """Choose a linkage that the distance has, where none is named."""
    distance = options.get("distance", "euclidean")
    if "linkage" not in options and distance not in MEANS:
        options["linkage"] = "average"
    if options.get("linkage") in ("ward", "centroid") and distance not in MEANS:
        raise ConfigError(
            f"`--linkage {options['linkage']}` speaks of means, which `--distance {distance}` does not have; take "
            "single, complete or average"
        )


def _count(method: str | None, text: str) -> dict[str, Any]:
    """Return the number of clusters, or of k-means the rule by which it is chosen."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        if int(text) < 1:
            raise ConfigError(f"`--clusters` must be at least 1, but is {text}")
        return {"k": int(text)}
    if method == "kmeans" and text in RULES:
        return {"rule": text}
    rules = f", or one of {', '.join(RULES)}" if method == "kmeans" else ""
    raise ConfigError(f"`--clusters` must be a number{rules}, but is '{text}'")
