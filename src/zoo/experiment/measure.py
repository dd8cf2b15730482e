"""What is measured of a model, after each epoch (`metrics.jsonl`) and at the end (`results.json`)."""

from typing import Any, NamedTuple

from torch import nn

from zoo.config import Direction, TrainConfig, monitor_of
from zoo.data import Data
from zoo.data.corpus import Corpus, TextCorpus
from zoo.distributed import gathered
from zoo.evaluation import Setting, evaluate, judge_labels, judge_outputs
from zoo.experiment.machine import choose_precision
from zoo.metrics import BETTER, METRICS
from zoo.models import count_parameters
from zoo.record.units import watched
from zoo.training import EpochResult, LoopState

PARTS = ("valid", "test")


def greedily(setting: Setting) -> Setting:
    """Return the setting with greedy search, which is what a training waits for."""
    return setting._replace(decoding=setting.decoding._replace(width=1))


class Measured(NamedTuple):
    """Figures of the validation part, rows of (source, prediction, references), and the dead units by module."""

    figures: dict[str, float]
    samples: list[tuple[str, str, str]]
    dead_units: dict[str, float]


def measure_epoch(model: nn.Module, data: Data, setting: Setting, *, limit: int) -> Measured:
    """Return the metrics of the validation part, but for the loss, with samples.

    Among them is `dead_units` of models with `nn.ReLU` modules (see `zoo.record.units`). Outputs are searched for
    greedily, of at most `limit` sources (0: all).
    """
    with watched(model) as units:
        if isinstance(data.valid, TextCorpus):
            outcome = judge_labels(model, data.valid, setting, labels=data.labels)
        else:
            outcome = judge_outputs(model, data.valid, data.codecs["tgt"], greedily(setting), limit=limit)
    units.add(gathered([units.largest]))
    found = outcome.scores.metrics()
    found.pop("loss", None)  # the loop has it
    return Measured({**found, **units.figures()}, outcome.samples(), units.by_module())


def counts_of(data: Data) -> dict[str, dict[str, int]]:
    """Return the `sizes` of the parts, of train in rows and of the others in sources, and train's rows by label."""
    held = {"valid": data.valid, "test": data.test}
    scored = {split: scored_size(part) for split, part in held.items() if part is not None}
    sizes = {"train": len(data.train), **scored}
    if not data.labels:
        return {"sizes": sizes}
    return {"sizes": sizes, "labels": dict(zip(data.labels, data.label_counts(), strict=True))}


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


def results_of(model: nn.Module, data: Data, setting: Setting, config: TrainConfig, *, state: LoopState,
               best_epoch: int, test: bool = True) -> dict[str, Any]:  # fmt: skip
    """Return what `results.json` holds of a run whose best epoch's weights are in the model."""
    return {
        "best_epoch": best_epoch,
        "epochs": state.epoch,
        "steps": state.step,
        "seconds": round(state.seconds, 3),
        "parameters": count_parameters(model),
        "seed": config.seed,
        "device": setting.device.type,
        "precision": choose_precision(config.precision, setting.device),
        "skipped_steps": state.skipped,
        "notes": data.notes,
        **counts_of(data),
        **measure_parts(model, data, setting, limit=config.test_limit, test=test),
    }


def final_metrics(results: dict[str, Any], main: str = "loss") -> dict[str, float]:
    """Return the numbers of all parts as one flat dict, `valid_accuracy` and the like, the `main` ones first."""
    flat = {f"{split}_{key}": value for split in PARTS for key, value in results.get(split, {}).items()}
    first = [name for name in metric_names(main) if name in flat]
    return {key: flat[key] for key in dict.fromkeys([*first, *flat]) if not isinstance(flat[key], str)}


def metric_names(main: str = "loss") -> list[str]:
    """Return the names of all that runs can end with, in the order of `final_metrics`."""
    names = dict.fromkeys([main, *(name for name in METRICS if name != "loss"), "loss"])
    return [f"{split}_{name}" for name in names for split in PARTS]


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
