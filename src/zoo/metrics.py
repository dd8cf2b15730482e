"""What a finished output is worth: edit distance for sequences, BLEU for translations, accuracy for labels.

All rates are fractions; BLEU and chrF run from 0 to 100. Nothing here is NaN: no examples raise ValueError.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from zoo.errors import DivergenceError

Tokens = Sequence[str]


class Metric(NamedTuple):
    """Which direction is better (`min` or `max`), and the meaning in a line."""

    better: str
    meaning: str


METRICS: dict[str, Metric] = {
    "loss": Metric("min", "cross entropy in nats for each target"),
    "accuracy": Metric("max", "share of labels right (of next tokens, for sequences: given the target before them)"),
    "token_error_rate": Metric("min", "edit distance to the nearest reference over reference tokens (PER)"),
    "sequence_error_rate": Metric("min", "share of outputs equal to no reference (WER of pronunciation)"),
    "bleu": Metric("max", "overlap of word n-grams with the references (Papineni 2002), 0 to 100"),
    "chrf": Metric("max", "overlap of character n-grams with the references (Popovic 2015), 0 to 100"),
    "macro_f1": Metric("max", "mean over classes of the harmonic mean of precision and recall"),
    "ece": Metric("min", "expected calibration error: how far confidence is from accuracy, 15 bins"),
}
BETTER: dict[str, str] = {name: metric.better for name, metric in METRICS.items()}


def sequence_metrics(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> dict[str, float]:
    """Return `token_error_rate` and `sequence_error_rate` of one hypothesis per source against all its references.

    A string is a sequence of characters. Of several references the nearest counts, of equally near ones the longest.
    A source whose references are all empty is an error, and at least one wrong token.
    """
    _check_sizes(len(hypotheses), len(references))
    pairs = [_nearest(hypothesis, texts) for hypothesis, texts in zip(hypotheses, references, strict=True)]
    distances, lengths = (sum(column) for column in zip(*pairs, strict=True))
    wrong = sum(distance > 0 for distance, _ in pairs)
    return {"token_error_rate": distances / max(1, lengths), "sequence_error_rate": wrong / len(pairs)}


def _nearest(hypothesis: Tokens, references: Sequence[Tokens]) -> tuple[int, int]:
    """Return the edit distance to the nearest reference and the length of that reference."""
    full = [reference for reference in references if len(reference)]
    if not full:
        return max(1, len(hypothesis)), 0
    pairs = [(Levenshtein.distance(hypothesis, reference), len(reference)) for reference in full]
    return min(pairs, key=lambda pair: (pair[0], -pair[1]))


def translation_metrics(hypotheses: Sequence[str], references: Sequence[Sequence[str]], *,
                        tokenize: str = "13a", lowercase: bool = False) -> dict[str, Any]:  # fmt: skip
    """Return sacreBLEU's corpus `bleu` and `chrf` (Post 2018) and the signatures that say how they were computed.

    `tokenize` is sacreBLEU's name for the tokenizer of BLEU; `lowercase` compares without regard to case, and the
    signatures say so. Sources may differ in their number of references.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    _check_sizes(len(hypotheses), len(references))
    references = [texts or [""] for texts in references]
    most = max(len(texts) for texts in references)
    streams: Any = [[texts[i] if i < len(texts) else None for texts in references] for i in range(most)]
    # force: no warning about text that looks tokenized
    bleu, chrf = BLEU(tokenize=tokenize, lowercase=lowercase, force=True), CHRF(lowercase=lowercase)
    scores = {
        "bleu": bleu.corpus_score(hypotheses, streams).score,
        "chrf": chrf.corpus_score(hypotheses, streams).score,
    }
    return scores | {"bleu_signature": str(bleu.get_signature()), "chrf_signature": str(chrf.get_signature())}


def classification_metrics(probabilities: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    """Return `accuracy`, `macro_f1` and `ece` of probabilities (examples, classes) against labels (examples).

    A label of -1, which training never saw, is a class of its own that no prediction meets. Classes that neither
    the labels nor the predictions hold do not enter `macro_f1`.
    """
    from sklearn.metrics import f1_score  # takes a second to import

    _check_sizes(len(probabilities), len(labels))
    if not np.isfinite(probabilities).all():
        raise DivergenceError("the model's probabilities are not finite; train again with a smaller `optimizer.lr`")
    predictions = probabilities.argmax(1)
    right = predictions == labels
    return {
        "accuracy": float(right.mean()),
        "macro_f1": float(f1_score(labels, predictions, average="macro", zero_division=0)),
        "ece": calibration_error(probabilities.max(1), right),
    }


def calibration_error(confidence: NDArray[Any], right: NDArray[np.bool_], *, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over bins of equal width (Guo et al. 2017, eq. 3).

    confidence (examples) is the probability of the predicted class, right (examples) whether that class was right.
    Bin i holds confidences in (i / bins, (i + 1) / bins], each bin weighs as much as it holds.
    """
    confidence = confidence.astype(np.float64)
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=right - confidence, minlength=bins)  # count * (accuracy - mean confidence)
    return float(np.abs(gaps).sum() / len(confidence))


def _check_sizes(outputs: int, references: int) -> None:
    if outputs != references:
        raise ValueError(
            f"every output needs its references, but there are {outputs} outputs and {references} of those"
        )
    if not outputs:
        raise ValueError("no examples to measure; is the split empty?")
