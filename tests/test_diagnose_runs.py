"""Runs made to have a fault are told of it, from what they record."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from curves import faults, overrides

from zoo.cli import run
from zoo.cli.diagnose import diagnosis
from zoo.cli.train import summary
from zoo.config import (
    AdamConfig,
    Cell,
    ClassifierConfig,
    Encoder,
    LabelledConfig,
    MomentumConfig,
    Seq2SeqConfig,
    ToyConfig,
    TrainConfig,
    WarmupCosineConfig,
)
from zoo.diagnose import Curves, diagnose, read_curves
from zoo.errors import DivergenceError
from zoo.experiment import train
from zoo.record.text import epoch_line

Toy = Callable[..., TrainConfig]
SMALL = Seq2SeqConfig(cell=Cell.gru, embedding_size=16, hidden_size=32, dropout=0.0)
COPY = ToyConfig(symbols=4, max_length=5, train_size=900, valid_size=250, test_size=20)
PARITY = replace(COPY, name="parity")


def trained(toy: Toy, **changes: Any) -> Curves:
    """Train, and return what the run left to read."""
    options = {"run_dir": "run", "model": SMALL, "dataset": COPY, "optimizer": AdamConfig(lr=0.02), "epochs": 6,
               "scheduler": WarmupCosineConfig(), "batch_tokens": 200, "valid_limit": 40, "test_limit": 1}  # fmt: skip
    results = train(toy(**{**options, **changes}))
    return read_curves(Path(results["run_dir"]))


def test_a_sound_run_has_no_fault(here: Path, toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    found = trained(toy, dataset=replace(COPY, train_size=2000), epochs=7, batch_tokens=300, valid_limit=0)
    assert found.errors[-1] < 0.1
    assert diagnose(found) == []
    assert "check" not in summary({**found.results, "run_dir": "run"})
    capsys.readouterr()
    assert run(["diagnose", "run"]) == 0
    assert capsys.readouterr().out == "run: 7 epochs\nnothing found\n"


def test_a_run_on_a_few_rows_over_fits(here: Path, toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    found = diagnose(trained(toy, dataset=replace(COPY, limit=12), epochs=25))
    assert found[0].fault == "over-fitting"
    assert "dataset.limit=0" in overrides(found[0])
    last = summary({**read_curves(Path("run")).results, "run_dir": "run"}).splitlines()[-2]
    assert last == f"check  {', '.join(one.what for one in found)}; see zoo diagnose run"
    capsys.readouterr()
    assert run(["diagnose", "run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["run"], told["epochs"], told["ended"]) == ("run", 25, True)
    assert told["findings"][0] == found[0].to_dict()
    assert told["findings"][0]["severity"] == "serious"
    assert run(["diagnose", "run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == f"1. {found[0].what} (serious)"
    assert any(line.startswith("   try  model.dropout=0.3 ") for line in lines)


def test_a_run_of_two_units_under_fits(here: Path, toy: Toy) -> None:
    narrow = replace(SMALL, hidden_size=2, embedding_size=2)
    found = diagnose(trained(toy, model=narrow, dataset=replace(COPY, symbols=12), epochs=8))
    assert found[0].fault == "under-fitting"
    assert "model.hidden_size=256" in overrides(found[0])


def test_a_run_with_a_rate_far_too_high_is_told_so(here: Path, toy: Toy) -> None:
    found = diagnose(trained(toy, optimizer=AdamConfig(lr=2.0)))
    assert "learning rate too high" in [one.fault for one in found]


def test_a_run_with_a_rate_far_too_low_is_told_so(here: Path, toy: Toy) -> None:
    found = diagnose(trained(toy, optimizer=AdamConfig(lr=1e-5), epochs=4))
    assert "learning rate too low" in [one.fault for one in found]


def test_a_run_that_diverges_is_told_so_without_an_epoch(here: Path, toy: Toy) -> None:
    with pytest.raises(DivergenceError):
        trained(toy, optimizer=MomentumConfig(lr=1e5), clip=0.0, run_dir="runs/lost")
    assert diagnosis("last")["run"] == "runs/lost"
    found = diagnose(read_curves(Path("runs/lost")))
    assert found[0].fault == "divergence"
    assert "optimizer.lr=0.1" in overrides(found[0])


def test_a_run_on_labels_out_of_balance_is_told_so(here: Path, toy: Toy) -> None:
    rows = [
        f"{'a' * (1 + n % 7)} {'b' * (1 + n % 11)} {n}\t{'rare' if n % 20 == 0 else 'common'}\n" for n in range(600)
    ]
    Path("train.tsv").write_text("".join(rows))
    model = ClassifierConfig(encoder=Encoder.bag, embedding_size=8, hidden_size=8)
    found = trained(toy, model=model, dataset=LabelledConfig(train="train.tsv"), epochs=3)
    assert sum(found.labels.values()) < 600  # a part is held out
    assert "labels out of balance" in faults(found)


def test_dead_units_are_recorded_of_modules_and_not_of_functions(here: Path, toy: Toy) -> None:
    for name in ("classifier", "classifier_functional"):
        model = ClassifierConfig(name=name, encoder=Encoder.bag, embedding_size=8, hidden_size=8)
        found = trained(toy, model=model, dataset=PARITY, epochs=1, run_dir=name)
        assert np.isnan(found.of("valid_dead_units")).all() == (name == "classifier_functional")


def test_results_hold_the_sizes_of_the_parts_and_the_labels(here: Path, toy: Toy) -> None:
    model = ClassifierConfig(encoder=Encoder.bag, embedding_size=8, hidden_size=8)
    found = trained(toy, model=model, dataset=PARITY, epochs=1)
    assert found.results["sizes"] == {"train": 900, "valid": 250, "test": 20}
    assert set(found.labels) == {"even", "odd"}
    assert sum(found.labels.values()) == 900
    assert (found.of("waited") > 0).all()
    assert (found.of("waited") < 1).all()


def test_what_is_recorded_for_it_stays_out_of_the_line_to_read() -> None:
    values = {"train_loss": 1.0, "waited": 0.1, "skipped_steps": 0, "valid_dead_units": 0.2}
    assert epoch_line(1, 2, values) == "epoch 1/2: loss 1"
