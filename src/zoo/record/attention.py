"""Attention weights as a picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.record.drawing import blank_figure, text_style
from zoo.record.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention_figure(weights: NDArray[Any], src_tokens: Sequence[str], tgt_tokens: Sequence[str]) -> "Figure":
    """Draw which source token each target token looks at; the darker, the more.

    weights is (time, src_time), a row for each target token.
    """
    size = (len(tgt_tokens), len(src_tokens))
    if weights.shape != size:
        raise ValueError(f"`weights` must be (target tokens, source tokens) {size}, but is {weights.shape}")
    width, height = (float(np.clip(0.3 * len(tokens) + 1, 2.5, 24)) for tokens in (src_tokens, tgt_tokens))
    figure = blank_figure(width, height)
    axes = figure.add_subplot()
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    labels = [_label(tokens) for tokens in (src_tokens, tgt_tokens)]
    style = text_style(labels[0] + labels[1])
    axes.set_xticks(
        range(len(src_tokens)), labels[0], rotation=90 if max(map(len, labels[0]), default=0) > 2 else 0, **style
    )
    axes.set_yticks(range(len(tgt_tokens)), labels[1], **style)
    axes.set_xlabel("source")
    axes.set_ylabel("target")
    return figure


def _label(tokens: Sequence[str]) -> list[str]:
    return ["".join(map(visible, token)).replace(" ", "\u2423") for token in tokens]
