"""Checks of what types alone do not say: ranges, and choices that do not fit together."""

import math
import unicodedata
from dataclasses import fields
from typing import Any

from zoo.config.dataset_checks import bleu_of, check_dataset, task_of
from zoo.config.datasets import DATASETS, HubConfig, PreparedTask, Task, TorchtextConfig
from zoo.config.model_checks import check_model, task_of_model
from zoo.config.models import ClassifierConfig, Encoder
from zoo.config.optimizers import NoamConfig
from zoo.config.whole import GROUPS, Device, Precision, TrainConfig
from zoo.errors import ConfigError, unknown


def metrics_of(config: TrainConfig) -> tuple[str, ...]:
    """Return what is measured after each epoch; `monitor` picks one of these, by default the last."""
    if task_of(config.dataset) == Task.labelled:
        return "loss", "ece", "macro_f1", "accuracy"
    rates = ("loss", "accuracy", "token_error_rate", "sequence_error_rate")
    return (*rates, "chrf", "bleu") if bleu_of(config) else rates


def monitor_of(config: TrainConfig) -> str:
    """Return the metric that picks the best epoch."""
    return metrics_of(config)[-1] if config.monitor == "auto" else config.monitor.removeprefix("valid_")


def check(config: TrainConfig) -> None:
    """Raise ConfigError where a value is out of range or two choices do not fit together."""
    for prefix, part in [("", config), *((f"{group}.", getattr(config, group)) for group in GROUPS)]:
        check_ranges(part, prefix)
        _check_texts(part, prefix)
    check_model(config.model)
    check_dataset(config.dataset)
    _check_optimizer(config.optimizer)
    _check_task(config)
    _check_rdrop(config)
    _check_swap(config)
    _check_schedule(config)
    _check_search(config)
    _check_monitor(config)
    _check_range_test(config)
    if config.precision == Precision.fp16 and config.device == Device.cpu:
        raise ConfigError("precision=fp16 needs a GPU; use precision=bf16 or precision=fp32 on a CPU")
    for key in ("run_dir", "resume"):
        if getattr(config, key) == "":
            raise ConfigError(f"`{key}` is empty; name a directory, or leave it out")
    if not isinstance(config.resume, bool | str):
        raise ConfigError(f"`resume` must be false, true or a path, but is {config.resume!r}")


FEWEST_RATES = 40
"""Steps of a range test from which a curve can be read."""
LARGEST = 2**63 - 1
"""The largest number that numpy and torch count with."""


def check_ranges(config: Any, prefix: str) -> None:
    for item in fields(config):
        value = getattr(config, item.name)
        limits = item.metadata
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        words = [f"{key.replace('_', ' ')} {limits[key]}" for key in ("above", "at_least", "below", "at_most")
                 if key in limits] or ["finite"]  # fmt: skip
        if isinstance(value, int) and not {"below", "at_most"}.intersection(limits) and abs(value) > LARGEST:
            words = [f"at most {LARGEST}"]
        inside = (
            math.isfinite(value)
            and value > limits.get("above", -math.inf)
            and value >= limits.get("at_least", -math.inf)
            and value < limits.get("below", math.inf)
            and value <= limits.get("at_most", math.inf)
            and (isinstance(value, float) or abs(value) <= LARGEST)
        )
        if not inside:
            raise ConfigError(f"`{prefix}{item.name}` must be {' and '.join(words)}, but is {value}")


def _check_texts(config: Any, prefix: str) -> None:
    """Refuse text that no file of a run can hold as it is: interpolations, which nobody resolves later, and no text."""
    for item in fields(config):
        value = getattr(config, item.name)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                _check_text(text, f"`{prefix}{item.name}`", path=item.name in ("run_dir", "resume"))


def _check_text(text: str, where: str, *, path: bool) -> None:
    if "${" in text:
        raise ConfigError(f"{where} holds an interpolation, {text!r}, which is not resolved here; write its value")
    if not text.isascii() and any(0xD800 <= ord(char) < 0xE000 for char in text):
        raise ConfigError(f"{where} is not UTF-8, {text!r}; rename the file, or set LC_ALL=C.UTF-8 if it is")
    if path and any(unicodedata.category(char) == "Cc" for char in text):
        raise ConfigError(f"{where} holds a control character, {text!r}; choose another name")


def _check_optimizer(optimizer: Any) -> None:
    betas = getattr(optimizer, "betas", [0.0, 0.0])
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ConfigError(f"`optimizer.betas` must be two numbers from 0 to below 1, but is {betas}")


def _check_rdrop(config: TrainConfig) -> None:
    """Refuse R-Drop where the two passes would be equal."""
    model = config.model
    random = getattr(model, "dropout", 1.0) or getattr(model, "word_dropout", 0.0)
    random = random or getattr(model, "teacher_forcing", 1.0) < 1
    if config.rdrop and not random:
        raise ConfigError("`rdrop` has no effect without dropout; set `model.dropout` above 0, or leave it out")


def _check_swap(config: TrainConfig) -> None:
    """Refuse swapped tokens where a model does not see their order."""
    model = config.model
    blind = getattr(model, "encoder", None) == Encoder.bag or getattr(model, "ngrams", 2) == 1
    if getattr(config.dataset, "swap", 0.0) and blind:
        fits = "set `model.encoder`" if isinstance(model, ClassifierConfig) else "set `model.ngrams` to 2 or more"
        raise ConfigError(f"`dataset.swap` has no effect on a model that does not see the order of tokens; {fits}")


def _check_schedule(config: TrainConfig) -> None:
    has_width = any(hasattr(config.model, key) for key in ("d_model", "hidden_size"))
    if isinstance(config.scheduler, NoamConfig) and not has_width:
        raise ConfigError(
            f"scheduler=noam goes by the model's width, and model={config.model.name} has none; choose another"
        )


def _check_search(config: TrainConfig) -> None:
    """Refuse options of the search for models that search for nothing."""
    for item in fields(config):
        idle = item.name in ("beam", "length_penalty") and getattr(config, item.name) != item.default
        if idle and task_of_model(config.model) == Task.labelled:
            raise ConfigError(
                f"`{item.name}` has no effect on model={config.model.name}, which finds labels; leave it out"
            )


def _check_monitor(config: TrainConfig) -> None:
    name, known = config.monitor.removeprefix("valid_"), ("auto", *metrics_of(config))
    if name not in known:
        raise ConfigError(f"`monitor`: {unknown('metric', name, known)}")


def _check_range_test(config: TrainConfig) -> None:
    if not config.lr_find:
        return
    if config.resume:
        raise ConfigError("`lr_find` tries rates on fresh weights and keeps none; leave out `resume`")
    if 0 < config.max_steps < FEWEST_RATES:
        raise ConfigError(
            f"`max_steps` must be at least {FEWEST_RATES} with `lr_find`, one rate a step, but is {config.max_steps}"
        )


def _check_task(config: TrainConfig) -> None:
    task = task_of_model(config.model)
    if task == task_of(config.dataset) or getattr(config.dataset, "task", "") == PreparedTask.auto:
        return
    own = {"pairs": "source and target sequences", "labelled": "texts and labels"}
    fits = [name for name, cls in DATASETS.items() if "task" in cls.__annotations__ or task_of(cls(name=name)) == task]
    asked = isinstance(config.dataset, TorchtextConfig | HubConfig)  # what their columns hold is an option
    way_out = f"set dataset.task={task}" if asked else f"datasets that fit: {', '.join(fits)}"
    raise ConfigError(
        f"model={config.model.name} learns from {own[task]}, and dataset={config.dataset.name} holds "
        f"{own[task_of(config.dataset)]}; {way_out}"
    )
