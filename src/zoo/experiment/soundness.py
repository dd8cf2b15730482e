"""Whether the parts of a checkpoint have the forms that a training gives them, whoever wrote the file."""

import math
import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.checkpoint import Checkpoint
from zoo.errors import CheckpointError

OF_THE_DEVICE = ("fused",)
"""Switches of an optimizer that follow from the device, which may be another one now: torch takes any truth of them."""


def check_sound(saved: Checkpoint, own: tuple[dict[str, Tensor], dict[str, Any]], optimizer: torch.optim.Optimizer, *,
                kept: set[str], source: str) -> None:  # fmt: skip
    """Raise CheckpointError for a part that no step could go on from; `own` is the same of the fresh state.

    kept names what the optimizer keeps of each parameter.
    """
    tensors, values = own
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = saved.state
    sound = {
        "loop": alike(state.get("loop"), values["loop"]),
        "optimizer": _optimizer_is_sound(saved, values["optimizer"], kept),
        "random": _random_is_sound(state.get("random")),
        "best": _best_is_sound(state.get("best")),
        "bad_epochs": alike(state.get("bad_epochs"), 0),
        "ema_updates": alike(state.get("ema_updates"), 0),
        "schedule": isinstance(state.get("schedule"), dict) and all(map(_is_figure, state["schedule"].values())),
    }
    for part, fine in sound.items():
        if not fine:
            raise CheckpointError(f"{source}: a part of the checkpoint is missing or malformed ('{part}'); use another")
    for name, tensor in saved.tensors.items():
        if not _tensor_is_sound(name, tensor, tensors, parameters):
            raise CheckpointError(f"{source}: a part of the checkpoint is missing or malformed ('{name}'); use another")


def alike(saved: Any, own: Any) -> bool:
    """Whether a JSON value has the form of `own`: its keys, its lengths, its types; counts are not negative."""
    if isinstance(own, dict):
        return (
            isinstance(saved, dict)
            and saved.keys() == own.keys()
            and all(key in OF_THE_DEVICE or alike(saved[key], own[key]) for key in own)
        )
    if isinstance(own, list | tuple):
        return isinstance(saved, list) and len(saved) == len(own) and all(map(alike, saved, own))
    if own is None or isinstance(own, bool):
        return saved is own  # switches of an optimizer follow from the config
    if isinstance(own, str):
        return isinstance(saved, str)
    if isinstance(own, int):
        return isinstance(saved, int) and not isinstance(saved, bool) and 0 <= saved < 2**62
    return saved is not None and _is_figure(saved)


def _is_figure(value: Any) -> bool:
    """Whether a value is a finite number, or none."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))


def _optimizer_is_sound(saved: Checkpoint, own: dict[str, Any], kept: set[str]) -> bool:
    """Whether the groups have the form of `own`, and each parameter that has a state has all of it."""
    rest = saved.state.get("optimizer")
    if not isinstance(rest, dict) or not isinstance(rest.get("values"), dict):
        return False
    found: dict[str, set[str]] = {}
    for index, _, name in (key.partition(".") for key in (*saved.part("optimizer"), *rest["values"])):
        found.setdefault(index, set()).add(name)
    whole = all(names == kept for names in found.values())
    return whole and alike(rest.get("groups"), own["groups"]) and all(map(_is_figure, rest["values"].values()))


def _random_is_sound(saved: Any) -> bool:
    try:
        version, numbers, gauss = saved
        random.Random().setstate((version, tuple(numbers), gauss))
    except (TypeError, ValueError, OverflowError):
        return False
    return _is_figure(gauss)


def _best_is_sound(saved: Any) -> bool:
    return saved == {} or alike(saved, {"epoch": 0, "step": 0, "value": 0.0, "loss": 0.0})


def _tensor_is_sound(name: str, tensor: Tensor, own: dict[str, Tensor], parameters: Sequence[Tensor]) -> bool:
    part, _, rest = name.partition(".")
    if part == "model":
        return True  # `load_weights` says what is wrong with a weight
    if part == "optimizer":
        index = rest.partition(".")[0]
        known = index.isascii() and index.isdecimal() and len(index) < 9 and int(index) < len(parameters)
        fits = known and (tensor.numel() == 1 or tensor.shape == parameters[int(index)].shape)
    elif part == "random":
        fits = tensor.dtype == torch.uint8 and (name not in own or tensor.shape == own[name].shape)
    else:
        fits = part == "ema" and (name not in own or tensor.shape == own[name].shape)
    return fits and bool(torch.isfinite(tensor).all())
