"""fastText's supervised training (Joulin et al., 2017), whose input is a file of labels and words.

`fasttext-community` provides it; `fasttext` 0.9.3, the last release of the first name, at times ends in NaN.
"""

import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

NAME = "fastText"

LABEL = "__label__"

Texts = Sequence[Sequence[str]]
"""Words, a row for each text; a word holds no white space."""


def version() -> str:
    """Return the distribution that provides fastText, with its version; ImportError where none is installed."""
    import fasttext  # noqa: F401

    name = metadata.packages_distributions()["fasttext"][0]
    return metadata.version(name) if name == "fasttext" else f"{metadata.version(name)} ({name})"


class Classifier:
    """A trained model; `training_words_per_second` counts each word once an epoch, reading the file included."""

    def __init__(self, model: Any, training_words_per_second: float) -> None:
        self.model = model
        self.training_words_per_second = training_words_per_second

    def predict(self, texts: Texts) -> list[str]:
        """Return the label of each text."""
        found, _ = self.model.predict([" ".join(words) for words in texts])
        return [labels[0].removeprefix(LABEL) for labels in found]

    def accuracy(self, texts: Texts, labels: Sequence[object]) -> float:
        """Return the share of texts whose label is found; labels are compared as text."""
        pairs = zip(self.predict(texts), labels, strict=True)
        return sum(found == str(label) for found, label in pairs) / len(labels)

    def prediction_words_per_second(self, texts: Texts) -> float:
        """Predict the texts' labels and return how many words a second were read."""
        begun = time.perf_counter()
        self.predict(texts)
        return _count(texts) / (time.perf_counter() - begun)


def train(
    texts: Texts, labels: Sequence[object], *, dim: int = 100, epochs: int = 5, lr: float = 0.1, threads: int = 1
) -> Classifier:
    """Train on single words; the options that are left out have fastText's defaults."""
    import fasttext

    with TemporaryDirectory() as directory:
        file = Path(directory, "train.txt")
        lines = (f"{LABEL}{label} {' '.join(words)}\n" for words, label in zip(texts, labels, strict=True))
        file.write_text("".join(lines), encoding="utf-8")
        begun = time.perf_counter()
        model = fasttext.train_supervised(str(file), dim=dim, epoch=epochs, lr=lr, thread=threads, verbose=0)
        seconds = time.perf_counter() - begun
    return Classifier(model, epochs * _count(texts) / seconds)


def _count(texts: Texts) -> int:
    return sum(map(len, texts))
