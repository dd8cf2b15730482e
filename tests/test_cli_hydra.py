"""What Hydra brings: composed configs, sweeps and flags of its own, and nothing that stays behind."""

import gc
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn

import zoo.cli.train
from zoo.cli import hydra_app, run
from zoo.cli.exits import guarded
from zoo.config import TrainConfig
from zoo.errors import DataError, DivergenceError


def test_cfg_job_prints_what_would_be_trained(capsys: pytest.CaptureFixture[str], trained: list[TrainConfig]) -> None:
    import yaml

    assert run(["train", "model=classifier", "--cfg", "job"]) == 0
    data = yaml.safe_load(capsys.readouterr().out)
    assert (data["model"]["name"], data["dataset"]["name"]) == ("classifier", "movie_reviews")
    assert not trained


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[TrainConfig]) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, environment = list(sys.argv), os.environ.get("HYDRA_FULL_ERROR")
    run(["train"])
    assert list(tmp_path.iterdir()) == []
    assert (sys.argv, os.environ.get("HYDRA_FULL_ERROR"), Path.cwd()) == (arguments, environment, tmp_path)


def test_a_multirun_trains_every_combination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[TrainConfig]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", "-m", "model=seq2seq,transformer", "seed=1,2", "device=cpu"]) == 0
    assert [(config.model.name, config.seed) for config in trained] == [
        ("seq2seq", 1), ("seq2seq", 2), ("transformer", 1), ("transformer", 2),
    ]  # fmt: skip
    assert [path.name for path in (tmp_path / "runs").rglob("*") if path.suffix == ".yaml"] == ["multirun.yaml"]


def test_options_of_a_model_reach_every_model_of_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                         trained: list[TrainConfig]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    words = ["model=classifier,classifier_functional", "model.encoder=cnn", "model.kernel_sizes=[1,2]"]
    assert run(["train", "-m", *words, "dataset=parity"]) == 0
    found = [(config.model.name, config.model.kernel_sizes) for config in trained]
    assert found == [("classifier", [1, 2]), ("classifier_functional", [1, 2])]


def test_a_sweep_tells_its_runs_which_options_it_varies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoo.experiment.train", lambda config, swept: told.append(swept))
    monkeypatch.setattr(zoo.cli.train, "summary", lambda results: "")
    assert run(["train", "-m", "optimizer=adam,sgd", "seed=1,2", "epochs=1"]) == 0
    assert told == [["optimizer.name", "seed"]] * 4


def test_a_failing_job_of_a_multirun_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = []

    def train(config: TrainConfig, swept: object = ()) -> None:
        seeds.append(config.seed)
        if config.seed == 2:
            raise DivergenceError("the loss is nan")
        if config.seed == 3:
            raise DataError("x.tsv:1: bad")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zoo.cli.train, "_train_one", train)
    assert guarded(lambda: run(["train", "-m", "seed=1,2,3,4", "epochs=2"])) == 5
    assert seeds == [1, 2, 3, 4]
    out, err = capsys.readouterr()
    assert "error: 2 of 4 jobs failed, see the table" in err.splitlines()[-1]
    assert [line.split() for line in out.splitlines()[2:4]] == [["2", "2", "failed"], ["3", "3", "failed"]]
    assert "job 2 failed with exit code 5: the loss is nan\njob 3 failed with exit code 3: x.tsv:1: bad\n" in out


def test_a_users_own_choices_come_from_config_dir(tmp_path: Path, trained: list[TrainConfig]) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nepochs: 3\n")
    assert run(["train", "-cd", str(tmp_path), "experiment=mine"]) == 0
    assert trained[0].epochs == 3


def test_no_experiment_may_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "experiment=null", "debug=null", "--cfg", "job"]) == 0
    assert "transformer" in capsys.readouterr().out


def test_flags_of_hydra_may_stand_among_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    assert run(["train", "seed=3", "-cd", "own", "epochs=5", "--cfg", "job"]) == 0
    shown = capsys.readouterr().out
    assert "seed: 3" in shown
    assert "epochs: 5" in shown
    assert run(["train", "--info", "model=seq2seq"]) == 0


def test_a_sweep_keeps_no_configuration_of_a_job_that_has_ended(here: Path) -> None:
    held = []

    def train(config: TrainConfig) -> dict[str, Any]:
        jobs = [thing for thing in gc.get_objects() if type(thing) is JobReturn]
        held.append([job for job in jobs if job.cfg is not None])
        return {}

    assert hydra_app.run(["-m", "seed=1,2,3"], train, swept=["seed"]) == 0
    assert list(map(len, held)) == [1, 1, 1], "its own"
