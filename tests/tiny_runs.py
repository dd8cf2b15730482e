"""Models for runs of a second, how such a run is stopped, and what must be equal to the bit of two of them."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.checkpoint import load_checkpoint
from zoo.config import ClassifierConfig, Encoder, ToyConfig, TrainConfig, TransformerConfig
from zoo.record import Recorder
from zoo.storage import list_checkpoints

Toy = Callable[..., TrainConfig]
TINY = TransformerConfig(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8)
PARITY = ToyConfig(name="parity", symbols=4, max_length=4, train_size=48, valid_size=8, test_size=8)
BAG = ClassifierConfig(encoder=Encoder.bag, embedding_size=8, hidden_size=8)


def bits(path: Path) -> dict[str, tuple[Any, ...]]:
    tensors = load_checkpoint(path).tensors
    return {
        name: (tensor.dtype, tuple(tensor.shape), tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        for name, tensor in tensors.items()
        if tensor.numel()
    }


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def story(run: str | Path) -> dict[str, Any]:
    """Return all of a run that must be equal to the bit: the times that it took are left out."""
    run = Path(run)
    newest, best = list_checkpoints(run / "checkpoints")[0], run / "checkpoints" / "best.safetensors"
    state, results = load_checkpoint(newest).state, json.loads((run / "results.json").read_text())
    state["loop"].pop("seconds")
    state["loop"]["totals"].pop("seconds")
    results.pop("seconds")
    times = ("seconds", "tokens_per_second", "waited")
    epochs = {
        line["epoch"]: {k: v for k, v in line.items() if k not in times} for line in lines_of(run) if "epoch" in line
    }
    return {
        "newest": newest.name,
        "weights": bits(newest),
        "state": state,
        "best": bits(best),
        "best state": load_checkpoint(best).state,
        "metrics": epochs,  # the last line of each epoch
        "results": results,
    }


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
