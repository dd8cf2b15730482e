"""Machines that run out of disk, memory and numbers, and directories that are wanted twice, met by `zoo-train`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import (
    FAULTY,
    TOY,
    ZOO_TRAIN,
    files_of,
    metrics_of,
    newest_step,
    outcome,
    start,
    strays,
    tensors_of,
    train,
    train_with,
    trained,
    until,
    wait,
    words,
)

from zoo.storage import list_checkpoints

pytestmark = pytest.mark.slow

OWN = {"dataset": "pairs", "dataset.train": "nowhere.tsv", **{key: "" for key in TOY if key.startswith("dataset.")}}
"""Overrides for data that are not there: who reads them first, ends with 3."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that was trained without a fault."""
    here = tmp_path_factory.mktemp("plain")
    trained(train(here))
    return here / "run"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of one MiB; skip where this process may not make one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here ({made.stderr.strip() or 'not root'})")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_ends_a_run_with_6_and_room_lets_it_go_on(disk: Path, plain: Path) -> None:
    assert train_with(disk, f"signal={signal.SIGTERM:d}=4").code == 143
    room = shutil.disk_usage(disk).free
    (disk / "filler").write_bytes(bytes(room - 30_000))
    ended = train(disk, resume="true")
    assert ended.code == 6
    told = re.search(r"\(No space left on device; ([\d,]+) bytes needed, ([\d,]+) free\)", ended.line())
    assert told is not None, ended.line()
    needed, free = (int(number.replace(",", "")) for number in told.groups())
    assert 30_000 >= free >= 0
    assert free < needed < 100_000
    assert newest_step(disk / "run") == 4
    assert len(strays(disk)) == 0
    (disk / "filler").unlink()
    trained(train(disk, resume="true"))
    assert outcome(disk / "run") == outcome(plain)


@pytest.mark.parametrize("words", [
    ("export", "run", "--format", "torch"),
    ("export", "run", "--format", "onnx"),
    ("compare", "run", "run"),
    ("explore", "run", "--data", "data.tsv", "--reduce", "pca"),
])  # fmt: skip
def test_a_full_disk_ends_what_is_made_of_a_run_with_6(
    disk: Path, tmp_path: Path, words: tuple[str, ...], plain: Path
) -> None:
    shutil.copytree(plain, tmp_path / "run")
    (tmp_path / "data.tsv").write_text("".join(f"{word}\t{word}\n" for word in ("a b", "b a", "a", "b", "a a")))
    (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - 12_000))
    ended = wait(start(tmp_path, sys.executable, "-m", "zoo", *words, "--out", "disk/made"))
    assert ended.code == 6, ended.err
    assert "disk/made" in ended.line()
    assert [path for path in disk.rglob("*") if path.name.endswith(".tmp")] == []


def test_a_save_without_room_leaves_the_one_before(tmp_path: Path, plain: Path) -> None:
    assert train_with(tmp_path, f"signal={signal.SIGTERM:d}=4").code == 143
    ended = train_with(tmp_path, "full=.step-", resume="true")
    assert ended.code == 6
    assert re.search(r"No space left on device; [\d,]+ bytes needed, [\d,]+ free", ended.line())
    assert newest_step(tmp_path / "run") == 4
    trained(train(tmp_path, resume="true"))
    assert outcome(tmp_path / "run") == outcome(plain)


@pytest.mark.parametrize("name", ["tfevents", "train.log", "metrics.jsonl"])
def test_a_disk_that_is_full_for_logs_alone_is_one_warning(tmp_path: Path, plain: Path, name: str) -> None:
    ended = trained(train_with(tmp_path, f"full={name}"))
    assert len([line for line in ended.err.splitlines() if line.startswith("warning: ")]) == 1
    assert tensors_of(list_checkpoints(tmp_path / "run/checkpoints")[0]) == tensors_of(
        list_checkpoints(plain / "checkpoints")[0]
    )


def test_output_that_is_read_only_ends_with_6_before_data_are_read(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for run_dir in ("", "run"):
        ended = train(disk, **OWN | {"run_dir": run_dir})
        assert ended.code == 6
        assert "Read-only file system" in ended.line()
        assert ended.seconds < 30, "less than 3 on a machine that does nothing else"


def test_output_at_the_place_of_a_file_ends_with_6_before_data_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of mine")
    before = files_of(tmp_path)
    for run_dir in ("file", "file/run"):
        ended = train(tmp_path, **OWN | {"run_dir": run_dir})
        assert ended.code == 6
        assert f"{run_dir}: cannot be made" in ended.line()
        assert ended.seconds < 30, "less than 3 on a machine that does nothing else"
    assert files_of(tmp_path) == before


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_file_is_synced_before_its_rename_and_the_directory_after_it(tmp_path: Path) -> None:
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2"
    ended = wait(start(tmp_path, "strace", "-f", "-y", "-e", calls, "-o", "calls", ZOO_TRAIN, *words({})))
    if "ptrace" in ended.err:
        pytest.skip("strace may not trace here")
    trained(ended)
    seen = (tmp_path / "calls").read_text()
    for name in ("step-00000014.safetensors", "best.safetensors", "results.json", "config.yaml"):
        directory = rf"[^<>]*/run{'/checkpoints' if 'safe' in name else ''}"
        order = rf'fsync\(\d+<{directory}/\.{name}\.\d+\.tmp>\) += 0\n.*rename\w*\([^\n]*"[^"]*{name}".* = 0\n'
        assert re.search(order + rf"[^\n]*fsync\(\d+<{directory}>\) += 0", seen), f"{name}\n{seen}"


@pytest.mark.parametrize("options", [{}, {"ema": "0.5", "save_every": "4", "clip": "0"}], ids=["plain", "averaged"])
def test_a_loss_of_nan_at_step_7_leaves_the_run_as_after_step_6(tmp_path: Path, options: dict[str, str]) -> None:
    ended = train_with(tmp_path, "nan=7", **options)
    assert ended.code == 5
    assert "the loss is no longer finite at step 7 (epoch 1, batch 7, learning rate" in ended.line()
    assert "the weights of step 6 are saved in run" in ended.line()
    assert train_with(tmp_path, f"signal={signal.SIGTERM:d}=6", **options, run_dir="other").code == 143
    for name in ("run", "other"):
        assert newest_step(tmp_path / name) == 6
    newest = [list_checkpoints(tmp_path / name / "checkpoints")[0] for name in ("run", "other")]
    assert tensors_of(newest[0]) == tensors_of(newest[1])
    assert train_with(tmp_path, "nan=7", **options, resume="true").code == 5
    trained(train(tmp_path, **options, resume="true"))
    trained(train(tmp_path, **options, run_dir="whole"))
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


@pytest.mark.parametrize(("model", "optimizer"), [("transformer", "sgd"), ("seq2seq", "adam"), ("classifier", "adam")])
def test_a_learning_rate_of_a_million_never_finishes(tmp_path: Path, model: str, optimizer: str) -> None:
    own = {key: "" for key in TOY if key.startswith("model.")} if model != "transformer" else {}
    own |= {"dataset": "parity"} if model == "classifier" else {}
    ended = train(tmp_path, **own | {"model": model, "optimizer": optimizer, "optimizer.lr": "1e6"})
    assert ended.code == 5
    assert "lower optimizer.lr" in ended.line()
    assert not (tmp_path / "run" / "results.json").exists()


def test_gradients_that_are_not_finite_are_skipped_within_a_budget_and_counted(tmp_path: Path) -> None:
    trained(train_with(tmp_path, "infinite=3=6"))
    assert json.loads((tmp_path / "run" / "results.json").read_text())["skipped_steps"] == 4
    ended = train_with(tmp_path, "infinite=3=14", run_dir="other")
    assert ended.code == 5
    assert "the gradient is no longer finite at step 13" in ended.line()
    assert newest_step(tmp_path / "other") == 12


@pytest.mark.parametrize(("step", "way"), [(9, "continue with: zoo-train resume=run "), (4, "start a new run with ")])
def test_memory_that_ran_out_names_the_overrides_and_leaves_the_last_checkpoint(
    tmp_path: Path, step: int, way: str
) -> None:
    ended = train_with(tmp_path, f"memory={step}")
    assert ended.code == 7
    assert f"memory ran out after step {step - 1}; {way}batch_tokens=12 accumulate=2" in ended.line()
    if step > 7:
        assert newest_step(tmp_path / "run") == 7
        trained(train(tmp_path, resume="run", run_dir="", batch_tokens="12", accumulate="2"))
        assert [line["epoch"] for line in metrics_of(tmp_path / "run") if "epoch" in line] == [1, 2]
        assert [line["step"] for line in metrics_of(tmp_path / "run") if "epoch" in line] == [7, 14]


def test_a_directory_in_use_ends_with_8_and_a_stale_lock_is_recovered(tmp_path: Path, plain: Path) -> None:
    first = start(tmp_path, sys.executable, FAULTY, "linger=3=600", "--", *words({"save_every": "1"}))
    until(lambda: newest_step(tmp_path / "run") == 2, first)
    before = files_of(tmp_path)
    for changes in ({"resume": "true"}, {"resume": "run", "run_dir": ""}):
        ended = train(tmp_path, **changes)
        assert ended.code == 8
        assert f"run: process {first.pid} is training here" in ended.line()
    assert files_of(tmp_path) == before
    first.kill()
    wait(first)
    assert (tmp_path / "run" / ".lock").read_text() == f"{first.pid}\n"
    trained(train(tmp_path, resume="true"))
    assert outcome(tmp_path / "run") == outcome(plain)


def test_two_runs_started_in_the_same_second_have_two_directories(tmp_path: Path) -> None:
    command = [sys.executable, FAULTY, "clock=2026-01-01T00:00:00", "--", *words({"run_dir": ""})]
    for ended in [wait(process) for process in [start(tmp_path, *command), start(tmp_path, *command)]]:
        trained(ended)
    found = sorted((tmp_path / "runs" / "copy-transformer").iterdir())
    assert [path.name for path in found] == ["2026-01-01_00-00-00", "2026-01-01_00-00-00-1"]
    assert outcome(found[0])["tensors"] == outcome(found[1])["tensors"]


def usage(pid: int) -> tuple[int, int, int]:
    """Return a process's memory in MiB, its open files and its threads."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory, threads = (int(re.search(rf"{key}:\s+(\d+)", status)[1]) for key in ("VmRSS", "Threads"))  # type: ignore[index]
    return memory // 1024, len(os.listdir(f"/proc/{pid}/fd")), threads


@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="usage is read from Linux's /proc")
def test_five_hundred_runs_in_one_process_leave_memory_files_and_threads_flat(tmp_path: Path) -> None:
    sweep = ["-m", *words({"run_dir": "", "seed": ""}), "seed=" + ",".join(map(str, range(500)))]
    found = []
    with start(tmp_path, ZOO_TRAIN, *sweep, out=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.match(r"\[\d+\] ", line):
                found.append(usage(process.pid))
    assert process.returncode == 0
    assert len(found) == 500
    early, late = (list(zip(*part, strict=True)) for part in (found[50:150], found[-100:]))
    for few, many in zip(late[1:], early[1:], strict=True):  # a moment may fall within a run, which holds some itself
        assert min(few) <= max(many), "open files, threads"
    assert max(late[0]) <= 1.1 * max(early[0]), "memory"
