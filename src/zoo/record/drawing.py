"""What pictures of the zoo share: no display, and colors that people with any color vision tell apart."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581",
          "#92dadd")  # fmt: skip
"""Those of Petroff (2021), "Accessible color sequences for data visualization"."""
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
"""A class is told by its color and by its marker, which goes on to the next where the colors are used up."""


def blank_figure(width: float, height: float) -> "Figure":
    """Return a figure, in inches, that needs no display: pyplot is never imported."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
