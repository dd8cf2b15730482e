"""One model from the last checkpoints of a run: their weights, averaged (Vaswani et al. 2017, section 6.1)."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.checkpoint import load_checkpoint, save_checkpoint
from zoo.config import save_config
from zoo.errors import CheckpointError, ConfigError, StorageError
from zoo.experiment.directory import RunDirectory, run_path
from zoo.storage import list_checkpoints


class Averaged(NamedTuple):
    """Where the averaged run lies, the run that it is of, and the steps of the checkpoints, the newest first."""

    run_dir: str
    source: str
    steps: list[int]


def average(name: str | Path, *, last: int = 0, out: str | Path | None = None) -> Averaged:
    """Average the weights of a run's `last` newest checkpoints (0: all) into a new run directory, without an optimizer.

    Of a run with averaged weights (`ema`) these are taken. `out` defaults to the run's name with `-average` and the
    number of checkpoints. CheckpointError where there are fewer than two or they are of several models, ConfigError
    where `out` holds a run or `last` is 1 or below 0.
    """
    run = RunDirectory(run_path(str(name)))
    paths = _chosen(run, last)
    made = RunDirectory(Path(out).expanduser() if out else run.path.with_name(f"{run.path.name}-average{len(paths)}"))
    if made.begun:
        raise ConfigError(f"{made.path} holds a run; name another directory with --out")
    steps = [int(path.stem.removeprefix("step-")) for path in paths]
    config = replace(run.read_config(), run_dir=str(made.path))
    if not run.vocabulary.is_dir():
        raise CheckpointError(f"{run.vocabulary}: not there; copy it from the run again")
    weights = average_tensors(_alike(paths))
    made.create()
    _copy_vocabulary(run, made)
    named = {f"model.{key}": tensor for key, tensor in weights.items()}
    save_checkpoint(made.best, named, {"averaged": {"run": str(run.path), "steps": steps}})
    save_config(config, made.config)
    return Averaged(str(made.path), str(run.path), steps)


def average_tensors(checkpoints: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of tensors by name, summed in fp64; those of integers are the first's."""
    total: dict[str, Tensor] = {}
    first: dict[str, Tensor] = {}
    count = 0
    for tensors in checkpoints:
        first, count = first or tensors, count + 1
        for key, tensor in tensors.items():
            if tensor.is_floating_point():
                total[key] = total[key] + tensor if key in total else tensor.to(torch.float64)
    return {key: (total[key] / count).to(tensor.dtype) if key in total else tensor for key, tensor in first.items()}


def _chosen(run: RunDirectory, last: int) -> list[Path]:
    if last < 0 or last == 1:
        raise ConfigError(f"`last` must be at least 2, or 0 for all checkpoints, but is {last}")
    paths = list_checkpoints(run.checkpoints)
    way_out = "train with keep=5 to keep as many, and save_every=N to save within epochs"
    if len(paths) < 2:
        raise CheckpointError(
            f"{run.checkpoints}: an average needs 2 step checkpoints, and there are {len(paths)} here; {way_out}"
        )
    if last > len(paths):
        raise CheckpointError(
            f"{run.checkpoints}: {last} checkpoints are asked for, and here are {len(paths)}; {way_out}"
        )
    return paths[: last or None]


def _alike(paths: Sequence[Path]) -> Iterator[dict[str, Tensor]]:
    """Yield the weights of checkpoints; CheckpointError names one that is of another model than the first."""
    expected: dict[str, torch.Size] = {}
    for path in paths:
        tensors = _weights(path)
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        expected = expected or shapes
        if shapes != expected:
            raise CheckpointError(f"{path}: of another model than {paths[0].name} beside it; remove the one of them "
                                  "that is not this run's")  # fmt: skip
        yield tensors


def _weights(path: Path) -> dict[str, Tensor]:
    saved = load_checkpoint(path)
    return {**saved.part("model"), **saved.part("ema")}


def _copy_vocabulary(run: RunDirectory, made: RunDirectory) -> None:
    try:
        shutil.copytree(run.vocabulary, made.vocabulary, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise StorageError(f"{made.vocabulary}: cannot be written ({error}); choose another --out") from error
