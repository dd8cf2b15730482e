"""The scripts that draw pictures of the pages draw what the pages say of them."""

from pathlib import Path

import numpy as np
import pytest
from activation_histograms import FUNCTIONS, activations
from activation_histograms import main as draw_histograms
from optimizer_paths import OPTIMIZERS, START, path_of
from optimizer_paths import main as draw_paths


@pytest.mark.parametrize("main", [draw_paths, draw_histograms])
def test_a_script_draws_a_png(main: object, tmp_path: Path) -> None:
    assert callable(main)
    main(["--out", str(tmp_path / "a.png")])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_sgd_zig_zags_where_adagrad_goes_straight() -> None:
    paths = {name.split(",")[0]: path_of(build) for name, build in OPTIMIZERS.items()}
    turns = {name: int((np.diff(np.sign(path[:, 1])) != 0).sum()) for name, path in paths.items()}
    assert turns["SGD"] == 30
    assert turns["AdaGrad"] <= 2
    for path in paths.values():
        assert path[0] == pytest.approx(START)
        assert path[-1, 0] ** 2 / 20 + path[-1, 1] ** 2 < 0.5


def test_xavier_keeps_the_spread_of_tanh_and_he_that_of_relu() -> None:
    spread = {key: float(activations(FUNCTIONS[key[0]], key[1])[-1].std())
              for key in [("tanh", "xavier"), ("tanh", "std 0.01"), ("relu", "he"), ("relu", "xavier")]}  # fmt: skip
    assert spread["tanh", "xavier"] > 0.3
    assert spread["tanh", "std 0.01"] < 0.001
    assert spread["relu", "he"] > 2 * spread["relu", "xavier"]
    saturated = activations(FUNCTIONS["tanh"], "std 1")[-1]
    assert float((saturated.abs() > 0.99).float().mean()) > 0.7
