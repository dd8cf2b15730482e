"""The curves of several runs in one figure: the loss, and the main metric of each task."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zoo.errors import DataError
from zoo.experiment.curves import Curves
from zoo.experiment.naming import names_of
from zoo.metrics import Array
from zoo.record.drawing import blank_figure, font_families, style_of, whole_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BY = {"epoch": "epoch", "step": "step", "time": "seconds"}
"""What curves go by, and where metrics.jsonl has it."""


class Group(NamedTuple):
    """Runs that differ by their seed alone, and how they are drawn."""

    name: str
    runs: list[Curves]
    color: str
    marker: str


def grouped(runs: Sequence[Curves], paths: Sequence[str]) -> list[Group]:
    """Return the runs that have an epoch, those that differ by their seed alone together; DataError where none has."""
    drawn = [(one, path) for one, path in zip(runs, paths, strict=True) if len(one)]
    if not drawn:
        raise DataError("none of these runs has finished an epoch, so that there is nothing to draw; wait for one")
    configs, ends = [one.config for one, _ in drawn], [path for _, path in drawn]
    names = names_of(configs, ends, without=["seed"])
    if not any("=" in name for name in names):
        names = names_of(configs, ends)
    found: dict[str, list[Curves]] = {}
    for name, (one, _) in zip(names, drawn, strict=True):
        found.setdefault(name, []).append(one)
    return [Group(name, members, *style_of(number)) for number, (name, members) in enumerate(found.items())]


def comparison_figure(runs: Sequence[Curves], paths: Sequence[str], *, by: str = "epoch") -> "Figure":
    """Draw the losses of all runs, and the main metric of each, by epoch, step or time.

    Training is dashed. Several seeds of the same options are their mean, in a band from the least to the largest.
    """
    groups = grouped(runs, paths)
    metrics = list(dict.fromkeys(one.metric for group in groups for one in group.runs))
    figure = blank_figure(5 * (1 + len(metrics)), 4 + 0.22 * len(groups))
    panels: Any = figure.subplots(1, 1 + len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, ["loss", *metrics], strict=True):
        for group in groups:
            if metric == "loss" or group.runs[0].metric == metric:
                _draw(axes, group, metric, BY[by])
        axes.set_xlabel(BY[by])
        axes.set_ylabel(metric)
        if by == "epoch":
            whole_ticks(axes)
    _legend(figure, panels[0], groups)
    return figure


def _draw(axes: "Axes", group: Group, metric: str, by: str) -> None:
    look: dict[str, Any] = {"color": group.color, "marker": group.marker, "markersize": 4}
    across = _stacked(group, by).mean(0)
    training, validation = (_stacked(group, f"{part}_{metric}") for part in ("train", "valid"))
    if not np.isnan(training).all():
        axes.plot(across, training.mean(0), "--", alpha=0.6, linewidth=1, **look)
    axes.plot(across, validation.mean(0), linewidth=1.5, **look)
    if len(validation) > 1:
        axes.fill_between(across, validation.min(0), validation.max(0), color=group.color, alpha=0.15, linewidth=0)


def _stacked(group: Group, name: str) -> Array:
    """Return the figures of a name (runs, epochs), as many epochs as all runs have."""
    count = min(map(len, group.runs))
    return np.array([one.of(name)[:count] for one in group.runs])


def _legend(figure: "Figure", axes: "Axes", groups: Sequence[Group]) -> None:
    from matplotlib.lines import Line2D

    entries = [Line2D([], [], color=one.color, marker=one.marker, markersize=4) for one in groups]
    entries += [Line2D([], [], color="gray"), Line2D([], [], color="gray", linestyle="--")]
    seeds = [f" ({len(one.runs)} seeds)" if len(one.runs) > 1 else "" for one in groups]
    names = [one.name.replace("$", r"\$") + more for one, more in zip(groups, seeds, strict=True)]
    names += ["validation", "training"]
    font = {"family": font_families("".join(names)), "size": 8}
    figure.legend(entries, names, prop=font, loc="outside lower center", ncols=2 if len(names) > 3 else 1)
