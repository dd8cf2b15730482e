"""Corpora: ids in flat arrays, from which a batch is cut without a loop."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.batch import IGNORE, PairBatch, TextBatch
from zoo.data.vocab import BOS, EOS, PAD, UNK

Array = np.ndarray[Any, np.dtype[Any]]
Resample = Callable[[int, int], tuple["Sequences", ...]]
"""From (seed, epoch) the training ids of each side, for subword sampling."""
PIECE = 1 << 16
"""Sequences or ids that are worked on at a time, so that a large corpus needs no second one beside it."""


class Sequences:
    """Sequences of ids end to end: sequence i is `ids[offsets[i]:offsets[i + 1]]`.

    ids is int32 (tokens), offsets int64 (sequences + 1), from 0 to the number of tokens.
    """

    def __init__(self, ids: Array, offsets: Array) -> None:
        self.ids = ids.astype(np.int32, copy=False)
        self.offsets = offsets.astype(np.int64, copy=False)

    @classmethod
    def from_lengths(cls, ids: Array, lengths: Array) -> "Sequences":
        """Cut flat ids into sequences of the given lengths."""
        return cls(ids, np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))))

    @classmethod
    def from_lists(cls, rows: Iterable[Iterable[int]]) -> "Sequences":
        """Lay lists of ids end to end."""
        lists = [list(row) for row in rows]
        ids = np.fromiter(chain.from_iterable(lists), dtype=np.int32)
        return cls.from_lengths(ids, np.fromiter(map(len, lists), dtype=np.int64, count=len(lists)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Array:
        """Return the lengths of all sequences, counted anew each time."""
        return np.diff(self.offsets)

    def lengths_of(self, rows: Array) -> Array:
        """Return the lengths of the given sequences."""
        lengths: Array = self.offsets[rows + 1] - self.offsets[rows]
        return lengths

    def row(self, index: int) -> Array:
        """Return the ids of one sequence."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def take(self, rows: Array) -> "Sequences":
        """Return the given sequences, in that order."""
        return self._copy(rows, self.lengths_of(rows))

    def cut(self, longest: int) -> "Sequences":
        """Keep at most the first `longest` ids of each sequence; where none is longer, these sequences themselves."""
        lengths = self.lengths
        if lengths.max(initial=0) <= longest:
            return self
        return self._copy(np.arange(len(self)), np.minimum(lengths, longest))

    def backwards(self) -> "Sequences":
        """Return the sequences in their order, each from its last id to its first."""
        last_first = Sequences.from_lengths(self.ids[::-1], self.lengths[::-1])
        return last_first.take(np.arange(len(self))[::-1])

    def _copy(self, rows: Array, lengths: Array) -> "Sequences":
        made = Sequences.from_lengths(np.empty(int(lengths.sum()), np.int32), lengths)
        for start in range(0, len(rows), PIECE):
            part = slice(start, start + PIECE)
            begin, end = made.offsets[[start, min(start + PIECE, len(rows))]]
            made.ids[begin:end] = self.ids[self._positions(rows[part], lengths[part])]
        return made

    def pad(self, rows: Array, *, value: int = PAD, prepend: int | None = None, append: int | None = None) -> Tensor:
        """Return the given sequences as a LongTensor (rows, time), padded at the end with `value`.

        `prepend` and `append` put one id before and after each sequence, inside its padding.
        """
        lengths, begin = self.lengths_of(rows), int(prepend is not None)
        longest = int(lengths.max(initial=0))
        out = np.full((len(lengths), longest + begin + (append is not None)), value, dtype=np.int64)
        inside = np.arange(longest) < lengths[:, None]  # (rows, longest)
        out[:, begin : begin + longest][inside] = self.ids[self._positions(rows, lengths)]
        if prepend is not None:
            out[:, 0] = prepend
        if append is not None:
            out[np.arange(len(lengths)), begin + lengths] = append
        return torch.from_numpy(out)

    def _positions(self, rows: Array, lengths: Array) -> Array:
        """Return where the first `lengths` ids of each row lie, row after row."""
        before = np.cumsum(lengths) - lengths
        return np.repeat(self.offsets[:-1][rows] - before, lengths) + np.arange(int(lengths.sum()))


class GrowingSequences:
    """Sequences that grow at their end, where they lie: memory for a copy of them is never needed."""

    def __init__(self) -> None:
        self.ids, self.offsets = array("i"), array("q", [0])

    def append(self, sequences: Sequences) -> None:
        """Add sequences after the last one."""
        self.offsets.frombytes((sequences.offsets[1:] + len(self.ids)).tobytes())
        self.ids.frombytes(sequences.ids.tobytes())

    def whole(self) -> Sequences:
        """Return all sequences; none can be added from then on."""
        return Sequences(np.frombuffer(self.ids, np.int32), np.frombuffer(self.offsets, np.int64))


def renumber(ids: Array, numbers: Array) -> None:
    """Put `numbers[id]` in the place of each id."""
    for start in range(0, len(ids), PIECE):
        piece = ids[start : start + PIECE]
        piece[:] = numbers[piece]


@dataclass(kw_only=True)
class PairCorpus:
    """Source and target sequences; `src` and `tgt` hold neither start nor end symbols, batches add them.

    For evaluation `sources` holds each source once, in first-seen order, `source_texts` its text, and `references` all
    targets of that source as a model would write them; `raw_references` are the same as they stand in the data, for
    BLEU. A row with an empty side gives no reference; a source without any has `[""]`, which no output equals by the
    rules of `zoo.metrics`. All of these are empty where the corpus is for training.
    """

    src: Sequences
    tgt: Sequences
    sources: Sequences = field(default_factory=lambda: Sequences.from_lists([]))
    references: list[list[str]] = field(default_factory=list)
    raw_references: list[list[str]] = field(default_factory=list)
    source_texts: list[str] = field(default_factory=list)
    resample: Resample | None = None

    def __len__(self) -> int:
        return len(self.src)

    @property
    def lengths(self) -> tuple[Array, Array]:
        """Return the lengths of sources and of targets as they stand in a batch, end symbol included."""
        return self.src.lengths + 1, self.tgt.lengths + 1

    def batch(self, rows: Array) -> PairBatch:
        """Return the given rows as a batch: sources end with EOS, targets begin with BOS going in, end with EOS out."""
        src = self.src.pad(rows, append=EOS)
        tgt_in, tgt_out = self.tgt.pad(rows, prepend=BOS), self.tgt.pad(rows, value=IGNORE, append=EOS)
        return PairBatch(src, torch.from_numpy(self.src.lengths_of(rows) + 1), tgt_in, tgt_out)

    def spread(self, limit: int = 0) -> Array:
        """Return the rows in `sources` of at most `limit` sources, evenly spread over the corpus; 0: all."""
        count = min(limit or len(self.sources), len(self.sources))
        rows: Array = np.arange(count) * len(self.sources) // max(count, 1)
        return rows

    def source_loader(self, batch_tokens: int, *, limit: int = 0) -> Iterator[tuple[Array, Tensor, Tensor]]:
        """Yield (rows, src, src_lengths) over the unique sources, by length; `rows` are positions in `sources`.

        `limit` takes only so many sources, as `spread` does.
        """
        chosen = self.spread(limit)
        count = len(chosen)
        lengths = self.sources.lengths_of(chosen) + 1
        order = np.argsort(lengths, kind="stable")
        start = 0
        while start < count:
            ends = np.arange(1, count - start + 1) * lengths[order[start:]]
            size = max(1, int(np.searchsorted(ends, batch_tokens, side="right")))
            rows = chosen[order[start : start + size]]
            yield rows, self.sources.pad(rows, append=EOS), torch.from_numpy(self.sources.lengths_of(rows) + 1)
            start += size

    def set_epoch(self, seed: int, epoch: int) -> None:
        """Redraw the ids of a corpus with subword sampling; others stay as they are."""
        if self.resample is not None:
            self.src, self.tgt = self.resample(seed, epoch)


@dataclass(kw_only=True)
class TextCorpus:
    """Texts and their label ids (rows).

    A label that no training row has, and that of an empty text, is -100: no loss counts it, and it equals no
    prediction. An empty text is one unknown token, so that every encoder takes it. `texts` is for evaluation.
    """

    text: Sequences
    labels: Array
    texts: list[str] = field(default_factory=list)
    resample: Resample | None = None

    def __post_init__(self) -> None:
        self.text = _filled(self.text)

    def __len__(self) -> int:
        return len(self.text)

    @property
    def lengths(self) -> tuple[Array]:
        """Return the lengths of the texts as they stand in a batch."""
        return (self.text.lengths,)

    def batch(self, rows: Array) -> TextBatch:
        """Return the given rows as a batch."""
        lengths, label = self.text.lengths_of(rows), self.labels[rows].astype(np.int64)
        return TextBatch(self.text.pad(rows), torch.from_numpy(lengths), torch.from_numpy(label))

    def label_counts(self, count: int) -> Array:
        """Return how many rows each of `count` labels has."""
        return np.bincount(self.labels[self.labels >= 0], minlength=count)

    def set_epoch(self, seed: int, epoch: int) -> None:
        """Redraw the ids of a corpus with subword sampling; others stay as they are."""
        if self.resample is not None:
            self.text = _filled(self.resample(seed, epoch)[0])


Corpus = PairCorpus | TextCorpus


def _filled(text: Sequences) -> Sequences:
    """Put one unknown token where a text is empty."""
    empty = text.lengths == 0
    if not empty.any():
        return text
    ids = np.insert(text.ids, text.offsets[:-1][empty], UNK)
    return Sequences.from_lengths(ids, np.maximum(text.lengths, 1))
