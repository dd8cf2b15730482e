"""A run directory: what it holds, that it repeats, and that no stop of it changes its outcome."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo import training
from zoo.checkpoint import load_checkpoint, save_checkpoint
from zoo.cli.overrides import config_of
from zoo.config import (
    AdamConfig,
    ClassifierConfig,
    Device,
    Encoder,
    LabelledConfig,
    PairsConfig,
    PlateauConfig,
    Precision,
    Seq2SeqConfig,
    SGDConfig,
    TgtDirection,
    Tokenizer,
    ToyConfig,
    TrainConfig,
    TransformerConfig,
    WarmupCosineConfig,
    load_config,
)
from zoo.data.vocab import BOS, EOS
from zoo.errors import BusyError, CheckpointError, ConfigError, DataError, DivergenceError, StorageError
from zoo.experiment import Label, Output, gallery, measure, open_run, saving, train
from zoo.experiment.directory import RunDirectory, locked
from zoo.experiment.machine import choose_device, choose_precision, random_states, restore_random_states, seed_all
from zoo.record import Recorder
from zoo.storage import list_checkpoints

Toy = Callable[..., TrainConfig]


TINY = TransformerConfig(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8)
PARITY = ToyConfig(name="parity", symbols=4, max_length=4, train_size=48, valid_size=8, test_size=8)
TURNED = ToyConfig(
    symbols=4, max_length=4, train_size=48, valid_size=8, test_size=8, tgt_direction=TgtDirection.right_to_left
)
BAG = ClassifierConfig(encoder=Encoder.bag, embedding_size=8, hidden_size=8)


def bits(path: Path) -> dict[str, tuple[Any, ...]]:
    tensors = load_checkpoint(path).tensors
    return {
        name: (tensor.dtype, tuple(tensor.shape), tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        for name, tensor in tensors.items()
        if tensor.numel()
    }


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def story(run: str | Path) -> dict[str, Any]:
    """Return all of a run that must be equal to the bit: the times that it took are left out."""
    run = Path(run)
    newest, best = list_checkpoints(run / "checkpoints")[0], run / "checkpoints" / "best.safetensors"
    state, results = load_checkpoint(newest).state, json.loads((run / "results.json").read_text())
    state["loop"].pop("seconds")
    state["loop"]["totals"].pop("seconds")
    results.pop("seconds")
    times = ("seconds", "tokens_per_second", "waited")
    epochs = {
        line["epoch"]: {k: v for k, v in line.items() if k not in times} for line in lines_of(run) if "epoch" in line
    }
    return {
        "newest": newest.name,
        "weights": bits(newest),
        "state": state,
        "best": bits(best),
        "best state": load_checkpoint(best).state,
        "metrics": epochs,  # the last line of each epoch
        "results": results,
    }


def files_of(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


# ---- what a run leaves


def test_a_run_of_sequences_leaves_the_files_of_the_design(here: Path, toy: Toy) -> None:
    results = train(toy())
    run = Path(results["run_dir"])
    assert run.parent == Path("runs/copy-seq2seq")
    names = {path.name for path in run.iterdir()} - {".lock"}
    events = {name for name in names if name.startswith("events.out.tfevents.")}
    assert len(events) == 1
    assert names - events == {
        "config.yaml", "vocabulary", "checkpoints", "metrics.jsonl", "results.json", "train.log",
        "projector", "projector_config.pbtxt",
    }  # fmt: skip
    written = json.loads((run / "results.json").read_text())
    assert written == {key: value for key, value in results.items() if key != "run_dir"}
    assert {"best_epoch", "epochs", "steps", "seconds", "parameters", "seed"} <= set(written)
    assert set(written["valid"]) == set(written["test"]) == {"loss", "token_error_rate", "sequence_error_rate"}
    assert [line["epoch"] for line in lines_of(run)] == [1, 2]
    assert {"train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "valid_sequence_error_rate", "lr"} <= set(
        lines_of(run)[0]
    )
    assert load_config(run / "config.yaml").run_dir == str(run)
    assert list_checkpoints(run / "checkpoints")[0].name == f"step-{results['steps']:08d}.safetensors"


def test_a_run_of_labels_reports_classification(here: Path, toy: Toy) -> None:
    results = train(toy(model=BAG, dataset=PARITY))
    assert set(results["test"]) == {"loss", "accuracy", "macro_f1", "ece"}
    assert Path(results["run_dir"]).parent == Path("runs/parity-classifier")
    line = lines_of(Path(results["run_dir"]))[results["best_epoch"] - 1]
    assert line["valid_accuracy"] == results["valid"]["accuracy"]


def test_two_runs_within_one_second_get_two_directories(here: Path, toy: Toy) -> None:
    runs = {train(toy(epochs=1))["run_dir"] for _ in range(3)}
    assert len(runs) == 3


@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16])
@pytest.mark.parametrize("model", [TINY, Seq2SeqConfig(embedding_size=8, hidden_size=8)], ids=lambda m: m.name)
def test_the_same_run_twice_is_equal_to_the_bit(here: Path, toy: Toy, model: Any, precision: Precision) -> None:
    runs = [train(toy(model=model, precision=precision, seed=0, ema=0.9))["run_dir"] for _ in range(2)]
    assert story(runs[0]) == story(runs[1])
    other = train(toy(model=model, precision=precision, seed=5, ema=0.9))["run_dir"]
    assert story(other)["weights"] != story(runs[0])["weights"]


# ---- stops


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
    assert len({line["lr"] for line in lines_of(Path(expected["run_dir"]))}) > 1, "the plateau was not tried"
    told, best = story(expected["run_dir"]), expected["valid"]["loss"]
    better = False
    for step in range(1, expected["steps"]):
        stopped = train(whole(toy, max_steps=step, run_dir=f"stopped-{step}"))
        assert stopped["steps"] == step
        better |= stopped["valid"]["loss"] < best
        resumed = train(whole(toy, run_dir=f"stopped-{step}", resume=True))
        assert story(resumed["run_dir"]) == told, f"stopped at step {step}"
    assert better, "no part of an epoch was better than all whole ones"


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM) -> None:
    """Send this process a signal during a step, whose curves must be drawn (log_every=1)."""
    draw = Recorder.step

    def stopping(self: Recorder, *, step: int, **values: float | None) -> None:
        draw(self, step=step, **values)
        if step == last:
            signal.raise_signal(number)

    last = step
    monkeypatch.setattr(Recorder, "step", stopping)


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
        assert {"resumed_at_step": step} in lines_of(run)


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


# ---- which directory


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


def test_a_run_that_diverges_says_where(here: Path, toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    config = toy(clip=0.0, epochs=30, run_dir="run", model=TINY, optimizer=SGDConfig(lr=1e30))
    with pytest.raises(DivergenceError, match=r"is no longer finite (at step \d+|after epoch \d+)") as caught:
        train(config)
    assert f"error: {caught.value}\n" in Path("run/train.log").read_text()
    assert str(caught.value) not in capsys.readouterr().err


def test_each_metric_can_pick_the_best_epoch_in_either_direction(here: Path, toy: Toy) -> None:
    best = {}
    for monitor, direction in (("loss", "auto"), ("valid_loss", "max"), ("token_error_rate", "auto")):
        config = toy(epochs=3, monitor=monitor, direction=direction)
        config.optimizer.lr = 0.05
        results = train(config)
        values = [line[f"valid_{monitor.removeprefix('valid_')}"] for line in lines_of(Path(results["run_dir"]))]
        pick = max if direction == "max" else min
        assert results["best_epoch"] == 1 + values.index(pick(values))
        best[monitor] = results["best_epoch"]
    assert best["loss"] != best["valid_loss"]


# ---- a finished run in use


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.9, "beam": 3, "length_penalty": 0.5},
        {"model": TINY, "precision": Precision.bf16},
        {"model": BAG, "dataset": PARITY},
    ],
    ids=["seq2seq", "transformer", "classifier"],
)
def test_an_opened_run_repeats_its_results_exactly(here: Path, toy: Toy, changes: dict[str, Any]) -> None:
    results = train(toy(**changes))
    torch.manual_seed(99)
    run = open_run(results["run_dir"], device="cpu")
    assert run.evaluate("test") == results["test"]
    assert run.evaluate("valid") == results["valid"]
    assert open_run("last").evaluate() == results["test"]
    assert open_run(Path(results["run_dir"]) / "checkpoints" / "best.safetensors").evaluate() == results["test"]


def test_predictions_keep_the_order_one_for_each_text(here: Path, toy: Toy) -> None:
    run = open_run(train(toy(model=TINY))["run_dir"])
    texts = ["abc", "", "a", "dddd", "never seen!", "abc"]
    found = run.predict(texts)
    assert [type(one) for one in found] == [Output] * 6
    assert found[0] == found[5]
    for text, one in zip(texts, found, strict=True):
        assert run.predict([text])[0].text == one.text
    several = run.predict(texts, nbest=3)
    assert all(1 < len(group) <= 3 for group in several)
    assert all([one.score for one in group] == sorted((one.score for one in group), reverse=True) for group in several)
    assert run.predict([]) == []
    with pytest.raises(TypeError, match=r"takes a list of texts, not one; write predict\(\[text\]\)"):
        run.predict(texts[0])
    with pytest.raises(ConfigError, match=r"`nbest` must be at most the beam width \(2\), but is 3; raise beam"):
        run.predict(texts, beam=2, nbest=3)


def test_a_run_on_own_files_is_evaluated_from_another_directory(
    here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{a}{b}" for a in "abc" for b in "abc"]
    (here / "src.txt").write_text("".join(f"{row}\n" for row in rows))
    (here / "rows.tsv").write_text("".join(f"{row}\t{row}\n" for row in rows))

    def dataset() -> PairsConfig:
        return PairsConfig(train=["src.txt", "src.txt"], valid="rows.tsv", test="rows.tsv")

    results = train(toy(dataset=dataset(), run_dir="run"))
    assert train(toy(dataset=dataset(), run_dir="run", resume=True))["already_finished"]
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert open_run(here / results["run_dir"]).evaluate("test") == results["test"]
    saved: Any = load_config(here / results["run_dir"] / "config.yaml").dataset
    assert (saved.train, saved.valid) == ([str(here / "src.txt")] * 2, str(here / "rows.tsv"))


def test_predicted_labels_come_with_the_probability_of_each(here: Path, toy: Toy) -> None:
    run = open_run(train(toy(model=BAG, dataset=PARITY))["run_dir"])
    found = run.predict(["abca", "", "b", "zzz"])
    for one in found:
        assert isinstance(one, Label)
        assert set(one.probabilities) == set(run.coding.labels)
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert one.probability == one.probabilities[one.label] == max(one.probabilities.values())
    assert run.predict(["b"])[0].probability == pytest.approx(found[2].probability)


def test_a_run_evaluates_files_that_it_is_given(here: Path, toy: Toy) -> None:
    run = open_run(train(toy())["run_dir"])
    (here / "mine.tsv").write_text("ab\tab\nba\tba\n")
    outputs = [one.text for one in run.predict(["ab", "ba"])]
    wrong = sum(found != text for found, text in zip(outputs, ["ab", "ba"], strict=True))
    assert run.evaluate(files=["mine.tsv"])["sequence_error_rate"] == wrong / 2


@pytest.mark.parametrize("model", [TINY, Seq2SeqConfig(embedding_size=8, hidden_size=8)], ids=lambda m: m.name)
def test_attention_can_be_drawn(here: Path, toy: Toy, model: Any) -> None:
    run = open_run(train(toy(model=model, epochs=1))["run_dir"])
    weights, src, tgt = run.attention("abca")
    assert weights.shape == (len(tgt), len(src))
    assert src == [*"abca", "⊙"]
    assert weights.sum(1) == pytest.approx(1, rel=1e-4)
    run.draw_attention("abca", here / "out.png")
    assert (here / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("model", [TINY, Seq2SeqConfig(embedding_size=8, hidden_size=8)], ids=lambda m: m.name)
def test_attention_from_right_to_left_stands_in_the_order_of_the_text(here: Path, toy: Toy, model: Any) -> None:
    run = open_run(train(toy(model=model, epochs=3, dataset=TURNED))["run_dir"])
    weights, _, tgt = run.attention("abca")
    text = run.predict(["abca"])[0].text
    assert tgt == ["⊙", *text]
    ids = run.coding.codecs["tgt"].encode(text)
    src, lengths = torch.tensor([[*run.coding.codecs["src"].encode("abca"), EOS]]), torch.tensor([5])
    with torch.no_grad():
        written = run.model.align(src, lengths, torch.tensor([[BOS, *ids]]))[0]
    assert weights[::-1] == pytest.approx(written.numpy())


@pytest.mark.parametrize("model", [TINY, Seq2SeqConfig(embedding_size=8, hidden_size=8)], ids=lambda m: m.name)
def test_a_run_from_right_to_left_is_measured_and_reopened_like_any_other(here: Path, toy: Toy, model: Any) -> None:
    results = train(toy(model=model, dataset=TURNED, epochs=3))
    run = open_run(results["run_dir"])
    for split in ("valid", "test"):
        assert run.evaluate(split) == results[split]
    outcome = run.outcome("valid")
    expected = open_run(train(toy(model=model))["run_dir"]).outcome("valid")
    assert (outcome.sources, outcome.references) == (expected.sources, expected.references)
    assert outcome.outputs == [one.text for one in run.predict(outcome.sources)]


def test_a_run_is_not_taken_up_in_the_other_direction(here: Path, toy: Toy) -> None:
    run = train(toy())["run_dir"]
    with pytest.raises(CheckpointError, match="the vocabulary is not the one that the checkpoint was made with"):
        train(toy(dataset=TURNED, run_dir=run, resume=True, epochs=3))
    path = Path(run) / "vocabulary" / "tgt.json"
    path.write_text(path.read_text().replace("left_to_right", "right_to_left"))
    with pytest.raises(CheckpointError, match="the vocabulary is not the one"):
        open_run(run)


@pytest.mark.parametrize("name", ["copy", "reverse"])
def test_a_model_learns_to_write_from_right_to_left(here: Path, toy: Toy, name: str) -> None:
    dataset = ToyConfig(name=name, symbols=3, max_length=4, train_size=4000, valid_size=20, test_size=20,
                        tgt_direction=TgtDirection.right_to_left)  # fmt: skip
    model = Seq2SeqConfig(hidden_size=64, dropout=0.0)
    results = train(toy(dataset=dataset, model=model, epochs=6, batch_tokens=256, optimizer=AdamConfig(lr=0.01)))
    assert results["test"]["sequence_error_rate"] == 0
    assert open_run(results["run_dir"]).predict(["abca"])[0].text == ("abca" if name == "copy" else "acba")


def test_attention_is_drawn_of_a_source_that_is_too_long_or_unknown(here: Path, toy: Toy) -> None:
    run = open_run(train(toy(epochs=1, model=TINY))["run_dir"])
    longest = run.config.model.max_length
    weights, src, tgt = run.attention("!" + "a" * (longest + 9))
    assert (weights.shape, len(src), src[0]) == ((len(tgt), len(src)), longest + 1, "?")


def test_a_picture_that_fails_does_not_end_a_training(here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(gallery, "attention_of", fail)
    run = Path(train(toy(epochs=1, model=TINY))["run_dir"])
    assert "the attention pictures were left out (no ink)" in (run / "train.log").read_text()


def test_a_model_without_attention_says_so(here: Path, toy: Toy) -> None:
    run = open_run(train(toy(epochs=1))["run_dir"])
    with pytest.raises(ConfigError, match="model=seq2seq of this run has no attention over a source to draw"):
        run.attention("ab")


def test_what_is_no_run_cannot_be_opened(here: Path, toy: Toy) -> None:
    with pytest.raises(CheckpointError, match="runs/ holds no trained run"):
        open_run("last")
    (here / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty: no run, it holds no config\.yaml"):
        open_run("empty")
    results = train(toy(epochs=1))
    with pytest.raises(ConfigError, match="unknown value 'gpu'"):
        open_run("last", device="gpu")
    best = Path(results["run_dir"]) / "checkpoints" / "best.safetensors"
    best.write_bytes(best.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"best\.safetensors: not a readable checkpoint"):
        open_run("last")


# ---- every tokenizer trains

ROWS = [
    (f"{a} {b}", f"{b} {a}") for a in ("alpha", "beta", "가나", "delta") for b in ("one", "two", "다라", "four", "five")
]


@pytest.mark.parametrize("tokenizer", Tokenizer)
@pytest.mark.parametrize("task", ["pairs", "labelled"])
def test_every_tokenizer_trains(here: Path, toy: Toy, tokenizer: Tokenizer, task: str) -> None:
    rows = ROWS if task == "pairs" else [(src, str(i % 2)) for i, (src, _) in enumerate(ROWS)]
    (here / "train.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    options: dict[str, Any] = {"train": "train.tsv", "valid": "train.tsv"}
    if tokenizer in (Tokenizer.bpe, Tokenizer.unigram):
        options["vocab_size"] = 30
    if task == "pairs":
        dataset: Any = PairsConfig(src_tokenizer=tokenizer, tgt_tokenizer=tokenizer, **options)
        config = toy(dataset=dataset, epochs=4, batch_tokens=60)
    else:
        model = ClassifierConfig(encoder=Encoder.gru, embedding_size=8, hidden_size=8, dropout=0.0)
        config = toy(model=model, dataset=LabelledConfig(tokenizer=tokenizer, **options), epochs=4, batch_tokens=60)
    config.optimizer.lr = 0.02
    results = train(config)
    losses = [line["train_loss"] for line in lines_of(Path(results["run_dir"]))]
    assert losses[-1] < losses[0]
    assert len(open_run(results["run_dir"]).predict([ROWS[0][0], "", "?"])) == 3


# ---- signals from outside


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


def test_restored_random_states_give_the_same_numbers() -> None:
    seed_all(7)
    tensors, python = random_states()
    python = json.loads(json.dumps(python))
    drawn = [torch.rand(3).tolist(), random.random()]
    restore_random_states(tensors, python)
    assert [torch.rand(3).tolist(), random.random()] == drawn
    seed_all(7)
    assert [torch.rand(3).tolist(), random.random()] == drawn


def test_the_defaults_choose_a_device_and_a_precision_that_exist() -> None:
    device = choose_device(Device.auto)
    assert choose_precision(Precision.auto, device) in ("fp32", "bf16", "fp16")
    with pytest.raises(ConfigError, match="precision=fp16 needs a GPU"):
        choose_precision(Precision.fp16, torch.device("cpu"))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="device=cuda, but torch finds no CUDA device here"):
            choose_device(Device.cuda)


def test_a_refused_run_removes_what_it_made_and_nothing_else(here: Path, toy: Toy) -> None:
    for run_dir in ("mine", "parent/new", "a/b/c"):
        if run_dir != "a/b/c":
            (here / run_dir).parent.mkdir(exist_ok=True)
            (here / "mine" / "vocabulary").mkdir(parents=True, exist_ok=True)
        with pytest.raises(ConfigError, match="monitor"):
            train(toy(run_dir=run_dir, monitor="blue"))
    assert sorted(str(path.relative_to(here)) for path in here.rglob("*")) == ["mine", "mine/vocabulary", "parent"]


def test_files_that_do_not_fit_a_classifier_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [("a good film", "positive"), ("a bad film", "negative")] * 20
    Path("train.tsv").write_text("".join(f"{text} {i}\t{label}\n" for i, (text, label) in enumerate(rows)))
    train(config_of({"model": "classifier", "dataset": "labelled", "dataset.train": "train.tsv", "run_dir": "run",
                     "max_steps": "2", "device": "cpu"}))  # fmt: skip
    run = open_run("run")
    Path("some.tsv").write_text("good film\tpositive\nsplendid film\tgood\n")
    capsys.readouterr()
    assert run.evaluate(files=["some.tsv"])["accuracy"] <= 0.5
    assert "warning: 1 test rows have a label that no training row has" in capsys.readouterr().err
    Path("turned.tsv").write_text("positive\tgood film\nnegative\tbad film\n")
    with pytest.raises(DataError, match=r"turned.tsv: no row has a text and one of the run's labels \(negative, pos"):
        run.evaluate(files=["turned.tsv"])
    assert run.predict(["a good film"])[0].text in ("positive", "negative")
