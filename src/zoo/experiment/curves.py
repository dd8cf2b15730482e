"""What a run has recorded, epoch by epoch; runs of older versions lack some figures, which are NaN."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.config import Task, TrainConfig, metrics_of, task_of_model
from zoo.data import Coding, TextSizes
from zoo.experiment.directory import RunDirectory
from zoo.metrics import BETTER, Array

TAIL = 1 << 16
"""Bytes at the end of train.log in which its last line is looked for."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The epochs of a run, its results, and the last line of its log.

    rows holds the figures of each epoch by their names in `metrics.jsonl`; classes is the number of labels or of
    target symbols that the model chooses from, 0 where that is not known.
    """

    config: TrainConfig
    rows: list[dict[str, float]]
    results: dict[str, Any] = field(default_factory=dict)
    last_words: str = ""
    classes: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, name: str) -> Array:
        """Return the figures of a name (epochs), NaN where one is missing."""
        return np.array([row.get(name, math.nan) for row in self.rows], dtype=np.float64)

    def epoch(self, index: int) -> int:
        """Return the number of an epoch by its place."""
        return int(self.rows[index]["epoch"])

    @property
    def ended(self) -> bool:
        """Whether the run came to its end, and its results are of that end."""
        return bool(self.rows) and self.results.get("epochs") == self.epoch(-1)

    @property
    def metric(self) -> str:
        """The name of the task's main metric."""
        return metrics_of(self.config)[-1]

    @property
    def best(self) -> int | None:
        """The place of the epoch with the best main metric; None where none has one."""
        found = self.of(f"valid_{self.metric}")
        if not len(found) or np.isnan(found).all():
            return None
        return int(np.nanargmin(found) if BETTER[self.metric] == "min" else np.nanargmax(found))

    @property
    def errors(self) -> Array:
        """The main metric as a share of errors (epochs): 1 minus an accuracy, and minus a hundredth of BLEU."""
        found = self.of(f"valid_{self.metric}") / (100 if self.metric in ("bleu", "chrf") else 1)
        shares: Array = np.clip(found if BETTER[self.metric] == "min" else 1 - found, 0, 1)
        return shares

    @property
    def chance(self) -> float:
        """The loss of a model that holds all classes for equally likely; NaN where their number is not known."""
        return math.log(self.classes) if self.classes > 1 else math.nan

    @property
    def labels(self) -> dict[str, int]:
        """Training rows by label; empty where they were not recorded."""
        return self._counts("labels")

    @property
    def notes(self) -> dict[str, int]:
        """What was counted while the data was read."""
        return self._counts("notes")

    @property
    def valid_size(self) -> int:
        """Sources that the main metric of an epoch is measured on; 0 where that was not recorded."""
        size = self._counts("sizes").get("valid") or int(getattr(self.config.dataset, "valid_size", 0))
        limit = 0 if self.is_classifier else self.config.valid_limit
        return min(size, limit) if limit else size

    def part_size(self, split: str) -> int:
        """Sources of a part; 0 where that was not recorded."""
        return self._counts("sizes").get(split, 0)

    @property
    def is_classifier(self) -> bool:
        """Whether the task is to find labels."""
        return task_of_model(self.config.model) == Task.labelled

    @property
    def majority(self) -> float:
        """The share of training rows with the commonest label, or of one class among all where labels are unknown.

        0 for sequences, whose commonest symbol is rare enough.
        """
        if not self.is_classifier:
            return 0.0
        if self.labels and sum(self.labels.values()):
            return max(self.labels.values()) / sum(self.labels.values())
        return 1 / self.classes if self.classes else 0.0

    @property
    def fit(self) -> float:
        """How much of what can be learned was: the best accuracy, in training or validation, above the majority's.

        1 is all, 0 nothing. Sequences count by symbols, given the true ones before; dropout and label smoothing
        move this less than the loss.
        """
        found = largest(np.concatenate([self.of("train_accuracy"), self.of("valid_accuracy"), [0.0]]))
        return (found - self.majority) / max(1 - self.majority, 1e-9)

    def _counts(self, key: str) -> dict[str, int]:
        found = self.results.get(key)
        counts = found.items() if isinstance(found, dict) else ()
        return {str(name): n for name, n in counts if isinstance(n, int) and not isinstance(n, bool) and n >= 0}


def largest(values: Array) -> float:
    """Return the largest number; NaN where there is none."""
    return float(np.fmax.reduce(values, initial=math.nan))


def smallest(values: Array) -> float:
    """Return the smallest number; NaN where there is none."""
    return float(np.fmin.reduce(values, initial=math.nan))


def read_curves(path: Path) -> Curves:
    """Return the curves of the run in a directory, finished or not; rows of a damaged file are left out.

    Raises CheckpointError or DataError where its config, results or vocabulary cannot be read.
    """
    run = RunDirectory(path)
    return Curves(
        config=run.read_config(),
        rows=list(_rows(path / "metrics.jsonl")),
        results=run.read_results() if run.finished else {},
        last_words=_last_words(path / "train.log"),
        classes=_classes(run.vocabulary),
    )


def _rows(path: Path) -> Iterator[dict[str, float]]:
    """Yield the last line of each epoch: one that was cut short, and gone on with later, has several."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    found: dict[int, dict[str, float]] = {}
    for line in text.splitlines():
        try:
            values = json.loads(line)
            if isinstance(values, dict) and isinstance(values.get("epoch"), int):
                found[values["epoch"]] = _figures(values)
        except (ValueError, RecursionError, OverflowError):
            continue
    yield from (found[epoch] for epoch in sorted(found))


def _figures(values: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a line; null, which stands for what JSON cannot spell, is NaN."""
    numbers = {key: float(value) for key, value in values.items() if isinstance(value, int | float)}
    nulls = dict.fromkeys((key for key, value in values.items() if value is None), math.nan)
    return {key: value if math.isfinite(value) else math.nan for key, value in {**numbers, **nulls}.items()}


def _last_words(path: Path) -> str:
    """Return the last line of a log, without its time."""
    if not path.exists():
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return re.sub(r"^\S+ \S+ ", "", lines[-1]) if lines else ""


def _classes(vocabulary: Path) -> int:
    if not (vocabulary / "coding.json").exists():
        return 0
    sizes = Coding.load(vocabulary).sizes
    return sizes.classes if isinstance(sizes, TextSizes) else sizes.tgt_vocab
