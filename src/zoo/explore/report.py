"""What was found, as plain values: a flat `report.json`."""

import math
from typing import Any

import numpy as np

from zoo.explore.exploring import Findings, cluster_names
from zoo.explore.probe import Curve
from zoo.explore.reducing import Reduced
from zoo.explore.targets import is_numeric
from zoo.metrics import Array


def report_of(found: Findings) -> dict[str, Any]:
    """Return the keys of `report.json`, as they apply; shares and rates are fractions, rows count from 0."""
    table, data = found.source.table, found.data
    labels = table.labels
    values = {
        "source": found.source.name,
        "kind": found.source.kind,
        "what": found.source.what,
        "path": found.source.path,
        "points": len(table.x),
        "features": table.x.shape[1],
        **({} if labels is None else {"labels": _counted(labels)}),
        **({} if table.targets is None else {"targets": table.targets.shape[1]}),
        "scale": data.scale,
        "seed": found.plan.seed,
        **_reduction_of(found),
        **_clusters_of(found),
        "notes": list(found.notes),
    }
    return {key: _finite(value) for key, value in values.items()}


def _finite(value: Any) -> Any:
    """Return a value with None in the place of numbers that JSON cannot spell."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _counted(labels: Array) -> dict[str, int]:
    names, counts = np.unique(labels, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _reduction_of(found: Findings) -> dict[str, Any]:
    """Return the keys of the reduction that was asked for, and under their names those of PCA and PLS beside it."""
    keys: dict[str, Any] = {}
    names = found.source.table.names
    if found.main is not None:
        keys = {"reduce": found.main.reduction.name, **reduced_values(found.main, names)}
    for name, one in found.beside.items():
        if one is found.main:
            continue
        values = reduced_values(one, names)
        keys |= {f"{name}_{key}": value for key, value in values.items() if key not in ("vip", "loadings")}
    pls = found.reductions.get("pls")
    if pls is not None and pls.reduction.vip is not None:
        keys["vip"] = dict(zip(names, pls.reduction.vip.tolist(), strict=True))
    if found.baseline is not None:
        keys["probe_baseline"] = found.baseline
    return keys


def reduced_values(one: Reduced, names: tuple[str, ...]) -> dict[str, Any]:
    """Return a reduction's number of components and why, what they explain, and how features take part."""
    reduction, selection = one.reduction, one.selection
    values: dict[str, Any] = {
        "components": reduction.scores.shape[1],
        "components_rule": one.choice.rule,
        "explained_x": reduction.explained_x.tolist(),
        "explained_x_total": float(reduction.explained_x.sum()),
    }
    if reduction.explained_y is not None:
        values["explained_y"] = reduction.explained_y.tolist()
        values["explained_y_total"] = float(reduction.explained_y.sum())
    if one.choice.curve is not None:
        values[f"components_{one.choice.curve.measure.lower()}"] = _curve(one.choice.curve)
    if one.probe is not None:
        values["probe_accuracy"] = _curve(one.probe)
    if reduction.loadings is not None:
        values["loadings"] = dict(zip(names, reduction.loadings.tolist(), strict=True))
    if selection is not None:
        values["selected"] = [names[feature] for feature in selection.chosen]
        if selection.scores is not None:
            values["selection_scores"] = dict(zip(names, selection.scores.tolist(), strict=True))
        if selection.curve:
            values["selection_curve"] = list(selection.curve)
    return values


def _curve(curve: Curve) -> dict[str, float]:
    return dict(zip(map(str, curve.counts), curve.mean.tolist(), strict=True))


def _clusters_of(found: Findings) -> dict[str, Any]:
    if found.clustered is None:
        return {}
    clustering = found.clustered.clustering
    chosen = {_KEYS.get(key, key): value for key, value in clustering.chosen.items() if key not in _LEFT_OUT}
    names = cluster_names(clustering.labels)
    sizes = {name: int((clustering.labels == number).sum()) for number, name in names}
    told = {str(one["cluster"]) if one["cluster"] >= 0 else "noise": one for one in found.clustered.members}
    return {
        **chosen,
        "sizes": sizes,
        **found.clustered.inside,
        **found.clustered.outside,
        **_labels_by_cluster(found, names),
        "nearest": {name: one["nearest"] for name, one in told.items() if one["nearest"]},
        "farthest": {name: one["farthest"] for name, one in told.items()},
    }


_KEYS = {"method": "cluster", "k": "clusters", "rule": "clusters_rule", "why": "clusters_why",
         "by_rule": "clusters_by_rule"}  # fmt: skip
_LEFT_OUT = ("points", "sse")
"""Told elsewhere: the points of the source, and sse without noise."""


def _labels_by_cluster(found: Findings, names: list[tuple[int, str]]) -> dict[str, Any]:
    labels = found.source.table.labels
    if labels is None or is_numeric(labels) or found.clustered is None:
        return {}
    own = found.clustered.clustering.labels
    return {"labels_by_cluster": {name: _counted(labels[own == number]) for number, name in names}}
