"""All options of one training, and the groups that its parts are chosen from."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from zoo.config.datasets import DATASETS, CmudictConfig
from zoo.config.field import option
from zoo.config.models import MODELS, TransformerConfig
from zoo.config.optimizers import OPTIMIZERS, SCHEDULERS, AdamConfig, WarmupCosineConfig
from zoo.config.own import is_own, own_model

Device = StrEnum("Device", ["auto", "cpu", "cuda"])
Precision = StrEnum("Precision", ["auto", "fp32", "bf16", "fp16"])
Direction = StrEnum("Direction", ["auto", "min", "max"])

GROUPS: dict[str, dict[str, type]] = {
    "model": MODELS,
    "dataset": DATASETS,
    "optimizer": OPTIMIZERS,
    "scheduler": SCHEDULERS,
}


def is_choice(group: str, name: str) -> bool:
    """Whether a group has a choice of this name, or it names a model of the user's own."""
    return name in GROUPS[group] or (group == "model" and is_own(name))


def options_class(group: str, name: str) -> type:
    """Return the dataclass of a choice's options; CodeError for a model of the user's own that is none."""
    return own_model(name).options if group == "model" and is_own(name) else GROUPS[group][name]


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """One training, whole."""

    model: Any = field(default_factory=TransformerConfig)
    dataset: Any = field(default_factory=CmudictConfig)
    optimizer: Any = field(default_factory=AdamConfig)
    scheduler: Any = field(default_factory=WarmupCosineConfig)
    epochs: int = option(10, "passes over the training part", at_least=1)
    max_steps: int = option(0, "stop after this many optimizer steps; 0: no limit", at_least=0)
    max_seconds: float = option(0.0, "stop after this many seconds of training and validation; 0: no limit", at_least=0)
    seed: int = option(1, "seed of all random numbers", at_least=0, below=2**32)
    device: Device = option(Device.auto, "where to compute; auto: cuda where there is one")
    precision: Precision = option(Precision.auto, "arithmetic; auto: bf16 where the hardware has it")
    compile: bool = option(False, "compile the model with torch.compile; pays on a GPU")
    batch_tokens: int = option(4096, "most tokens in a batch, padding included", at_least=1)
    accumulate: int = option(1, "batches for one optimizer step", at_least=1)
    clip: float = option(1.0, "largest norm of the gradient; 0: no clipping", at_least=0)
    label_smoothing: float = option(0.0, "share of the target spread over all classes", at_least=0, below=1)
    rdrop: float = option(0.0, "weight of R-Drop, the distance of two passes with dropout; 0: off", at_least=0)
    ema: float = option(0.0, "decay of averaged weights, used to validate and predict; 0: off", at_least=0, below=1)
    patience: int = option(0, "epochs without a better value before stopping early; 0: never", at_least=0)
    monitor: str = option("auto", "validation metric that picks the best epoch; auto: the task's main one")
    direction: Direction = option(Direction.auto, "whether the monitored metric should be small or large")
    valid_limit: int = option(
        1000, "validation sources that a sequence model decodes after each epoch; 0: all", at_least=0
    )
    test_limit: int = option(
        0, "sources that a sequence model decodes in the final evaluation, of each part; 0: all", at_least=0
    )
    beam: int = option(1, "beam width of the final evaluation; 1: greedy", at_least=1, at_most=1000)
    length_penalty: float = option(1.0, "power of the length that a beam's score is divided by", at_least=0)
    log_every: int = option(20, "steps between points of the step curves", at_least=1)
    histograms: bool = option(True, "show how weights, gradients and activations are spread, at about 20 epochs")
    projector_points: int = option(1000, "tokens, and validation examples, in TensorBoard's Projector; 0: none",
                                   at_least=0)  # fmt: skip
    profile: int = option(0, "steps to profile, after a few to warm up; 0: none", at_least=0, at_most=1000)
    save_every: int = option(0, "steps between checkpoints; 0: ends of epochs, as 2 % of the time allow", at_least=0)
    keep: int = option(2, "newest checkpoints that stay, of all epochs if above 2; see `zoo average`", at_least=1)
    lr_find: bool = option(False, "train nothing; try rates of 1e-6 to 100 in 200 steps, draw and suggest one")
    run_dir: str | None = option(None, "where the run is kept; null: runs/<dataset>-<model>/<time>")
    resume: Any = option(False, "false, true (continue run_dir) or a run's path")


def title_of(config: TrainConfig) -> str:
    """Return what a run is called by in paths: its dataset and its model, of one of the user's own the class alone."""
    return f"{config.dataset.name}-{config.model.name.rpartition(':')[2]}"
