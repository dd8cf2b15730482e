"""Draw the paths of the five handwritten optimizers down a long valley, x^2 / 20 + y^2, from (-7, 2).

    python scripts/optimizer_paths.py --out docs/images/optimizer_paths.png

At equal distance the valley is twenty times as steep across as along: SGD zig-zags from side to side, momentum rolls in
curves, AdaGrad, RMSProp and Adam scale the two directions apart (after Saito, "Deep Learning from Scratch").
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from zoo.metrics import Array
from zoo.optim.handwritten import SGD, AdaGrad, Adam, Momentum, RMSProp
from zoo.record.drawing import COLORS, blank_figure

START = (-7.0, 2.0)
STEPS = 30
OPTIMIZERS: dict[str, Callable[[list[Tensor]], Optimizer]] = {
    "SGD, lr 0.95": lambda point: SGD(point, lr=0.95),
    "Momentum, lr 0.1": lambda point: Momentum(point, lr=0.1, momentum=0.9),
    "AdaGrad, lr 1.5": lambda point: AdaGrad(point, lr=1.5),
    "RMSProp, lr 0.3": lambda point: RMSProp(point, lr=0.3, alpha=0.9),
    "Adam, lr 0.3": lambda point: Adam(point, lr=0.3),
}


def height(x: Tensor, y: Tensor) -> Tensor:
    """Return the height of the valley."""
    return x**2 / 20 + y**2


def path_of(build: Callable[[list[Tensor]], Optimizer], *, steps: int = STEPS) -> Array:
    """Return the points that an optimizer passes, (steps + 1, 2)."""
    point = torch.tensor(START, requires_grad=True)
    optimizer = build([point])
    points = [point.detach().numpy().copy()]
    for _ in range(steps):
        optimizer.zero_grad()
        height(point[0], point[1]).backward()
        optimizer.step()
        points.append(point.detach().numpy().copy())
    return np.array(points)


def draw(path: Path) -> None:
    """Draw one panel for each optimizer."""
    figure = blank_figure(9, 6)
    panels = figure.subplots(3, 2, sharex=True, sharey=True).ravel()
    x, y = torch.meshgrid(torch.linspace(-8, 8, 200), torch.linspace(-3, 3, 100), indexing="xy")
    for number, (axes, (name, build)) in enumerate(zip(panels, OPTIMIZERS.items(), strict=False)):
        axes.contour(x, y, height(x, y), levels=np.linspace(0.1, 2.2, 8) ** 2, colors="#cccccc", linewidths=0.7)
        axes.plot(*path_of(build).T, "o-", color=COLORS[number], markersize=3, linewidth=1)
        axes.plot(0, 0, "+", color="black")
        axes.set_title(name, fontsize="medium")
    panels[-1].axis("off")
    figure.savefig(path, dpi=90)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw into the file that is named."""
    parser = argparse.ArgumentParser(description="Draw the paths of the handwritten optimizers.")
    parser.add_argument("--out", type=Path, default=Path("optimizer_paths.png"), metavar="PNG")
    draw(parser.parse_args(arguments).out)


if __name__ == "__main__":
    main()
