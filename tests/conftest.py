"""What the tests share: one thread, no pictures of a display, and a training small enough for a second."""

import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tuning import RATES, TOY

from zoo.config import (
    Attention,
    Cell,
    ConstantConfig,
    Device,
    Precision,
    Seq2SeqConfig,
    ToyConfig,
    TrainConfig,
    check,
)
from zoo.experiment import Ended, Watch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Take back what Hydra's --info leaves in the root logger: everything is logged, to the streams of one test."""
    yield
    for handler in [handler for handler in logging.root.handlers if type(handler) is logging.StreamHandler]:
        logging.root.removeHandler(handler)
    logging.root.setLevel(logging.WARNING)


@pytest.fixture
def hangups() -> Iterator[None]:
    """Let SIGHUP reach what a test starts, also where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def toy() -> Callable[..., TrainConfig]:
    """Return what makes the config of a training that takes a fraction of a second; keywords change it."""

    def make(**changes: Any) -> TrainConfig:
        model = Seq2SeqConfig(cell=Cell.gru, embedding_size=8, hidden_size=8, attention=Attention.none, dropout=0.2)
        dataset = ToyConfig(symbols=4, max_length=4, train_size=48, valid_size=8, test_size=8)
        options: dict[str, Any] = {
            "model": model,
            "dataset": dataset,
            "scheduler": ConstantConfig(),
            "epochs": 2,
            "batch_tokens": 40,
            "device": Device.cpu,
            "precision": Precision.fp32,
        }
        config = TrainConfig(**{**options, **changes})
        check(config)
        return config

    return make


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Collect the configs that the command line would train."""
    configs: list[TrainConfig] = []
    monkeypatch.setattr("zoo.cli.train._train_one", lambda config, swept=(): configs.append(config))
    return configs


@pytest.fixture
def rates(here: Path) -> list[str]:
    """Return the arguments of a search for one of two rates."""
    (here / "rates.yaml").write_text(RATES)
    return ["tune", *TOY, "--space", "rates.yaml", "--out", "found"]


@pytest.fixture
def scripted(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Train nothing: the value is 0.5 + dropout, and epochs come close to it; some dropouts fail. Return the trials."""
    (here / "space.yaml").write_text("model.dropout: {low: 0.0, high: 0.9, step: 0.1}\n")
    trained: list[TrainConfig] = []

    def pretend(config: TrainConfig, *, watch: Watch) -> dict[str, Any]:
        trained.append(config)
        value = 0.5 + config.model.dropout / 2
        for epoch in range(1, config.epochs + 1):
            if watch.late:
                raise Ended
            watch.after_epoch(epoch, {"valid_accuracy": value}, epoch == config.epochs)
        valid = {"accuracy": value}
        return {"valid": valid, "best_epoch": 1, "epochs": config.epochs, "seconds": 1.0, "run_dir": config.run_dir}

    monkeypatch.setattr("zoo.tune.search.train", pretend)
    return trained


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `zoo prepare` write shards of 64 rows."""
    monkeypatch.setattr("zoo.data.blocks.ROWS", 64)
