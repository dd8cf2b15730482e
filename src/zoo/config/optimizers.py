"""Options of the optimizers and of the schedules of their learning rate."""

import math
from dataclasses import dataclass
from typing import Any

from zoo.config.field import option


def lr(default: float) -> Any:
    return option(default, "learning rate at the schedule's peak", above=0, below=math.inf)


def weight_decay(default: float = 0.0) -> Any:
    return option(default, "weight decay; never on biases and norms", at_least=0)


def eps(default: float) -> Any:
    return option(default, "term that keeps the division finite", above=0)


def betas() -> Any:
    return option([0.9, 0.98], "decay of the averages of gradients and of their squares")


def handwritten() -> Any:
    return option(False, "use the version written out in zoo.optim.handwritten")


@dataclass(kw_only=True, slots=True)
class SGDConfig:
    """Stochastic gradient descent (Robbins and Monro 1951)."""

    name: str = "sgd"
    lr: float = lr(0.5)
    weight_decay: float = weight_decay()
    handwritten: bool = handwritten()


@dataclass(kw_only=True, slots=True)
class MomentumConfig:
    """SGD with momentum (Polyak 1964)."""

    name: str = "momentum"
    lr: float = lr(0.1)
    weight_decay: float = weight_decay()
    momentum: float = option(0.9, "share of the last step that is kept", above=0, below=1)
    handwritten: bool = handwritten()


@dataclass(kw_only=True, slots=True)
class NesterovConfig:
    """SGD with Nesterov's momentum (1983)."""

    name: str = "nesterov"
    lr: float = lr(0.1)
    weight_decay: float = weight_decay()
    momentum: float = option(0.9, "share of the last step that is kept", above=0, below=1)


@dataclass(kw_only=True, slots=True)
class AdagradConfig:
    """Rates that shrink with the sum of squared gradients (Duchi 2011)."""

    name: str = "adagrad"
    lr: float = lr(0.02)
    weight_decay: float = weight_decay()
    eps: float = eps(1e-10)
    handwritten: bool = handwritten()


@dataclass(kw_only=True, slots=True)
class AdadeltaConfig:
    """Steps scaled by the running size of past steps (Zeiler 2012)."""

    name: str = "adadelta"
    lr: float = lr(1.0)
    weight_decay: float = weight_decay()
    rho: float = option(0.9, "decay of the running averages", above=0, below=1)
    eps: float = eps(1e-6)


@dataclass(kw_only=True, slots=True)
class RMSpropConfig:
    """Rates from a running average of squared gradients (Hinton 2012)."""

    name: str = "rmsprop"
    lr: float = lr(1e-3)
    weight_decay: float = weight_decay()
    alpha: float = option(0.99, "decay of the running average", above=0, below=1)
    eps: float = eps(1e-8)
    handwritten: bool = handwritten()


@dataclass(kw_only=True, slots=True)
class AdamConfig:
    """Adam (Kingma and Ba 2015)."""

    name: str = "adam"
    lr: float = lr(2e-3)
    weight_decay: float = weight_decay()
    betas: list[float] = betas()
    eps: float = eps(1e-8)
    handwritten: bool = handwritten()


@dataclass(kw_only=True, slots=True)
class AdamKinConfig:
    """Variants of Adam: adamw, nadam, radam."""

    name: str = "adamw"
    lr: float = lr(2e-3)
    weight_decay: float = weight_decay()
    betas: list[float] = betas()
    eps: float = eps(1e-8)


def warmup(default: float) -> Any:
    return option(default, "share of the run in which the rate rises from zero", at_least=0, below=1)


@dataclass(kw_only=True, slots=True)
class ConstantConfig:
    """The same rate throughout, after an optional warm-up."""

    name: str = "constant"
    warmup: float = warmup(0.0)


@dataclass(kw_only=True, slots=True)
class WarmupCosineConfig:
    """A rise, then half a cosine to the final rate (Loshchilov and Hutter 2017)."""

    name: str = "warmup_cosine"
    warmup: float = warmup(0.05)
    final: float = option(0.0, "last rate as a share of the peak", at_least=0, at_most=1)


@dataclass(kw_only=True, slots=True)
class NoamConfig:
    """The Transformer's schedule, counted in steps (Vaswani 2017, eq. 3); optimizer.lr is its factor."""

    name: str = "noam"
    warmup_steps: int = option(1000, "steps of the rise", at_least=1)


@dataclass(kw_only=True, slots=True)
class InverseSqrtConfig:
    """A rise, then the inverse square root of progress."""

    name: str = "inverse_sqrt"
    warmup: float = option(0.1, "share of the run in which the rate rises from zero", above=0, below=1)


@dataclass(kw_only=True, slots=True)
class LinearConfig:
    """A rise, then a straight line to the final rate."""

    name: str = "linear"
    warmup: float = warmup(0.05)
    final: float = option(0.0, "last rate as a share of the peak", at_least=0, at_most=1)


@dataclass(kw_only=True, slots=True)
class StepConfig:
    """The rate times gamma at each of equal parts of the run."""

    name: str = "step"
    drops: int = option(3, "how often the rate drops", at_least=1)
    gamma: float = option(0.3, "factor of a drop", above=0, at_most=1)


@dataclass(kw_only=True, slots=True)
class PlateauConfig:
    """The rate times factor when the validation loss stops falling."""

    name: str = "plateau"
    factor: float = option(0.5, "factor of a drop", above=0, below=1)
    patience: int = option(2, "epochs without progress before a drop", at_least=0)


@dataclass(kw_only=True, slots=True)
class OneCycleConfig:
    """A cosine up to the peak and a cosine down far below the start (Smith 2018)."""

    name: str = "one_cycle"
    warmup: float = option(0.3, "share of the run in which the rate rises", above=0, below=1)


OPTIMIZERS: dict[str, type] = {
    "sgd": SGDConfig,
    "momentum": MomentumConfig,
    "nesterov": NesterovConfig,
    "adagrad": AdagradConfig,
    "adadelta": AdadeltaConfig,
    "rmsprop": RMSpropConfig,
    "adam": AdamConfig,
    "adamw": AdamKinConfig,
    "nadam": AdamKinConfig,
    "radam": AdamKinConfig,
}
SCHEDULERS: dict[str, type] = {
    "constant": ConstantConfig,
    "warmup_cosine": WarmupCosineConfig,
    "noam": NoamConfig,
    "inverse_sqrt": InverseSqrtConfig,
    "linear": LinearConfig,
    "step": StepConfig,
    "plateau": PlateauConfig,
    "one_cycle": OneCycleConfig,
}
