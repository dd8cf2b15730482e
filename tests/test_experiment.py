"""A run: the files that it leaves, that it repeats to the bit, and that each tokenizer trains."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import metrics_of
from tiny_runs import BAG, PARITY, TINY, Toy, story

from zoo.config import (
    ClassifierConfig,
    Device,
    Encoder,
    LabelledConfig,
    PairsConfig,
    Precision,
    Seq2SeqConfig,
    SGDConfig,
    Tokenizer,
    load_config,
)
from zoo.errors import ConfigError, DivergenceError
from zoo.experiment import open_run, train
from zoo.experiment.machine import choose_device, choose_precision, random_states, restore_random_states, seed_all
from zoo.storage import list_checkpoints


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
    assert [line["epoch"] for line in metrics_of(run)] == [1, 2]
    assert {"train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "valid_sequence_error_rate", "lr"} <= set(
        metrics_of(run)[0]
    )
    assert load_config(run / "config.yaml").run_dir == str(run)
    assert list_checkpoints(run / "checkpoints")[0].name == f"step-{results['steps']:08d}.safetensors"


def test_a_run_of_labels_reports_classification(here: Path, toy: Toy) -> None:
    results = train(toy(model=BAG, dataset=PARITY))
    assert set(results["test"]) == {"loss", "accuracy", "macro_f1", "ece"}
    assert Path(results["run_dir"]).parent == Path("runs/parity-classifier")
    line = metrics_of(Path(results["run_dir"]))[results["best_epoch"] - 1]
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
    assert story(other)["tensors"] != story(runs[0])["tensors"]


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
        values = [line[f"valid_{monitor.removeprefix('valid_')}"] for line in metrics_of(Path(results["run_dir"]))]
        pick = max if direction == "max" else min
        assert results["best_epoch"] == 1 + values.index(pick(values))
        best[monitor] = results["best_epoch"]
    assert best["loss"] != best["valid_loss"]


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
        written = Tokenizer.char if tokenizer == Tokenizer.char_word else tokenizer
        dataset: Any = PairsConfig(src_tokenizer=tokenizer, tgt_tokenizer=written, **options)
        config = toy(dataset=dataset, epochs=4, batch_tokens=60)
    else:
        model = ClassifierConfig(encoder=Encoder.gru, embedding_size=8, hidden_size=8, dropout=0.0)
        config = toy(model=model, dataset=LabelledConfig(tokenizer=tokenizer, **options), epochs=4, batch_tokens=60)
    config.optimizer.lr = 0.02
    results = train(config)
    losses = [line["train_loss"] for line in metrics_of(Path(results["run_dir"]))]
    assert losses[-1] < losses[0]
    assert len(open_run(results["run_dir"]).predict([ROWS[0][0], "", "?"])) == 3


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
