"""What curves say of a run: each fault is found on curves that have it, and nothing on sound ones."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zoo.cli import run
from zoo.cli.diagnose import concerns, diagnosis
from zoo.cli.train import summary
from zoo.config import (
    Activation,
    AdamConfig,
    Attention,
    Cell,
    ClassifierConfig,
    ConstantConfig,
    Encoder,
    Init,
    LabelledConfig,
    LinearClassifierConfig,
    MomentumConfig,
    MovieReviewsConfig,
    NoamConfig,
    Norm,
    PairsConfig,
    Precision,
    Seq2SeqConfig,
    Task,
    TorchtextConfig,
    ToyConfig,
    TrainConfig,
    TransformerConfig,
    WarmupCosineConfig,
    check,
    from_dict,
    save_config,
    to_dict,
)
from zoo.diagnose import RULES, Advice, Curves, Finding, Severity, diagnose, read_curves
from zoo.diagnose.fitting import capacity, regularizers
from zoo.diagnose.parts import standard_error
from zoo.diagnose.steps import shorter_steps
from zoo.errors import CheckpointError, DivergenceError
from zoo.experiment import train
from zoo.record.text import epoch_line

Toy = Callable[..., TrainConfig]
EPOCHS = 10
PAIRS = TrainConfig(dataset=PairsConfig(train="a.tsv"), epochs=EPOCHS)
LABELS = TrainConfig(model=ClassifierConfig(), dataset=MovieReviewsConfig(), epochs=EPOCHS)


def decaying(start: float, end: float, count: int = EPOCHS, *, pace: float = 0.6) -> list[float]:
    """Return figures that near `end`, as a sound loss does."""
    return [end + (start - end) * pace**number for number in range(count)]


def cosine(peak: float, count: int = EPOCHS) -> list[float]:
    return [peak * (1 + math.cos(math.pi * number / count)) / 2 for number in range(1, count + 1)]


def curves(config: TrainConfig = PAIRS, *, results: dict[str, Any] | None = None, last_words: str = "",
           classes: int = 30, **figures: list[float]) -> Curves:  # fmt: skip
    """Return the curves of a sound run that has ended, with other figures where they are given."""
    count = len(next(iter(figures.values()))) if figures else EPOCHS
    sound = {
        "train_loss": decaying(2.5, 0.2, count),
        "train_accuracy": decaying(0.3, 0.95, count),
        "valid_loss": decaying(2.0, 0.3, count),
        "valid_accuracy": decaying(0.4, 0.92, count),
        "grad_norm": decaying(2.0, 0.3, count),
        "lr": cosine(0.002, count),
        "waited": [0.04] * count,
        "skipped_steps": [0.0] * count,
    }
    if config.dataset.name == "pairs":
        sound["valid_sequence_error_rate"] = decaying(0.95, 0.25, count)
    else:
        sound["valid_macro_f1"] = sound["valid_accuracy"]
    told = {**sound, **figures}
    rows = [{"epoch": float(n + 1), **{key: told[key][n] for key in told}} for n in range(count)]
    found = {"epochs": count, "sizes": {"train": 10000, "valid": 2000, "test": 2000}, "notes": {}, **(results or {})}
    return Curves(config=config, rows=rows, results=found, last_words=last_words, classes=classes)


def labelled(**changes: Any) -> Curves:
    """Return the same of two labels that are evenly spread."""
    results = {"labels": {"good": 5000, "bad": 5000}, **changes.pop("results", {})}
    sound = {"train_loss": decaying(0.69, 0.1), "train_accuracy": decaying(0.6, 0.95),
             "valid_loss": decaying(0.68, 0.35), "valid_accuracy": decaying(0.6, 0.85)}  # fmt: skip
    return curves(changes.pop("config", LABELS), results=results, classes=2, **{**sound, **changes})


def faults(found: Curves) -> list[str]:
    return [finding.fault for finding in diagnose(found)]


def only(found: Curves) -> Finding:
    """Return the one finding of a run that has one fault."""
    (finding,) = diagnose(found)
    assert finding.evidence
    assert finding.advice
    return finding


def overrides(finding: Finding) -> list[str]:
    return [word for advice in finding.advice for word in advice.overrides]


# ---- sound runs


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


# ---- one rule each


def test_over_fitting_is_dated_from_the_lowest_validation_loss() -> None:
    rising = [1.0, 0.6, 0.5, 0.55, 0.6, 0.66, 0.7, 0.75, 0.8, 0.85]
    found = only(curves(valid_loss=rising, valid_sequence_error_rate=[0.5, 0.4, 0.35, *[0.34] * 7]))
    assert (found.what, found.severity) == ("over-fitting since epoch 4", Severity.serious)
    assert "valid_loss rises from 0.5 in epoch 3 to 0.85 in epoch 10" in found.evidence[0]
    assert {"model.dropout=0.3", "label_smoothing=0.1", "rdrop=1", "patience=3"} <= set(overrides(found))


def test_only_regularizers_that_are_not_in_use_are_named() -> None:
    model = replace(PAIRS.model, dropout=0.4)
    full = replace(PAIRS, model=model, rdrop=1.0, label_smoothing=0.1, ema=0.999, patience=2,
                   optimizer=AdamConfig(weight_decay=0.1))  # fmt: skip
    assert regularizers(full) == []
    assert [one.overrides for one in regularizers(replace(full, patience=0))] == [("patience=3",)]
    words = {word for one in regularizers(LABELS) for word in one.overrides}
    assert "model.word_dropout=0.2" in words
    assert "dataset.limit=0" not in words


def test_answers_that_are_right_in_training_alone_are_learned_by_heart() -> None:
    found = only(curves(valid_accuracy=[0.3, 0.5, *[0.6] * 8], train_accuracy=[0.3, 0.6, 0.8, 0.9, *[0.95] * 6]))
    assert found.what == "over-fitting since epoch 4"
    assert found.evidence == ["train_accuracy is 0.95 at the end, valid_accuracy 0.6"]


def test_a_rising_loss_that_errors_pay_for_is_no_over_fitting() -> None:
    rising = [1.0, 0.6, 0.5, 0.55, 0.6, 0.66, 0.7, 0.75, 0.8, 0.85]
    assert diagnose(curves(valid_loss=rising, valid_sequence_error_rate=decaying(0.9, 0.2, pace=0.8))) == []


def test_under_fitting_asks_for_epochs_where_the_loss_still_falls_and_else_for_capacity() -> None:
    flat = {"train_accuracy": [0.3] * 10, "valid_accuracy": [0.3] * 10, "train_loss": decaying(2.5, 2.0, pace=0.4)}
    found = only(curves(**flat))
    assert found.fault == "under-fitting"
    assert overrides(found)[0] == "model.d_model=256"
    falling = {**flat, "train_loss": [2.9, 2.2, 2.0, 1.9, 1.8, 1.75, 1.7, 1.66, 1.62, 1.58]}
    assert overrides(only(curves(**falling)))[0] == "epochs=20"


def test_a_classifier_no_better_than_its_commonest_label_has_not_learned() -> None:
    found = labelled(train_accuracy=[0.52] * 10, valid_accuracy=[0.53] * 10, train_loss=decaying(0.69, 0.68, pace=0.3))
    assert found.fit == pytest.approx(0.06)
    assert only(found).fault == "under-fitting"


def test_a_rate_too_low_shows_in_a_loss_that_has_not_bent() -> None:
    config = replace(PAIRS, optimizer=AdamConfig(lr=1e-5))
    lr = cosine(1e-5)
    straight = (3.4 - 3e3 * np.cumsum(lr)).tolist()  # in the sum of rates, not in epochs
    poor = {"train_accuracy": [0.15] * 10, "valid_accuracy": [0.15] * 10}
    found = only(curves(config, train_loss=straight, lr=lr, **poor))
    assert found.fault == "learning rate too low"
    assert overrides(found) == ["optimizer.lr=0.002", "lr_find=true", "epochs=20"]
    still = only(curves(config, train_loss=[3.4 - 1e-6 * n for n in range(10)], lr=lr, **poor))
    assert still.fault == "learning rate too low"


@pytest.mark.parametrize("loss", [
    [2.0, 1.0, 1.6, 1.2, 1.4, 1.3],  # jumps
    [9.0, 8.0, 7.0, 6.0, 5.0, 4.6],  # stays above guessing among 30, which is 3.4
])  # fmt: skip
def test_a_rate_too_high_shows_in_the_training_loss(loss: list[float]) -> None:
    config = replace(PAIRS, optimizer=AdamConfig(lr=0.05), clip=0.0)
    found = only(curves(config, train_loss=loss))
    assert found.fault == "learning rate too high"
    assert overrides(found) == ["optimizer.lr=0.002", "lr_find=true", "clip=1", "scheduler.warmup=0.1"]


def test_a_rate_is_at_the_edge_where_the_loss_recovers() -> None:
    found = only(curves(train_loss=[2.0, 1.0, 0.7, 1.1, 0.6, 0.5]))
    assert (found.what, found.severity) == ("the learning rate is at the edge", Severity.minor)
    assert found.evidence == ["train_loss jumps from 0.7 to 1.1 in epoch 4"]


@pytest.mark.parametrize("line", [
    "error: the loss is no longer finite at step 3 (epoch 1, batch 3, learning rate 9); lower optimizer.lr",
    "error: the training loss has grown to 3.47e+03 after step 31 (epoch 1, batch 31, learning rate 965); lower",
    "error: the weights are no longer finite after step 3 (epoch 1, batch 3, learning rate 9); lower optimizer.lr",
])  # fmt: skip
def test_divergence_is_told_by_the_last_line_of_the_log(line: str) -> None:
    found = only(Curves(config=replace(PAIRS, optimizer=AdamConfig(lr=2.0)), rows=[], last_words=line))
    assert (found.fault, found.severity) == ("divergence", Severity.fatal)
    assert found.evidence == [line.removeprefix("error: ").partition(";")[0]]
    assert overrides(found)[0] == "optimizer.lr=0.002"
    assert faults(Curves(config=PAIRS, rows=[], last_words="resumed runs/a at step 30")) == []


def test_divergence_is_told_by_a_loss_that_json_cannot_spell() -> None:
    assert "divergence" in faults(curves(train_loss=[2.0, math.nan], valid_loss=[2.0, math.nan]))


def test_exploding_gradients_show_in_their_norm_or_in_steps_left_out() -> None:
    found = only(curves(grad_norm=[1.0, 80.0, *[1.0] * 8]))
    assert found.fault == "exploding gradients"
    assert "80 in epoch 2" in found.evidence[0]
    assert only(curves(results={"skipped_steps": 4})).evidence[0].startswith("4 steps were left out")
    assert only(curves(skipped_steps=[0.0, *[2.0] * 9])).evidence[0].startswith("2 steps were left out")


def test_vanishing_gradients_are_told_from_those_of_a_model_that_has_learned() -> None:
    model = ClassifierConfig(encoder=Encoder.rnn, activation=Activation.sigmoid, init=Init.zeros)
    still = {"train_accuracy": [0.5] * 10, "valid_accuracy": [0.5] * 10, "train_loss": [0.693] * 10}
    found = only(labelled(config=replace(LABELS, model=model), grad_norm=[0.1, *[1e-5] * 9], **still))
    assert found.fault == "vanishing gradients"
    assert overrides(found) == ["model.init=xavier", "model.activation=relu", "model.encoder=lstm"]


def test_a_plateau_is_one_only_where_the_rate_could_still_change_something() -> None:
    flat = {"train_loss": [1.0, 0.6, *[0.5] * 10], "valid_loss": [1.0, 0.7, *[0.6] * 10],
            "valid_sequence_error_rate": [0.9, 0.6, *[0.5] * 10]}  # fmt: skip
    constant = replace(PAIRS, scheduler=ConstantConfig(), epochs=12)
    found = only(curves(constant, lr=[0.002] * 12, **flat))
    assert (found.what, found.severity) == ("no progress since epoch 8", Severity.minor)
    assert overrides(found)[:2] == ["scheduler=warmup_cosine", "patience=3"]
    assert diagnose(curves(lr=cosine(0.002, 12), **flat)) == []
    assert diagnose(curves(constant, lr=[0.002] * 12, **{**flat, "valid_sequence_error_rate": [0.01] * 12})) == []


def test_a_validation_part_is_noisy_by_its_standard_error() -> None:
    found = only(curves(results={"sizes": {"valid": 100}}))
    assert found.fault == "noisy validation"
    assert "sequence_error_rate of 100 sources has a standard error of 0.043" in found.evidence[0]
    assert diagnose(curves(results={"sizes": {}})) == []
    decoded = only(curves(replace(PAIRS, valid_limit=100)))
    assert "valid_limit=0" in overrides(decoded)
    toy = replace(PAIRS, dataset=ToyConfig(valid_size=20))
    rows = [{**row, "valid_sequence_error_rate": 0.5} for row in curves().rows]
    assert "dataset.valid_size=2500" in overrides(only(Curves(config=toy, rows=rows)))


def test_standard_errors_are_those_of_a_binomial_share_with_two_of_either_kind_added() -> None:
    assert standard_error(0.5, 396) == pytest.approx(0.5 / math.sqrt(400))
    assert standard_error(0.0, 16) == pytest.approx(math.sqrt(0.1 * 0.9 / 20))
    assert standard_error(1.0, 16) == pytest.approx(standard_error(0.0, 16))


def test_labels_are_out_of_balance_where_rare_ones_are_not_found() -> None:
    figures = {"valid_accuracy": [0.95] * 10, "valid_macro_f1": [0.487] * 10, "train_accuracy": [0.95] * 10}
    found = only(labelled(results={"labels": {"rare": 500, "common": 9500}}, **figures))
    assert found.fault == "labels out of balance"
    assert found.evidence[1] == "of the training rows 9,500 are 'common' (95 %), 500 'rare'"
    assert overrides(found) == ["monitor=macro_f1"]
    assert faults(labelled(results={"labels": {}}, **figures)) == ["labels out of balance"]  # by accuracy alone
    even = {"valid_accuracy": [0.5] * 10, "valid_macro_f1": [0.33] * 10, "train_accuracy": [0.5] * 10}
    assert faults(labelled(**even)) != ["labels out of balance"]


def test_leakage_is_worse_the_more_of_a_part_it_is() -> None:
    few = only(curves(results={"notes": {"test_sources_in_train": 40}}))
    many = only(curves(results={"notes": {"valid_sources_in_train": 400}}))
    assert (few.severity, many.severity) == (Severity.serious, Severity.fatal)
    assert many.evidence == ["400 of 2,000 (20 %) valid sources are in the training part too"]
    assert overrides(many) == ["dataset.leakage=error"]
    unknown = only(curves(results={"notes": {"test_sources_in_train": 4}, "sizes": {}}))
    assert unknown.evidence == ["4 test sources are in the training part too"]


def test_a_slow_loader_is_told_by_the_time_that_steps_wait() -> None:
    found = only(curves(waited=[0.9, *[0.3] * 9]))
    assert found.evidence[0].startswith("30 % of the time of training")
    assert overrides(found) == ["batch_tokens=8192"]
    texts = replace(PAIRS, dataset=TorchtextConfig(task=Task.pairs, train="a.tsv"))
    rows = curves(waited=[0.3] * 10).rows
    assert overrides(only(Curves(config=texts, rows=rows))) == ["dataset=pairs", "dataset.batch_size=128"]


def test_dead_units_are_told_by_their_share() -> None:
    found = only(labelled(valid_dead_units=[0.2, *[0.9] * 9]))
    assert found.evidence[0].startswith("90 % of the units of nn.ReLU were zero")
    assert overrides(found) == ["optimizer.lr=0.0002", "lr_find=true", "model.activation=gelu", "model.init=he"]
    assert diagnose(labelled(valid_dead_units=[0.9, *[0.3] * 9])) == []


def test_the_worst_comes_first() -> None:
    found = diagnose(
        curves(grad_norm=[80.0] * 10, waited=[0.3] * 10, results={"notes": {"valid_sources_in_train": 400}})
    )
    assert [one.fault for one in found] == ["leakage", "exploding gradients", "slow loader"]
    assert len(RULES) == len(set(RULES)) == 13


# ---- what is advised can be typed


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


# ---- reading

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


# ---- runs made to have a fault

SMALL = Seq2SeqConfig(cell=Cell.gru, embedding_size=16, hidden_size=32, dropout=0.0)
COPY = ToyConfig(symbols=4, max_length=5, train_size=900, valid_size=250, test_size=20)
PARITY = replace(COPY, name="parity")


def trained(toy: Toy, **changes: Any) -> Curves:
    """Train, and return what the run left to read."""
    options = {"run_dir": "run", "model": SMALL, "dataset": COPY, "optimizer": AdamConfig(lr=0.02), "epochs": 6,
               "scheduler": WarmupCosineConfig(), "batch_tokens": 200, "valid_limit": 40, "test_limit": 1}  # fmt: skip
    results = train(toy(**{**options, **changes}))
    return read_curves(Path(results["run_dir"]))


def test_a_sound_run_has_no_fault(here: Path, toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    found = trained(toy, dataset=replace(COPY, train_size=2000), epochs=7, batch_tokens=300, valid_limit=0)
    assert found.errors[-1] < 0.1
    assert diagnose(found) == []
    assert "check" not in summary({**found.results, "run_dir": "run"})
    capsys.readouterr()
    assert run(["diagnose", "run"]) == 0
    assert capsys.readouterr().out == "run: 7 epochs\nnothing found\n"


def test_a_run_on_a_few_rows_over_fits(here: Path, toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    found = diagnose(trained(toy, dataset=replace(COPY, limit=12), epochs=25))
    assert found[0].fault == "over-fitting"
    assert "dataset.limit=0" in overrides(found[0])
    last = summary({**read_curves(Path("run")).results, "run_dir": "run"}).splitlines()[-2]
    assert last == f"check  {', '.join(one.what for one in found)}; see zoo diagnose run"
    capsys.readouterr()
    assert run(["diagnose", "run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["run"], told["epochs"], told["ended"]) == ("run", 25, True)
    assert told["findings"][0] == found[0].to_dict()
    assert told["findings"][0]["severity"] == "serious"
    assert run(["diagnose", "run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == f"1. {found[0].what} (serious)"
    assert any(line.startswith("   try  model.dropout=0.3 ") for line in lines)


def test_a_run_of_two_units_under_fits(here: Path, toy: Toy) -> None:
    narrow = replace(SMALL, hidden_size=2, embedding_size=2)
    found = diagnose(trained(toy, model=narrow, dataset=replace(COPY, symbols=12), epochs=8))
    assert found[0].fault == "under-fitting"
    assert "model.hidden_size=256" in overrides(found[0])


def test_a_run_with_a_rate_far_too_high_is_told_so(here: Path, toy: Toy) -> None:
    found = diagnose(trained(toy, optimizer=AdamConfig(lr=2.0)))
    assert "learning rate too high" in [one.fault for one in found]


def test_a_run_with_a_rate_far_too_low_is_told_so(here: Path, toy: Toy) -> None:
    found = diagnose(trained(toy, optimizer=AdamConfig(lr=1e-5), epochs=4))
    assert "learning rate too low" in [one.fault for one in found]


def test_a_run_that_diverges_is_told_so_without_an_epoch(here: Path, toy: Toy) -> None:
    with pytest.raises(DivergenceError):
        trained(toy, optimizer=MomentumConfig(lr=1e5), clip=0.0, run_dir="runs/lost")
    assert diagnosis("last")["run"] == "runs/lost"
    found = diagnose(read_curves(Path("runs/lost")))
    assert found[0].fault == "divergence"
    assert "optimizer.lr=0.1" in overrides(found[0])


def test_a_run_on_labels_out_of_balance_is_told_so(here: Path, toy: Toy) -> None:
    rows = [
        f"{'a' * (1 + n % 7)} {'b' * (1 + n % 11)} {n}\t{'rare' if n % 20 == 0 else 'common'}\n" for n in range(600)
    ]
    Path("train.tsv").write_text("".join(rows))
    model = ClassifierConfig(encoder=Encoder.bag, embedding_size=8, hidden_size=8)
    found = trained(toy, model=model, dataset=LabelledConfig(train="train.tsv"), epochs=3)
    assert sum(found.labels.values()) < 600  # a part is held out
    assert "labels out of balance" in faults(found)


# ---- what a run records for it


def test_dead_units_are_recorded_of_modules_and_not_of_functions(here: Path, toy: Toy) -> None:
    for name in ("classifier", "classifier_functional"):
        model = ClassifierConfig(name=name, encoder=Encoder.bag, embedding_size=8, hidden_size=8)
        found = trained(toy, model=model, dataset=PARITY, epochs=1, run_dir=name)
        assert np.isnan(found.of("valid_dead_units")).all() == (name == "classifier_functional")


def test_results_hold_the_sizes_of_the_parts_and_the_labels(here: Path, toy: Toy) -> None:
    model = ClassifierConfig(encoder=Encoder.bag, embedding_size=8, hidden_size=8)
    found = trained(toy, model=model, dataset=PARITY, epochs=1)
    assert found.results["sizes"] == {"train": 900, "valid": 250, "test": 20}
    assert set(found.labels) == {"even", "odd"}
    assert sum(found.labels.values()) == 900
    assert (found.of("waited") > 0).all()
    assert (found.of("waited") < 1).all()


def test_what_is_recorded_for_it_stays_out_of_the_line_to_read() -> None:
    values = {"train_loss": 1.0, "waited": 0.1, "skipped_steps": 0, "valid_dead_units": 0.2}
    assert epoch_line(1, 2, values) == "epoch 1/2: loss 1"
