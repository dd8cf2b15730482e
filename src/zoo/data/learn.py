"""The training part: its rows are read a chunk at a time, and only their ids are kept."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np

from zoo.config import Task, TgtDirection, ToyConfig, TrainConfig, task_of
from zoo.data.augment import swap_neighbors
from zoo.data.corpus import Array, GrowingSequences, PairCorpus, Resample, Sequences, TextCorpus, renumber
from zoo.data.splits import FileRows, Rows
from zoo.data.tokenize import SUBWORD, Codec, Numbering, build_tokenizer, chunks
from zoo.errors import ConfigError, DataError

ENOUGH = 100_000_000
"""Characters that subwords are learned from; sentencepiece holds them all in memory."""


class Side:
    """One side of the training part while it is read; with `sampled` its texts stay, to be split anew each epoch."""

    def __init__(self, numbering: Numbering, *, sampled: bool, direction: TgtDirection) -> None:
        self.numbering, self.sampled, self.direction = numbering, sampled, direction
        self.kept, self.kept_texts = GrowingSequences(), list[str]()
        self._texts: Sequence[str] = []
        self._numbers = Sequences.from_lists([])

    def read(self, texts: Sequence[str]) -> Array:
        """Take the next texts, and return how many tokens each has."""
        self._texts, self._numbers = texts, self.numbering.number(texts)
        return self._numbers.lengths

    def keep(self, rows: Array, *, longest: int) -> None:
        """Keep some of the texts just read, by their numbers, cut to `longest` tokens."""
        kept = self._numbers.take(rows).cut(longest)
        self.kept.append(kept.backwards() if self.direction == TgtDirection.right_to_left else kept)
        if self.sampled:
            self.kept_texts += [self._texts[i] for i in rows.tolist()]


def learn_pairs(config: TrainConfig, rows: Rows | FileRows,
                notes: Counter[str]) -> tuple[PairCorpus, dict[str, Codec]]:  # fmt: skip
    """Learn the vocabularies of both sides, and return the corpus; what is left out is counted in `notes`."""
    sides, longest = _sides(config.dataset, rows), config.model.max_length
    for chunk in chunks(rows.each()):
        sources, targets = zip(*chunk, strict=True)
        keep = _usable(sides[0].read(sources), sides[1].read(targets), longest, notes)
        for side in sides:
            side.keep(keep, longest=longest)
    (src, tgt), learned = _finish(config.dataset, sides)
    if not len(src):
        raise DataError(
            f"no training row is left: {notes['train_empty']} have an empty side and {notes['train_too_long']} are "
            f"longer than `model.max_length` ({longest}); raise it or check `dataset.train`"
        )
    codecs = dict(zip(("src", "tgt"), learned, strict=True))
    return PairCorpus(src=src, tgt=tgt, resample=_resample(config, sides, learned)), codecs


def learn_texts(config: TrainConfig, rows: Rows | FileRows,
                notes: Counter[str]) -> tuple[TextCorpus, dict[str, Codec], list[str]]:  # fmt: skip
    """Learn the vocabulary and the labels, and return the corpus; what is left out is counted in `notes`."""
    (side,), longest = _sides(config.dataset, rows), config.model.max_length
    seen: dict[str, int] = {}
    numbers = array("q")
    for chunk in chunks(rows.each()):
        texts, names = zip(*chunk, strict=True)
        lengths, named = side.read(texts), np.array([bool(name.strip()) for name in names])
        keep = np.flatnonzero((lengths > 0) & named)
        notes["train_empty"] += len(chunk) - len(keep)
        notes["train_cut"] += int((lengths[keep] > longest).sum())
        side.keep(keep, longest=longest)
        numbers.extend(seen.setdefault(names[i], len(seen)) for i in keep.tolist())
    (text,), (codec,) = _finish(config.dataset, [side])
    labels, ids = label_names(seen, config.dataset.name), np.frombuffer(numbers, np.int64)
    place = {label: number for number, label in enumerate(labels)}
    renumber(ids, np.array([place[name] for name in seen]))
    resample = _swapped(config.dataset, text, _resample(config, [side], [codec]))
    train = TextCorpus(text=text, labels=ids, resample=resample)
    return train, {"text": codec}, labels


def _usable(src_lengths: Array, tgt_lengths: Array, longest: int, notes: Counter[str]) -> Array:
    """Return the rows to train on, and count those with an empty side and those longer than `longest`."""
    full, short = np.minimum(src_lengths, tgt_lengths) > 0, np.maximum(src_lengths, tgt_lengths) <= longest
    notes["train_empty"] += int((~full).sum())
    notes["train_too_long"] += int((full & ~short).sum())
    return np.flatnonzero(full & short)


def label_names(seen: dict[str, int], name: str) -> list[str]:
    """Return the names of the classes in their order; DataError where there are not two."""
    labels = sorted(seen)
    if len(labels) < 2:
        found = f"only the label '{labels[0]}'" if labels else "no row with text and label"
        raise DataError(
            f"the training part of dataset={name} holds {found}; a classifier needs two labels "
            "(without dataset.valid a part of the rows is held out)"
        )
    return labels


def _sides(dataset: Any, rows: Rows | FileRows) -> list[Side]:
    """Return what reads each side; those of a shared vocabulary number their tokens together."""
    names, size = _tokenizers(dataset), getattr(dataset, "vocab_size", 0)
    shared = getattr(dataset, "shared_vocabulary", False)
    sides = []
    for group in [[0, 1]] if shared else [[side] for side in range(len(names))]:
        texts = _some_texts(rows, group)
        numbering = Numbering(build_tokenizer(names[group[0]], texts, vocab_size=size))
        sides += [Side(numbering, sampled=_sampled(dataset), direction=_direction(dataset, side)) for side in group]
    return sides


def _direction(dataset: Any, side: int) -> TgtDirection:
    """Return the direction of side 0, text or source, or 1, target."""
    forwards = TgtDirection.left_to_right
    return getattr(dataset, "tgt_direction", forwards) if side else forwards


def _some_texts(rows: Rows | FileRows, sides: list[int]) -> Iterator[str]:
    """Yield the texts of some sides; where they have more than `ENOUGH` characters, a share, the same each time."""

    def texts() -> Iterator[str]:
        return (row[side] for side in sides for row in rows.each())

    share, random = ENOUGH / max(1, sum(map(len, texts()))), Random(0)
    yield from (text for text in texts() if random.random() < share)


def _tokenizers(dataset: Any) -> list[str]:
    """Return the tokenizer of each side; letters for toys, letters and phones for cmudict."""
    labelled = task_of(dataset) == Task.labelled
    if isinstance(dataset, ToyConfig):
        return ["char"] if labelled else ["char", "char"]
    if dataset.name == "cmudict":
        return ["char", "space"]
    names = [dataset.tokenizer] if labelled else [dataset.src_tokenizer, dataset.tgt_tokenizer]
    if _sampled(dataset) and not set(names) & set(SUBWORD):
        raise ConfigError(
            "`dataset.subword_sampling` has an effect with the tokenizers bpe and unigram alone; set it to 0"
        )
    return [str(name) for name in names]


def _sampled(dataset: Any) -> bool:
    return bool(getattr(dataset, "subword_sampling", 0.0))


def _finish(dataset: Any, sides: list[Side]) -> tuple[list[Sequences], list[Codec]]:
    """Return the ids and the codec of each side."""
    options: dict[str, Any] = {
        "min_count": getattr(dataset, "min_count", 1),
        "max_size": getattr(dataset, "vocab_size", 0),
        "lowercase": getattr(dataset, "lowercase", False),
    }
    kept = [side.kept.whole() for side in sides]
    numberings = [side.numbering for side in sides]
    codecs = {
        one: one.learn([ids for ids, other in zip(kept, numberings, strict=True) if other is one], **options)
        for one in dict.fromkeys(numberings)
    }
    return kept, [codecs[side.numbering].towards(side.direction) for side in sides]


def _resample(config: TrainConfig, sides: list[Side], codecs: list[Codec]) -> Resample | None:
    """Return what draws the training ids of an epoch anew; texts that become longer than `max_length` are cut."""
    if not _sampled(config.dataset):
        return None
    texts, strength = [side.kept_texts for side in sides], config.dataset.subword_sampling

    def resample(seed: int, epoch: int) -> tuple[Sequences, ...]:
        seeds = np.random.SeedSequence((seed, epoch)).generate_state(len(texts)).tolist()
        return tuple(
            codec.sample_many(side, strength=strength, seed=draw).cut(config.model.max_length)
            for codec, side, draw in zip(codecs, texts, seeds, strict=True)
        )

    return resample


def _swapped(dataset: Any, text: Sequences, resample: Resample | None) -> Resample | None:
    """Return what also lets neighbors change places, where the dataset asks for it."""
    share = getattr(dataset, "swap", 0.0)
    if not share:
        return resample
    draw = resample or (lambda seed, epoch: (text,))
    return lambda seed, epoch: (swap_neighbors(draw(seed, epoch)[0], share, seed=seed, epoch=epoch),)
