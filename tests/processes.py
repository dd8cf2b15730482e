"""The real `zoo-train` in processes of its own, on toy data, and what must be equal to the bit afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from zoo.checkpoint import load_checkpoint
from zoo.storage import list_checkpoints

FAULTY = Path(__file__).with_name("faulty_train.py")
ZOO_TRAIN = Path(sys.executable).with_name("zoo-train")
PATIENCE = 240
"""Seconds after which a process counts as hanging; a busy machine may need many."""

TOY = {
    "model": "transformer",
    "model.d_model": "8",
    "model.nhead": "2",
    "model.num_encoder_layers": "1",
    "model.num_decoder_layers": "1",
    "model.dim_feedforward": "8",
    "model.dropout": "0.2",
    "dataset": "copy",
    "dataset.symbols": "4",
    "dataset.max_length": "4",
    "dataset.train_size": "40",
    "dataset.valid_size": "8",
    "dataset.test_size": "8",
    "batch_tokens": "24",
    "epochs": "2",
    "seed": "0",
    "device": "cpu",
    "precision": "fp32",
    "log_every": "1",
    "run_dir": "run",
}
"""A training of a second with dropout: two epochs of seven batches."""

RICH = {
    "epochs": "4",
    "accumulate": "2",
    "ema": "0.5",
    "scheduler": "plateau",
    "scheduler.patience": "0",
    "monitor": "loss",
    "patience": "2",
    "optimizer.lr": "0.3",
    "save_every": "2",
}
"""Overrides with which a checkpoint has to hold all that it can hold."""


class Ended(NamedTuple):
    """How a process ended."""

    code: int
    out: str
    err: str
    seconds: float

    def line(self) -> str:
        """Return the one line of the error; there is no other, and no traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert "Traceback" not in self.err, self.err
        assert len(lines) == 1, self.err
        return lines[0]


def words(changes: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in {**TOY, **changes}.items() if value]


def start(here: Path, *command: str | Path, out: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    """Start a command in a directory, on one thread, with little room for what oneDNN keeps of each new shape."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::ResourceWarning",
                   "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}  # fmt: skip
    return subprocess.Popen([str(word) for word in command], cwd=here, env=environment, text=True,
                            stdout=out, stderr=subprocess.PIPE)  # fmt: skip


def wait(process: "subprocess.Popen[str]", since: float | None = None) -> Ended:
    begun = time.monotonic() if since is None else since
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return Ended(process.returncode, out, err, time.monotonic() - begun)


def zoo_train(here: Path, *overrides: str) -> Ended:
    """Run `zoo-train` with these words alone."""
    return wait(start(here, ZOO_TRAIN, *overrides))


def train(here: Path, **changes: str) -> Ended:
    """Run `zoo-train` on the toy data; keywords change its overrides, an empty text leaves one out."""
    return zoo_train(here, *words(changes))


def train_with(here: Path, *faults: str, **changes: str) -> Ended:
    """Run the same on a machine that fails."""
    return wait(start(here, sys.executable, FAULTY, *faults, "--", *words(changes)))


def trained(ended: Ended) -> Ended:
    """Return how a training ended, which must be well."""
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err, ended.err
    return ended


def killed(ended: Ended) -> None:
    assert ended.code == -signal.SIGKILL, ended.err


def tensors_of(path: Path) -> dict[str, tuple[Any, ...]]:
    """Return all bits of the tensors of a checkpoint."""
    return {
        name: (tensor.dtype, tuple(tensor.shape), tensor.reshape(-1).view(torch.uint8).tolist())
        for name, tensor in load_checkpoint(path).tensors.items()
    }


def outcome(run: Path) -> dict[str, Any]:
    """Return all that an interrupted run and one that was not must have in common; the times they took are left out."""
    newest, best = list_checkpoints(run / "checkpoints")[0], run / "checkpoints" / "best.safetensors"
    state, results = load_checkpoint(newest).state, json.loads((run / "results.json").read_text())
    for values in (results, state["loop"], state["loop"]["totals"]):
        values.pop("seconds")
    return {
        "newest": newest.name,
        "tensors": tensors_of(newest),
        "state": state,
        "best": tensors_of(best),
        "best state": load_checkpoint(best).state,
        "metrics": [
            {key: value for key, value in line.items() if key not in ("seconds", "tokens_per_second", "waited")}
            for line in metrics_of(run)
            if "epoch" in line
        ],
        "results": results,
    }


def metrics_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def newest_step(run: Path) -> int:
    """Return the step of the newest checkpoint, 0 where there is none; it must be whole."""
    paths = list_checkpoints(run / "checkpoints")
    return int(load_checkpoint(paths[0]).state["loop"]["step"]) if paths else 0


def files_of(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and the time of every file."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def strays(directory: Path) -> list[str]:
    """Return the files that no finished run should leave."""
    return [path.name for path in directory.rglob("*") if path.name.endswith((".tmp", ".lock"))]


def until(condition: Callable[[], Any], process: "subprocess.Popen[str]") -> None:
    """Wait for a condition while a process runs."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
