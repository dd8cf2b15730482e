"""Durable, verified checkpoints: tensors in one safetensors file, everything else as JSON in its header.

Nothing here unpickles. A file appears whole or not at all: it is written beside its place, synced and renamed.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from zoo.errors import CheckpointError
from zoo.migration import CHECKPOINT, migrated, newest
from zoo.storage import list_checkpoints, write_durably

INSTRUCTIONS = frozenset({"_target_", "_args_", "_partial_", "_recursive_", "_convert_"})
"""Keys with which other programs are told to call something."""


class Checkpoint(NamedTuple):
    """Tensors by name and the JSON values that go with them."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors under `name.`, with that prefix removed."""
        prefix = f"{name}."
        return {key[len(prefix) :]: value for key, value in self.tensors.items() if key.startswith(prefix)}


def save_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write a checkpoint so that a crash at any moment leaves the old file or the new one, never a torn one."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    text = json.dumps(state)
    metadata = {"format": str(newest(CHECKPOINT)), "state": text, "sha256": _digest(tensors, text)}
    write_durably(path, to_bytes(tensors, metadata))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint; CheckpointError says what is wrong with the file."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no checkpoint there")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a readable checkpoint ({_first_line(error)})") from error
    state = _verified_state(path, tensors, metadata)
    return Checkpoint(*migrated((tensors, state), int(metadata["format"]), CHECKPOINT))


def _verified_state(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, Any]:
    version = metadata.get("format", "")
    if not re.fullmatch("[1-9][0-9]{0,8}", version) or "state" not in metadata:
        raise CheckpointError(f"{path}: a safetensors file, but not a checkpoint of the zoo")
    if int(version) > newest(CHECKPOINT):
        known = newest(CHECKPOINT)
        raise CheckpointError(f"{path}: format {version} is newer than this zoo reads ({known}); upgrade zoo")
    if metadata.get("sha256") != _digest(tensors, metadata["state"]):
        raise CheckpointError(f"{path}: damaged, its checksum does not match")
    try:
        state = json.loads(metadata["state"])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged, its state is no JSON") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: damaged, its state is no mapping")
    if foreign := INSTRUCTIONS.intersection(_keys(state)):
        raise CheckpointError(
            f"{path}: holds `{min(foreign)}`, which the zoo neither writes nor follows; get it elsewhere"
        )
    return state


def _keys(value: Any) -> Iterator[str]:
    """Yield the keys of all mappings in a JSON value."""
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(inner, dict | list):
            yield from _keys(inner)


def load_newest(directory: Path, warn: Any = None) -> Checkpoint:
    """Load the highest step that is intact; each damaged one is named through `warn` and passed over."""
    paths = list_checkpoints(directory)
    for path in paths:
        try:
            return load_checkpoint(path)
        except CheckpointError as error:
            if path == paths[-1]:
                raise
            if warn is not None:
                warn(f"{error}; using the one before")
    raise CheckpointError(f"{directory}: no checkpoint there")


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a model, each storage once (tied weights have several names)."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen or not tensor.numel():
            tensors[name] = tensor
            seen.add(tensor.data_ptr())
    return tensors


def load_weights(model: nn.Module, tensors: dict[str, Tensor], *, source: str) -> None:
    """Copy weights into a model; CheckpointError names the first that is missing, unknown or of another shape."""
    own = model_tensors(model)
    for name in [*own, *tensors]:
        if name not in tensors or name not in own:
            side = "has no" if name not in tensors else "holds an unknown"
            raise CheckpointError(f"{source}: {side} weight '{name}'; it was made by another model")
        if own[name].shape != tensors[name].shape:
            raise CheckpointError(
                f"{source}: weight '{name}' has shape {tuple(tensors[name].shape)}, but the model needs "
                f"{tuple(own[name].shape)}; use the config that the checkpoint was made with"
            )
        if not torch.isfinite(tensors[name]).all():
            raise CheckpointError(f"{source}: weight '{name}' holds NaN or infinity; use another checkpoint")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimizer's state into tensors (`index.key`) and JSON values."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            (tensors if isinstance(value, Tensor) else values)[f"{index}.{key}"] = value
    return tensors, {"values": values, "groups": state["param_groups"]}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    """Restore what `optimizer_tensors` gave; CheckpointError where it belongs to another optimizer."""
    state: dict[int, dict[str, Any]] = {}
    entries: Iterable[tuple[str, Any]] = [*tensors.items(), *rest["values"].items()]
    for name, value in entries:
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    try:
        optimizer.load_state_dict({"state": state, "param_groups": rest["groups"]})
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            f"the optimizer's state does not fit ({_first_line(error)}); resume with the same optimizer"
        ) from error
