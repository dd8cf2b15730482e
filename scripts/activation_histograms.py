"""Draw what a stack of layers makes of normal inputs, layer by layer, with weights of different size.

    python scripts/activation_histograms.py --out docs/images/activation_histograms.png

Too large weights drive tanh and sigmoid to their ends, where they have no slope; too small ones make all inputs
alike. Xavier keeps the spread for tanh, He for ReLU (Glorot and Bengio, 2010; He et al., 2015): `zoo.nn.init`.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.nn.init import initialize
from zoo.record.drawing import COLORS, blank_figure

LAYERS, WIDTH, POINTS, SEED = 5, 100, 1000, 1
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}
SCHEMES = ("std 1", "std 0.01", "xavier", "he")


def activations(function: Callable[[Tensor], Tensor], scheme: str) -> list[Tensor]:
    """Return the outputs (points, width) of each layer."""
    torch.manual_seed(SEED)
    layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))
    word, _, number = scheme.partition(" ")
    if word == "std":
        for layer in layers:
            nn.init.normal_(layer.weight, std=float(number))
            nn.init.zeros_(layer.bias)
    else:
        initialize(layers, scheme)
    values, found = torch.randn(POINTS, WIDTH), []
    with torch.no_grad():
        for layer in layers:
            values = function(layer(values))
            found.append(values)
    return found


def draw(path: Path) -> None:
    """Draw a row for each function and scheme, a column for each layer."""
    figure = blank_figure(9, 10)
    rows = [(name, scheme) for name in FUNCTIONS for scheme in SCHEMES]
    panels = figure.subplots(len(rows), LAYERS, sharey="row", squeeze=False)
    for number, ((name, scheme), row) in enumerate(zip(rows, panels, strict=True)):
        low, high = {"sigmoid": (0, 1), "tanh": (-1, 1), "relu": (0, 2)}[name]
        for layer, (axes, values) in enumerate(zip(row, activations(FUNCTIONS[name], scheme), strict=True), 1):
            axes.hist(values.flatten().clamp(low, high).numpy(), bins=30, range=(low, high),
                      color=COLORS[number // len(SCHEMES)])  # fmt: skip
            axes.set_xticks([low, high])
            axes.set_yticks([])
            axes.tick_params(labelsize=6)
            axes.set_title(f"{layer}: std {values.std():.2g}", fontsize=7)
        row[0].set_ylabel(f"{name}\n{scheme}", fontsize=8)
    figure.savefig(path, dpi=72)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw into the file that is named."""
    parser = argparse.ArgumentParser(description="Draw activations by layer for weights of different size.")
    parser.add_argument("--out", type=Path, default=Path("activation_histograms.png"), metavar="PNG")
    draw(parser.parse_args(arguments).out)


if __name__ == "__main__":
    main()
