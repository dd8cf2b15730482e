"""A profile of a few steps: a trace that other programs open, and a table."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zoo.cli import run
from zoo.config import TrainConfig
from zoo.experiment import train

Toy = Callable[..., TrainConfig]
SMALL = ["model=seq2seq", "model.hidden_size=8", "model.embedding_size=8", "dataset=copy", "dataset.train_size=400",
         "dataset.valid_size=8", "dataset.test_size=8", "batch_tokens=64", "device=cpu"]  # fmt: skip


def test_a_profile_is_a_trace_and_a_table(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "debug=profile", *SMALL, "run_dir=run"]) == 0
    events = json.loads(gzip.decompress(Path("run/profile/trace.json.gz").read_bytes()))["traceEvents"]
    names = {event.get("name") for event in events}
    assert {f"ProfilerStep#{number}" for number in range(5, 15)} <= names
    assert "ProfilerStep#4" not in names
    assert "aten::mm" in names
    assert "Self CPU" in Path("run/profile/operators.txt").read_text()
    told = capsys.readouterr().err
    assert "open run/profile/trace.json.gz at https://ui.perfetto.dev or in chrome://tracing" in told
    board = EventAccumulator("run").Reload()
    assert "profile/text_summary" in board.Tags()["tensors"]


def test_a_run_that_ends_before_there_is_anything_to_profile_says_so(here: Path, toy: Toy) -> None:
    path = Path(train(toy(profile=3, max_steps=3))["run_dir"])
    assert not (path / "profile").exists()
    assert "the run ended before step 6, so nothing was profiled; raise max_steps" in (path / "train.log").read_text()


def test_a_run_that_ends_amid_a_profile_leaves_what_there_is(here: Path, toy: Toy) -> None:
    path = Path(train(toy(profile=100, max_steps=8))["run_dir"])
    assert (path / "profile" / "trace.json.gz").exists()
