"""Attention weights as a picture."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.record.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention_figure(weights: NDArray[Any], src_tokens: Sequence[str], tgt_tokens: Sequence[str]) -> "Figure":
    """Draw which source token each target token looks at; the darker, the more.

    weights is (time, src_time), a row for each target token. Needs no display: pyplot is never imported.
    """
    from matplotlib.figure import Figure

    size = (len(tgt_tokens), len(src_tokens))
    if weights.shape != size:
        raise ValueError(f"`weights` must be (target tokens, source tokens) {size}, but is {weights.shape}")
    width, height = (float(np.clip(0.3 * len(tokens) + 1, 2.5, 24)) for tokens in (src_tokens, tgt_tokens))
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    labels = [_label(tokens) for tokens in (src_tokens, tgt_tokens)]
    style: dict[str, Any] = {"fontfamily": font_families("".join(labels[0] + labels[1])), "parse_math": False}
    axes.set_xticks(
        range(len(src_tokens)), labels[0], rotation=90 if max(map(len, labels[0]), default=0) > 2 else 0, **style
    )
    axes.set_yticks(range(len(tgt_tokens)), labels[1], **style)
    axes.set_xlabel("source")
    axes.set_ylabel("target")
    return figure


def _label(tokens: Sequence[str]) -> list[str]:
    return ["".join(map(visible, token)).replace(" ", "\u2423") for token in tokens]


def save_figure(figure: "Figure", path: Path | str | IO[bytes], *, dpi: int = 150) -> None:
    """Write a figure to a file; the ending (.png, .pdf, .svg) says which kind, an open file becomes a PNG."""
    with _quiet_about_glyphs():
        figure.savefig(path, dpi=dpi)


def figure_pixels(figure: "Figure") -> NDArray[np.uint8]:
    """Render a figure to (height, width, 3) bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    with _quiet_about_glyphs():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@contextmanager
def _quiet_about_glyphs() -> Iterator[None]:
    """Silence the warning about characters that no installed font has: a box stands for them, and that suffices."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(Glyph \d+|Matplotlib currently does not support)")
        yield


def font_families(text: str) -> list[str]:
    """Return the default font and, if it lacks characters of `text`, the installed font with the most of those."""
    from matplotlib.font_manager import findfont

    default = "DejaVu Sans"  # comes with matplotlib, and has Latin, Greek, Cyrillic and the phonetic alphabet
    missing = {ord(char) for char in text} - _glyphs(findfont(default))
    if not missing:
        return [default]
    best = max(_fonts(), key=lambda font: len(missing & _glyphs(font[1])))
    return [default, best[0]] if missing & _glyphs(best[1]) else [default]


@cache
def _fonts() -> list[tuple[str, str]]:
    """Return name and path of one font of each installed family, the upright and regular one where there is one."""
    from matplotlib.font_manager import fontManager

    plain = sorted(fontManager.ttflist, key=lambda font: (font.style != "normal", font.weight not in (400, "normal")))
    families: dict[str, str] = {}
    for font in plain:
        if "lastresort" not in font.name.replace(" ", "").lower():  # draws a box for each character there is
            families.setdefault(font.name, font.fname)
    return list(families.items())


@cache
def _glyphs(path: str) -> frozenset[int]:
    from matplotlib.font_manager import get_font

    try:
        return frozenset(get_font(path).get_charmap())
    except (OSError, RuntimeError):  # a broken or foreign font file among the installed ones
        return frozenset()
