"""Which directory a run takes, what it goes on from, and what is refused before anything is written."""

import os
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import Toy, files_of, stop_at

from zoo.checkpoint import load_checkpoint, save_checkpoint
from zoo.config import PairsConfig, PlateauConfig, load_config
from zoo.errors import BusyError, CheckpointError, ConfigError, DataError, StorageError
from zoo.experiment import train
from zoo.experiment.directory import RunDirectory, locked
from zoo.storage import list_checkpoints


def test_a_directory_that_holds_a_run_is_not_trained_in_again(here: Path, toy: Toy) -> None:
    train(toy(run_dir="run"))
    with pytest.raises(ConfigError, match="run_dir=run holds a run; add resume=true to continue it") as caught:
        train(toy(run_dir="run"))
    assert caught.value.exit_code == 2


def test_resuming_without_a_directory_names_the_newest_unfinished_run(
    here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="`resume=true` needs `run_dir`; runs/ holds no unfinished run"):
        train(toy(resume=True))
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        for name in ("runs/old", "runs/new"):
            with pytest.raises(SystemExit):
                train(toy(run_dir=name, log_every=1))
    os.utime("runs/old/config.yaml", ns=(1, 1))
    train(toy())
    with pytest.raises(ConfigError, match="the newest unfinished run is run_dir=runs/new") as caught:
        train(toy(resume=True))
    assert caught.value.exit_code == 2


def test_resuming_a_directory_without_a_run_starts_it_and_says_so(here: Path, toy: Toy) -> None:
    train(toy(run_dir="run", resume=True))
    assert "run holds no checkpoint: started from the beginning" in Path("run/train.log").read_text()
    assert load_config(Path("run/config.yaml")).resume is False


def test_resuming_a_path_goes_on_there(here: Path, toy: Toy) -> None:
    train(toy(run_dir="run", epochs=1))
    results = train(toy(resume="run", epochs=2))
    assert (results["run_dir"], results["epochs"]) == ("run", 2)
    assert "resumed run at step" in Path("run/train.log").read_text()


def test_resuming_nothing_is_a_checkpoint_error(here: Path, toy: Toy) -> None:
    with pytest.raises(CheckpointError, match="nowhere: no such run") as caught:
        train(toy(resume="nowhere"))
    assert caught.value.exit_code == 4
    train(toy(run_dir="run"))
    for path in Path("run/checkpoints").glob("step-*"):
        path.unlink()
    with pytest.raises(CheckpointError, match="run: no checkpoint there to resume from"):
        train(toy(resume="run"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"hidden_size": 6},
            "run: `model.hidden_size` is 6, but the checkpoint was made with 8; set model.hidden_size=8",
        ),
        ({"cell": "lstm"}, "`model.cell` is lstm, but the checkpoint was made with gru"),
    ],
)
def test_another_models_checkpoint_is_refused_naming_both(
    here: Path, toy: Toy, changes: dict[str, Any], message: str
) -> None:
    train(toy(run_dir="run"))
    before = files_of(Path("run"))
    config = toy(run_dir="run", resume=True, epochs=3)
    for key, value in changes.items():
        setattr(config.model, key, value)
    with pytest.raises(CheckpointError, match=message):
        train(config)
    assert files_of(Path("run")) == before


def test_other_training_data_are_refused(here: Path, toy: Toy) -> None:
    rows = [f"{a}{b}\t{b} {a}\n" for a in "abc" for b in "abc"]
    dataset = PairsConfig(train="train.tsv", valid="train.tsv")
    (here / "train.tsv").write_text("".join(rows))
    train(toy(dataset=dataset, run_dir="run"))
    for what, changed in (("training data", rows[::-1]), ("vocabulary", [*rows, "d\td\n"])):
        (here / "train.tsv").write_text("".join(changed))
        with pytest.raises(CheckpointError, match=f"the {what} is not the one that the checkpoint was made with"):
            train(toy(dataset=dataset, run_dir="run", resume=True, epochs=3))


def test_the_state_of_another_optimizer_is_refused(here: Path, toy: Toy) -> None:
    train(toy(run_dir="run"))
    config = toy(run_dir="run", resume=True, epochs=3)
    config.optimizer.name = "adamw"
    with pytest.raises(CheckpointError, match=r"`optimizer\.name` is adamw, but the checkpoint was made with adam;"):
        train(config)


def test_another_seed_or_metric_is_refused_naming_both(here: Path, toy: Toy) -> None:
    train(toy(run_dir="run", monitor="loss"))
    for changes, message in (
        ({"seed": 4}, "`seed` is 4, but the checkpoint was made with"),
        ({"monitor": "accuracy"}, "`monitor` is accuracy, but the checkpoint was made with loss"),
        ({"direction": "max"}, "`direction` is max, but the checkpoint was made with min"),
    ):
        with pytest.raises(CheckpointError, match=message):
            train(toy(**{"run_dir": "run", "resume": True, "epochs": 3, "monitor": "loss", **changes}))


def test_batches_change_between_epochs_alone(here: Path, toy: Toy) -> None:
    steps = train(toy(run_dir="whole", epochs=1))["steps"]
    train(toy(run_dir="part", max_steps=steps - 1))
    for option, value in (("batch_tokens", 24), ("accumulate", 3)):
        changes = {"resume": True, option: value}
        with pytest.raises(CheckpointError, match=rf"within an epoch\): `{option}` is {value}, but"):
            train(toy(run_dir="part", **changes))
    train(toy(run_dir="whole", resume=True, batch_tokens=24, accumulate=3))
    for path in list_checkpoints(Path("whole/checkpoints")):
        saved = load_checkpoint(path)
        saved.state.pop("bad_epochs")
        save_checkpoint(path, saved.tensors, saved.state)
    with pytest.raises(CheckpointError, match="holds no 'bad_epochs'"):
        train(toy(run_dir="whole", resume=True, batch_tokens=24, accumulate=3, epochs=3))


def test_another_scheduler_starts_afresh_in_a_run_that_goes_on(here: Path, toy: Toy) -> None:
    train(toy(run_dir="run", epochs=1))
    train(toy(run_dir="run", resume=True, epochs=2, scheduler=PlateauConfig()))
    assert train(toy(run_dir="run", resume=True, epochs=3))["epochs"] == 3


def test_a_checkpoint_of_another_layout_is_refused(here: Path, toy: Toy) -> None:
    train(toy(run_dir="run"))
    for path in list_checkpoints(Path("run/checkpoints")):
        saved = load_checkpoint(path)
        saved.state.pop("schedule")
        save_checkpoint(path, saved.tensors, saved.state)
    with pytest.raises(CheckpointError, match=r"a part of the checkpoint is missing or malformed .*'schedule'"):
        train(toy(run_dir="run", resume=True, epochs=3))


def test_a_directory_in_use_is_busy_and_names_its_process(here: Path, toy: Toy) -> None:
    run = RunDirectory(Path("run"))
    run.create()
    with locked(run), pytest.raises(BusyError, match=f"run: process {os.getpid()} is training here") as caught:
        train(toy(run_dir="run"))
    assert caught.value.exit_code == 8
    train(toy(run_dir="run"))


def test_a_metric_that_is_not_measured_is_refused_and_no_directory_is_left(here: Path, toy: Toy) -> None:
    with pytest.raises(ConfigError, match=r"`monitor`: unknown metric 'accuracyy'; did you mean 'accuracy'\?"):
        train(toy(monitor="accuracyy"))
    with pytest.raises(ConfigError, match="unknown metric 'bleu'"):
        train(toy(monitor="bleu"))
    assert list(here.iterdir()) == []


def test_data_that_cannot_be_read_leave_no_directory(here: Path, toy: Toy) -> None:
    (here / "bad.tsv").write_text("one column\n")
    before = files_of(here)
    for run_dir in (None, "run"):
        with pytest.raises(DataError, match=r"bad\.tsv:1: expected 2 columns"):
            train(toy(dataset=PairsConfig(train="bad.tsv"), run_dir=run_dir))
    assert [path.name for path in here.iterdir()] == ["bad.tsv"]
    assert files_of(here) == before


def test_a_directory_that_cannot_be_made_is_a_storage_error(here: Path, toy: Toy) -> None:
    (here / "file").write_text("")
    with pytest.raises(StorageError, match="file/run: cannot be made"):
        train(toy(run_dir="file/run"))
    (here / "runs").write_text("")
    with pytest.raises(StorageError, match="set run_dir elsewhere"):
        train(toy())


def test_a_refused_run_removes_what_it_made_and_nothing_else(here: Path, toy: Toy) -> None:
    for run_dir in ("mine", "parent/new", "a/b/c"):
        if run_dir != "a/b/c":
            (here / run_dir).parent.mkdir(exist_ok=True)
            (here / "mine" / "vocabulary").mkdir(parents=True, exist_ok=True)
        with pytest.raises(ConfigError, match="monitor"):
            train(toy(run_dir=run_dir, monitor="blue"))
    assert sorted(str(path.relative_to(here)) for path in here.rglob("*")) == ["mine", "mine/vocabulary", "parent"]
