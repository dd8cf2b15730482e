"""What finished outputs are worth: edit distance for sequences, BLEU for translations, accuracy for labels.

Each kind of scores keeps what every source adds to the figures, so that parts and resamples of them need neither
another decoding nor another look at the texts. All rates are fractions; BLEU and chrF run from 0 to 100. Nothing here
is NaN: no examples raise ValueError.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from zoo.errors import DivergenceError

Tokens = Sequence[str]
Array = NDArray[Any]


class Metric(NamedTuple):
    """Which direction is better (`min` or `max`), and the meaning in a line."""

    better: str
    meaning: str


METRICS: dict[str, Metric] = {
    "loss": Metric("min", "cross entropy in nats for each target"),
    "accuracy": Metric("max", "share of labels right (of next tokens, for sequences: given the target before them)"),
    "token_error_rate": Metric("min", "edit distance to the nearest reference over reference tokens, at most 1 (PER)"),
    "sequence_error_rate": Metric("min", "share of outputs equal to no reference (WER of pronunciation)"),
    "bleu": Metric("max", "overlap of word n-grams with the references (Papineni 2002), 0 to 100"),
    "chrf": Metric("max", "overlap of character n-grams with the references (Popovic 2015), 0 to 100"),
    "macro_f1": Metric("max", "mean over classes of the harmonic mean of precision and recall"),
    "ece": Metric("min", "expected calibration error: how far confidence is from accuracy, 15 bins"),
}
BETTER: dict[str, str] = {name: metric.better for name, metric in METRICS.items()}


class Scores(Protocol):
    """What each source of a part adds to the figures of the whole."""

    def __len__(self) -> int:
        """Return the number of sources."""
        ...

    def metrics(self, weights: Array | None = None) -> dict[str, float]:
        """Return the figures of the sources, each counted as often as its weight (sources) says; once by default."""
        ...

    @property
    def signatures(self) -> dict[str, str]:
        """What tells how figures were computed, by name."""
        ...

    @property
    def badness(self) -> Array:
        """How wrong each output is (sources); 0: right."""
        ...


@dataclass(frozen=True, kw_only=True)
class SequenceScores:
    """How far outputs are from their references: `token_error_rate`, `sequence_error_rate`, and those of `translation`.

    distances (sources) are edits to the nearest reference, lengths (sources) the tokens of that one.
    """

    distances: Array
    lengths: Array
    translation: "TranslationScores | None" = None

    @classmethod
    def of(cls, hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]],
           translation: "TranslationScores | None" = None) -> "SequenceScores":  # fmt: skip
        """Score one hypothesis per source against all its references.

        A string is a sequence of characters. Of several references the nearest counts, of equally near ones the
        longest. A source whose references are all empty is an error, and at least one wrong token.
        """
        _check_sizes(len(hypotheses), len(references))
        pairs = np.array([_nearest(one, found) for one, found in zip(hypotheses, references, strict=True)], np.int64)
        return cls(distances=pairs[:, 0], lengths=pairs[:, 1], translation=translation)

    def __len__(self) -> int:
        return len(self.distances)

    def metrics(self, weights: Array | None = None) -> dict[str, float]:
        """Return the figures of the sources, each counted as often as its weight says.

        As a rate the first is at most 1, which outputs that never end, as of an untrained model, would exceed.
        """
        weights = _weights(self, weights)
        edits, tokens = int(self.distances @ weights), int(self.lengths @ weights)
        wrong = int((self.distances > 0) @ weights)
        rates = {
            "token_error_rate": min(1.0, edits / max(1, tokens)),
            "sequence_error_rate": wrong / int(weights.sum()),
        }
        return rates if self.translation is None else rates | self.translation.metrics(weights)

    @property
    def signatures(self) -> dict[str, str]:
        return {} if self.translation is None else self.translation.signatures

    @property
    def badness(self) -> Array:
        """Edits over tokens of the reference."""
        rates: Array = self.distances / np.maximum(1, self.lengths)
        return rates


def _nearest(hypothesis: Tokens, references: Sequence[Tokens]) -> tuple[int, int]:
    """Return the edit distance to the nearest reference and the length of that reference."""
    full = [reference for reference in references if len(reference)]
    if not full:
        return max(1, len(hypothesis)), 0
    pairs = [(Levenshtein.distance(hypothesis, reference), len(reference)) for reference in full]
    return min(pairs, key=lambda pair: (pair[0], -pair[1]))


class TranslationScores:
    """SacreBLEU's `bleu` and `chrf` of a corpus (Post 2018), and the signatures that say how they were computed.

    `tokenize` is sacreBLEU's name for the tokenizer of BLEU; `lowercase` compares without regard to case, and the
    signatures say so. Sources may differ in their number of references.
    """

    def __init__(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]], *,
                 tokenize: str = "13a", lowercase: bool = False) -> None:  # fmt: skip
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF

        _check_sizes(len(hypotheses), len(references))
        references = [texts or [""] for texts in references]
        most = max(len(texts) for texts in references)
        streams: Any = [[texts[i] if i < len(texts) else None for texts in references] for i in range(most)]
        # force: no warning about text that looks tokenized
        bleu, chrf = BLEU(tokenize=tokenize, lowercase=lowercase, force=True), CHRF(lowercase=lowercase)
        self.scorers: dict[str, Any] = {"bleu": bleu, "chrf": chrf}
        # The two steps of sacreBLEU's `corpus_score`, which its own significance tests take apart in the same way.
        self.counts = {name: np.array(scorer._extract_corpus_statistics(hypotheses, streams), np.int64)
                       for name, scorer in self.scorers.items()}  # fmt: skip

    def __len__(self) -> int:
        return len(self.counts["bleu"])

    def metrics(self, weights: Array | None = None) -> dict[str, float]:
        """Return the figures of the sources, each counted as often as its weight says."""
        weights = _weights(self, weights)
        return {
            name: float(scorer._compute_score_from_stats((weights @ self.counts[name]).tolist()).score)
            for name, scorer in self.scorers.items()
        }

    @property
    def signatures(self) -> dict[str, str]:
        return {f"{name}_signature": str(scorer.get_signature()) for name, scorer in self.scorers.items()}


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """How right labels are: `loss`, `accuracy`, `macro_f1` and `ece` (expected calibration error).

    All are (examples). A label of -1, which training never saw, is a class of its own that no prediction meets, and has
    no loss; `given` is the probability of the true label. Classes that neither the labels nor the predictions hold do
    not enter `macro_f1`.
    """

    labels: Array
    predictions: Array
    confidence: Array
    given: Array

    @classmethod
    def of(cls, probabilities: Array, labels: Array) -> "LabelScores":
        """Score probabilities (examples, classes) against labels (examples)."""
        _check_sizes(len(probabilities), len(labels))
        if not np.isfinite(probabilities).all():
            raise DivergenceError("the model's probabilities are not finite; train again with a smaller `optimizer.lr`")
        given = np.where(labels >= 0, probabilities[np.arange(len(labels)), labels], 0.0)
        return cls(labels=labels, predictions=probabilities.argmax(1), confidence=probabilities.max(1), given=given)

    def __len__(self) -> int:
        return len(self.labels)

    def metrics(self, weights: Array | None = None) -> dict[str, float]:
        """Return the figures of the examples, each counted as often as its weight says."""
        weights = _weights(self, weights)
        right = self.predictions == self.labels
        known = weights * (self.labels >= 0)
        losses = -np.log(np.maximum(self.given, 1e-300))
        return {
            "loss": float(losses @ known / max(1, known.sum())),
            "accuracy": float(right @ weights / weights.sum()),
            "macro_f1": float(np.mean([f1 for *_, f1 in self.classes(weights).values()])),
            "ece": calibration_error(self.confidence, right, weights=weights),
        }

    def classes(self, weights: Array | None = None) -> dict[int, tuple[int, float, float, float]]:
        """Return for each class that is there (-1: unknown) its examples, precision, recall and F1."""
        weights = _weights(self, weights)
        size = int(max(self.labels.max(), self.predictions.max())) + 2
        right = self.predictions == self.labels
        there, chosen = (np.bincount(one + 1, weights, size) for one in (self.labels, self.predictions))
        hits = np.bincount(self.labels[right] + 1, weights[right], size)
        return {
            int(i) - 1: (
                int(there[i]),
                float(hits[i] / max(1, chosen[i])),
                float(hits[i] / max(1, there[i])),
                float(2 * hits[i] / (there[i] + chosen[i])),
            )
            for i in np.flatnonzero(there + chosen)
        }

    @property
    def signatures(self) -> dict[str, str]:
        return {}

    @property
    def badness(self) -> Array:
        """Probability that the true label was denied, where the prediction is wrong."""
        denied: Array = np.where(self.predictions == self.labels, 0.0, 1 - self.given)
        return denied


def calibration_error(confidence: Array, right: NDArray[np.bool_], *, bins: int = 15,
                      weights: Array | None = None) -> float:  # fmt: skip
    """Return the mean gap between confidence and accuracy over bins of equal width (Guo et al. 2017, eq. 3).

    confidence (examples) is the probability of the predicted class, right (examples) whether that class was right.
    Bin i holds confidences in (i / bins, (i + 1) / bins], each bin weighs as much as it holds.
    """
    weights = np.ones(len(confidence)) if weights is None else weights
    confidence = confidence.astype(np.float64)
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights * (right - confidence), bins)  # count * (accuracy - mean confidence)
    return float(np.abs(gaps).sum() / weights.sum())


def _weights(scores: Any, weights: Array | None) -> Array:
    return np.ones(len(scores), np.int64) if weights is None else weights


def _check_sizes(outputs: int, references: int) -> None:
    if outputs != references:
        raise ValueError(
            f"every output needs its references, but there are {outputs} outputs and {references} of those"
        )
    if not outputs:
        raise ValueError("no examples to measure; is the split empty?")
