"""The curve of a learning-rate range test as a picture."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.record.drawing import COLORS, blank_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rate_figure(found: Mapping[str, Any], *, title: str = "") -> "Figure":
    """Draw losses against rates, with lines at the rates that the test has found (see `zoo.experiment.rate_test`)."""
    figure = blank_figure(7, 4.5)
    axes = figure.add_subplot()
    axes.plot(found["rates"], found["losses"], ".", markersize=3, color=COLORS[3], label="loss of a step")
    axes.plot(found["rates"], found["smoothed"], color=COLORS[0], label="smoothed")
    lines = {"suggested": (COLORS[2], "-"), "steepest": (COLORS[1], ":"), "lowest": (COLORS[4], "--")}
    for name, (color, style) in lines.items():
        axes.axvline(found[name], color=color, linestyle=style, label=f"{name} {found[name]:g}")
    first, least = found["smoothed"][0], min(found["smoothed"])
    margin = max(first - least, 0.05 * first)
    axes.set_ylim(least - 0.5 * margin, first + 1.5 * margin)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.set_title(title, fontsize="medium", parse_math=False)
    axes.legend(fontsize="small")
    return figure
