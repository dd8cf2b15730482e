"""No stop of a run changes its outcome: at a step, by a signal, in a crash, before its end and after it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from processes import metrics_of
from tiny_runs import TINY, Toy, files_of, stop_at, story

from zoo import training
from zoo.checkpoint import load_checkpoint
from zoo.config import PlateauConfig, TrainConfig, WarmupCosineConfig
from zoo.errors import ConfigError
from zoo.experiment import measure, saving, session, train
from zoo.experiment.directory import RunDirectory
from zoo.record import Recorder
from zoo.storage import list_checkpoints


def whole(toy: Toy, **changes: Any) -> TrainConfig:
    """Return a run of 16 steps, whose validation loss rises and falls, that uses all that a checkpoint must hold."""
    options: dict[str, Any] = {"epochs": 4, "ema": 0.5, "accumulate": 2, "batch_tokens": 24, "save_every": 2}
    options |= {"scheduler": PlateauConfig(patience=0), "monitor": "loss", "clip": 0.5, "log_every": 1}
    config = toy(**{**options, **changes})
    config.optimizer.lr = 0.3
    return config


def steps_of(run: str) -> int:
    return int(json.loads((Path(run) / "results.json").read_text())["steps"])


def test_a_run_stopped_by_max_steps_anywhere_and_resumed_equals_one_that_was_not(here: Path, toy: Toy) -> None:
    expected = train(whole(toy))
    assert len({line["lr"] for line in metrics_of(Path(expected["run_dir"]))}) > 1, "the plateau was not tried"
    told, best = story(expected["run_dir"]), expected["valid"]["loss"]
    better = False
    for step in range(1, expected["steps"]):
        stopped = train(whole(toy, max_steps=step, run_dir=f"stopped-{step}"))
        assert stopped["steps"] == step
        better |= stopped["valid"]["loss"] < best
        resumed = train(whole(toy, run_dir=f"stopped-{step}", resume=True))
        assert story(resumed["run_dir"]) == told, f"stopped at step {step}"
    assert better, "no part of an epoch was better than all whole ones"


def test_a_run_stopped_by_a_signal_anywhere_and_resumed_equals_one_that_was_not(
    here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"scheduler": WarmupCosineConfig(), "save_every": 0, "model": TINY, "epochs": 2}
    expected = train(whole(toy, **options))["run_dir"]
    for step in range(1, steps_of(expected) + 1):
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            with pytest.raises(SystemExit) as caught:
                train(whole(toy, **options, run_dir=f"stopped-{step}"))
        assert caught.value.code == 128 + signal.SIGTERM
        run = Path(f"stopped-{step}")
        assert list_checkpoints(run / "checkpoints")[0].name == f"step-{step:08d}.safetensors"
        assert f"saved at step {step}; continue with: zoo-train resume={run}" in (run / "train.log").read_text()
        train(whole(toy, **options, run_dir=str(run), resume=True))
        assert story(run) == story(expected), f"stopped at step {step}"
        assert {"resumed_at_step": step} in metrics_of(run)


def test_a_signal_while_processes_agree_on_the_last_one_ends_the_run_after_the_next_step(
    here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def agree(value: int) -> int:
        asked.append(value)
        if len(asked) == 2:
            signal.raise_signal(signal.SIGTERM)
        return value  # as it was before the signal

    monkeypatch.setattr(session, "largest", agree)
    with pytest.raises(SystemExit):
        train(toy(run_dir="run", epochs=1))
    assert asked == [0, 0, signal.SIGTERM]
    assert "stopped, saved at step 3; continue with" in Path("run/train.log").read_text()


CRASHES = {
    "while validating": (training, "validate", 2),
    "while outputs are decoded": (measure, "judge_outputs", 2),
    "after the best is kept": (Recorder, "epoch", 2),
    "at a save": (saving, "save_checkpoint", 4),
    "after a save": (saving, "prune", 5),
    "after a step, unsaved": (Recorder, "step", 7),
    "at the final evaluation": (measure, "evaluate", 1),
    "before the results": (RunDirectory, "write_results", 1),
}


@pytest.mark.parametrize("when", CRASHES)
def test_a_crash_anywhere_changes_nothing_of_the_outcome(
    here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    expected = train(whole(toy))["run_dir"]
    holder, name, call = CRASHES[when]
    inner, calls = getattr(holder, name), []

    def crash(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise RuntimeError("power cut")
        return inner(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(holder, name, crash)
        with pytest.raises(RuntimeError, match="power cut"):
            train(whole(toy, run_dir="crashed"))
    assert not Path("crashed/results.json").exists()
    train(whole(toy, run_dir="crashed", resume=True))
    assert story("crashed") == story(expected)


def test_a_damaged_newest_checkpoint_is_named_and_the_run_goes_on_from_the_one_before(
    here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = train(whole(toy))["run_dir"]
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(SystemExit):
            train(whole(toy, run_dir="damaged"))
    newest = list_checkpoints(Path("damaged/checkpoints"))[0]
    newest.write_bytes(newest.read_bytes()[:-7])
    train(whole(toy, run_dir="damaged", resume=True))
    assert f"{newest.name}: not a readable checkpoint" in capsys.readouterr().err
    assert f"{newest.name}: not a readable checkpoint" in Path("damaged/train.log").read_text()
    assert story("damaged") == story(expected)


def test_early_stopping_counts_on_over_a_stop(here: Path, toy: Toy) -> None:
    options: dict[str, Any] = {"epochs": 30, "patience": 2, "monitor": "loss", "direction": "max"}
    config = toy(**options)
    config.optimizer.lr = 0.05
    expected = train(config)
    assert 3 <= expected["epochs"] < 30  # the loss falls, and large is asked for: the first epoch stays the best
    assert expected["best_epoch"] == 1
    steps = expected["steps"] // expected["epochs"]
    for step in (steps, steps + 2, 2 * steps):
        for max_steps, resume in ((step, False), (0, True)):
            again = toy(**options, run_dir=f"stopped-{step}", max_steps=max_steps, resume=resume)
            again.optimizer.lr = 0.05
            train(again)
        assert story(f"stopped-{step}") == story(expected["run_dir"])


@pytest.mark.parametrize("max_steps", [0, 2])
def test_a_finished_run_that_is_resumed_changes_no_file(here: Path, toy: Toy, max_steps: int) -> None:
    results = train(toy(run_dir="run", max_steps=max_steps))
    before = files_of(Path("run"))
    again = train(toy(run_dir="run", max_steps=max_steps, resume=True))
    assert again == {**results, "already_finished": True}
    assert train(toy(resume="run", max_steps=max_steps)) == again
    assert files_of(Path("run")) == before


def test_options_that_a_finished_run_would_pass_over_are_refused(here: Path, toy: Toy) -> None:
    train(toy(run_dir="run"))
    before = files_of(Path("run"))
    with pytest.raises(ConfigError, match=r"run has finished, so clip=0\.5 would have no effect; raise epochs"):
        train(toy(run_dir="run", resume=True, clip=0.5))
    assert files_of(Path("run")) == before


def test_a_run_ends_at_max_steps_even_where_it_was_killed_before_its_validation(
    here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train(toy(max_steps=3))["run_dir"]
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(SystemExit):
            train(toy(max_steps=3, run_dir="run", log_every=1))
    assert train(toy(max_steps=3, run_dir="run", log_every=1, resume=True))["steps"] == 3
    assert story("run") == story(expected)


def test_results_do_not_outlive_the_run_that_goes_on(here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = train(toy(epochs=1, run_dir="run"))["steps"]
    stop_at(monkeypatch, steps + 1, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(toy(epochs=2, run_dir="run", log_every=1, resume=True))
    assert not Path("run/results.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_ends_with_its_code_and_the_run_goes_on(here: Path, number: int, code: int) -> None:
    command = [sys.executable, "-m", "zoo", "train", "model=seq2seq", "dataset=copy", "run_dir=run", "epochs=500"]
    command += ["model.hidden_size=16", "model.embedding_size=8", "device=cpu", "log_every=1", "valid_limit=10"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 120
    while not list_checkpoints(Path("run/checkpoints")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    newest = list_checkpoints(Path("run/checkpoints"))[0]
    step = load_checkpoint(newest).state["loop"]["step"]
    assert f"stopped, saved at step {step}; continue with: zoo-train resume=run" in errors
    again = subprocess.run([*command, "resume=true", f"max_steps={step + 3}"], env=environment, timeout=120,
                           capture_output=True, text=True)  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert f"resumed run at step {step}" in again.stderr
    assert json.loads(Path("run/results.json").read_text())["steps"] == step + 3


def test_signals_mean_what_they_meant_before_once_a_run_is_over(here: Path, toy: Toy) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train(toy(epochs=1))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
