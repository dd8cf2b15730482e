"""Nothing is lost: runs of `zoo-train` in processes of their own that are stopped, killed, moved and starved."""

import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from processes import (
    FAULTY,
    RICH,
    ZOO_TRAIN,
    killed,
    newest_step,
    outcome,
    start,
    strays,
    train,
    train_with,
    trained,
    until,
    wait,
    words,
)

from zoo.storage import list_checkpoints

pytestmark = pytest.mark.slow

EPOCH = 7
"""Batches of an epoch of the toy data."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where `run` was trained without a fault; `rows.txt` holds the rows of its batches."""
    here = tmp_path_factory.mktemp("plain")
    trained(train_with(here, "rows=rows.txt"))
    assert newest_step(here / "run") == 2 * EPOCH
    return here


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where a run that uses all that a checkpoint holds was trained without a fault."""
    here = tmp_path_factory.mktemp("rich")
    trained(train(here, **RICH))
    return here


def same(here: Path, other: Path) -> None:
    """Check that the runs of two directories are equal to the bit, and that the first left nothing stray."""
    assert outcome(here / "run") == outcome(other / "run")
    assert strays(here) == []


def test_the_same_run_twice_is_equal_to_the_bit(tmp_path: Path, plain: Path) -> None:
    trained(train(tmp_path))
    same(tmp_path, plain)


@pytest.mark.parametrize("step", [1, 3, EPOCH, EPOCH + 1])
def test_sigterm_saves_within_the_step_and_no_example_is_repeated_or_skipped(
    tmp_path: Path, plain: Path, step: int
) -> None:
    ended = train_with(tmp_path, f"signal={signal.SIGTERM:d}={step}", "rows=rows.txt")
    assert ended.code == 143
    assert f"stopped, saved at step {step}; continue with: zoo-train resume=run\n" in ended.err
    assert "Traceback" not in ended.err
    assert newest_step(tmp_path / "run") == step
    trained(train_with(tmp_path, "rows=rows.txt", resume="run", run_dir=""))
    same(tmp_path, plain)
    assert (tmp_path / "rows.txt").read_text() == (plain / "rows.txt").read_text()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a system without SIGHUP")
@pytest.mark.usefixtures("hangups")
def test_a_closed_terminal_saves_within_the_step_unless_nohup_is_to_outlive_it(tmp_path: Path, plain: Path) -> None:
    hangup = f"signal={signal.SIGHUP:d}=3"
    ended = train_with(tmp_path, hangup)
    assert ended.code == 129
    assert "stopped, saved at step 3; continue with: zoo-train resume=run\n" in ended.err
    trained(wait(start(tmp_path, "nohup", sys.executable, FAULTY, hangup, "--", *words({"resume": "true"}))))
    same(tmp_path, plain)


def test_all_that_a_run_has_is_restored_after_stops_and_kills(tmp_path: Path, rich: Path) -> None:
    told = outcome(rich / "run")
    assert told["state"]["bad_epochs"] == 2, "it did not stop early"
    assert len({line["lr"] for line in told["metrics"]}) > 1, "the plateau was not tried"
    assert train_with(tmp_path, f"signal={signal.SIGINT:d}=3", **RICH).code == 130
    killed(train_with(tmp_path, f"signal={signal.SIGKILL:d}=8", **RICH, resume="true"))
    killed(train_with(tmp_path, f"signal={signal.SIGKILL:d}=11", **RICH, resume="true"))
    trained(train(tmp_path, **RICH, resume="true"))
    same(tmp_path, rich)


def test_a_second_ctrl_c_ends_a_run_within_a_second_and_the_older_checkpoint_loads(tmp_path: Path, plain: Path) -> None:
    process = start(tmp_path, sys.executable, FAULTY, "linger=6=600", "--", *words({"save_every": "1"}))
    until(lambda: newest_step(tmp_path / "run") == 5, process)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    ended = wait(process)
    assert ended.code == 130
    assert ended.seconds < 10, "less than a second on a machine that does nothing else"
    assert newest_step(tmp_path / "run") == 5
    trained(train(tmp_path, resume="true"))
    same(tmp_path, plain)


def test_ctrl_c_while_torch_is_imported_is_quiet_and_leaves_nothing(tmp_path: Path) -> None:
    process = start(tmp_path, ZOO_TRAIN, *words({}))
    until((tmp_path / "run" / ".lock").exists, process)
    process.send_signal(signal.SIGINT)
    ended = wait(process)
    assert (ended.code, ended.out, ended.err) == (130, "", "interrupted\n")
    assert list(tmp_path.iterdir()) == []


STAGES = ["before", "half", "before-rename", "after-rename", "before-unlink", "after-unlink"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_at_any_stage_of_a_save_loses_nothing(tmp_path: Path, plain: Path, stage: str) -> None:
    killed(train_with(tmp_path, f"kill={stage}=step-00000009", save_every="3"))
    renamed = stage in ("after-rename", "before-unlink", "after-unlink")
    assert newest_step(tmp_path / "run") in ({9} if renamed else {6, 7})
    trained(train(tmp_path, resume="true", save_every="3"))
    same(tmp_path, plain)


@pytest.mark.parametrize("name", ["best.safetensors", "config.yaml", "results.json", "coding.json"])
def test_a_kill_while_another_file_is_half_written_loses_nothing(tmp_path: Path, plain: Path, name: str) -> None:
    killed(train_with(tmp_path, f"kill=half={name}"))
    assert strays(tmp_path) != [".lock"], "no half of a file was there"
    trained(train(tmp_path, resume="true"))
    same(tmp_path, plain)


def kill_at_random(here: Path, generator: random.Random) -> None:
    """Kill a training that goes on in `run` at some moment, and check that all saves before are there."""
    config = here / "run" / "config.yaml"
    before = config.stat().st_mtime_ns if config.exists() else 0
    process = start(here, ZOO_TRAIN, *words({"save_every": "1", "resume": "true"}))
    while process.poll() is None and not (config.exists() and config.stat().st_mtime_ns > before):
        time.sleep(0.01)
    time.sleep(generator.uniform(0, 0.4))
    reported = [path.name for path in list_checkpoints(here / "run" / "checkpoints")[:1]]
    process.kill()
    assert "Traceback" not in wait(process).err
    assert [f"step-{newest_step(here / 'run'):08d}.safetensors"] >= reported, "a save that was seen is missing"


@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.nightly)])
def test_kills_at_random_moments_lose_nothing(tmp_path: Path, plain: Path, kills: int) -> None:
    generator = random.Random(kills)
    for number in range(1, kills + 1):
        kill_at_random(tmp_path, generator)
        if number == kills or (tmp_path / "run" / "results.json").exists():
            trained(train(tmp_path, resume="true", save_every="1"))
            same(tmp_path, plain)
            shutil.rmtree(tmp_path / "run")
