"""Curves of sound runs, with other figures where a test needs a fault, and what is found on them."""

import math
from typing import Any

from zoo.config import ClassifierConfig, MovieReviewsConfig, PairsConfig, TrainConfig
from zoo.diagnose import Curves, Finding, diagnose

EPOCHS = 10
PAIRS = TrainConfig(dataset=PairsConfig(train="a.tsv"), epochs=EPOCHS)
LABELS = TrainConfig(model=ClassifierConfig(), dataset=MovieReviewsConfig(), epochs=EPOCHS)


def decaying(start: float, end: float, count: int = EPOCHS, *, pace: float = 0.6) -> list[float]:
    """Return figures that near `end`, as a sound loss does."""
    return [end + (start - end) * pace**number for number in range(count)]


def cosine(peak: float, count: int = EPOCHS) -> list[float]:
    return [peak * (1 + math.cos(math.pi * number / count)) / 2 for number in range(1, count + 1)]


def curves(config: TrainConfig = PAIRS, *, results: dict[str, Any] | None = None, last_words: str = "",
           classes: int = 30, **figures: list[float]) -> Curves:  # fmt: skip
    """Return the curves of a sound run that has ended, with other figures where they are given."""
    count = len(next(iter(figures.values()))) if figures else EPOCHS
    sound = {
        "train_loss": decaying(2.5, 0.2, count),
        "train_accuracy": decaying(0.3, 0.95, count),
        "valid_loss": decaying(2.0, 0.3, count),
        "valid_accuracy": decaying(0.4, 0.92, count),
        "grad_norm": decaying(2.0, 0.3, count),
        "lr": cosine(0.002, count),
        "waited": [0.04] * count,
        "skipped_steps": [0.0] * count,
    }
    if config.dataset.name == "pairs":
        sound["valid_sequence_error_rate"] = decaying(0.95, 0.25, count)
    else:
        sound["valid_macro_f1"] = sound["valid_accuracy"]
    told = {**sound, **figures}
    rows = [{"epoch": float(n + 1), **{key: told[key][n] for key in told}} for n in range(count)]
    found = {"epochs": count, "sizes": {"train": 10000, "valid": 2000, "test": 2000}, "notes": {}, **(results or {})}
    return Curves(config=config, rows=rows, results=found, last_words=last_words, classes=classes)


def labelled(**changes: Any) -> Curves:
    """Return the same of two labels that are evenly spread."""
    results = {"labels": {"good": 5000, "bad": 5000}, **changes.pop("results", {})}
    sound = {"train_loss": decaying(0.69, 0.1), "train_accuracy": decaying(0.6, 0.95),
             "valid_loss": decaying(0.68, 0.35), "valid_accuracy": decaying(0.6, 0.85)}  # fmt: skip
    return curves(changes.pop("config", LABELS), results=results, classes=2, **{**sound, **changes})


def faults(found: Curves) -> list[str]:
    return [finding.fault for finding in diagnose(found)]


def only(found: Curves) -> Finding:
    """Return the one finding of a run that has one fault."""
    (finding,) = diagnose(found)
    assert finding.evidence
    assert finding.advice
    return finding


def overrides(finding: Finding) -> list[str]:
    return [word for advice in finding.advice for word in advice.overrides]
