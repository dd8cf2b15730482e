"""What figures were measured on, by which torch, and by which state of the code."""

import platform
import subprocess
from pathlib import Path

import torch

from zoo.config import TrainConfig
from zoo.experiment.machine import choose_device, choose_precision, describe_units

CODE = ("src", "configs", "scripts")


def processor() -> str:
    """Name the processor."""
    listed = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in listed if line.startswith("model name")]
    return (names or [platform.processor()])[0]


def machine(config: TrainConfig) -> str:
    """Name what a training runs on here, in which arithmetic, and by which torch."""
    device = choose_device(config.device)
    units = [] if device.type == "cuda" else [processor()]
    units += [describe_units(device), choose_precision(config.precision, device)]
    return ", ".join([*units, f"torch {torch.__version__.partition('+')[0]}"])


def commit() -> str:
    """Name the commit that is checked out, with a + where code has changed since; empty outside of git."""
    root = Path(__file__).parents[1]
    head, changed = _git(root, "rev-parse", "--short=10", "HEAD"), _git(root, "status", "--porcelain", "--", *CODE)
    return head and head + ("+" if changed else "")


def _git(root: Path, *words: str) -> str:
    try:
        run = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""
