"""Where a model errs: its figures by length and by label, and its worst outputs."""

from typing import Any

import numpy as np

from zoo.evaluation import Outcome
from zoo.metrics import Array, LabelScores

PARTS = 5
WORST = 10


def by_length(outcome: Outcome, *, parts: int = PARTS) -> list[dict[str, Any]]:
    """Return the figures of sources of like lengths in tokens, in at most `parts` parts of about equal size."""
    lengths = outcome.lengths
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, parts + 1)[1:], method="inverted_cdf"))
    part_of = np.searchsorted(edges, lengths)
    return [_part(outcome, part_of == number) for number in range(len(edges))]


def _part(outcome: Outcome, inside: Array) -> dict[str, Any]:
    span = {"from": int(outcome.lengths[inside].min()), "to": int(outcome.lengths[inside].max())}
    return {**span, "sources": int(inside.sum()), **outcome.scores.metrics(inside.astype(np.int64))}


def by_label(outcome: Outcome) -> list[dict[str, Any]]:
    """Return examples, precision, recall and F1 of each label that is there; nothing for sequences."""
    if not isinstance(outcome.scores, LabelScores):
        return []
    keys = ("sources", "precision", "recall", "f1")
    names = [*outcome.names, "(unknown)"]  # the last one has number -1
    found = outcome.scores.classes()
    return [{"label": names[number], **dict(zip(keys, found[number], strict=True))} for number in found]


def worst(outcome: Outcome, *, count: int = WORST) -> list[dict[str, Any]]:
    """Return the outputs that are most wrong, the worst first; of equals, the first ones of the part."""
    badness = outcome.scores.badness
    order = np.argsort(-badness, kind="stable")[:count]
    return [
        {"source": outcome.sources[i], "output": outcome.outputs[i], "references": outcome.references[i],
         "error": float(badness[i])}
        for i in order.tolist() if badness[i] > 0
    ]  # fmt: skip


def details(outcome: Outcome) -> dict[str, Any]:
    """Return all of these by name."""
    return {"by_length": by_length(outcome), "by_label": by_label(outcome), "worst": worst(outcome)}
