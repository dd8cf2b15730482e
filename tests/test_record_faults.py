"""What cannot be written is warned of once, and training goes on without it."""

import errno
import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.summary.writer.record_writer import RecordWriter

import zoo.record.recorder
from zoo.record import Recorder


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_full_disk_is_warned_of_once_and_training_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo.record.recorder, "_without_links", lambda path, flags: os.open("/dev/full", flags))
    with Recorder(tmp_path) as recorder:
        for epoch in (1, 2):
            recorder.epoch(epoch=epoch, step=epoch, values={"train_loss": 1.0})
    err = capsys.readouterr().err.splitlines()
    assert [line for line in err if line.startswith("epoch")] == ["epoch 1: loss 1", "epoch 2: loss 1"]
    warned = [line for line in err if line.startswith("warning")]
    assert len(warned) == 2
    assert all("cannot be written (No space left on device); training goes on without it" in line for line in warned)


def test_a_dead_event_file_is_warned_of_once_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = threading.excepthook
    recorder = Recorder(tmp_path)
    monkeypatch.setattr(RecordWriter, "write", full)
    for step in range(30):
        recorder.step(step=step, loss=1.0)
    recorder.epoch(epoch=1, step=30, values={"train_loss": 1.0})
    recorder.samples(30, [("a", "b", "c")])
    recorder.attention(30, "a", np.ones((1, 1)), ["a"], ["b"])
    recorder.hparams({"a": 1}, {"b": 1.0})
    recorder.close()
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 2
    assert "TensorBoard's event file" in err[0]
    assert "No space left on device" in err[0]
    assert err[1].startswith("epoch 1")
    assert lines(tmp_path)[0]["step"] == 30
    assert threading.excepthook is before


class HalfWritten:
    """A file that takes half of what it is given, as one on a disk that fills up."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> "HalfWritten":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, data: bytes) -> int:
        return int(self.file.write(data[: len(data) // 2]))


def test_a_broken_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorder(tmp_path, console=False) as recorder:
        recorder.epoch(epoch=1, step=1, values={})
        half: Any = lambda *words, **options: HalfWritten(open(*words, **options))  # noqa: E731, SIM115
        monkeypatch.setattr(zoo.record.recorder, "open", half, raising=False)
        recorder.epoch(epoch=2, step=2, values={})
        monkeypatch.undo()
        recorder.epoch(epoch=3, step=3, values={})
    assert [line["epoch"] for line in lines(tmp_path)] == [1, 3]


def test_a_console_that_went_away_does_not_stop_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    with Recorder(tmp_path) as recorder:
        recorder.note("first")
        recorder.note("second")
    assert (tmp_path / "train.log").read_text().count("\n") == 2


def test_closing_twice_does_no_harm_and_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    recorder = Recorder(tmp_path, console=False)
    recorder.close()
    recorder.close()
    recorder.step(step=1, loss=1.0)
    assert threading.active_count() == before
