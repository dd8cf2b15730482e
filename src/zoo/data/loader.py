"""Batches of like lengths, cut by a budget of tokens."""

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Protocol

import numpy as np

from zoo.data.batch import Batch
from zoo.data.corpus import Array, Corpus


class Loader:
    """Yields the batches of a corpus, anew each epoch; their order is a function of (seed, epoch) alone.

    In a batch, rows times the longest source, and rows times the longest target, are each at most `batch_tokens`; a
    single sequence over it is a batch of its own. Most batches hold sources of one length, so that none is padded.
    `shuffle=False` gives the batches by length, the same in each epoch.
    """

    def __init__(self, corpus: Corpus, *, batch_tokens: int, seed: int = 0, shuffle: bool = True) -> None:
        self.corpus, self.batch_tokens, self.seed, self.shuffle = corpus, batch_tokens, seed, shuffle
        self.epoch = 0
        self._planned: int | None = None
        self._plan: list[Array] = []

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches of the current epoch."""
        return len(self.plan())

    def __iter__(self) -> Iterator[Batch]:
        return self.iterate()

    def iterate(self, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of the current epoch from number `start` on."""
        for corpus, rows in self.slices(start):
            yield corpus.batch(rows)

    def slices(self, start: int = 0) -> Iterator[tuple[Corpus, Array]]:
        """Yield the corpus, and rows of it, for each batch of the current epoch from number `start` on."""
        for rows in self.plan()[start:]:
            yield self.corpus, rows

    def plan(self) -> list[Array]:
        """Return the rows of each batch of the current epoch."""
        epoch = self.epoch if self.shuffle else 0
        if self._planned != epoch:
            if self.shuffle:
                self.corpus.set_epoch(self.seed, epoch)
            rng = np.random.default_rng((self.seed, epoch)) if self.shuffle else None
            self._plan = draw(self.corpus.lengths, batch_tokens=self.batch_tokens, rng=rng)
            self._planned = epoch
        return self._plan


class Sliced(Protocol):
    """A loader that tells the rows of its batches before it cuts them."""

    def set_epoch(self, epoch: int) -> None: ...

    def __len__(self) -> int: ...

    def slices(self, start: int = 0) -> Iterator[tuple[Corpus, Array]]: ...


class Shares:
    """One process's part of each batch of a loader, of several that train together on the same batches.

    Process `rank` takes every `world_size`-th row of a batch; where none is left for it, a row whose targets do not
    count, since each process has to take each step. `tokens` counts the targets or texts' tokens taken so far.
    """

    def __init__(self, loader: Sliced, *, rank: int, world_size: int) -> None:
        self.loader, self.rank, self.world_size = loader, rank, world_size
        self.tokens = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next."""
        self.loader.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        return self.iterate()

    def iterate(self, start: int = 0) -> Iterator[Batch]:
        """Yield this process's part of the batches of the current epoch from number `start` on."""
        for corpus, rows in self.loader.slices(start):
            own = rows[self.rank :: self.world_size]
            batch = corpus.batch(own) if len(own) else corpus.batch(rows[:1]).blank()
            self.tokens += batch.tokens if len(own) else 0
            del corpus  # of several, one goes before the next one comes
            yield batch


def draw(lengths: Sequence[Array], *, batch_tokens: int, rng: np.random.Generator | None) -> list[Array]:
    """Return the rows of each batch, for the lengths of each side; without `rng` from short to long."""
    sides = [side.astype(np.int32) for side in lengths]
    ties = (rng.random(len(sides[0])),) if rng else ()
    order = np.lexsort((*ties, *reversed(sides)))  # by source, then target, then the draw
    batches = cut([side[order] for side in sides], batch_tokens=batch_tokens)
    numbers = rng.permutation(len(batches)) if rng else range(len(batches))
    return [order[batches[i]] for i in numbers]


def count_batches(lengths: Sequence[Array], *, batch_tokens: int) -> int:
    """Return how many batches `draw` would return."""
    first, last = (lengths[side].astype(np.int64) for side in (0, -1))
    keys = np.sort(first << 32 | last)  # which is much faster than by two keys
    sides = [(keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)]
    return len(cut(sides[: len(lengths)], batch_tokens=batch_tokens))


def cut(lengths: list[Array], *, batch_tokens: int) -> list[slice]:
    """Cut sorted rows into batches within the budget; `lengths` holds those of each side, the first one ascending.

    A batch ends where the first side's length changes, unless it would then be less than half full.
    """
    first, most = lengths[0], reduce(np.maximum, lengths)
    ends = np.append(np.flatnonzero(np.diff(first)) + 1, len(first))  # where each length's rows end
    batches, start, group = [], 0, 0
    while start < len(first):
        size = _fitting(most[start : start + batch_tokens // int(first[start]) + 1], batch_tokens)
        while ends[group] <= start:
            group += 1
        same = int(ends[group]) - start
        if same < size and same * int(most[start : start + same].max()) * 2 >= batch_tokens:
            size = same
        batches.append(slice(start, start + size))
        start += size
    return batches


def _fitting(most: Array, batch_tokens: int) -> int:
    """Return how many leading rows keep rows times the longest within the budget, at least one."""
    filled = np.maximum.accumulate(most) * np.arange(1, len(most) + 1)
    return max(1, int(np.searchsorted(filled, batch_tokens, side="right")))
