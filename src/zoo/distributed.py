"""Several processes that train one model together, started by torchrun; alone, everything here changes nothing.

Who a process is stands in the environment (RANK, WORLD_SIZE, LOCAL_RANK), as torchrun writes it, so that asking needs
no torch.
"""

import inspect
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from zoo.errors import ConfigError, WorkerError

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")


def launched() -> bool:
    """Whether torchrun has started this process as one of several."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys() and _number("WORLD_SIZE") > 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return _number("RANK") if launched() else 0


def world_size() -> int:
    """Return how many processes train together."""
    return _number("WORLD_SIZE") if launched() else 1


def is_main() -> bool:
    """Whether this process is the one that writes and speaks."""
    return rank() == 0


def local_rank() -> int:
    """Return the number of this process on its machine, which is that of its GPU."""
    return _number("LOCAL_RANK") if launched() else 0


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    if not text.isdecimal():
        raise ConfigError(f"the environment's {name} must be a number, as torchrun sets it, but is {text!r}")
    return int(text)


@contextmanager
def joined(device_type: str) -> Iterator[None]:
    """Join the other processes until the end of the block: gloo on CPUs, NCCL on GPUs.

    WorkerError where one of them is gone.
    """
    if not launched():
        yield
        return
    import torch
    from torch import distributed

    if device_type == "cuda":
        torch.cuda.set_device(local_rank())
    with _naming_the_lost():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo")
        try:
            yield
        finally:
            distributed.destroy_process_group()


@contextmanager
def _naming_the_lost() -> Iterator[None]:
    """Say of an error of the connection that a process is lost, which is its cause."""
    from torch import distributed

    try:
        yield
    except (distributed.DistError, RuntimeError) as error:
        if isinstance(error, distributed.DistError) or any(text in str(error) for text in LOST):
            raise WorkerError(
                f"process {rank()} of {world_size()} lost the connection to another, which ended or hangs; see what "
                "that one said, and resume the run"
            ) from error
        raise


LOST = ("gloo", "Gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe")
"""What the texts of errors say that come of a process which is gone."""


def together() -> bool:
    """Whether this process has joined others, and is not `alone` for a while."""
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized() and not _alone


_alone: list[bool] = []


@contextmanager
def alone() -> Iterator[None]:
    """Let this process do what the others do not, until the end of the block."""
    _alone.append(True)
    try:
        yield
    finally:
        _alone.pop()


def processes() -> int:
    """Return how many processes have joined each other, this one included."""
    from torch import distributed

    return distributed.get_world_size() if together() else 1


def exchanging(model: "nn.Module") -> "nn.Module":
    """Return a model whose gradients become the mean over all processes in `backward` (DistributedDataParallel).

    Its buffers are constants, the same in each process, and stay at home.
    """
    from torch.nn.parallel import DistributedDataParallel

    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # until torch 2.12
    options: dict[str, Any] = {name: False}
    return DistributedDataParallel(model, **options)


def share(items: Iterable[T]) -> Iterable[T]:
    """Return those items that are this process's part of the work."""
    if not together():
        return items
    from torch import distributed

    return islice(items, distributed.get_rank(), None, distributed.get_world_size())


def total(values: "Tensor") -> "Tensor":
    """Return the sum over all processes of a tensor, which is changed in its place."""
    if together():
        from torch import distributed

        distributed.all_reduce(values)
    return values


def gathered(values: list[T]) -> list[T]:
    """Return the values of all processes, one process after the other."""
    if not together():
        return values
    from torch import distributed

    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, values)
    return [value for part in found for value in part]


def main_seconds(seconds: float) -> float:
    """Return the main process's reading of its watch, so that all follow the same time."""
    if not together():
        return seconds
    import torch
    from torch import distributed

    box = torch.tensor(seconds, dtype=torch.float64)
    distributed.broadcast(box, 0)
    return float(box)


def of_main(value: T) -> T:
    """Return the value that the main process has."""
    if not together():
        return value
    from torch import distributed

    box = [value]
    distributed.broadcast_object_list(box)
    return box[0]


def largest(value: int) -> int:
    """Return the largest of the processes' values."""
    if not together():
        return value
    import torch
    from torch import distributed

    box = torch.tensor(value)
    distributed.all_reduce(box, distributed.ReduceOp.MAX)
    return int(box)


def wait() -> None:
    """Wait until all processes are here."""
    of_main(None)
