"""What the options of prepared data take from the data themselves, so that a run's config needs them no more."""

import json
import os
from pathlib import Path
from typing import Any

from zoo.config.datasets import Bleu, Header, PreparedConfig, PreparedTask, Tokenizer
from zoo.errors import ConfigError


def settle(dataset: PreparedConfig) -> None:
    """Fill in what is `auto` or empty from the index at `path`; where none can be read, the data's reader says so."""
    if not dataset.path:
        raise ConfigError(
            "`dataset.path` is empty; name the directory that zoo prepare wrote: dataset=prepared dataset.path=DIR"
        )
    dataset.path = os.path.expanduser(dataset.path)
    made = _options(Path(dataset.path)) if dataset.task == PreparedTask.auto or not dataset.columns else None
    if made is not None:
        _fill(dataset, made)
    if len(dataset.columns) not in (0, 2):
        raise ConfigError(
            f"`dataset.columns` must be two names or numbers from 0, as in [0,1], but is {dataset.columns}"
        )
    if dataset.task == PreparedTask.labelled and dataset.bleu not in (Bleu.auto, Bleu.never):
        raise ConfigError("`dataset.bleu` has no effect on labels; leave it out")


def _options(directory: Path) -> dict[str, Any] | None:
    """Return the options of pairs or labelled that data were prepared with."""
    try:
        made = json.loads((directory / "index.json").read_text(encoding="utf-8"))["dataset"]
        return made if made["name"] in PreparedTask.__members__ else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _fill(dataset: PreparedConfig, made: dict[str, Any]) -> None:
    task = PreparedTask[made["name"]]
    if dataset.task not in (PreparedTask.auto, task):
        raise ConfigError(f"`dataset.task` is {dataset.task}, but {dataset.path} holds {task}; leave it out")
    dataset.task = task
    dataset.columns = dataset.columns or list(made.get("columns", [0, 1]))
    if dataset.header == Header.auto:
        dataset.header = Header[made.get("header", "auto")]
    if dataset.bleu == Bleu.auto:
        dataset.bleu = _bleu(made)


def _bleu(made: dict[str, Any]) -> Bleu:
    """Return what `auto` meant for the data that were prepared."""
    if made.get("bleu", "auto") != "auto":
        return Bleu[made["bleu"]]
    return (
        Bleu["13a"] if made.get("tgt_tokenizer") in (Tokenizer.word, Tokenizer.bpe, Tokenizer.unigram) else Bleu.never
    )
