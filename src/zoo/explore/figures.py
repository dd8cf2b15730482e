"""Reductions as pictures, in colors that people with any color vision tell apart (Petroff, 2021)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import ConfigError
from zoo.explore.probe import Curve
from zoo.explore.projection import Reduction
from zoo.explore.targets import is_numeric
from zoo.metrics import Array
from zoo.record.drawing import COLORS, blank_figure, font_families, style_of, text_style, whole_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEGEND = 16
"""Classes that a legend names, at most."""
LONGEST = 40
"""Letters of a class that a legend shows, at most."""
POINTS = 5000
"""Points that are drawn, at most: evenly spread over the table."""
BARS = 20


def side_by_side(
    reductions: Sequence[Reduction], y: Array | None = None, *, features: Mapping[str, Sequence[str]] | None = None
) -> "Figure":
    """Draw the first two components of each reduction of the same points, in the colors of y (points).

    PCA beside PLS shows why the label matters: where classes differ in a direction of little variance, only PLS has
    them apart. y are labels, numbers (of several targets, the first) or None. features has the names of what a
    selection has chosen, by the name of the selection.
    """
    figure = blank_figure(5 * len(reductions), 4.5)
    parts: Any = figure.subplots(1, len(reductions), squeeze=False)[0]
    for axes, reduction in zip(parts, reductions, strict=True):
        names = _component_names(reduction, (features or {}).get(reduction.name, ("component 1", "component 2")))
        scatter(axes, reduction.scores, y, legend=axes is parts[-1])
        axes.set_title(reduction.name)
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])
    return figure


def _component_names(reduction: Reduction, dimensions: Sequence[str]) -> list[str]:
    """Return what stands at the axes: the component or feature, and the shares of x and y that it explains."""
    if reduction.scores.shape[1] < 2:
        raise ConfigError(f"{reduction.name} has 1 component, but a picture needs 2; set components=2 or more")
    names = []
    for number in range(2):
        shares = [("x", reduction.explained_x), ("y", reduction.explained_y)]
        told = [f"{one[number]:.0%} of {of}" for of, one in shares if one is not None and len(one) > 1]
        names.append(dimensions[number].replace("$", r"\$") + (f" ({', '.join(told)})" if told else ""))
    return names


def scatter(axes: "Axes", scores: Array, y: Array | None = None, *, legend: bool = True) -> None:
    """Draw points by their first two scores, in the colors of y (points), with a legend beside or a bar of colors."""
    rows = np.unique(np.linspace(0, len(scores) - 1, POINTS).astype(int))
    points = scores[rows]
    if y is None:
        axes.scatter(points[:, 0], points[:, 1], s=12, c=COLORS[0], alpha=0.7, linewidths=0)
    elif is_numeric(y):
        values = y.reshape(len(y), -1)[rows, 0]
        drawn = axes.scatter(points[:, 0], points[:, 1], s=12, c=values, cmap="cividis", linewidths=0)
        if legend:
            axes.figure.colorbar(drawn, ax=axes)
    else:
        names = _scatter_classes(axes, points, y.astype(str)[rows])
        if legend:
            _class_legend(axes, names)


def _scatter_classes(axes: "Axes", points: Array, labels: Array) -> list[str]:
    """Draw each class in a color and marker of its own, and return their names; only the largest go in a legend."""
    names, counts = np.unique(labels, return_counts=True)
    largest = set(names[np.argsort(-counts, kind="stable")[:LEGEND]].tolist())
    for number, name in enumerate(names.tolist()):
        color, marker = style_of(number)
        x, y = points[labels == name, :2].T
        shown = _legend_name(name) if name in largest else "_hidden"
        axes.scatter(x, y, s=14, c=color, marker=marker, alpha=0.7, linewidths=0, label=shown)
    found: list[str] = names.tolist()
    return found


def _legend_name(name: str) -> str:
    """Return a label as a legend shows it; matplotlib hides what begins with an underscore, and reads $ as formulas."""
    short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    return (f" {short}" if short.startswith("_") else short).replace("$", r"\$")


def _class_legend(axes: "Axes", names: list[str]) -> None:
    title = f"{LEGEND} of {len(names)} labels" if len(names) > LEGEND else None
    font = {"family": font_families("".join(names)), "size": 8}
    axes.legend(title=title, prop=font, loc="upper left", bbox_to_anchor=(1.01, 1))


def explained_figure(reductions: Sequence[Reduction]) -> "Figure":
    """Draw the share of variance that the first components explain together, of x and, dashed, of y."""
    figure = blank_figure(6, 4)
    axes = figure.add_subplot()
    for number, reduction in enumerate(reductions):
        color, marker = style_of(number)
        for of, shares, style in (("x", reduction.explained_x, "-"), ("y", reduction.explained_y, "--")):
            if shares is None:
                continue
            counts = np.arange(1, len(shares) + 1) if len(shares) > 1 else [reduction.scores.shape[1]]
            label = f"{reduction.name}: {of}"
            axes.plot(counts, shares.cumsum(), style, color=color, marker=marker, markersize=4, label=label)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("components")
    axes.set_ylabel("share of variance explained")
    whole_ticks(axes)
    axes.legend()
    return figure


def curves_figure(curves: Mapping[str, Curve], *, baseline: float | None = None) -> "Figure":
    """Draw figures on held-out points against the number of components, mean and standard error over folds.

    `baseline`, as the share of the most frequent label, is a dotted line.
    """
    figure = blank_figure(6, 4)
    axes = figure.add_subplot()
    for number, (name, curve) in enumerate(curves.items()):
        color, marker = style_of(number)
        axes.errorbar(curve.counts, curve.mean, curve.error, color=color, marker=marker, capsize=2, label=name)
    if baseline is not None:
        axes.axhline(baseline, color="gray", linestyle=":", label="most frequent label")
    axes.set_xlabel("components")
    axes.set_ylabel(" / ".join(dict.fromkeys(f"held-out {curve.measure}" for curve in curves.values())))
    whole_ticks(axes)
    axes.legend()
    return figure


def vip_figure(vip: Array, names: Sequence[str], *, bars: int = BARS) -> "Figure":
    """Draw the largest VIP scores (features) as bars, those above 1 in color, with a line at 1, their mean square."""
    order = np.argsort(-vip, kind="stable")[:bars][::-1]
    figure = blank_figure(6, 1 + 0.25 * len(order))
    axes = figure.add_subplot()
    chosen = [names[feature] for feature in order.tolist()]
    colors = [COLORS[0] if vip[feature] > 1 else "gray" for feature in order.tolist()]
    axes.barh(range(len(order)), vip[order], color=colors)
    axes.set_yticks(range(len(order)), chosen, **text_style(chosen))
    axes.axvline(1, color=COLORS[1], linestyle="--")
    axes.set_xlabel("VIP" if len(order) == len(vip) else f"VIP ({len(order)} of {len(vip):,} features)")
    return figure
