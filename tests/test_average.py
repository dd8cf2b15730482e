"""One model from the last checkpoints of a run."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zoo.average import average, average_tensors
from zoo.checkpoint import list_checkpoints, load_checkpoint
from zoo.config import TrainConfig, TransformerConfig, load_config
from zoo.errors import CheckpointError, ConfigError
from zoo.experiment import load, train
from zoo.experiment.directory import RunDirectory

Toy = Callable[..., TrainConfig]
TINY = TransformerConfig(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_mean_is_taken_in_float64_and_integers_are_the_newest(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    given = [{"w": torch.randn(3, 4).mul(10).to(dtype), "n": torch.tensor(i)} for i in (7, 5, 3)]
    found = average_tensors(given)
    reference = sum(one["w"].double() for one in given) / 3
    assert found["w"].dtype == dtype
    assert torch.equal(found["w"], reference.to(dtype))
    assert found["n"] == 7


@pytest.mark.parametrize("last", [0, 2])
def test_an_average_is_the_mean_of_the_newest_checkpoints(here: Path, toy: Toy, last: int) -> None:
    run = RunDirectory(Path(train(toy(epochs=5, keep=3, run_dir="run"))["run_dir"]))
    made = average("run", last=last)
    paths = list_checkpoints(run.checkpoints)[: last or 3]
    assert made.run_dir == f"run-average{len(paths)}"
    assert made.steps == [int(path.stem[5:]) for path in paths]
    saved = load_checkpoint(Path(made.run_dir) / "checkpoints" / "best.safetensors")
    assert saved.state == {"averaged": {"run": "run", "steps": made.steps}}
    for name, tensor in saved.tensors.items():
        mean = sum(load_checkpoint(path).tensors[name].double() for path in paths) / len(paths)
        assert torch.equal(tensor, mean.float()), name


def test_an_averaged_run_predicts_and_is_evaluated_from_its_own_directory(here: Path, toy: Toy) -> None:
    train(toy(run_dir="runs/one", keep=3, model=TINY))
    made = average("last", out="runs/deep/two")
    run = load("last")
    assert run.directory.path == Path("runs/deep/two")
    assert load_config(run.directory.config).run_dir == made.run_dir == "runs/deep/two"
    assert len(run.predict(["abc", "b"])) == 2
    assert set(run.evaluate()) == {"loss", "token_error_rate", "sequence_error_rate"}
    assert len(load("runs/one", "runs/deep/two").predict(["abc"])) == 1


def test_the_average_of_averaged_weights_is_taken_where_a_run_has_them(here: Path, toy: Toy) -> None:
    train(toy(run_dir="run", ema=0.5, keep=3, model=TINY))
    made = average("run")
    saved = load_checkpoint(Path(made.run_dir) / "checkpoints" / "best.safetensors").part("model")
    parts = [load_checkpoint(path) for path in list_checkpoints(Path("run/checkpoints"))]
    for name in parts[0].part("ema"):
        mean = sum(one.part("ema")[name].double() for one in parts) / 2
        assert torch.equal(saved[name], mean.float())
        assert not torch.equal(saved[name], parts[0].part("model")[name])


def test_as_many_checkpoints_stay_as_asked_for(here: Path, toy: Toy) -> None:
    for keep in (1, 3):
        run = train(toy(epochs=4, keep=keep, run_dir=f"run{keep}"))["run_dir"]
        assert len(list_checkpoints(Path(run) / "checkpoints")) == keep


def test_checkpoints_of_another_model_are_not_averaged(here: Path, toy: Toy) -> None:
    for name, width in (("run", 8), ("other", 16)):
        train(toy(run_dir=name, keep=3, model=replace(TINY, d_model=width)))
    newest = list_checkpoints(Path("other/checkpoints"))[0]
    stray = newest.rename("run/checkpoints/step-00000099.safetensors")
    with pytest.raises(CheckpointError, match=r"step-\d+\.safetensors: of another model than step-00000099"):
        average("run")
    stray.unlink()
    shutil.rmtree("run/vocabulary")
    with pytest.raises(CheckpointError, match="run/vocabulary: not there"):
        average("run")
    assert not list(here.glob("run-average*"))


def test_an_average_of_too_few_names_the_way_out(here: Path, toy: Toy) -> None:
    train(toy(epochs=1, run_dir="short"))
    with pytest.raises(CheckpointError, match="needs 2 step checkpoints, and there are 1 here; train with keep=5"):
        average("short")
    train(toy(run_dir="run", keep=3))
    for last in (1, -1):
        with pytest.raises(ConfigError, match=f"`last` must be at least 2, or 0 for all checkpoints, but is {last}"):
            average("run", last=last)
    with pytest.raises(CheckpointError, match="5 checkpoints are asked for, and here are 2; train with keep=5"):
        average("run", last=5)
    average("run")
    with pytest.raises(ConfigError, match="run-average2 holds a run; name another directory with --out"):
        average("run")
    with pytest.raises(CheckpointError, match="nothing: no such run"):
        average("nothing")
