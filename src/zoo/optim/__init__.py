"""Optimizers by name: torch.optim's, and five of them written out in `handwritten`."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from zoo.errors import unknown
from zoo.optim import handwritten
from zoo.optim.schedule import Schedule, build_schedule, peak_factor, run_progress, set_rate

__all__ = [
    "HANDWRITTEN",
    "OPTIMIZERS",
    "Schedule",
    "build_optimizer",
    "build_schedule",
    "parameter_groups",
    "peak_factor",
    "run_progress",
    "set_rate",
]

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": torch.optim.SGD,
    "nesterov": partial(torch.optim.SGD, nesterov=True),
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
}
HANDWRITTEN: dict[str, Callable[..., Optimizer]] = {
    "sgd": handwritten.SGD,
    "momentum": handwritten.Momentum,
    "adagrad": handwritten.AdaGrad,
    "rmsprop": handwritten.RMSProp,
    "adam": handwritten.Adam,
}

# One kernel per step, 2 to 3 times as fast as the loop over parameters on a CPU. Elsewhere torch's default stands:
# foreach on CUDA; on a CPU the loop, since foreach is up to 40 % slower there. Adagrad's CUDA kernel is untried.
FUSED = {
    "cpu": {"sgd", "momentum", "nesterov", "adagrad", "adam", "adamw"},
    "cuda": {"sgd", "momentum", "nesterov", "adam", "adamw"},
}

NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


def build_optimizer(config: Any, model: nn.Module) -> Optimizer:
    """Build the optimizer that `config` (a dataclass of zoo.config.OPTIMIZERS) names, over the model's parameters.

    Call it when the model is on its device. ValueError for an unknown name or a model with nothing to train.
    """
    options = {item.name: getattr(config, item.name) for item in fields(config)}
    name, decay, by_hand = options.pop("name"), options.pop("weight_decay"), options.pop("handwritten", False)
    known = HANDWRITTEN if by_hand else OPTIMIZERS
    if name not in known:
        raise ValueError(unknown("handwritten optimizer" if by_hand else "optimizer", name, known))
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
    groups = parameter_groups(model, weight_decay=decay)
    device = groups[0]["params"][0].device.type
    if not by_hand and name in FUSED.get(device, ()):
        options["fused"] = True
    return known[name](groups, **options)


def parameter_groups(model: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters into those that decay (matrices, embeddings too) and those that never do.

    Biases, norms and other vectors set an offset or a scale: pulled to zero they would not make the function simpler.
    """
    parts: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for decays, parameter in _trainable(model):
        parts[decays].append(parameter)
    if not any(parts.values()):
        raise ValueError("the model has no parameters to train; is `requires_grad` False everywhere?")
    groups = [{"params": parts[True], "weight_decay": weight_decay}, {"params": parts[False], "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _trainable(model: nn.Module) -> Iterator[tuple[bool, nn.Parameter]]:
    """Yield each parameter that has gradients once, tied ones too, and whether weight decay applies to it."""
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield parameter.ndim > 1 and "bias" not in name and not isinstance(module, NORMS), parameter
