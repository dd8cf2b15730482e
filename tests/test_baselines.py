"""`scripts/baselines.py`: what needs no training, and its scores."""

import baselines
import pytest
from rapidfuzz.distance import Levenshtein

from zoo.cli.overrides import config_of
from zoo.data.splits import Rows


def test_baselines_answer_with_the_commonest_the_nearest_and_the_source_itself() -> None:
    train = Rows(["cat", "dog", "cart", "dog"], ["K AE T", "D AO G", "K AA R T", "D AA G"])
    assert baselines.majority(Rows(["x", "y", "z"], ["1", "0", "1"]), ["a", "b"]) == ["1", "1"]
    assert baselines.copy(train, ["a b"]) == ["a b"]
    assert baselines.copy_letters(train, ["ab"]) == ["a b"]
    sources = ["cat", "bog", "carts", "", "xyz" * 30] * 100  # more than are compared at once
    expected = [min(train.each(), key=lambda pair: Levenshtein.distance(pair[0], source))[1] for source in sources]
    assert baselines.nearest(train, sources) == expected


def test_baselines_are_scored_with_all_references_and_unknown_labels_are_wrong() -> None:
    config = config_of({"dataset": "pairs", "dataset.train": "x"})
    train, part = Rows(["a", "b"], ["A", "B B"]), Rows(["a", "a", "b"], ["X", "A", "B C"])
    found = baselines.score(baselines.NEAREST, train, part, config).metrics()
    assert found == {"sequence_error_rate": 1 / 2, "token_error_rate": 1 / 3}
    config = config_of({"model": "classifier", "dataset": "labelled", "dataset.train": "x"})
    labels = Rows(["a", "b", "c", "d"], ["1", "1", "0", "new"])
    assert baselines.score(baselines.MAJORITY, labels._replace(targets=["1", "1", "0", "0"]), labels,
                           config).metrics()["accuracy"] == 2 / 4  # fmt: skip


def test_a_translation_s_baseline_has_bleu() -> None:
    config = config_of({"dataset": "pairs", "dataset.train": "x", "dataset.bleu": "none"})
    rows = Rows(["a b c d e"], ["a b c d e"])
    scores = baselines.score(baselines.COPY, rows, rows, config)
    assert scores.metrics()["bleu"] == pytest.approx(100)
    assert "tok:none" in scores.signatures["bleu_signature"]
