"""Which label is taken for which, as a picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.record.drawing import blank_figure, text_style
from zoo.record.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEGIBLE = 20
"""Labels up to which the cells of the picture hold their numbers."""
LONGEST_NAME = 24


def confusion_counts(labels: NDArray[Any], predictions: NDArray[Any], classes: int) -> NDArray[Any]:
    """Return how often each label (rows) was predicted as each (columns), (classes, classes).

    labels and predictions are (examples); a label below 0 is none of the classes and counts for nothing.
    """
    known = labels >= 0
    places = labels[known] * classes + predictions[known]
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def confusion_figure(counts: NDArray[Any], names: Sequence[str]) -> "Figure":
    """Draw counts (true labels, predicted labels); the darker, the larger the share of the true label's examples."""
    if counts.shape != (len(names), len(names)):
        raise ValueError(f"`counts` must be (labels, labels) {(len(names), len(names))}, but is {counts.shape}")
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = float(np.clip(0.5 * len(names) + 2, 3.5, 14))
    figure = blank_figure(side, side)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    shown = ["".join(map(visible, name))[:LONGEST_NAME] for name in names]
    style = text_style(shown)
    axes.set_xticks(range(len(names)), shown, rotation=90 if max(map(len, shown), default=0) > 2 else 0, **style)
    axes.set_yticks(range(len(names)), shown, **style)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(names) <= LEGIBLE:
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=color)
    return figure
