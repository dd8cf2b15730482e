"""Checks of a dataset's options that its types alone do not say, and what follows from them."""

import os
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from zoo.config.datasets import (
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
from zoo.config.prepared import settle
from zoo.config.whole import TrainConfig
from zoo.errors import ConfigError


def task_of(dataset: Any) -> Task:
    """Return the kind of task that a dataset config poses."""
    if isinstance(dataset, TorchtextConfig | HubConfig):
        return dataset.task
    if isinstance(dataset, PreparedConfig):
        return Task.labelled if dataset.task == PreparedTask.labelled else Task.pairs
    return Task.labelled if dataset.name in LABELLED else Task.pairs


def bleu_of(config: TrainConfig) -> str:
    """Return sacreBLEU's tokenizer for a dataset, empty where its outputs are no translations."""
    dataset = config.dataset
    if task_of(dataset) == Task.labelled or getattr(dataset, "bleu", Bleu.never) == Bleu.never:
        return ""
    if dataset.bleu != Bleu.auto:
        return str(dataset.bleu)
    return "13a" if getattr(dataset, "tgt_tokenizer", "") in (Tokenizer.word, Tokenizer.bpe, Tokenizer.unigram) else ""


def check_dataset(dataset: Any) -> None:
    """Raise ConfigError where options of a dataset do not fit together; expand `~` in its files."""
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
    _check_sides(dataset)


def _check_sides(dataset: Any) -> None:
    """Refuse targets that would be written twice, and one vocabulary for two ways of cutting texts."""
    if getattr(dataset, "tgt_tokenizer", "") == Tokenizer.char_word:
        raise ConfigError(
            "`dataset.tgt_tokenizer` must not be char_word, with which a model writes its outputs twice, in "
            "characters and in words; choose char or word"
        )
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
