"""Checkpoints that are moved, damaged, another run's or no checkpoints at all, met by `zoo-train` itself."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import (
    TOY,
    files_of,
    newest_step,
    outcome,
    train,
    train_with,
    trained,
    zoo_train,
)

from zoo.checkpoint import load_checkpoint, save_checkpoint
from zoo.errors import CheckpointError
from zoo.experiment.directory import RunDirectory
from zoo.storage import list_checkpoints

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).with_name("data") / "format-1"
"""A run of two epochs, saved in the first format of checkpoints."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that was trained without a fault."""
    here = tmp_path_factory.mktemp("plain")
    trained(train(here))
    return here / "run"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same run, stopped in its second epoch, with checkpoints of steps 8 and 10."""
    here = tmp_path_factory.mktemp("stopped")
    assert train_with(here, f"signal={signal.SIGTERM:d}=8").code == 143
    assert train_with(here, f"signal={signal.SIGTERM:d}=10", resume="true").code == 143
    assert [int(path.name[5:13]) for path in list_checkpoints(here / "run" / "checkpoints")] == [10, 8]
    return here / "run"


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    """Return a copy of the stopped run in a directory of its own."""
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def newest(run: Path) -> Path:
    return list_checkpoints(run / "checkpoints")[0]


def test_a_run_that_was_copied_goes_on_where_it_lies(tmp_path: Path, plain: Path, stopped: Path) -> None:
    before = files_of(stopped)
    shutil.copytree(stopped, tmp_path / "else where" / "run=1")
    trained(zoo_train(tmp_path, "resume=else where/run=1"))
    assert outcome(tmp_path / "else where" / "run=1") == outcome(plain)
    assert files_of(stopped) == before


def test_a_finished_run_that_is_resumed_says_so_and_rewrites_nothing(plain: Path) -> None:
    before = files_of(plain)
    for ended in (train(plain.parent, resume="true"), zoo_train(plain.parent, "resume=run")):
        assert "run    run (had already finished)" in trained(ended).out
    assert files_of(plain) == before


def test_results_stay_until_a_finished_run_has_trained_on(tmp_path: Path, plain: Path) -> None:
    run = Path(shutil.copytree(plain, tmp_path / "run"))
    results = (run / "results.json").read_bytes()
    assert train_with(tmp_path, f"signal={signal.SIGKILL:d}=18", resume="true", epochs="3").code == -signal.SIGKILL
    assert (run / "results.json").read_bytes() == results
    trained(train(tmp_path, resume="true", epochs="3"))
    assert json.loads((run / "results.json").read_text())["epochs"] == 3


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def zeros(content: bytes) -> bytes:
    return bytes(len(content))


def flipped(content: bytes) -> bytes:
    """Return the content with one bit of a tensor turned."""
    return content[:-99] + bytes([content[-99] ^ 4]) + content[-98:]


@pytest.mark.parametrize("damage", [cut, zeros, flipped])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path: Path, run: Path, plain: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = newest(run)
    path.write_bytes(damage(path.read_bytes()))
    ended = trained(train(tmp_path, resume="true"))
    warnings = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert path.name in warnings[0]
    assert warnings[0].endswith("using the one before")
    assert "resumed run at step 8" in ended.err
    assert outcome(run) == outcome(plain)


@pytest.mark.parametrize("damage", [cut, zeros, flipped])
def test_where_the_only_checkpoint_is_damaged_a_run_ends_with_4_and_is_left_alone(
    tmp_path: Path, run: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = newest(run)
    path.write_bytes(damage(path.read_bytes()))
    list_checkpoints(run / "checkpoints")[1].unlink()
    before = files_of(run)
    ended = train(tmp_path, resume="true")
    assert ended.code == 4
    assert path.name in ended.line()
    assert files_of(run) == before


def test_after_a_damaged_one_the_run_has_two_good_checkpoints_again(tmp_path: Path, run: Path) -> None:
    newest(run).write_bytes(b"nothing of worth")
    assert train_with(tmp_path, f"signal={signal.SIGTERM:d}=9", resume="true").code == 143
    paths = list_checkpoints(run / "checkpoints")
    assert [load_checkpoint(path).state["loop"]["step"] for path in paths] == [9, 8]


def test_a_damaged_best_epoch_is_named_and_chosen_anew(tmp_path: Path, run: Path) -> None:
    best = run / "checkpoints" / "best.safetensors"
    best.write_bytes(cut(best.read_bytes()))
    ended = trained(train(tmp_path, resume="true"))
    assert "best.safetensors: not a readable checkpoint" in ended.err
    assert json.loads((run / "results.json").read_text())["best_epoch"] == 2


@pytest.mark.parametrize("content", ["model: [\n", "epochs: many\n"])
def test_a_damaged_config_of_a_run_ends_with_4(tmp_path: Path, run: Path, content: str) -> None:
    (run / "config.yaml").write_text(content)
    for ended in (train(tmp_path, resume="true"), zoo_train(tmp_path, "resume=run")):
        assert ended.code == 4
        assert "run/config.yaml" in ended.line()


def test_damaged_results_of_a_finished_run_end_with_4_and_are_made_again(tmp_path: Path, plain: Path) -> None:
    run = Path(shutil.copytree(plain, tmp_path / "run"))
    (run / "results.json").write_text('{"best_epoch": "two", "steps": 14, "valid": {}}')
    ended = train(tmp_path, resume="true")
    assert ended.code == 4
    assert "run/results.json: does not hold results; delete it and resume the run" in ended.line()
    (run / "results.json").unlink()
    trained(train(tmp_path, resume="true"))
    assert outcome(run)["results"] == outcome(plain)["results"]


@pytest.mark.parametrize("content", ["[1, 2]", "{}", '{"best_epoch": 1, "steps": 4, "valid": 3}', "{", "[" * 9999])
def test_results_of_any_other_form_are_refused(tmp_path: Path, content: str) -> None:
    run = RunDirectory(tmp_path)
    run.results.write_text(content)
    with pytest.raises(CheckpointError, match="delete it and resume the run"):
        run.read_results()


@pytest.mark.parametrize("years", [-30, 30])
def test_the_newest_is_the_highest_step_whatever_the_clock_says(
    tmp_path: Path, run: Path, plain: Path, years: int
) -> None:
    for age, path in enumerate(list_checkpoints(run / "checkpoints")):
        os.utime(path, (1e9 - age * years * 1e6, 1e9 - age * years * 1e6))
    ended = trained(train_with(tmp_path, f"clock={2026 + years}-01-01T00:00:00", resume="true"))
    assert "resumed run at step 10" in ended.err
    assert outcome(run) == outcome(plain)


def test_another_model_size_is_refused_naming_the_field_and_both_values(tmp_path: Path, run: Path) -> None:
    before = files_of(run)
    ended = train(tmp_path, resume="true", **{"model.d_model": "16"})
    assert ended.code == 4
    assert "`model.d_model` is 16, but the checkpoint was made with 8; set model.d_model=8" in ended.line()
    assert files_of(run) == before


def test_another_vocabulary_of_equal_size_is_refused(tmp_path: Path) -> None:
    own = {key: "" for key in TOY if key.startswith("dataset.")}
    own |= {"dataset": "pairs", "dataset.train": "rows.tsv", "dataset.valid": "rows.tsv"}
    rows = [f"{a}{b}\t{b}{a}\n" for a in "abcd" for b in "abcd"]
    (tmp_path / "rows.tsv").write_text("".join(rows))
    trained(train(tmp_path, **own))
    (tmp_path / "rows.tsv").write_text("".join(rows).replace("d", "e"))
    ended = train(tmp_path, **own, resume="true", epochs="3")
    assert ended.code == 4
    assert "the vocabulary is not the one that the checkpoint was made with" in ended.line()


def test_the_first_format_loads_and_its_run_goes_on(tmp_path: Path) -> None:
    run = Path(shutil.copytree(GOLDEN, tmp_path / "run"))
    assert zoo_train(tmp_path, "resume=run").code == 0
    steps = newest_step(run)
    ended = trained(zoo_train(tmp_path, "resume=run", "epochs=3"))
    assert f"resumed run at step {steps}" in ended.err
    assert newest_step(run) == steps * 3 // 2


def test_a_newer_format_is_refused_by_its_version(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in list_checkpoints(run / "checkpoints"):
        saved = load_checkpoint(path)
        with monkeypatch.context() as patch:
            patch.setattr("zoo.checkpoint.newest", lambda steps: 99)
            save_checkpoint(path, saved.tensors, saved.state)
    ended = train(tmp_path, resume="true")
    assert ended.code == 4
    assert "format 99 is newer than this zoo reads" in ended.line()


def test_what_is_no_checkpoint_ends_with_4(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("buy milk\n")
    for name in ("nowhere", "empty", "notes.txt", "nowhere/step-00000008.safetensors"):
        ended = zoo_train(tmp_path, f"resume={name}")
        assert ended.code == 4
        assert name.partition("/")[0] in ended.line() or name == "notes.txt"
        assert ended.seconds < 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "notes.txt"]
