"""Checks of what types alone do not say: ranges, and choices that do not fit together."""

import math
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from zoo.config.datasets import (
    DATASETS,
    LABELLED,
    Bleu,
    Header,
    HubConfig,
    LabelledConfig,
    PairsConfig,
    PreparedConfig,
    PreparedTask,
    Task,
    TgtDirection,
    Tokenizer,
    TorchtextConfig,
    ToyConfig,
)
from zoo.config.hub import check_hub
from zoo.config.models import (
    CLASSIFIERS,
    Attention,
    ClassifierConfig,
    Encoder,
    LinearClassifierConfig,
    Positions,
    Seq2SeqConfig,
    TransformerConfig,
)
from zoo.config.optimizers import NoamConfig
from zoo.config.own import is_own, own_model
from zoo.config.prepared import settle
from zoo.config.whole import GROUPS, Device, Precision, TrainConfig
from zoo.errors import ConfigError, unknown


def task_of(dataset: Any) -> Task:
    """Return the kind of task that a dataset config poses."""
    if isinstance(dataset, TorchtextConfig | HubConfig):
        return dataset.task
    if isinstance(dataset, PreparedConfig):
        return Task.labelled if dataset.task == PreparedTask.labelled else Task.pairs
    return Task.labelled if dataset.name in LABELLED else Task.pairs


def task_of_model(model: Any) -> Task:
    """Return the kind of task that a model config can learn."""
    if is_own(model.name):
        return own_model(model.name).task
    return Task.labelled if model.name in CLASSIFIERS else Task.pairs


def bleu_of(config: TrainConfig) -> str:
    """Return sacreBLEU's tokenizer for a dataset, empty where its outputs are no translations."""
    dataset = config.dataset
    if task_of(dataset) == Task.labelled or getattr(dataset, "bleu", Bleu.never) == Bleu.never:
        return ""
    if dataset.bleu != Bleu.auto:
        return str(dataset.bleu)
    return "13a" if getattr(dataset, "tgt_tokenizer", "") in (Tokenizer.word, Tokenizer.bpe, Tokenizer.unigram) else ""


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
    _check_dataset(config.dataset)
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


def check_model(model: Any) -> None:
    if isinstance(model, TransformerConfig) and model.d_model % model.nhead:
        raise ConfigError(f"`model.nhead` must divide `model.d_model` ({model.d_model}), but is {model.nhead}")
    if (
        isinstance(model, TransformerConfig)
        and model.positions == Positions.rotary
        and model.d_model // model.nhead % 2
    ):
        raise ConfigError(
            "`model.d_model` over `model.nhead` must be even for rotary positions, but is "
            f"{model.d_model // model.nhead}"
        )
    if isinstance(model, Seq2SeqConfig) and model.input_feeding and model.attention == Attention.none:
        raise ConfigError("`model.input_feeding` needs an attention; set `model.attention`")
    if isinstance(model, Seq2SeqConfig) and model.bidirectional and model.hidden_size % 2:
        raise ConfigError(f"`model.hidden_size` must be even for two directions, but is {model.hidden_size}")
    if isinstance(model, ClassifierConfig):
        if model.encoder == Encoder.transformer and model.hidden_size % model.nhead:
            raise ConfigError(
                f"`model.nhead` must divide `model.hidden_size` ({model.hidden_size}), but is {model.nhead}"
            )
        if not model.kernel_sizes or min(model.kernel_sizes) < 1:
            raise ConfigError(f"`model.kernel_sizes` must be numbers of at least 1, but is {model.kernel_sizes}")
        if model.encoder in RECURRENT and model.bidirectional and model.hidden_size % 2:
            raise ConfigError(f"`model.hidden_size` must be even for two directions, but is {model.hidden_size}")
        _check_idle(model)
    if isinstance(model, LinearClassifierConfig) and model.ngrams == 1 and model.buckets != type(model)().buckets:
        raise ConfigError("`model.buckets` has no effect with `model.ngrams` 1; it goes with 2 and more")


RECURRENT = (Encoder.rnn, Encoder.gru, Encoder.lstm)
ENCODERS_OF = {
    "num_layers": (*RECURRENT, Encoder.transformer),
    "bidirectional": RECURRENT,
    "pooling": RECURRENT,
    "nhead": (Encoder.transformer,),
    "kernel_sizes": (Encoder.cnn,),
}
"""Options of the classifiers that only some encoders have."""


def _check_idle(model: ClassifierConfig) -> None:
    """Refuse an option that was changed but has no effect on the chosen encoder."""
    defaults = ClassifierConfig()
    for key, encoders in ENCODERS_OF.items():
        if model.encoder not in encoders and getattr(model, key) != getattr(defaults, key):
            fits = ", ".join(encoders)
            raise ConfigError(f"`model.{key}` has no effect on the encoder {model.encoder}; it goes with {fits}")


def _check_dataset(dataset: Any) -> None:
    if isinstance(dataset, ToyConfig) and dataset.min_length > dataset.max_length:
        raise ConfigError(
            f"`dataset.min_length` must be at most `dataset.max_length` ({dataset.max_length}), but is "
            f"{dataset.min_length}"
        )
    _check_direction(dataset)
    if isinstance(dataset, PreparedConfig):
        settle(dataset)
    if not isinstance(dataset, PairsConfig | LabelledConfig | TorchtextConfig | HubConfig):
        return
    if isinstance(dataset, HubConfig):
        check_hub(dataset)
    else:
        _check_files(dataset)
    if len(dataset.columns) != 2 or not all(map(_is_column, dataset.columns)):
        raise ConfigError(
            f"`dataset.columns` must be two names or numbers from 0, as in [0,1], but is {dataset.columns}"
        )
    if isinstance(dataset, TorchtextConfig | HubConfig):
        _check_tokenizers(dataset)
    _check_min_count(dataset)
    _check_shared(dataset)


def _check_shared(dataset: Any) -> None:
    """Refuse one vocabulary for two ways of cutting texts."""
    if getattr(dataset, "shared_vocabulary", False) and dataset.src_tokenizer != dataset.tgt_tokenizer:
        raise ConfigError(
            "`dataset.shared_vocabulary` needs one tokenizer, but `dataset.src_tokenizer` is "
            f"{dataset.src_tokenizer} and `dataset.tgt_tokenizer` is {dataset.tgt_tokenizer}"
        )


def _check_files(dataset: PairsConfig | LabelledConfig | TorchtextConfig) -> None:
    if not dataset.train:
        raise ConfigError(
            f"`dataset.train` is empty; name your training file: dataset={dataset.name} dataset.train=FILE"
        )
    for key in ("train", "valid", "test"):
        setattr(dataset, key, _paths(getattr(dataset, key), key))
        check_header(getattr(dataset, key), dataset.columns, dataset.header)


def _check_direction(dataset: Any) -> None:
    """Refuse a direction of targets where there are labels."""
    turned = getattr(dataset, "tgt_direction", TgtDirection.left_to_right) != TgtDirection.left_to_right
    if turned and task_of(dataset) == Task.labelled:
        raise ConfigError(
            f"`dataset.tgt_direction` has no effect on the labels of dataset={dataset.name}; leave it out"
        )


def _is_column(column: Any) -> bool:
    return isinstance(column, str) or (isinstance(column, int) and not isinstance(column, bool) and column >= 0)


def check_header(paths: Any, columns: Sequence[Any], header: Header) -> None:
    """Raise ConfigError where a file has no such first line as `header` says."""
    if header == Header.false and any(isinstance(column, str) for column in columns):
        raise ConfigError(
            "`dataset.columns` holds names, which need a first line with names; drop `dataset.header=false`"
        )
    if header != Header.auto and isinstance(paths, str) and re.search(r"\.jsonl(\.gz)?$", paths, re.IGNORECASE):
        raise ConfigError(f"`dataset.header` has no meaning for {paths}, whose lines hold names; drop it")


def _check_tokenizers(dataset: TorchtextConfig | HubConfig) -> None:
    """Refuse options of the task that was not chosen."""
    of_pairs = ("src_tokenizer", "tgt_tokenizer", "shared_vocabulary", "bleu")
    idle = of_pairs if dataset.task == Task.labelled else ("tokenizer", "swap")
    for item in fields(dataset):
        if item.name in idle and getattr(dataset, item.name) != item.default:
            raise ConfigError(f"`dataset.{item.name}` has no effect on dataset.task={dataset.task}; leave it out")


def _check_min_count(dataset: PairsConfig | LabelledConfig | TorchtextConfig | HubConfig) -> None:
    """Refuse a `min_count` where no side has a vocabulary of its own making: subword models have their pieces."""
    sides = ("tokenizer",) if task_of(dataset) == Task.labelled else ("src_tokenizer", "tgt_tokenizer")
    names = [getattr(dataset, side) for side in sides]
    if dataset.min_count > 1 and set(names) <= {Tokenizer.bpe, Tokenizer.unigram}:
        instead = "leave it out" if isinstance(dataset, TorchtextConfig) else "set `dataset.vocab_size`"
        raise ConfigError(f"`dataset.min_count` has no effect on bpe and unigram; {instead}")


def _paths(value: Any, key: str) -> Any:
    """Return one path or a list of two, with `~` expanded where it names a home."""
    if isinstance(value, list | tuple) and len(value) == 2:
        return [os.path.expanduser(str(path)) for path in value]
    if isinstance(value, list | tuple):
        raise ConfigError(f"`dataset.{key}` must be one file or a list of two, but has {len(value)}")
    return os.path.expanduser(str(value)) if value else ""


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
