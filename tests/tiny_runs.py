"""Models for runs of a second, how such a run is stopped, and what must be equal to the bit of two of them."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import outcome

from zoo.config import ClassifierConfig, Encoder, ToyConfig, TrainConfig, TransformerConfig
from zoo.record import Recorder

Toy = Callable[..., TrainConfig]
TINY = TransformerConfig(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8)
PARITY = ToyConfig(name="parity", symbols=4, max_length=4, train_size=48, valid_size=8, test_size=8)
BAG = ClassifierConfig(encoder=Encoder.bag, embedding_size=8, hidden_size=8)


def story(run: str | Path) -> dict[str, Any]:
    """Return all of a run that must be equal to the bit; of an epoch that was measured again, the last figures."""
    told = outcome(Path(run))
    return {**told, "metrics": {line["epoch"]: line for line in told["metrics"]}}


def files_of(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM) -> None:
    """Send this process a signal during a step, whose curves must be drawn (log_every=1)."""
    draw = Recorder.step

    def stopping(self: Recorder, *, step: int, **values: float | None) -> None:
        draw(self, step=step, **values)
        if step == last:
            signal.raise_signal(number)

    last = step
    monkeypatch.setattr(Recorder, "step", stopping)
