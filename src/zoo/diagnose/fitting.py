"""Rules about what was learned: too much by heart, too little, or nothing more."""

from typing import Any

import numpy as np

from zoo.config import TrainConfig
from zoo.diagnose.finding import Advice, Finding, Severity, advise, shown
from zoo.diagnose.parts import unbalanced_labels
from zoo.diagnose.steps import (
    POOR_FIT,
    diverged,
    longer_step,
    more_epochs,
    rate_test,
    rate_too_high,
    rate_too_low,
    usual_rate,
    vanishing_gradients,
)
from zoo.experiment.curves import Curves, largest, smallest
from zoo.metrics import Array

RISE = 0.1
"""Relative rise of the validation loss over its lowest that is over-fitting; sound recipes on small data have 0.06."""
LEAST_RISE = 0.02
"""The same in nats, for losses near 0."""
FALL = 0.05
"""Relative fall of the training loss meanwhile: without it both rise, which is no over-fitting."""
BETTER_STILL = 0.1
"""Relative fall of the error rate that makes up for a rising loss: then a model is only too sure of itself."""
WIDE = 0.25
"""Accuracy in training above that in validation that is learned by heart; sound recipes on small data have 0.21."""
SETTLED = 2
"""Epochs after the lowest validation loss before its rise is believed."""
FLAT = 0.02
"""Relative change of a loss over a third of the epochs that is no progress."""
SMALL_ERROR = 0.02
"""Share of errors below which there is nothing left to learn."""
STILL_MOVING = 0.2
"""Rate at the end, as a share of the highest, above which it is not the schedule that holds a model still."""


def over_fitting(curves: Curves) -> Finding | None:
    """Find a validation loss that rises while that of training falls, or answers that are right in training alone."""
    train, valid = curves.of("train_accuracy"), curves.of("valid_accuracy")
    low, since = _lowest_before_a_rise(curves), _gap_since(train, valid)
    evidence = []
    if low is not None:
        losses, own = curves.of("valid_loss"), curves.of("train_loss")
        evidence.append(
            f"valid_loss rises from {shown(losses[low])} in epoch {curves.epoch(low)} to {shown(losses[-1])} in epoch "
            f"{curves.epoch(-1)}, while train_loss falls from {shown(own[low])} to {shown(own[-1])}"
        )
        since = low + 1
    if since is None:
        return None
    evidence.append(f"train_accuracy is {shown(train[-1])} at the end, valid_accuracy {shown(valid[-1])}")
    what = f"over-fitting since epoch {curves.epoch(since)}"
    return Finding("over-fitting", Severity.serious, what, evidence, regularizers(curves.config))


def _lowest_before_a_rise(curves: Curves) -> int | None:
    """Return the place of the lowest validation loss, where it rises afterwards and the error rate gains nothing."""
    valid, train, errors = curves.of("valid_loss"), curves.of("train_loss"), curves.errors
    if np.isnan(valid).any() or len(valid) <= SETTLED:
        return None
    low = int(valid.argmin())
    if len(valid) - 1 - low < SETTLED:
        return None
    risen = valid[-SETTLED:].min() - valid[low] > max(RISE * valid[low], LEAST_RISE)
    learned = train[-1] < (1 - FALL) * train[low]
    paid = errors[-SETTLED:].min() < (1 - BETTER_STILL) * errors[low]
    return low if risen and learned and not paid else None


def _gap_since(train: Array, valid: Array) -> int | None:
    """Return the place from which accuracy in training stays far above that in validation."""
    wide = train - valid > WIDE
    if len(wide) <= SETTLED or not wide[-SETTLED:].all():
        return None
    return int(len(wide) - np.logical_and.accumulate(wide[::-1]).sum())


def under_fitting(curves: Curves) -> Finding | None:
    """Find a run that has ended without learning its training data, for none of the reasons that have a rule."""
    loss = curves.of("train_loss")
    if not curves.ended or len(loss) < 2 or curves.fit >= POOR_FIT:
        return None
    causes = (rule(curves) for rule in (diverged, rate_too_high, rate_too_low, vanishing_gradients, unbalanced_labels))
    if any(cause and cause.severity > Severity.minor for cause in causes):
        return None
    train, valid = (largest(curves.of(f"{part}_accuracy")) for part in ("train", "valid"))
    evidence = [f"accuracy is {shown(train)} in training and {shown(valid)} in validation at best"
                + (f"; the commonest label alone has {shown(curves.majority)}" if curves.majority else "")]  # fmt: skip
    falls = _fall(loss)
    evidence.append(f"train_loss is {shown(loss[-1])} at the end, and in the last third of the epochs it "
                    + (f"still fell by {shown(100 * falls)} %" if falls > FLAT else "hardly fell"))  # fmt: skip
    cures = capacity(curves.config)
    cures = [more_epochs(curves), *cures] if falls > FLAT else [*cures, more_epochs(curves)]
    if curves.config.optimizer.lr <= usual_rate(curves):
        cures += [longer_step(curves), rate_test(curves)]
    return Finding("under-fitting", Severity.serious, "under-fitting: the training data itself is not learned",
                   evidence, cures)  # fmt: skip


def _fall(loss: Array) -> float:
    """Return by which share a loss fell in the last third of its epochs."""
    before = loss[-1 - max(1, len(loss) // 3)]
    return float((before - loss[-1]) / before) if before > 0 else 0.0


def plateau(curves: Curves) -> Finding | None:
    """Find epochs at a rate that could still change something, and change nothing; what is not learned has a rule."""
    train, valid, lr, errors = curves.of("train_loss"), curves.of("valid_loss"), curves.of("lr"), curves.errors
    if len(train) < 6 or curves.fit < POOR_FIT or not smallest(errors) > SMALL_ERROR:
        return None
    third = len(train) // 3
    gain = 1 - smallest(errors[-third:]) / smallest(errors[:-third])
    still = abs(_fall(train)) < FLAT and smallest(valid[-third:]) > (1 - FLAT) * smallest(valid[:-third])
    if not still or gain > FLAT or not lr[-1] > STILL_MOVING * largest(lr) or over_fitting(curves):
        return None
    since, value = curves.epoch(-1 - third), curves.of(f"valid_{curves.metric}")[-1]
    evidence = [
        f"from epoch {since} to {curves.epoch(-1)} train_loss stays at {shown(train[-1])} and {curves.metric} at "
        f"{shown(value)}, at a rate of {shown(lr[-1])}"
    ]
    cures = []
    if curves.config.scheduler.name == "constant":
        cures.append(advise("a rate that falls lets a model settle", scheduler="warmup_cosine"))
    if not curves.config.patience:
        cures.append(advise("end a run that gets no better", patience=3))
    cures += capacity(curves.config)
    return Finding("plateau", Severity.minor, f"no progress since epoch {since}", evidence, cures)


def regularizers(config: TrainConfig) -> list[Advice]:
    """Return the regularizers that a run does not use, the strongest first."""
    model, data, dropout = config.model, config.dataset, getattr(config.model, "dropout", 1.0)
    cures = []
    if data.limit:
        cures.append(advise("all training rows: nothing helps as much", dataset__limit=0))
    if dropout < 0.3:
        cures.append(advise(f"more units left out in training (now {dropout:g})", model__dropout=0.3))
    if not getattr(model, "word_dropout", 1):
        cures.append(advise("some tokens unknown in training", model__word_dropout=0.2))
    if getattr(data, "subword_sampling", 1) == 0 and {"bpe", "unigram"} & _tokenizers(data):
        cures.append(advise("words split anew in each epoch", dataset__subword_sampling=0.1))
    if not config.rdrop:
        options: dict[str, Any] = {"rdrop": 1} if dropout else {"model__dropout": 0.3, "rdrop": 1}
        cures.append(advise("two passes that must agree (R-Drop), at twice the time", **options))
    if not config.optimizer.weight_decay:
        decoupled = config.optimizer.name == "adamw"
        cures.append(advise("smaller weights", optimizer__weight_decay=0.01 if decoupled else 0.0001))
    if not config.label_smoothing:
        cures.append(advise("answers less sure of themselves", label_smoothing=0.1))
    if not config.ema:
        cures.append(advise("the mean of the weights over the last steps", ema=0.999))
    if not config.patience:
        cures.append(advise("end a run that gets no better; the best epoch is what is kept", patience=3))
    return cures


def _tokenizers(dataset: Any) -> set[str]:
    return {str(getattr(dataset, key)) for key in ("tokenizer", "src_tokenizer", "tgt_tokenizer")
            if hasattr(dataset, key)}  # fmt: skip


def capacity(config: TrainConfig) -> list[Advice]:
    """Return what gives a model more room."""
    model, cures = config.model, []
    if getattr(model, "encoder", "") == "bag":
        cures.append(advise("an encoder that reads the order of the tokens", model__encoder="gru"))
    if getattr(model, "attention", "") == "none":
        cures.append(advise("a look at the whole source at each step", model__attention="dot"))
    if str(getattr(model, "init", "")) == "zeros":
        cures.append(advise("initial weights that differ, so that units do", model__init="xavier"))
    for width in ("d_model", "hidden_size"):
        if hasattr(model, width):
            cures.append(advise("a wider model", **{f"model__{width}": _wider(model, width)}))
    if hasattr(model, "num_encoder_layers"):
        layers = {
            f"model__num_{side}_layers": getattr(model, f"num_{side}_layers") + 1 for side in ("encoder", "decoder")
        }
        cures.append(advise("a deeper model", **layers))
    if hasattr(model, "ngrams"):
        cures.append(advise("a model with hidden layers", model="classifier"))
    if getattr(model, "dropout", 0.0) > 0.3:
        cures.append(advise(f"fewer units left out in training (now {model.dropout:g})", model__dropout=0.1))
    return cures


def _wider(model: Any, width: str) -> int:
    """Return the default width where a model's is below, else twice its own; the heads divide either."""
    usual, own = int(getattr(type(model)(), width)), int(getattr(model, width))
    return usual if own < usual and usual % getattr(model, "nhead", 1) == 0 else 2 * own
