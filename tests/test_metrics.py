"""Metrics against their definitions; figures are finite whatever comes in."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import DivergenceError
from zoo.metrics import BETTER, METRICS, LabelScores, SequenceScores, TranslationScores, calibration_error

TOKENS = st.lists(st.sampled_from(["AH", "B", "K", "가"]), max_size=5)


def sequence_metrics(hypotheses: Sequence[Any], references: Sequence[Sequence[Any]]) -> dict[str, float]:
    return SequenceScores.of(hypotheses, references).metrics()


def translation_metrics(hypotheses: list[str], references: list[list[str]], **options: Any) -> dict[str, Any]:
    scores = TranslationScores(hypotheses, references, **options)
    return {**scores.metrics(), **scores.signatures}


def classification_metrics(probabilities: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> dict[str, float]:
    return LabelScores.of(probabilities, labels).metrics()


def edits(a: list[str], b: list[str]) -> int:
    """Return the edit distance by its recursion (Wagner and Fischer 1974)."""
    if not a or not b:
        return len(a) + len(b)
    return min(edits(a[1:], b) + 1, edits(a, b[1:]) + 1, edits(a[1:], b[1:]) + (a[0] != b[0]))


@settings(deadline=None)
@given(TOKENS, TOKENS)
def test_token_errors_are_the_edit_distance_over_tokens(hypothesis: list[str], reference: list[str]) -> None:
    reference = reference or ["B"]
    metrics = sequence_metrics([hypothesis], [[reference]])
    assert metrics["token_error_rate"] == min(1, edits(hypothesis, reference) / len(reference))
    assert metrics["sequence_error_rate"] == float(hypothesis != reference)


def test_rates_are_taken_over_the_corpus_and_not_averaged_over_sequences() -> None:
    metrics = sequence_metrics([["a"], list("bcdefghij")], [[["x"]], [list("bcdefghij")]])
    assert metrics == {"token_error_rate": 0.1, "sequence_error_rate": 0.5}


def test_the_nearest_reference_counts_and_of_equals_the_longest() -> None:
    hypothesis, references = list("abc"), [list("xyz"), list("ab"), list("abcd")]
    assert sequence_metrics([hypothesis], [references])["token_error_rate"] == 1 / 4
    for order in itertools.permutations(references):
        assert sequence_metrics([hypothesis], [order]) == sequence_metrics([hypothesis], [references])


def test_any_reference_makes_an_output_right() -> None:
    metrics = sequence_metrics([["a"], ["b"], ["c"]], [[["a"], ["z"]], [["z"], ["b"]], [["z"]]])
    assert metrics["sequence_error_rate"] == pytest.approx(1 / 3)


def test_strings_are_sequences_of_characters() -> None:
    assert sequence_metrics(["한국말"], [["한국어"]])["token_error_rate"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("hypothesis", [[], ["a"]])
def test_an_empty_reference_is_an_error_whatever_the_output(hypothesis: list[str]) -> None:
    assert sequence_metrics([hypothesis], [[[]]]) == {"token_error_rate": 1.0, "sequence_error_rate": 1.0}
    both = sequence_metrics([hypothesis, ["b"]], [[[]], [["b"]]])
    assert both == {"token_error_rate": 1.0, "sequence_error_rate": 0.5}
    assert sequence_metrics([hypothesis], [[]])["sequence_error_rate"] == 1.0


def test_an_empty_reference_beside_others_is_passed_over() -> None:
    assert sequence_metrics([[]], [[[], ["a", "b"]]]) == {"token_error_rate": 1.0, "sequence_error_rate": 1.0}


@settings(deadline=None)
@given(st.lists(st.tuples(TOKENS, st.lists(TOKENS, max_size=3)), min_size=1, max_size=4))
def test_sequence_rates_are_finite_whatever_comes_in(rows: list[tuple[list[str], list[list[str]]]]) -> None:
    metrics = sequence_metrics([row[0] for row in rows], [row[1] for row in rows])
    assert all(isinstance(value, float) and math.isfinite(value) for value in metrics.values())
    assert 0 <= metrics["sequence_error_rate"] <= 1


def test_no_examples_and_unequal_sizes_are_refused() -> None:
    for measure in (lambda: sequence_metrics([], []), lambda: translation_metrics([], []),
                    lambda: classification_metrics(np.zeros((0, 2)), np.zeros(0, int))):  # fmt: skip
        with pytest.raises(ValueError, match="no examples to measure; is the split empty"):
            measure()
    with pytest.raises(ValueError, match="2 outputs and 1 of those"):
        sequence_metrics(["a", "b"], [["a"]])


def test_translations_equal_to_a_reference_score_100() -> None:
    texts = ["the cat sat on the mat .", "a dog barked at the moon"]
    metrics = translation_metrics(texts, [["some other words here", texts[0]], [texts[1]]])
    assert metrics["bleu"] == pytest.approx(100)
    assert metrics["chrf"] == pytest.approx(100)
    assert metrics["bleu_signature"].startswith("nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert "nc:6" in metrics["chrf_signature"]


def test_bleu_equals_the_worked_formula() -> None:
    """One substitution in a sentence of eight words leaves 7/8, 5/7, 3/6 and 1/5 of the n-grams."""
    metrics = translation_metrics(["a b c X e f g h"], [["a b c d e f g h"]], tokenize="none")
    assert metrics["bleu"] == pytest.approx(100 * (7 / 8 * 5 / 7 * 3 / 6 * 1 / 5) ** 0.25)


def test_the_tokenizer_is_the_one_asked_for() -> None:
    scores = {
        name: translation_metrics(["고양이가 잤다."], [["고양이는 잤다."]], tokenize=name) for name in ("13a", "char")
    }
    assert "tok:char" in scores["char"]["bleu_signature"]
    assert scores["char"]["bleu"] > scores["13a"]["bleu"]


@pytest.mark.parametrize("references", [[["a b"], ["c d"]], [[""], [""]], [[], []], [["", ""], ["x"]]])
def test_empty_translations_score_zero_and_not_nan(references: list[list[str]]) -> None:
    metrics = translation_metrics(["", ""], references)
    assert (metrics["bleu"], metrics["chrf"]) == (0.0, 0.0)


def test_accuracy_and_macro_f1_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.3, 0.7, 0], [0.6, 0.4, 0]])
    metrics = classification_metrics(probabilities, np.array([0, 0, 1, 1]))
    assert metrics["accuracy"] == 0.75
    assert metrics["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)  # the third class is nowhere and does not count


def test_labels_unseen_in_training_are_wrong() -> None:
    metrics = classification_metrics(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, -1]))
    assert metrics["accuracy"] == 0.5
    assert metrics["macro_f1"] == pytest.approx(1 / 3)


def test_calibration_error_equals_its_definition() -> None:
    rng = np.random.default_rng(0)
    confidence, right = rng.uniform(0, 1, 500), rng.random(500) < 0.6
    expected = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration_error(confidence, right) == pytest.approx(expected)


def test_a_confidence_on_a_border_belongs_to_the_lower_bin() -> None:
    assert calibration_error(np.array([0.6, 0.55]), np.array([True, False])) == pytest.approx(0.15 / 2)


def test_calibration_error_is_zero_when_confidence_is_accuracy_and_one_when_all_is_wrong() -> None:
    assert calibration_error(np.full(4, 0.75), np.array([True, True, True, False])) == pytest.approx(0)
    assert classification_metrics(np.array([[1.0, 0.0]]), np.array([1]))["ece"] == 1.0
    assert classification_metrics(np.array([[1.0, 0.0]], np.float32), np.array([0]))["ece"] == 0.0


def test_probabilities_that_are_not_finite_are_a_divergence() -> None:
    with pytest.raises(DivergenceError, match=r"not finite; train again with a smaller `optimizer\.lr`"):
        classification_metrics(np.array([[np.nan, 0.5]]), np.array([0]))


def test_every_metric_has_a_direction_and_a_meaning() -> None:
    made = {*sequence_metrics(["a"], [["b"]]), *classification_metrics(np.eye(2), np.arange(2)), "bleu", "chrf"}
    assert made == set(METRICS)
    assert set(BETTER.values()) == {"min", "max"}
    assert all(metric.meaning for metric in METRICS.values())


def test_distances_take_long_sequences() -> None:
    long = [str(i) for i in range(3000)]
    assert sequence_metrics([long[1:]], [[long]])["token_error_rate"] == pytest.approx(1 / 3000)


def test_lower_case_outputs_are_scored_without_case_and_the_signature_says_so() -> None:
    scores = translation_metrics(["a dog , runs in here ."], [["A dog, Runs in here."]], lowercase=True)
    assert scores["bleu"] == pytest.approx(100)
    assert "case:lc" in scores["bleu_signature"]
    assert translation_metrics(["a dog , runs in here ."], [["A dog, Runs in here."]])["bleu"] < 100


def repeated(items: Sequence[Any], weights: np.ndarray[Any, Any]) -> list[Any]:
    return [item for item, weight in zip(items, weights.tolist(), strict=True) for _ in range(weight)]


def random_texts(rng: np.random.Generator, count: int) -> list[str]:
    return [" ".join(rng.choice(["a", "b", "c"], size=rng.integers(1, 9))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(3))
def test_weights_count_a_source_as_often_as_if_it_stood_there_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs, wanted = random_texts(rng, 30), [random_texts(rng, int(rng.integers(1, 4))) for _ in range(30)]
    weights = rng.integers(0, 4, 30)
    scores = SequenceScores.of(outputs, wanted, TranslationScores(outputs, wanted, tokenize="none"))
    again, targets = repeated(outputs, weights), repeated(wanted, weights)
    expected = SequenceScores.of(again, targets, TranslationScores(again, targets, tokenize="none"))
    assert scores.metrics(weights) == expected.metrics()
    labels, probabilities = rng.integers(-1, 3, 30), rng.dirichlet(np.ones(3), 30)
    found = LabelScores.of(probabilities, labels).metrics(weights)
    whole = LabelScores.of(np.repeat(probabilities, weights, 0), np.repeat(labels, weights))
    assert found == pytest.approx(whole.metrics(), rel=1e-12)


def test_sums_of_counts_give_what_sacrebleu_gives_for_the_corpus() -> None:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    rng = np.random.default_rng(0)
    outputs, wanted = random_texts(rng, 50), random_texts(rng, 50)
    metrics = translation_metrics(outputs, [[one] for one in wanted])
    assert metrics["bleu"] == BLEU(force=True).corpus_score(outputs, [wanted]).score
    assert metrics["chrf"] == CHRF().corpus_score(outputs, [wanted]).score


@pytest.mark.parametrize("seed", range(5))
def test_f1_precision_and_recall_are_those_of_scikit_learn(seed: int) -> None:
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    rng = np.random.default_rng(seed)
    labels, probabilities = rng.integers(-1, 4, 40), rng.dirichlet(np.ones(6), 40)
    scores = LabelScores.of(probabilities, labels)
    expected = f1_score(labels, scores.predictions, average="macro", zero_division=0)
    assert scores.metrics()["macro_f1"] == pytest.approx(expected, rel=1e-12)
    classes = scores.classes()
    by_class = precision_recall_fscore_support(labels, scores.predictions, labels=list(classes), zero_division=0)
    for (precision, recall, f1, count), found in zip(np.transpose(by_class), classes.values(), strict=True):
        assert found == pytest.approx((count, precision, recall, f1))


def test_the_loss_of_labels_leaves_out_those_that_training_never_saw() -> None:
    scores = LabelScores.of(np.array([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]]), np.array([0, 1, -1]))
    assert scores.metrics()["loss"] == pytest.approx((math.log(4) + math.log(2)) / 2)
    assert LabelScores.of(np.array([[0.5, 0.5]]), np.array([-1])).metrics()["loss"] == 0


def test_the_worst_output_is_the_one_furthest_from_its_references() -> None:
    scores = SequenceScores.of(["abcd", "x", "ab"], [["abcd"], ["yz"], ["ac"]])
    assert scores.badness.tolist() == [0, 1, 0.5]
    labels = LabelScores.of(np.array([[0.9, 0.1], [0.6, 0.4], [0.6, 0.4]]), np.array([1, 1, 0]))
    assert labels.badness.tolist() == pytest.approx([0.9, 0.6, 0])
