"""Batches of prepared data: shards in a random order, a window of them in memory at a time, shuffled within."""

from collections.abc import Iterator
from itertools import accumulate

import numpy as np

from zoo.data.batch import Batch
from zoo.data.corpus import Array, Corpus
from zoo.data.loader import count_batches, draw
from zoo.data.prepared import ShardedCorpus

SHARD_ORDER = 1 << 31
"""Tells the draw of the order of shards from those within windows, which have their numbers."""


class WindowLoader:
    """Yields the batches of a training part that lies in shards; their order is a function of (seed, epoch) alone.

    In each epoch the shards are put in another order and cut into windows of at most `window` tokens. Within one, rows
    are drawn and batches cut and shuffled as `Loader` does; where one window holds all, the batches are its own, to
    the bit.
    """

    def __init__(self, corpus: ShardedCorpus, *, batch_tokens: int, seed: int, window: int) -> None:
        self.corpus, self.batch_tokens, self.seed, self.window = corpus, batch_tokens, seed, window
        self.epoch = 0
        self._counted: int | None = None
        self._counts: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches of the current epoch, found from the lengths of its rows alone."""
        return sum(self.counts())

    def __iter__(self) -> Iterator[Batch]:
        return self.iterate()

    def iterate(self, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of the current epoch from number `start` on; windows before it are not read."""
        for corpus, rows in self.slices(start):
            batch = corpus.batch(rows)
            del corpus  # one window goes before the next one comes
            yield batch

    def slices(self, start: int = 0) -> Iterator[tuple[Corpus, Array]]:
        """Yield the corpus of a window, and rows of it, for each batch from number `start` on."""
        ends = accumulate(self.counts())
        for number, (shards, end) in enumerate(zip(self.windows(), ends, strict=True)):
            if start < end:
                yield from self._window(number, shards, max(0, start - end + self.counts()[number]))

    def _window(self, number: int, shards: list[int], start: int) -> Iterator[tuple[Corpus, Array]]:
        corpus = self.corpus.read(shards)
        rng = np.random.default_rng((self.seed, self.epoch, number))
        for rows in draw(corpus.lengths, batch_tokens=self.batch_tokens, rng=rng)[start:]:
            yield corpus, rows

    def windows(self) -> list[list[int]]:
        """Return the shards of each window of the current epoch, in the order of the data, as all is shuffled later."""
        sizes = self.corpus.sizes
        order = np.random.default_rng((self.seed, self.epoch, SHARD_ORDER)).permutation(len(sizes))
        found: list[list[int]] = []
        room = 0
        for shard in order.tolist():
            if not found or sizes[shard] > room:
                found.append([])
                room = self.window
            found[-1].append(shard)
            room -= sizes[shard]
        return [sorted(shards) for shards in found]

    def counts(self) -> list[int]:
        """Return how many batches each window of the current epoch has."""
        if self._counted != self.epoch:
            self._counts = [count_batches(self.corpus.lengths_of(shards), batch_tokens=self.batch_tokens)
                            for shards in self.windows()]  # fmt: skip
            self._counted = self.epoch
        return self._counts
