"""What curves say of a run: nothing of sound ones, whatever was recorded, and advice that can be typed."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from curves import EPOCHS, LABELS, PAIRS, curves, decaying, faults, labelled
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zoo.cli import run
from zoo.cli.diagnose import concerns
from zoo.config import (
    Activation,
    Attention,
    Cell,
    ClassifierConfig,
    Encoder,
    Init,
    LabelledConfig,
    LinearClassifierConfig,
    MomentumConfig,
    NoamConfig,
    Norm,
    PairsConfig,
    Precision,
    Seq2SeqConfig,
    ToyConfig,
    TrainConfig,
    TransformerConfig,
    check,
    from_dict,
    save_config,
    to_dict,
)
from zoo.diagnose import Advice, Curves, diagnose, read_curves
from zoo.diagnose.fitting import capacity, regularizers
from zoo.diagnose.steps import shorter_steps
from zoo.errors import CheckpointError


@pytest.mark.parametrize("sound", [
    curves(),
    curves(lr=[0.002] * EPOCHS),
    curves(train_loss=[0.8, 0.29, 0.21], valid_loss=[0.36, 0.25, 0.22], lr=[0.0016, 0.0005, 1e-10]),
    curves(valid_loss=[1.0, 0.5, 0.33, 0.31, 0.3, 0.31, 0.312, 0.315, 0.317, 0.318]),  # flat, not rising
    curves(valid_loss=[1.0, 0.1, 0.001, 0.0012, 0.0013, 0.0015, 0.0015, 0.0016, 0.0017, 0.0018]),  # next to nothing
    curves(train_loss=[3.4, *decaying(2.5, 0.2, 9)], train_accuracy=[0.1, *decaying(0.2, 0.9, 9)]),
    labelled(),
    labelled(valid_macro_f1=decaying(0.5, 0.8)),
    labelled(results={"labels": {"a": 9000, "b": 1000}}, valid_accuracy=decaying(0.9, 0.98),
             valid_macro_f1=decaying(0.6, 0.95), train_accuracy=decaying(0.9, 0.99)),
    curves(train_loss=decaying(0.5, 1e-4), grad_norm=[1.0, 0.1, *[1e-4] * 8], train_accuracy=[1.0] * 10),  # learned
    curves(results={"notes": {"valid_sources_in_train": 3}}),
    curves(results={"skipped_steps": 3, "precision": "fp16"}),
])  # fmt: skip
def test_nothing_is_found_on_sound_curves(sound: Curves) -> None:
    assert diagnose(sound) == []


@pytest.mark.parametrize("count", [1, 2, 5])
def test_an_unfinished_run_is_not_blamed_for_what_it_may_still_learn(count: int) -> None:
    slow = {"train_loss": [2.5] * count, "train_accuracy": [0.1] * count, "valid_accuracy": [0.1] * count}
    assert faults(curves(results={"epochs": 99}, lr=[1e-5] * count, **slow)) == []


def test_a_run_without_an_epoch_has_nothing_to_say() -> None:
    assert diagnose(Curves(config=PAIRS, rows=[])) == []


def test_older_runs_that_recorded_less_are_read_all_the_same() -> None:
    rows = [{"epoch": 1.0, "train_loss": 2.0}, {"epoch": 2.0, "train_loss": 1.0, "valid_loss": 1.1}]
    assert faults(Curves(config=PAIRS, rows=rows)) == ["divergence"]  # no valid_loss in epoch 1 is a lost one
    whole = curves()
    rows = [{key: row[key] for key in row if key not in ("waited", "skipped_steps", "grad_norm")} for row in whole.rows]
    assert diagnose(replace(whole, rows=rows, results={"epochs": EPOCHS})) == []


def type_over(config: TrainConfig, advice: Advice) -> None:
    """Lay overrides over a config as the command line does, and check what comes of it."""
    values: dict[str, Any] = to_dict(config)
    for word in advice.overrides:
        key, _, text = word.partition("=")
        group, _, name = key.rpartition(".")
        if key in ("model", "dataset", "scheduler"):
            return  # a choice, with options of its own
        target = values[group] if group else values
        assert name in target, word
        target[name] = json.loads(text) if text[0].isdigit() or text == "true" else text
    check(from_dict(values))


@pytest.mark.parametrize("config", [
    PAIRS,
    LABELS,
    replace(PAIRS, clip=0.0,
            model=TransformerConfig(dropout=0.0, norm=Norm.post, init=Init.zeros, d_model=60, nhead=6)),
    replace(PAIRS, model=Seq2SeqConfig(cell=Cell.rnn, attention=Attention.none, hidden_size=6)),
    replace(PAIRS, optimizer=MomentumConfig(lr=5.0), scheduler=NoamConfig(), precision=Precision.fp16),
    replace(LABELS, model=LinearClassifierConfig(), dataset=LabelledConfig(train="a", limit=5)),
    replace(LABELS, model=ClassifierConfig(encoder=Encoder.bag, dropout=0.0, activation=Activation.tanh), max_steps=7),
    replace(PAIRS, dataset=ToyConfig(valid_size=5)),
    replace(PAIRS, dataset=PairsConfig(train="a", src_tokenizer="bpe", tgt_tokenizer="bpe")),
], ids=range(9))  # fmt: skip
def test_every_override_that_is_advised_is_accepted(config: TrainConfig) -> None:
    bad = {"train_loss": [9.0] * 10, "grad_norm": [99.0] * 10, "valid_dead_units": [1.0] * 10, "waited": [1.0] * 10}
    poor = {"train_accuracy": [0.1] * 10, "valid_accuracy": [0.1] * 10}
    figures = [bad, poor, {**poor, "grad_norm": [1e-9] * 10}, {"valid_loss": [0.1 * n for n in range(1, 11)]}]
    rows = [curves(**one).rows for one in figures]
    results = {"epochs": 10, "sizes": {"valid": 5}, "notes": {"valid_sources_in_train": 1}}
    found = [Curves(config=config, rows=one, results=results, classes=30) for one in rows]
    advice = [one for run in found for finding in diagnose(run) for one in finding.advice]
    for one in (*advice, *regularizers(config), *capacity(config), *shorter_steps(found[0])):
        type_over(config, one)


FIGURES = st.dictionaries(
    st.sampled_from(["train_loss", "valid_loss", "train_accuracy", "valid_accuracy", "valid_sequence_error_rate", "lr",
                     "valid_macro_f1", "grad_norm", "waited", "skipped_steps", "valid_dead_units", "step"]),
    st.one_of(st.none(), st.floats(), st.integers(), st.booleans(), st.just("text")),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(FIGURES, max_size=9), st.sampled_from([PAIRS, LABELS]))
@example([{"train_loss": 1e308, "valid_loss": 1e308, "lr": 0.0}] * 9, PAIRS)
@example([{"valid_accuracy": None, "valid_macro_f1": 1.0}] * 3, LABELS)
def test_any_figures_are_read_without_a_failure(tmp_path_factory: Any, rows: list[dict[str, Any]],
                                                config: TrainConfig) -> None:  # fmt: skip
    path = tmp_path_factory.mktemp("run")
    save_config(config, path / "config.yaml")
    lines = [json.dumps({"epoch": number, **row}) for number, row in enumerate(rows, 1)]
    (path / "metrics.jsonl").write_text("\n".join([*lines, "[1]", '{"epoch": "x"}', '{"epoch": 3, "st']))
    read = read_curves(path)
    assert len(read) == len(rows)
    diagnose(replace(read, results={"epochs": len(rows), "sizes": {"valid": 3}, "labels": {"a": 0}}, classes=2))


def test_the_last_line_of_an_epoch_counts(tmp_path: Path) -> None:
    save_config(PAIRS, tmp_path / "config.yaml")
    lines = ['{"epoch": 1, "train_loss": 5}', '{"resumed_at_step": 3}', '{"epoch": 1, "train_loss": 2}',
             '{"epoch": 2, "train_loss": null}']  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    (tmp_path / "train.log").write_text("2026-01-01 10:00:00 first\n2026-01-01 10:00:01 error: the last one\n")
    read = read_curves(tmp_path)
    assert [read.epoch(0), read.epoch(1), len(read)] == [1, 2, 2]
    assert read.of("train_loss")[0] == 2
    assert math.isnan(read.of("train_loss")[1])
    assert read.last_words == "error: the last one"


def test_a_name_without_a_run_is_refused(here: Path) -> None:
    with pytest.raises(CheckpointError, match="no such run"):
        run(["diagnose", "nothing"])


def test_a_run_of_an_older_version_is_diagnosed() -> None:
    read = read_curves(Path(__file__).parent / "data" / "format-1")
    assert (len(read), read.ended, math.isnan(read.of("waited")[0])) == (2, True, True)
    diagnose(read)


def test_a_training_does_not_fail_for_what_its_closing_line_cannot_read(tmp_path: Path) -> None:
    assert concerns(tmp_path / "nothing") == ""
    (tmp_path / "config.yaml").write_text("[")
    assert concerns(tmp_path) == ""
