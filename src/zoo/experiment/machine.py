"""Where and in which arithmetic a run computes."""

import ctypes
import os
import random
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from zoo.config import Device, Precision
from zoo.distributed import rank
from zoo.errors import ConfigError, unknown

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""From glibc's malloc.h."""


def prepare_libraries() -> None:
    """Set torch's libraries up for batches of many shapes; call it before computing.

    oneDNN compiles its products for each shape of batch and keeps 1,024 of them, fewer than an epoch has: with more
    room a training is 6 % faster. glibc hands large freed blocks back to the system, which clears their pages for the
    next step: 5 %. (256-wide Transformer on two cores.) cuDNN compiles attention for each shape, which takes an H200
    hundreds of times as long as computing it; torch's other kernels for it compile nothing.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "4096")
    torch.backends.cuda.enable_cudnn_sdp(False)
    with suppress(OSError, AttributeError):  # only glibc has `mallopt`
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def choose_device(device: Device | str) -> torch.device:
    """Return the torch device that a choice means; ConfigError where there is none."""
    if device == Device.cuda and not torch.cuda.is_available():
        raise ConfigError("device=cuda, but torch finds no CUDA device here; use device=auto or device=cpu")
    if device == Device.auto:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device not in set(Device):
        raise ConfigError(f"`device`: {unknown('value', str(device), Device)}")
    return torch.device(str(device))


def choose_precision(precision: Precision | str, device: torch.device) -> str:
    """Return fp32, bf16 or fp16; auto is bf16 where the hardware has it, else fp16 on a GPU and fp32 on a CPU."""
    if precision == Precision.fp16 and device.type == "cpu":
        raise ConfigError("precision=fp16 needs a GPU; use precision=bf16 or precision=fp32 on a CPU")
    if precision != Precision.auto:
        return str(precision)
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    return "bf16" if _cpu_has_bf16() else "fp32"


def describe_machine(device: torch.device, precision: str) -> str:
    """Say what a run computes on: the device, the arithmetic, and how many threads or which GPU."""
    return f"{device.type} {precision}, {describe_units(device)}"


def describe_units(device: torch.device) -> str:
    """Say how many threads a CPU computes with, or which GPU it is."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} thread{'' if threads == 1 else 's'}"


def _cpu_has_bf16() -> bool:
    # Without the instructions oneDNN emulates bf16, slower than fp32. torch has only private names for the question.
    asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name)()) for name in asks if hasattr(torch.cpu, name))


def seed_all(seed: int) -> None:
    """Seed every generator that a run draws from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_own(seed: int, step: int) -> None:
    """Let a process beside the main one draw, from this step on, what no other process draws."""
    if rank():
        seed_all(int(np.random.SeedSequence((seed, step, rank())).generate_state(1)[0]))


def random_states() -> tuple[dict[str, Tensor], list[object]]:
    """Return the states of torch's generators as tensors, and that of Python's as JSON values."""
    tensors = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    version, numbers, gauss = random.getstate()
    return tensors, [version, list(numbers), gauss]


def restore_random_states(tensors: dict[str, Tensor], python: list[object]) -> None:
    """Put back what `random_states` gave."""
    torch.set_rng_state(tensors["cpu"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
    version, numbers, gauss = python
    random.setstate((version, tuple(numbers), gauss))  # type: ignore[arg-type]
