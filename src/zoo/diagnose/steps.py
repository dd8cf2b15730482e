"""Rules about the steps: divergence, gradients, the learning rate, dead units."""

import math
import re

import numpy as np

from zoo.config import FEWEST_RATES
from zoo.diagnose.finding import Advice, Finding, Severity, advise, shown
from zoo.experiment.curves import Curves, largest
from zoo.metrics import Array

LOST = re.compile(r"error: .*(no longer finite|loss has grown to)")
"""How a training that diverged ends its log."""
EXPLODED = 50.0
"""Mean gradient norm of an epoch, before clipping, that no sound recipe comes near: the largest of theirs is 7."""
VANISHED = 1e-3
"""Mean gradient norm at which nothing moves; a model that learns has 0.1 or more until its loss is near 0."""
SPIKE = 1.2
"""Factor by which the training loss of an epoch is above the lowest before; noise of an epoch's mean is far less."""
ABOVE_CHANCE = 1.3
"""Factor over the loss of guessing that only steps too long lead to; a model that has learned nothing stays at 1."""
POOR_FIT = 0.5
"""Share of what can be learned (`Curves.fit`) below which a run has failed to learn, not to generalize."""
LINEAR = 0.5
"""Slope of the loss at the end over that at the start, by rate, above which the curve has not bent yet."""
MOVED = 0.005
"""Relative fall of the training loss that is more than noise."""
MOST_DEAD = 0.7
"""Share of dead units that leaves a layer little to say; models that learn have 0 to 0.3, on few tokens up to 0.5."""


def diverged(curves: Curves) -> Finding | None:
    """Find a loss, gradient or weight that is no longer finite."""
    losses = curves.of("train_loss") + curves.of("valid_loss")
    if LOST.match(curves.last_words):
        evidence = [curves.last_words.removeprefix("error: ").partition(";")[0]]
    elif np.isnan(losses).any():
        evidence = [f"no finite loss in epoch {curves.epoch(int(np.isnan(losses).argmax()))}"]
    else:
        return None
    return Finding("divergence", Severity.fatal, "the training diverged", evidence, shorter_steps(curves))


def exploding_gradients(curves: Curves) -> Finding | None:
    """Find an epoch whose gradients are far too large, or whose steps had to be left out."""
    norms = curves.of("grad_norm")
    evidence = []
    if (norms >= EXPLODED).any():
        index = int(np.nanargmax(norms))
        evidence.append(f"grad_norm is {shown(norms[index])} in epoch {curves.epoch(index)}; below 10 is usual")
    if skipped := _skipped(curves):
        evidence.append(f"{skipped} steps were left out, since their gradient was not finite")
    if not evidence:
        return None
    return Finding("exploding gradients", Severity.serious, "the gradients explode", evidence,
                   shorter_steps(curves) + _steadier(curves))  # fmt: skip


def _skipped(curves: Curves) -> int:
    """Count the steps left out; fp16 finds its scale by such steps, which mean nothing."""
    if str(curves.config.precision) == "fp16" or curves.results.get("precision") == "fp16":
        return 0
    recorded, told = largest(curves.of("skipped_steps")), curves.results.get("skipped_steps", 0)
    return int(np.fmax(recorded, told if isinstance(told, int) else 0))


def vanishing_gradients(curves: Curves) -> Finding | None:
    """Find gradients of nearly nothing in a model that has not learned."""
    norms = curves.of("grad_norm")[1:]
    if len(norms) < 1 or not np.median(norms) < VANISHED or curves.fit >= POOR_FIT:
        return None
    evidence = [
        f"grad_norm is {shown(float(np.median(norms)))} from epoch {curves.epoch(1)} on (median), and train_accuracy "
        f"still {shown(curves.of('train_accuracy')[-1])}"
    ]
    return Finding("vanishing gradients", Severity.serious, "the gradients vanish", evidence, _steadier(curves))


def rate_too_high(curves: Curves) -> Finding | None:
    """Find a training loss that jumps up, or stays above that of guessing."""
    loss = curves.of("train_loss")
    if len(loss) < 2:
        return None
    lowest = np.fmin.accumulate(loss)[:-1]
    above = loss[1:] > SPIKE * lowest + 0.02  # near 0 a small change is a large factor
    jumps, high = np.flatnonzero(above) + 1, np.flatnonzero(loss[1:] > ABOVE_CHANCE * curves.chance) + 1
    evidence = []
    if len(jumps):
        i = int(jumps[0])
        often = f"; it is as far above its lowest in {len(jumps)} epochs" if len(jumps) > 1 else ""
        evidence.append(
            f"train_loss jumps from {shown(lowest[i - 1])} to {shown(loss[i])} in epoch {curves.epoch(i)}{often}"
        )
    if len(high):
        i = int(high[0])
        guessing = f"guessing among {curves.classes} classes has {shown(curves.chance)}"
        evidence.append(f"train_loss is {shown(loss[i])} in epoch {curves.epoch(i)}; {guessing}")
    if not evidence:
        return None
    lasting = bool(len(high) or above[-1])
    what = "the learning rate is too high" if lasting else "the learning rate is at the edge"
    severity = Severity.serious if lasting else Severity.minor
    return Finding("learning rate too high", severity, what, evidence, shorter_steps(curves))


def rate_too_low(curves: Curves) -> Finding | None:
    """Find a training loss that falls as straight at the end as at the start, far from its goal.

    Slopes are by the sum of the learning rates so far, so that a schedule's decay is not taken for a bend.
    """
    config, loss, valid = curves.config, curves.of("train_loss"), curves.of("valid_loss")
    if not curves.ended or len(loss) < 3 or curves.fit >= POOR_FIT or _starts_at_zero(curves):
        return None
    if valid[-1] > valid[0]:  # then no more of the same helps
        return None
    usual = usual_rate(curves)
    evidence = [f"train_loss has gone from {shown(loss[0])} to {shown(loss[-1])} only"]
    if loss[0] - loss[-1] > MOVED * loss[0]:
        first, last = _slopes(loss, curves.of("lr"))
        if not last >= LINEAR * first > 0:
            return None
        evidence.append(
            f"for each unit of rate it falls {shown(last / first)} times as fast at the end as at the start"
        )
    elif not config.optimizer.lr < usual / 10:
        return None
    if config.optimizer.lr < usual:
        evidence.append(f"optimizer.lr is {config.optimizer.lr:g}, and {usual:g} is usual for {config.optimizer.name}")
    return Finding("learning rate too low", Severity.serious, "the learning rate is too low, or the run too short",
                   evidence, [longer_step(curves), rate_test(curves), more_epochs(curves)])  # fmt: skip


def _slopes(loss: Array, lr: Array) -> tuple[float, float]:
    """Return how fast a loss falls in the first and in the second half of the sum of learning rates.

    Rates are those at the ends of epochs, losses means over epochs, which stand for their middles.
    """
    before = np.concatenate([lr[:1], lr[:-1]])
    spent = (before + lr) / 2
    at = np.cumsum(spent) - spent / 2
    middle = (at[0] + at[-1]) / 2
    halfway = float(np.interp(middle, at, loss))
    half = max(float(at[-1] - middle), 1e-300)
    return (float(loss[0]) - halfway) / half, (halfway - float(loss[-1])) / half


def dead_units(curves: Curves) -> Finding | None:
    """Find a model whose ReLU units answer to nothing any more."""
    shares = curves.of("valid_dead_units")
    if not len(shares) or not shares[-1] >= MOST_DEAD:
        return None
    evidence = [
        f"{shown(100 * shares[-1])} % of the units of nn.ReLU were zero for the whole validation part in epoch "
        f"{curves.epoch(-1)}, {shown(100 * shares[0])} % in epoch {curves.epoch(0)}"
    ]
    cures = [slower(curves), rate_test(curves)]
    if hasattr(curves.config.model, "activation"):
        cures.append(advise("an activation that is never flat", model__activation="gelu"))
    if getattr(curves.config.model, "init", "he") != "he":
        cures.append(advise("initial weights made for ReLU", model__init="he"))
    return Finding("dead units", Severity.serious, "ReLU units are dead", evidence, cures)


def usual_rate(curves: Curves) -> float:
    """Return the default learning rate of a run's optimizer; NaN under noam, which has a scale of its own."""
    config = curves.config
    return math.nan if config.scheduler.name == "noam" else float(type(config.optimizer)().lr)


def slower(curves: Curves) -> Advice:
    """Advise the optimizer's default rate where the run's is above, else a tenth of the run's."""
    lr, usual = curves.config.optimizer.lr, usual_rate(curves)
    return advise("shorter steps", optimizer__lr=f"{usual if lr > usual else lr / 10:.2g}")


def longer_step(curves: Curves) -> Advice:
    """Advise the optimizer's default rate where the run's is far below, else three times the run's."""
    lr, usual = curves.config.optimizer.lr, usual_rate(curves)
    return advise("longer steps", optimizer__lr=f"{usual if lr < usual / 2 else 3 * lr:.2g}")


def rate_test(curves: Curves) -> Advice:
    """Advise the test that suggests a rate, without a limit that leaves it too few steps."""
    few = {"max_steps": 0} if 0 < curves.config.max_steps < FEWEST_RATES else {}
    return advise("a test that trains nothing, draws the loss by rate and suggests one", lr_find="true", **few)


def shorter_steps(curves: Curves) -> list[Advice]:
    """Advise what keeps steps short."""
    config = curves.config
    cures = [slower(curves), rate_test(curves)]
    if not config.clip:
        cures.append(advise("no gradient longer than this", clip=1))
    if getattr(config.scheduler, "warmup", 0.1) < 0.1:
        cures.append(advise("the rate rises more slowly at first", scheduler__warmup=0.1))
    if str(config.precision) == "fp16":
        cures.append(advise("a wider range of numbers", precision="fp32"))
    return cures


def more_epochs(curves: Curves) -> Advice:
    """Advise twice as many epochs, without the limit that ended the run."""
    config = curves.config
    limits = {key: 0 for key in ("max_steps", "max_seconds") if getattr(config, key)}
    short = len(curves) < config.epochs and bool(limits)
    return advise("more passes over the data", epochs=config.epochs * (1 if short else 2), **limits)


def _steadier(curves: Curves) -> list[Advice]:
    """Advise models through which gradients pass more evenly."""
    model, cures = curves.config.model, []
    if _starts_at_zero(curves):
        cures.append(advise("initial weights that differ, so that units do", model__init="xavier"))
    if getattr(model, "activation", "") in ("sigmoid", "tanh"):
        cures.append(advise("an activation that is not flat on both sides", model__activation="relu"))
    if getattr(model, "cell", "") == "rnn":
        cures.append(advise("gates, through which gradients pass", model__cell="lstm"))
    if getattr(model, "encoder", "") == "rnn":
        cures.append(advise("gates, through which gradients pass", model__encoder="lstm"))
    if getattr(model, "norm", "") == "post":
        cures.append(advise("the norm before each block leaves a straight way", model__norm="pre"))
    return cures


def _starts_at_zero(curves: Curves) -> bool:
    return str(getattr(curves.config.model, "init", "")) == "zeros"
