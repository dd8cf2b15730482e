"""Rules about the data: leaks, labels, the size of the validation part, and how fast batches come."""

import math

import numpy as np

from zoo.diagnose.finding import Advice, Finding, Severity, advise, shown
from zoo.experiment.curves import Curves, largest, smallest

LEAK = 0.01
"""Share of a part that is in training too, from which on its figures are off by what people argue about."""
NOISE = 0.05
"""Half width of the 95 % interval of a share of errors beyond which epochs and models can hardly be told apart."""
WISHED = 0.02
"""The half width that advice aims at."""
UNEVEN = 1.5
"""Factor of the commonest label over an even share from which labels are out of balance."""
GAP = 0.15
"""Accuracy above macro-F1 that shows rare labels are not found; recipes on uneven data that do find them have 0.05."""
WAITING = 0.15
"""Share of training time spent on waiting for batches; the zoo's own loader takes 0.02 to 0.06 on one CPU core."""


def leakage(curves: Curves) -> Finding | None:
    """Find sources of valid or test that are in the training part too."""
    evidence, worst = [], 0.0
    for split in ("valid", "test"):
        count, size = curves.notes.get(f"{split}_sources_in_train", 0), curves.part_size(split)
        share = count / size if size else LEAK  # older runs do not know
        if count and share >= LEAK:
            worst = max(worst, share)
            of = f" of {size:,} ({shown(100 * share)} %)" if size else ""
            evidence.append(f"{count:,}{of} {split} sources are in the training part too")
    if not evidence:
        return None
    cures = [advise("take them out of one of the files")]
    if hasattr(curves.config.dataset, "leakage"):
        cures.append(advise("refuses such data", dataset__leakage="error"))
    severity = Severity.fatal if worst > NOISE else Severity.serious
    return Finding("leakage", severity, "leakage: figures are better than the model", evidence, cures)


def unbalanced_labels(curves: Curves) -> Finding | None:
    """Find a classifier that does well on common labels alone."""
    scores, accuracies = curves.of("valid_macro_f1"), curves.of("valid_accuracy")
    known = np.isfinite(scores + accuracies)
    if not curves.is_classifier or not curves.classes or not known.any():
        return None
    best = int(np.where(known, accuracies, -1).argmax())
    accuracy, score = float(accuracies[best]), float(scores[best])
    commonest = curves.majority if curves.labels else accuracy  # which the majority label alone would have
    if commonest < UNEVEN / curves.classes or accuracy - score < GAP:
        return None
    evidence = [
        f"valid_accuracy is {shown(accuracy)} in epoch {curves.epoch(best)}, but valid_macro_f1, to which each label "
        f"counts the same, {shown(score)}"
    ]
    if curves.labels:
        (rare, few), (common, many) = (pick(curves.labels.items(), key=lambda item: item[1]) for pick in (min, max))
        evidence.append(f"of the training rows {many:,} are '{common}' ({shown(100 * commonest)} %), {few:,} '{rare}'")
    cures = [advise("more rows of rare labels in the training file, if need be the same ones several times")]
    if curves.config.monitor != "macro_f1":
        cures.append(advise("pick the best epoch by all labels alike", monitor="macro_f1"))
    what = "labels are out of balance, and rare ones not found"
    return Finding("labels out of balance", Severity.serious, what, evidence, cures)


def noisy_validation(curves: Curves) -> Finding | None:
    """Find a validation part so small that its figures move by chance."""
    errors, size = curves.errors, curves.valid_size
    if not size or curves.metric in ("bleu", "chrf"):
        return None
    best = smallest(errors)
    error = standard_error(best, size)
    if not 2 * error >= NOISE:
        return None
    evidence = [
        f"{curves.metric} of {size:,} sources has a standard error of {shown(error)}: two runs that differ by less "
        f"than {shown(2 * math.sqrt(2) * error)} may be equally good"
    ]
    if len(curves) > 3:
        moves = np.abs(np.diff(errors[len(curves) // 2 :]))
        evidence.append(f"in the second half it moves by up to {shown(largest(moves))} from epoch to epoch")
    what = "the validation part is small, and its figures noisy"
    return Finding("noisy validation", Severity.minor, what, evidence, _more_sources(curves, best))


def standard_error(share: float, size: int) -> float:
    """Return the standard error of a share p of n answers, sqrt(p (1 - p) / n).

    Two right and two wrong answers are added, so that it is not 0 for a perfect score (Agresti and Coull, 1998).
    """
    share = (share * size + 2) / (size + 4)
    return math.sqrt(share * (1 - share) / (size + 4))


def _more_sources(curves: Curves, share: float) -> list[Advice]:
    needed = max(500, math.ceil(share * (1 - share) * (2 / WISHED) ** 2 / 100) * 100)
    config = curves.config
    several = advise("several seeds, and their mean (-m seed=1,2,3); zoo evaluate gives intervals")
    if not curves.is_classifier and 0 < config.valid_limit < curves.part_size("valid"):
        return [advise("decode the whole part after each epoch", valid_limit=0), several]
    if hasattr(config.dataset, "valid_size"):
        return [advise("more validation sequences", dataset__valid_size=needed), several]
    return [advise(f"{needed:,} validation sources or more, for an interval of +-{WISHED}"), several]


def slow_loader(curves: Curves) -> Finding | None:
    """Find a training that waits for its batches."""
    waited = curves.of("waited")
    share = float(np.median(waited[np.isfinite(waited)])) if np.isfinite(waited).any() else 0.0
    if share < WAITING:
        return None
    evidence = [f"{shown(100 * share)} % of the time of training went into waiting for batches (median over epochs)"]
    return Finding("slow loader", Severity.minor, "the training waits for its loader", evidence, _faster(curves))


def _faster(curves: Curves) -> list[Advice]:
    config, cures = curves.config, []
    if config.dataset.name == "torchtext":
        instead = "pairs" if str(config.dataset.task) == "pairs" else "labelled"
        cures.append(advise("the zoo's own loader, which keeps ids and not texts", dataset=instead))
        cures.append(advise("fewer and larger batches", dataset__batch_size=2 * config.dataset.batch_size))
        return cures
    if getattr(config.dataset, "subword_sampling", 0):
        cures.append(advise("words split once, and not in each epoch", dataset__subword_sampling=0))
    cures.append(advise("fewer and larger batches", batch_tokens=2 * config.batch_tokens))
    return cures
