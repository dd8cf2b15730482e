"""A search goes on where it was stopped or killed, and keeps to its budget."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from commands import command, environment, inside, kill_when_saved
from commands import zoo as zoo_run
from tuning import RATES, SCRIPTED, TOY, table

from zoo.config import TrainConfig
from zoo.experiment import Ended, Watch, train


def test_typing_the_command_again_goes_on_and_reruns_no_trial(
    scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str]
) -> None:
    assert inside(*SCRIPTED, "--trials", "4") == 0
    first = table()
    capfd.readouterr()
    assert inside(*SCRIPTED, "--trials", "4") == 0
    assert "going on with the search in found, where 4 trials have ended" in capfd.readouterr().err
    assert table() == first
    before = len(scripted)
    assert before <= 4
    assert inside(*SCRIPTED, "--trials", "6") == 0
    assert {str(config.run_dir) for config in scripted[before:]} <= {"found/trial-0005", "found/trial-0006"}


def test_without_out_the_search_of_the_same_command_goes_on_and_another_gets_a_directory(
    scripted: list[TrainConfig], here: Path
) -> None:
    words = SCRIPTED[:-2]
    assert inside(*words, "--trials", "1") == 0
    assert inside(*words, "--trials", "2") == 0
    time.sleep(1.1)  # directories are named by the second
    assert inside(*words, "seed=2", "--trials", "1") == 0
    found = sorted(here.glob("runs/tune/parity-classifier/*/tune.csv"))
    assert [len(table(path)) for path in found] == [2, 1]


def test_a_search_that_stopped_and_goes_on_proposes_what_one_that_did_not_stop_proposes(
    scripted: list[TrainConfig],
) -> None:
    for trials in ("3", "9", "14"):
        assert inside(*SCRIPTED, "--trials", trials) == 0
    assert inside(*SCRIPTED[:-1], "whole", "--trials", "14") == 0
    pieces, whole = table(), table(Path("whole/tune.csv"))
    assert [(row["number"], row["overrides"]) for row in pieces] == [(row["number"], row["overrides"]) for row in whole]


def test_a_run_that_is_watched_ends_after_an_epoch_and_can_go_on(here: Path, toy: Any) -> None:
    def end(epoch: int, values: dict[str, float], over: bool) -> None:
        if epoch == 1:
            raise Ended("enough")

    with pytest.raises(Ended):
        train(toy(run_dir="run", epochs=3), watch=Watch(after_epoch=end))
    assert "enough" in Path("run/train.log").read_text()
    assert "error:" not in Path("run/train.log").read_text()
    results = train(toy(run_dir="run", epochs=3, resume=True))
    assert results["valid"] == train(toy(run_dir="other", epochs=3))["valid"]


def test_a_run_whose_deadline_has_passed_ends_after_a_step_and_goes_on_to_the_same_bits(here: Path, toy: Any) -> None:
    with pytest.raises(Ended, match="stopped after step 1"):
        train(toy(run_dir="run"), watch=Watch(deadline=time.monotonic()))
    results = train(toy(run_dir="run", resume=True))
    assert results["valid"] == train(toy(run_dir="other"))["valid"]


def test_seconds_end_the_search_and_the_running_trial_which_goes_on_later(
    rates: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert inside(*rates, "epochs=100000", "--seconds", "2") == 4
    assert "no trial has finished yet" in capfd.readouterr().err
    rows = table()
    assert [row["status"] for row in rows] == ["stopped"]
    assert float(json.loads(Path("found/search.json").read_text())["seconds"]) < 60
    assert inside(*rates, "epochs=100000", "--seconds", "2", "--trials", "1") == 4  # nothing of the budget is left
    assert len(table()) == 1


@pytest.mark.parametrize("line", [b"garbage\n", b"[1, 2]\n", b"\xe4\n"])
def test_a_damaged_journal_is_one_line(
    scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str], line: bytes
) -> None:
    assert inside(*SCRIPTED, "--trials", "1") == 0
    capfd.readouterr()
    journal = Path("found/journal.log")
    journal.write_bytes(line + journal.read_bytes())
    assert inside(*SCRIPTED, "--trials", "2") == 6
    assert "journal.log: is damaged" in capfd.readouterr().err.splitlines()[-1]


def test_a_half_written_last_line_of_the_journal_is_no_harm(scripted: list[TrainConfig]) -> None:
    assert inside(*SCRIPTED, "--trials", "2") == 0
    with Path("found/journal.log").open("ab") as journal:
        journal.write(b'{"op_code":4,"wor')
    assert inside(*SCRIPTED, "--trials", "3") == 0
    assert len(table()) == 3


@pytest.mark.slow
def test_a_search_killed_in_a_trial_goes_on_there(tmp_path: Path) -> None:
    (tmp_path / "rates.yaml").write_text("optimizer.lr: {low: 0.001, high: 0.1, log: true}\n")
    words = ["tune", *TOY, "epochs=12", "save_every=1", "--space", "rates.yaml", "--out", "found", "--trials", "3",
             "--no-pruning"]  # fmt: skip
    second = tmp_path / "found" / "trial-0002"
    kill_when_saved(second, *words, cwd=tmp_path)
    first = tmp_path / "found" / "trial-0001" / "results.json"
    written = first.stat().st_mtime_ns
    done = zoo_run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert first.stat().st_mtime_ns == written
    assert "resumed found/trial-0002 at step" in done.stderr
    assert [row["status"] for row in table(tmp_path / "found" / "tune.csv")] == ["finished"] * 3
    whole = zoo_run(*words, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0
    values = [[(row["overrides"], row["valid"]) for row in table(tmp_path / name / "tune.csv")]
              for name in ("found", "whole")]  # fmt: skip
    assert values[0] == values[1]


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "rates.yaml").write_text(RATES)
    words = ["tune", *TOY, "epochs=100000", "--space", "rates.yaml", "--out", "found", "--trials", "3"]
    with subprocess.Popen(command(*words), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as process:  # fmt: skip
        assert process.stderr is not None
        while "epoch" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "stopped; the same command goes on with the search in found" in rest
    assert [row["status"] for row in table(tmp_path / "found" / "tune.csv")] == ["stopped"]
