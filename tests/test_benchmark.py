"""What `zoo benchmark` measures: the operations it counts, the order it measures in, and the figures it prints."""

import json
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from zoo.benchmark import Spread, alternate, enough_steps, measure, product_shapes, transformer_operations
from zoo.cli import run
from zoo.cli.overrides import config_of
from zoo.config import TransformerConfig
from zoo.data import PairBatch, PairSizes
from zoo.errors import ConfigError
from zoo.experiment import train
from zoo.loss import summed_loss
from zoo.models import build_model

SMALL = {
    "model": "transformer",
    "model.d_model": "16",
    "model.nhead": "2",
    "model.dim_feedforward": "24",
    "model.num_encoder_layers": "1",
    "model.num_decoder_layers": "1",
    "dataset": "copy",
    "dataset.train_size": "200",
    "dataset.valid_size": "20",
    "dataset.test_size": "20",
    "batch_tokens": "256",
    "precision": "fp32",
    "device": "cpu",
}


def batch(rows: int, src_time: int, time: int) -> PairBatch:
    src, tgt = torch.randint(4, 20, (rows, src_time)), torch.randint(4, 30, (rows, time))
    return PairBatch(src, torch.full((rows,), src_time), tgt, tgt)


@pytest.mark.parametrize("activation", ["relu", "swiglu"])
def test_the_operations_counted_are_those_that_torch_counts_but_for_the_hidden_half(activation: str) -> None:
    config = TransformerConfig(d_model=16, nhead=2, dim_feedforward=24, num_encoder_layers=2, num_decoder_layers=3,
                               activation=activation, dropout=0.0)  # fmt: skip
    model, one = build_model(config, PairSizes(20, 30)), batch(5, 7, 6)
    with FlopCounterMode(display=False) as counter:
        summed_loss(model(*one.inputs), one.targets)[0].backward()
    hidden = 3 * 5 * (6 * 5 // 2) * 2 * 16 * 2 * 3  # layers, rows, pairs, two products of d_model, multiply-add, passes
    ours = transformer_operations(config, 30, torch.full((5,), 7), torch.full((5,), 6))
    assert ours + hidden == counter.get_total_flops()


def test_tasks_take_turns_and_the_first_rounds_do_not_count() -> None:
    calls: list[str] = []

    def task(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    found = alternate({"a": lambda: task("a"), "b": lambda: task("b")}, repeats=2, warmup=1)
    assert calls == ["a", "b"] * 3
    assert found == {"a": [3.0, 5.0], "b": [4.0, 6.0]}
    assert Spread.of([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)


def test_the_shapes_of_products_are_those_of_the_linear_layers() -> None:
    config = TransformerConfig(d_model=16, nhead=2, dim_feedforward=24, num_encoder_layers=1, num_decoder_layers=1)
    shapes = product_shapes(build_model(config, PairSizes(20, 30)), [batch(5, 7, 6)])
    assert shapes[35, 16, 48] == 1  # queries, keys and values of the source
    assert shapes[35, 16, 32] == 1  # keys and values for the target
    assert shapes[30, 16, 30] == 1  # the output layer
    assert shapes[30, 24, 16] == 1


def test_a_run_is_measured_in_training_and_decoding(tmp_path: Any) -> None:
    config = config_of({**SMALL, "max_steps": "3", "run_dir": str(tmp_path / "run")})
    train(config)
    figures = measure(config, run=str(tmp_path / "run"), repeats=2, steps=2)
    assert figures["parameters"] > 0
    for name in ("tokens_per_second", "product_gflops", "useful_gflops", "product_share", "greedy_per_second",
                 "beam_5_per_second"):  # fmt: skip
        middle, low, high = figures[name]
        assert 0 < low <= middle <= high
    assert 0 < figures["latency_ms"] <= figures["latency_ms_p99"]
    assert figures["loader_share"] > 0


class Steps:
    """A training whose steps take as long as they say, by a clock of its own."""

    def __init__(self, seconds: float, patch: pytest.MonkeyPatch) -> None:
        self.seconds, self.clock = seconds, 0.0
        patch.setattr("zoo.benchmark.time.perf_counter", lambda: self.clock)

    def __call__(self) -> float:
        self.clock += self.seconds
        return 0.0


@pytest.mark.parametrize(("seconds", "steps"), [(0.01, 20), (0.25, 20), (1.0, 5), (60.0, 2)])
def test_slow_steps_are_measured_fewer_at_a_time(seconds: float, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert enough_steps(Steps(seconds, monkeypatch)) == steps  # type: ignore[arg-type]


def test_the_verb_prints_lines_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"{key}={value}" for key, value in SMALL.items()]
    assert run(["benchmark", *words, "--repeats", "1", "--steps", "1"]) == 0
    assert "tokens_per_second" in capsys.readouterr().out
    classifier = ["model=classifier", "dataset=parity", "dataset.train_size=100", "device=cpu"]
    assert run(["benchmark", *classifier, "--repeats", "1", "--steps", "1", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["model"] == "classifier on parity"
    assert "product_share" not in figures


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["modle=transformer"], "did you mean 'model'"),
        (["somewhere", "epochs=3"], "a run has its own options; leave out epochs=3"),
        (["--repeats", "0"], "`--repeats` must be at least 1 and at most 1000, but is 0"),
        (["dataset=torchtext", "model=classifier", "dataset.train=x"], "`dataset=torchtext` has iterators of its own"),
    ],
)
def test_what_cannot_be_measured_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(["benchmark", *words])
