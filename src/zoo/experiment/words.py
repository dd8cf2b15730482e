"""What a run says when it ends before its last epoch, and how to go on."""

import shlex
from pathlib import Path

from zoo.config import TorchtextConfig, TrainConfig
from zoo.training import LoopState


def _to_resume(run: Path) -> str:
    """Write the command that goes on with a run, so that a shell hands its name over as it is."""
    return f"zoo-train {shlex.quote(f'resume={run}')}"


def diverged(what: str, state: LoopState, lr: float) -> str:
    """Say what went wrong with the numbers, where, and what helps."""
    where = f"after step {state.step} (epoch {state.epoch}, batch {state.batch}, learning rate {lr:.3g})"
    return f"{what} {where}; lower optimizer.lr or set clip=1"


def last_words(step: int, run: Path) -> str:
    """Say what a signal has left of a run whose newest checkpoint is that of `step`, 0 where there is none."""
    if not step:
        return "stopped before anything was saved"
    return f"stopped, saved at step {step}; continue with: {_to_resume(run)}"


def limit(config: TrainConfig, state: LoopState) -> str:
    """Return the override that has ended a run."""
    if config.max_steps and state.step >= config.max_steps:
        return f"max_steps={config.max_steps}"
    return f"max_seconds={config.max_seconds:g}"


def ended_early(limit: str, bad_epochs: int, monitor: str, run: Path) -> str:
    """Say that a limit has ended a run, or where that is empty, that it became no better."""
    if not limit:
        return f"stopped early: {bad_epochs} epochs without a better valid_{monitor}"
    return f"stopped by {limit}; continue with: {_to_resume(run)} {limit.partition('=')[0]}=0"


def less_memory(config: TrainConfig, state: LoopState, run: Path | None) -> str:
    """Say which overrides need less memory for the same steps, for a run that can go on with them or for a new one.

    Within an epoch the batches of a run cannot be cut anew.
    """
    size, now = "batch_tokens", config.batch_tokens
    if isinstance(config.dataset, TorchtextConfig):
        size, now = "dataset.batch_size", config.dataset.batch_size
    change = f"{size}={max(now // 2, 1)} accumulate={config.accumulate * 2}"
    told = f"memory ran out after step {state.step}"
    if run is None:
        return f"{told}; start a new run with {change}, or with a smaller model"
    return f"{told}; continue with: {_to_resume(run)} {change}"
