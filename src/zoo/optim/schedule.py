"""Learning-rate schedules: each a function of how far the run is, so that any of them stretches to any run.

A curve takes progress, from 0 at the start of the run to 1 at its end, and the number of the step about to be taken,
1 for the first. It returns the factor by which `optimizer.lr` is multiplied.
"""

import math
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any, Protocol

from torch.optim import Optimizer

from zoo.errors import unknown


class Schedule(Protocol):
    """What the loop asks before a step (`factor`) and tells after an epoch (`observe`); the state is JSON."""

    def factor(self, progress: float, step: int) -> float: ...

    def observe(self, valid_loss: float) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Curve:
    """A schedule known in advance; it has no state."""

    def __init__(self, curve: Callable[[float, int], float]) -> None:
        self.curve = curve

    def factor(self, progress: float, step: int) -> float:
        return self.curve(progress, step)

    def observe(self, valid_loss: float) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Plateau:
    """Multiply the rate by `factor` after more than `patience` epochs without a lower validation loss.

    A loss is lower when it is under the best by 1e-4 of it: the rule of torch's ReduceLROnPlateau.
    """

    def __init__(self, *, factor: float, patience: int, threshold: float = 1e-4) -> None:
        self.drop, self.patience, self.threshold = factor, patience, threshold
        self.scale, self.best, self.bad_epochs = 1.0, math.inf, 0

    def factor(self, progress: float, step: int) -> float:
        return self.scale

    def observe(self, valid_loss: float) -> None:
        if valid_loss < self.best * (1 - self.threshold):
            self.best, self.bad_epochs = valid_loss, 0
        else:
            self.bad_epochs += 1
        if self.bad_epochs > self.patience:
            self.scale, self.bad_epochs = self.scale * self.drop, 0

    def state_dict(self) -> dict[str, Any]:
        best = None if self.best == math.inf else self.best  # JSON has no infinity
        return {"scale": self.scale, "best": best, "bad_epochs": self.bad_epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        best = math.inf if state["best"] is None else state["best"]
        self.scale, self.best, self.bad_epochs = state["scale"], best, state["bad_epochs"]


def rise(progress: float, warmup: float) -> float:
    """Return the share of the peak during warm-up: a straight line from 0 to 1 in the first `warmup` of the run."""
    return min(1.0, progress / warmup) if warmup else 1.0


def rest(progress: float, warmup: float) -> float:
    """Return how much of the run after warm-up is over, from 0 to 1."""
    return max(0.0, progress - warmup) / (1 - warmup)


def constant(progress: float, step: int, *, warmup: float) -> float:
    return rise(progress, warmup)


def warmup_cosine(progress: float, step: int, *, warmup: float, final: float) -> float:
    """Rise, then fall by half a cosine to `final` (Loshchilov and Hutter 2017, eq. 5, without restarts)."""
    if progress < warmup:
        return rise(progress, warmup)
    return final + (1 - final) * (1 + math.cos(math.pi * rest(progress, warmup))) / 2


def linear(progress: float, step: int, *, warmup: float, final: float) -> float:
    """Rise, then fall by a straight line to `final`."""
    if progress < warmup:
        return rise(progress, warmup)
    return 1 - (1 - final) * rest(progress, warmup)


def inverse_sqrt(progress: float, step: int, *, warmup: float) -> float:
    """Rise, then fall as one over the square root of progress: noam's shape, with its peak at `optimizer.lr`."""
    return rise(progress, warmup) if progress < warmup else math.sqrt(warmup / progress)


def noam(progress: float, step: int, *, warmup_steps: int, width: int) -> float:
    """Return width^-0.5 * min(step^-0.5, step * warmup_steps^-1.5) (Vaswani et al. 2017, eq. 3)."""
    return float(width**-0.5 * min(step**-0.5, step * warmup_steps**-1.5))


def drops(progress: float, step: int, *, drops: int, gamma: float) -> float:
    """Multiply by `gamma` at the `drops` borders between equal parts of the run."""
    part = int(progress * (drops + 1) + 1e-9)  # 1 / 49 * 49 is below 1 in floating point
    return float(gamma ** min(part, drops))


def one_cycle(progress: float, step: int, *, warmup: float, start: float = 1 / 25, end: float = 1 / 25e4) -> float:
    """Rise by half a cosine from `start` to 1, fall by another to `end` (Smith 2018; ends as in torch's OneCycleLR)."""
    low, share = (start, progress / warmup) if progress < warmup else (end, 1 - rest(progress, warmup))
    return low + (1 - low) * (1 - math.cos(math.pi * share)) / 2


CURVES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "warmup_cosine": warmup_cosine,
    "noam": noam,
    "inverse_sqrt": inverse_sqrt,
    "linear": linear,
    "step": drops,
    "one_cycle": one_cycle,
}


def build_schedule(config: Any, *, width: int) -> Schedule:
    """Build the schedule that `config` (one of zoo.config.SCHEDULERS) names; `width` is the model's, for noam."""
    options = {item.name: getattr(config, item.name) for item in fields(config)}
    name = options.pop("name")
    if name == "plateau":
        return Plateau(**options)
    if name not in CURVES:
        raise ValueError(unknown("scheduler", name, [*CURVES, "plateau"]))
    if name == "noam":
        options["width"] = width
    return Curve(partial(CURVES[name], **options))


def peak_factor(config: Any, *, width: int) -> float:
    """Return the largest factor of a schedule: 1, but for noam's, which is reached at the end of its warm-up."""
    if config.name != "noam":
        return 1.0
    return noam(0.0, config.warmup_steps, warmup_steps=config.warmup_steps, width=width)


def run_progress(*, step: int, last_step: int, seconds: float = 0.0, max_seconds: float = 0.0) -> float:
    """Return how far a run is at step `step` (1 is the first): by steps or by seconds, whichever is further.

    Steps count at their middle, so that neither the first nor the last is taken at a rate of zero, and a run of
    one step learns. 0 stands for no limit in `last_step` and `max_seconds`.
    """
    by_steps = (step - 0.5) / last_step if last_step else 0.0
    by_time = seconds / max_seconds if max_seconds else 0.0
    return min(1.0, max(by_steps, by_time))


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate
