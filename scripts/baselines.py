"""What costs nothing: answers that need no training, scored like those of models."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from zoo.config import Task, TrainConfig, bleu_of, task_of
from zoo.data.splits import Rows
from zoo.metrics import LabelScores, Scores, SequenceScores, TranslationScores

AT_ONCE = 200
"""Sources that are compared with all of train at once: some 40 MB."""


class Baseline(NamedTuple):
    """A name, and what gives an answer for each source from the rows of train."""

    name: str
    answer: Callable[[Rows, Sequence[str]], list[str]]


def majority(train: Rows, sources: Sequence[str]) -> list[str]:
    """Answer with the commonest target of train."""
    return [Counter(train.targets).most_common(1)[0][0]] * len(sources)


def copy(train: Rows, sources: Sequence[str]) -> list[str]:
    """Answer with the source itself."""
    return list(sources)


def copy_letters(train: Rows, sources: Sequence[str]) -> list[str]:
    """Answer with the letters of the source as phones."""
    return [" ".join(source) for source in sources]


def nearest(train: Rows, sources: Sequence[str]) -> list[str]:
    """Answer as train does for the source with the fewest edits between, of equals the first."""
    known: dict[str, str] = {}
    for source, target in train.each():
        known.setdefault(source, target)
    return [target for rows in _nearest(list(known), sources) for target in map(list(known.values()).__getitem__, rows)]


def _nearest(known: list[str], sources: Sequence[str]) -> Iterator[list[int]]:
    """Yield for some sources after the others the rows of the nearest of the known ones."""
    for start in range(0, len(sources), AT_ONCE):
        some = sources[start : start + AT_ONCE]
        yield cdist(some, known, scorer=Levenshtein.distance, dtype=np.uint16).argmin(1).tolist()


MAJORITY = Baseline("baseline: majority label", majority)
COPY = Baseline("baseline: copy the source", copy)
COPY_LETTERS = Baseline("baseline: copy the source", copy_letters)
NEAREST = Baseline("baseline: nearest neighbor", nearest)


def score(baseline: Baseline, train: Rows, part: Rows, config: TrainConfig) -> Scores:
    """Return what the answers of a baseline to the sources of a part are worth."""
    if task_of(config.dataset) == Task.labelled:
        return _label_scores(train, part.targets, baseline.answer(train, part.sources))
    references: dict[str, list[str]] = {}
    for source, target in part.each():
        references.setdefault(source, []).append(target)
    outputs = baseline.answer(train, list(references))
    translation = None
    if bleu := bleu_of(config):
        translation = TranslationScores(outputs, list(references.values()), tokenize=bleu)
    split = [[target.split() for target in targets] for targets in references.values()]
    return SequenceScores.of([output.split() for output in outputs], split, translation)


def _label_scores(train: Rows, labels: Sequence[str], answers: Sequence[str]) -> LabelScores:
    """Score labels as predictions held for certain; one that train lacks has number -1."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(train.targets))}
    chosen = np.eye(len(numbers))[[numbers[answer] for answer in answers]]
    return LabelScores.of(chosen, np.array([numbers.get(label, -1) for label in labels]))
