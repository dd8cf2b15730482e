"""What is measured of a model, after each epoch (`metrics.jsonl`) and at the end (`results.json`)."""

from typing import Any

import numpy as np
from torch import nn

from zoo.config import Direction, TrainConfig, monitor_of
from zoo.data import Data
from zoo.data.corpus import Corpus, TextCorpus
from zoo.evaluation import Setting, evaluate, judge_labels, judge_outputs
from zoo.metrics import BETTER
from zoo.record.units import watched
from zoo.training import EpochResult


def greedily(setting: Setting) -> Setting:
    """Return the setting with greedy search, which is what a training waits for."""
    return setting._replace(decoding=setting.decoding._replace(width=1))


def measure_epoch(
    model: nn.Module, data: Data, setting: Setting, *, limit: int
) -> tuple[dict[str, float], list[tuple[str, str, str]]]:
    """Return the metrics of the validation part, but for the loss, and rows of (source, prediction, references).

    Among them is `dead_units` of models with `nn.ReLU` modules (see `zoo.record.units`). Outputs are searched for
    greedily, of at most `limit` sources (0: all).
    """
    with watched(model) as units:
        if isinstance(data.valid, TextCorpus):
            outcome = judge_labels(model, data.valid, setting, labels=data.labels)
        else:
            outcome = judge_outputs(model, data.valid, data.codecs["tgt"], greedily(setting), limit=limit)
    found = outcome.scores.metrics()
    found.pop("loss", None)  # the loop has it
    return {**found, **units.figures()}, outcome.samples()


def counts_of(data: Data) -> dict[str, dict[str, int]]:
    """Return the `sizes` of the parts, of train in rows and of the others in sources, and train's rows by label."""
    held = {"valid": data.valid, "test": data.test}
    scored = {split: scored_size(part) for split, part in held.items() if part is not None}
    sizes = {"train": len(data.train), **scored}
    if not isinstance(data.train, TextCorpus):
        return {"sizes": sizes}
    rows = np.bincount(data.train.labels[data.train.labels >= 0], minlength=len(data.labels))
    return {"sizes": sizes, "labels": dict(zip(data.labels, rows.tolist(), strict=True))}


def scored_size(corpus: Corpus) -> int:
    """Return how many answers a part asks for: a source counts once, whatever its targets."""
    return len(corpus) if isinstance(corpus, TextCorpus) else len(corpus.sources)


def measure_parts(
    model: nn.Module, data: Data, setting: Setting, *, limit: int, test: bool = True
) -> dict[str, dict[str, Any]]:
    """Return the metrics of valid and, where there is one and it is asked for, of test."""
    parts = {"valid": data.valid, "test": data.test if test else None}
    return {
        split: evaluate(model, corpus, data.codecs, setting, limit=limit)
        for split, corpus in parts.items()
        if corpus is not None
    }


def final_metrics(results: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of all parts as one flat dict, `test_accuracy` and the like."""
    splits = {split: results[split] for split in ("valid", "test") if split in results}
    flat = {f"{split}_{key}": value for split, found in splits.items() for key, value in found.items()}
    return {key: value for key, value in flat.items() if not isinstance(value, str)}


def named_figures(result: EpochResult, measured: dict[str, float]) -> dict[str, float]:
    """Return an epoch's figures by their names in `metrics.jsonl`."""
    return {
        "train_loss": result.loss,
        "train_accuracy": result.accuracy,
        "valid_loss": result.valid_loss,
        "valid_accuracy": result.valid_accuracy,
        **{f"valid_{key}": value for key, value in measured.items()},
    }


def monitored(config: TrainConfig) -> tuple[str, str]:
    """Return the metric that picks the best epoch, and what is good of it: min or max."""
    name = monitor_of(config)
    return name, BETTER[name] if config.direction == Direction.auto else str(config.direction)
