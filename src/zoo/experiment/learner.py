"""What a step changes: all that a checkpoint holds, so that the next step is the same to the bit."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.checkpoint import Checkpoint, load_optimizer, load_weights, model_tensors, optimizer_tensors
from zoo.config import TorchtextConfig, TrainConfig
from zoo.data import Data, Loader, Sizes
from zoo.data.corpus import Corpus
from zoo.data.loader import Shares
from zoo.data.prepared import ShardedCorpus
from zoo.data.torchtext_data import build_iterator
from zoo.data.windows import WindowLoader
from zoo.distributed import exchanging, processes, rank
from zoo.errors import CheckpointError, ConfigError
from zoo.experiment.machine import random_states, restore_random_states
from zoo.experiment.soundness import check_sound
from zoo.models import build_model
from zoo.optim import build_optimizer, build_schedule, run_progress
from zoo.optim.ema import EMA
from zoo.training import LoopState


class Moment(NamedTuple):
    """Where a run stands between two steps, but for the weights and what the optimizer keeps."""

    loop: dict[str, Any]
    generators: dict[str, Tensor]
    python: list[object]


class Learner:
    """A model with its optimizer, schedule, averages and place in the run, built from a config."""

    def __init__(self, config: TrainConfig, sizes: Sizes, *, device: torch.device, precision: str) -> None:
        self.config = config
        self.model = build_model(config.model, sizes).to(device)
        self.forward: nn.Module = torch.compile(self.model, dynamic=True) if config.compile else self.model  # type: ignore[assignment]
        if processes() > 1:
            self.forward = exchanging(self.forward)
        self.optimizer = build_optimizer(config.optimizer, self.model)
        self.width = getattr(config.model, "d_model", 0) or getattr(config.model, "hidden_size", 0)
        self.schedule = build_schedule(config.scheduler, width=self.width)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.ema = EMA(self.model, config.ema) if config.ema else None
        self.state = LoopState()
        self.last_step = 0  # of the whole run, for the schedule; 0: not known

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def rate(self, state: LoopState) -> float:
        """Return the learning rate of the next step."""
        progress = run_progress(
            step=state.step + 1,
            last_step=self.last_step,
            seconds=state.seconds,
            max_seconds=self.config.max_seconds,
        )
        return float(self.config.optimizer.lr) * self.schedule.factor(progress, state.step + 1)

    def averaged(self) -> AbstractContextManager[None]:
        """Put the averaged weights, where there are some, into the model for a while."""
        return self.ema.applied() if self.ema is not None else nullcontext()

    def weights(self) -> dict[str, Tensor]:
        """Return the model's tensors as they stand in a checkpoint."""
        return {f"model.{name}": tensor for name, tensor in model_tensors(self.model).items()}

    def moment(self) -> Moment:
        """Return what a step that changes no weight has changed nevertheless."""
        return Moment(self.state.to_dict(), *random_states())

    def rewind(self, moment: Moment) -> None:
        """Go back to a moment since which no weight has changed."""
        self.state = LoopState.from_dict(moment.loop)
        restore_random_states(moment.generators, moment.python)

    @torch.no_grad()
    def finite(self) -> bool:
        """Whether every weight is a finite number."""
        return all(bool(tensor.isfinite().all()) for tensor in model_tensors(self.model).values())

    def capture(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all tensors and all JSON values of the present state."""
        optimizer, rest = optimizer_tensors(self.optimizer)
        generators, python = random_states()
        parts = {
            "optimizer": optimizer,
            "random": generators,
            "ema": self.ema.tensors() if self.ema is not None else {},
        }
        named = {f"{part}.{name}": tensor for part, found in parts.items() for name, tensor in found.items()}
        values = {
            "loop": self.state.to_dict(),
            "optimizer": rest,
            "random": python,
            "scheduler": self.config.scheduler.name,
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema_updates": self.ema.updates if self.ema is not None else 0,
        }
        return {**self.weights(), **named}, values

    def restore(self, saved: Checkpoint, source: str) -> None:
        """Put back what `capture` gave; CheckpointError where a part is missing, malformed or another model's."""
        try:
            self._restore(saved, source)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{source}: a part of the checkpoint is missing or malformed ({error!r})") from error

    def _restore(self, saved: Checkpoint, source: str) -> None:
        values = saved.state
        load_weights(self.model, saved.part("model"), source=source)
        check_sound(saved, self.capture(), self.optimizer, kept=kept_by(self.config), source=source)
        load_optimizer(self.optimizer, saved.part("optimizer"), values["optimizer"])
        if self.ema is not None:
            self.ema.load(saved.part("ema"), values["ema_updates"])
        schedule = values["schedule"]
        if values["scheduler"] == self.config.scheduler.name:  # another one starts afresh
            self.schedule.load_state_dict(schedule)
        if self.scaler.is_enabled() and values["scaler"]:
            self.scaler.load_state_dict(values["scaler"])
        self.state = LoopState.from_dict(values["loop"])
        restore_random_states(saved.part("random"), values["random"])


def build_loader(
    config: TrainConfig, data: Data, corpus: Corpus | ShardedCorpus, model: nn.Module, *, train: bool
) -> Any:
    """Return what yields the batches of a part: a Loader, or a torchtext iterator where the dataset asks for one."""
    if not isinstance(config.dataset, TorchtextConfig):
        loader = load(config, corpus, shuffle=train)
        return Shares(loader, rank=rank(), world_size=processes()) if train and processes() > 1 else loader
    if processes() > 1:
        raise ConfigError("dataset=torchtext trains in one process; use dataset=pairs or dataset=labelled for several")
    assert not isinstance(corpus, ShardedCorpus)
    size = config.dataset.batch_size
    return build_iterator(
        corpus, data.codecs, model, batch_size=size, seed=config.seed, train=train, labels=data.labels
    )


def load(config: TrainConfig, corpus: Corpus | ShardedCorpus, *, shuffle: bool) -> Loader | WindowLoader:
    """Return what yields the zoo's own batches, of a corpus in memory or in shards."""
    options = {"batch_tokens": config.batch_tokens, "seed": config.seed}
    if isinstance(corpus, ShardedCorpus):
        return WindowLoader(corpus, window=config.dataset.window, **options)
    return Loader(corpus, shuffle=shuffle, **options)


def kept_by(config: TrainConfig) -> set[str]:
    """Return the names of what the optimizer of a config keeps of each parameter, found with a step of a small one."""
    model = nn.Linear(1, 1, bias=False)
    optimizer = build_optimizer(config.optimizer, model)
    model.weight.grad = torch.zeros_like(model.weight)
    optimizer.step()
    return {name for state in optimizer.state_dict()["state"].values() for name in state}
