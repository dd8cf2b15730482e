"""Each rule finds its fault on curves that have it, and says what to try."""

import math
from dataclasses import replace

import numpy as np
import pytest
from curves import LABELS, PAIRS, cosine, curves, decaying, faults, labelled, only, overrides

from zoo.config import (
    Activation,
    AdamConfig,
    ClassifierConfig,
    ConstantConfig,
    Encoder,
    Init,
    Task,
    TorchtextConfig,
    ToyConfig,
)
from zoo.diagnose import RULES, Curves, Severity, diagnose
from zoo.diagnose.fitting import regularizers
from zoo.diagnose.parts import standard_error


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
