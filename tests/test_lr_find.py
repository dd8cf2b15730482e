"""The learning-rate range test: what it reads from a curve, what it leaves behind, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo.cli import run
from zoo.cli.train import summary
from zoo.config import (
    OPTIMIZERS,
    ClassifierConfig,
    Encoder,
    LinearClassifierConfig,
    NoamConfig,
    ToyConfig,
    TrainConfig,
    TransformerConfig,
    check,
)
from zoo.errors import CheckpointError, ConfigError, DivergenceError
from zoo.experiment import rate_test, train
from zoo.experiment.directory import run_path
from zoo.experiment.rate_test import smoothed, suggest
from zoo.optim import peak_factor

Toy = Callable[..., TrainConfig]
RATES = np.logspace(-6, 2, 200)
PARITY = ToyConfig(name="parity", symbols=4, max_length=4, train_size=48, valid_size=8, test_size=8)
MODELS = {
    "classifier": ClassifierConfig(encoder=Encoder.bag, embedding_size=8, hidden_size=8),
    "linear": LinearClassifierConfig(buckets=16),
    "transformer": TransformerConfig(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8),
}


def valley(bottom: float) -> Any:
    """Return losses that fall from 3 around a hundredth of `bottom`, and rise after it."""
    x = np.log10(RATES / bottom)
    return 1 + 2 / (1 + np.exp(4 * (x + 2))) + np.exp(8 * (x - 0.5))


@pytest.mark.parametrize("bottom", [1e-3, 0.05, 1.0])
def test_a_quarter_of_the_lowest_loss_s_rate_is_suggested(bottom: float) -> None:
    found = suggest(RATES, valley(bottom))
    assert found.lowest == pytest.approx(bottom, rel=0.7)
    assert found.suggested == pytest.approx(found.lowest / 4)
    assert found.steepest == pytest.approx(bottom / 100, rel=0.2)


def test_where_the_loss_hardly_falls_the_last_rate_before_it_rises_counts() -> None:
    noise = 0.002 * np.random.default_rng(0).normal(size=200)
    losses = smoothed(RATES, 0.69 + noise + 0.05 * np.maximum(0, np.log10(RATES)) * 10)
    assert 0.5 < suggest(RATES, losses).lowest < 3
    assert suggest(RATES, np.linspace(3, 1, 200)).lowest == RATES[-1]


def test_smoothing_moves_no_step_of_a_straight_line() -> None:
    line = 3 - 0.2 * np.log10(RATES)
    assert smoothed(RATES, line)[40:160] == pytest.approx(line[40:160])


def test_a_range_test_leaves_no_run_behind(here: Path, toy: Toy) -> None:
    found = train(toy(lr_find=True, run_dir="a", max_steps=60))
    names = {path.name for path in Path("a").iterdir()}
    events = {name for name in names if name.startswith("events.out.tfevents.")}
    assert names - events == {"lr_find.json", "lr_find.png", "train.log"}
    assert len(events) == 1
    saved = json.loads(Path("a/lr_find.json").read_text())
    assert saved == {key: value for key, value in found.items() if key != "run_dir"}
    assert len(saved["rates"]) == len(saved["losses"]) == len(saved["smoothed"]) == saved["steps"] <= 60
    assert saved["override"] == f"optimizer.lr={saved['suggested']:g}"
    assert Path("a/lr_find.png").read_bytes().startswith(b"\x89PNG")
    assert saved["override"] in summary(found)
    with pytest.raises(CheckpointError):
        run_path("a")
    assert train(toy(run_dir="a"))["steps"]  # the directory is free for a training


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_tested(name: str, here: Path, toy: Toy) -> None:
    found = train(toy(lr_find=True, max_steps=60, optimizer=OPTIMIZERS[name](name=name)))
    assert 0 < found["suggested"] < 40


@pytest.mark.parametrize("name", MODELS)
def test_every_family_is_tested(name: str, here: Path, toy: Toy) -> None:
    data = {} if name == "transformer" else {"dataset": PARITY}
    assert train(toy(lr_find=True, max_steps=60, model=MODELS[name], **data))["suggested"] > 0


def test_the_rate_of_noam_is_its_factor(here: Path, toy: Toy) -> None:
    plain = train(toy(lr_find=True, max_steps=60, run_dir="a"))
    noam = NoamConfig(warmup_steps=100)
    scaled = train(toy(lr_find=True, max_steps=60, run_dir="b", scheduler=noam))
    assert peak_factor(noam, width=8) == pytest.approx(8**-0.5 / 10)
    assert scaled["suggested"] * peak_factor(noam, width=8) == pytest.approx(plain["suggested"], rel=0.1)


def test_a_step_that_is_not_finite_ends_the_test(here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    training, asked = rate_test.training, []

    def lost(*arguments: Any, after_step: Any, **options: Any) -> Any:
        def after(report: Any, state: Any) -> Any:
            asked.append(report.step)
            return after_step(report._replace(grad_norm=np.inf) if report.step > limit else report, state)

        return training(*arguments, after_step=after, **options)

    monkeypatch.setattr(rate_test, "training", lost)
    limit = 50
    found = train(toy(lr_find=True, run_dir="a"))
    assert (found["steps"], found["ended"]) == (50, "a step was not finite")
    limit = 3
    with pytest.raises(DivergenceError, match="a step was not finite after 3 steps of the range test, too few"):
        train(toy(lr_find=True, run_dir="b"))
    assert not Path("b").exists()


def test_a_test_that_ends_before_the_loss_rises_suggests_nothing(here: Path, toy: Toy) -> None:
    with pytest.raises(ConfigError, match=r"max_seconds=1e-06 ended|max_seconds=1e-06 was reached after 1 steps"):
        train(toy(lr_find=True, max_seconds=1e-6))
    assert not Path("runs").exists()


def test_what_does_not_go_together_is_refused(here: Path, toy: Toy) -> None:
    with pytest.raises(ConfigError, match="`lr_find` tries rates on fresh weights and keeps none; leave out `resume`"):
        check(TrainConfig(lr_find=True, resume=True, run_dir="a"))
    with pytest.raises(ConfigError, match="`max_steps` must be at least 40 with `lr_find`, one rate a step, but is 6"):
        run(["train", "lr_find=true", "debug=fast"])


def test_a_sweep_shows_what_each_job_suggests(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["dataset=copy", "dataset.train_size=64", "dataset.valid_size=4", "dataset.test_size=4", "max_steps=40",
             "model=seq2seq", "model.hidden_size=8", "model.embedding_size=8", "device=cpu"]  # fmt: skip
    assert run(["train", "-m", "lr_find=true", "optimizer=sgd,adam", *small]) == 0
    table = capsys.readouterr().out.split("job ")[1].splitlines()
    assert [line.split()[1] for line in table[1:3]] == ["sgd", "adam"]
    assert all("optimizer.lr=" in line for line in table[1:3])
