"""What pictures of the zoo share: no display, and colors that people with any color vision tell apart."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581",
          "#92dadd")  # fmt: skip
"""Those of Petroff (2021), "Accessible color sequences for data visualization"."""
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")


def style_of(number: int) -> tuple[str, str]:
    """Return the color and the marker of a class, a run or a curve by its number; 80 of them look different."""
    return COLORS[number % len(COLORS)], MARKERS[(number + number // len(COLORS)) % len(MARKERS)]


def blank_figure(width: float, height: float) -> "Figure":
    """Return a figure, in inches, that needs no display: pyplot is never imported."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def whole_ticks(axes: "Axes") -> None:
    """Let the axis across, which counts something, be marked at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def text_style(texts: Iterable[str]) -> dict[str, Any]:
    """Return the options by which matplotlib shows texts as they are: in a font that has their letters, $ as $."""
    return {"fontfamily": font_families("".join(texts)), "parse_math": False}


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
