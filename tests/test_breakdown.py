"""Where a model errs: the parts of a whole, and its worst outputs."""

from itertools import pairwise

import numpy as np
import pytest

from zoo.breakdown import by_label, by_length, details, worst
from zoo.evaluation import Outcome
from zoo.metrics import LabelScores, SequenceScores


def spelled(count: int) -> Outcome:
    """Return an outcome of sources of lengths from 1 on, those of odd length with one error."""
    references = ["b" * (1 + i % 12) for i in range(count)]
    outputs = [text[:-1] + "x" if len(text) % 2 else text for text in references]
    scores = SequenceScores.of(outputs, [[one] for one in references])
    lengths = np.array([len(one) for one in references])
    return Outcome([f"source {i}" for i in range(count)], outputs, [[one] for one in references], lengths, scores)


def labelled() -> Outcome:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.95, 0.05]])
    scores = LabelScores.of(probabilities, np.array([0, 0, 1, 1, -1]))
    texts = [f"text {i}" for i in range(5)]
    return Outcome(texts, list("nnpnn"), [["n"], ["n"], ["p"], ["p"], ["?"]], np.arange(5), scores, names=["n", "p"])


def test_the_parts_by_length_are_of_like_size_and_make_up_the_whole() -> None:
    outcome = spelled(240)
    parts = by_length(outcome)
    assert len(parts) == 5
    assert sum(part["sources"] for part in parts) == 240
    assert max(part["sources"] for part in parts) <= 2 * min(part["sources"] for part in parts)
    assert all(before["to"] < after["from"] for before, after in pairwise(parts))
    weighted = sum(part["sequence_error_rate"] * part["sources"] for part in parts) / 240
    assert weighted == pytest.approx(outcome.metrics()["sequence_error_rate"])
    for part in parts:
        lengths = range(part["from"], part["to"] + 1)
        assert part["sequence_error_rate"] == np.mean([length % 2 for length in lengths])


def test_fewer_lengths_than_parts_give_a_part_for_each() -> None:
    assert [(part["from"], part["to"]) for part in by_length(spelled(3))] == [(1, 1), (2, 2), (3, 3)]
    assert len(by_length(spelled(1))) == 1


def test_each_label_has_its_precision_and_recall() -> None:
    rows = {row["label"]: row for row in by_label(labelled())}
    assert rows["n"] == {"label": "n", "sources": 2, "precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3)}
    assert rows["p"] == {"label": "p", "sources": 2, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert rows["(unknown)"]["recall"] == 0
    assert by_label(spelled(4)) == []


def test_the_worst_errors_come_first_and_right_outputs_never() -> None:
    found = worst(spelled(240))
    assert len(found) == 10
    assert [row["source"] for row in found[:2]] == ["source 0", "source 12"]  # one token, and that wrong
    assert found[0] == {"source": "source 0", "output": "x", "references": ["b"], "error": 1.0}
    assert [row["source"] for row in worst(labelled())] == ["text 4", "text 3"]
    assert worst(spelled(12), count=99)[-1]["error"] == pytest.approx(1 / 11)
    assert set(details(labelled())) == {"by_length", "by_label", "worst"}
