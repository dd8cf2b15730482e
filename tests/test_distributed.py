"""Several processes train as one does, tell the same figures, and lose nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import inside, one_error

from zoo.data.batch import IGNORE
from zoo.data.corpus import PairCorpus, Sequences
from zoo.data.loader import Loader, Shares
from zoo.distributed import gathered, is_main, largest, launched, of_main, rank, share, total, world_size
from zoo.errors import ConfigError

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
SMALL = [
    "dataset=reverse", "dataset.limit=200", "model.d_model=16", "model.dim_feedforward=32", "model.dropout=0",
    "scheduler=constant", "epochs=2", "batch_tokens=256", "precision=fp32", "save_every=5",
]  # fmt: skip


def corpus_of(rows: int) -> PairCorpus:
    drawn = np.random.default_rng(1)
    sides = [Sequences.from_lists(drawn.integers(4, 9, drawn.integers(1, 6)) for _ in range(rows)) for _ in range(2)]
    return PairCorpus(src=sides[0], tgt=sides[1])


@pytest.mark.parametrize("processes", [2, 3, 7])
def test_the_shares_of_a_batch_are_the_whole_batch_once(processes: int) -> None:
    loader = Loader(corpus_of(41), batch_tokens=24, seed=3)
    shares = [Shares(Loader(corpus_of(41), batch_tokens=24, seed=3), rank=r, world_size=processes)
              for r in range(processes)]  # fmt: skip
    for one in (loader, *shares):
        one.set_epoch(2)
    for whole, *parts in zip(loader, *shares, strict=True):
        counted = [target for part in parts for target in part.targets[part.targets != IGNORE].tolist()]
        assert sorted(counted) == sorted(whole.targets[whole.targets != IGNORE].tolist())
        assert all(len(part.targets) for part in parts)
    assert sum(one.tokens for one in shares) == sum(batch.tokens for batch in loader)


def test_alone_nothing_is_shared_out_or_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")  # schedulers set it too, without any torchrun
    assert not launched()
    assert (rank(), world_size(), is_main()) == (0, 1, True)
    assert list(share(range(3))) == gathered([0, 1, 2]) == [0, 1, 2]
    assert total(torch.tensor(2)) == largest(2) == of_main(2) == 2


@pytest.mark.parametrize("words", [("tune", "--trials", "1"), ("explore", "copy"), ("evaluate", "last")])
def test_what_is_no_training_is_refused_under_torchrun(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**TORCHRUN, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert inside(*words) == 2
    assert one_error(capfd.readouterr().err) == f"zoo {words[0]} runs in one process; leave out torchrun"


def test_torchrun_says_who_a_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert (rank(), world_size(), is_main()) == (1, 2, False)
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ConfigError, match="the environment's WORLD_SIZE must be a number, as torchrun sets it"):
        launched()


def started(processes: int, *words: str) -> "subprocess.Popen[str]":
    """Start a training by torchrun."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *(torchrun if processes > 1 else []), "-m", "zoo", "train", *words]
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Wait for the end, and return the exit code, stdout and stderr."""
    try:
        out, err = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, out, err


def trained(processes: int, *words: str) -> tuple[str, str]:
    code, out, err = ended(started(processes, *words))
    assert code == 0, err
    return out, err


def curves(run: Path, *, prefixes: tuple[str, ...] = ("train_", "valid_", "grad_norm")) -> list[list[float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if "epoch" in line]
    return [[value for key, value in line.items() if key.startswith(prefixes)] for line in epochs]


def results(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "results.json").read_text())
    return found


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process, which those of several are to equal."""
    run = tmp_path_factory.mktemp("one") / "run"
    trained(1, *SMALL, f"run_dir={run}")
    return run


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_learn_what_one_does(one: Path, tmp_path: Path, processes: int) -> None:
    out, err = trained(processes, *SMALL, f"run_dir={tmp_path}/run")
    assert np.allclose(curves(one), curves(tmp_path / "run"), rtol=1e-4, atol=1e-6)
    alone, found = results(one), results(tmp_path / "run")
    assert found["world_size"] == processes
    assert len(found["tokens_per_rank"]) == processes
    assert found["test"] == pytest.approx(alone["test"], rel=1e-4)
    assert "world_size" not in alone
    assert out.count("best epoch") == err.count("epoch 2/2") == 1, "one process speaks"
    assert f"{processes} processes" in err
    events = list((tmp_path / "run").glob("events.*"))
    assert len(events) == 1, "one process writes"


@pytest.mark.slow
def test_classifiers_are_evaluated_together(tmp_path: Path) -> None:
    words = ["model=linear", "dataset.limit=300", "model.dropout=0", "epochs=1", "precision=fp32", "accumulate=2"]
    for processes in (1, 2):
        trained(processes, *words, f"run_dir={tmp_path}/{processes}")
    first, second = (results(tmp_path / name) for name in ("1", "2"))
    assert second["test"] == pytest.approx(first["test"], abs=1e-5)
    assert np.allclose(*(curves(tmp_path / name) for name in ("1", "2")), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_run_saved_by_two_goes_on_with_one_and_with_three(one: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trained(2, *SMALL, f"run_dir={run}", "max_steps=7")
    trained(1, f"resume={run}", "max_steps=14")
    trained(3, f"resume={run}", "max_steps=0")
    assert np.allclose(curves(one)[-1], curves(run)[-1], rtol=1e-3, atol=1e-5)


def first_checkpoint(run: Path) -> None:
    """Wait until a checkpoint lies there."""
    deadline = time.monotonic() + 120
    while not list((run / "checkpoints").glob("step-*")):
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_signal_to_torchrun_saves_and_ends_all(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started(2, *SMALL, "epochs=500", f"run_dir={run}")
    first_checkpoint(run)
    process.terminate()
    code, _, err = ended(process)
    assert code != 0
    assert err.count("stopped, saved at step") == 1
    trained(2, f"resume={run}", "epochs=1", "max_steps=1")


@pytest.mark.slow
def test_a_lost_process_ends_the_others_and_loses_no_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started(2, *SMALL, "epochs=500", f"run_dir={run}")
    first_checkpoint(run)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        os.killpg(process.pid, signal.SIGKILL)
        pytest.skip("this system does not name a process's children")
    os.kill(int(children.read_text().split()[-1]), signal.SIGKILL)
    code, _, err = ended(process)
    assert code != 0
    assert "Signal 9 (SIGKILL)" in err, "torchrun names it; the other ends by its own error or by torchrun's signal"
    assert " in training\n" not in err, "no traceback of the loop"
    assert not (run / "results.json").exists()
    trained(1, f"resume={run}", "epochs=1", "max_steps=1")


@pytest.mark.slow
def test_what_one_cannot_do_is_said_once(one: Path) -> None:
    code, out, err = ended(started(2, *SMALL, f"run_dir={one}"))
    assert code != 0
    assert out == ""
    assert err.count("error: run_dir=") == 1


def test_sweeps_are_for_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.cli.train import train

    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="a sweep trains one run after the other"):
        train(["-m", "seed=1,2"])
