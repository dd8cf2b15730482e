"""Rows of any number, cut into blocks, sampled, and parted by the hash of their source, in one pass."""

from collections.abc import Iterable, Iterator

import numpy as np

from zoo.data.shards import SEPARATOR, Block
from zoo.data.splits import Row, hashes
from zoo.data.tokenize import chunks
from zoo.errors import DataError

ROWS, CHARACTERS = 1 << 16, 2_000_000
"""A block ends before it has more rows or characters, unless a single row has them."""
MOST_HELD_OUT = 50_000
"""Rows for validation, about: they stay in memory as texts, and each epoch ends with them."""


def blocks(rows: Iterable[Row]) -> Iterator[Block]:
    """Cut rows into blocks."""
    sources: list[str] = []
    targets: list[str] = []
    number = size = 0
    for source, target in rows:
        length = len(source) + len(target)
        if sources and (size + length > CHARACTERS or len(sources) == ROWS):
            yield Block(number, SEPARATOR.join(sources), SEPARATOR.join(targets))
            number, size = number + 1, 0
            sources, targets = [], []
        sources.append(source)
        targets.append(target)
        size += length
    if sources:
        yield Block(number, SEPARATOR.join(sources), SEPARATOR.join(targets))


def bound_of(rows: int, share: float, *, least: float, most: float, where: str) -> float:
    """Return the hash below which the rows of a source are held out, from their number and the range of the hashes.

    That is `share` of the sources as in `zoo.data.splits`, at least one and not all, but no more than about
    `MOST_HELD_OUT` rows.
    """
    if least == most:
        raise DataError(f"{where}: holds one source only, so none can be held out; set `dataset.valid`")
    bound = min(share, MOST_HELD_OUT / rows)
    return float(min(max(bound, np.nextafter(least, 1)), most))


class Sample:
    """Rows for learning, of at most about `most` characters: those of the sources with the largest hashes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.kept: list[tuple[float, Row]] = []
        self.rows = self.characters = self.seen = 0
        self.from_hash, self.least, self.greatest = 0.0, 1.0, 0.0

    @property
    def full(self) -> bool:
        """Whether rows had to be left out."""
        return self.from_hash > 0

    def add(self, rows: Iterable[Row]) -> None:
        """Meet more rows."""
        for chunk in chunks(rows):
            drawn = hashes(source for source, _ in chunk)
            self.rows += len(chunk)
            self.least, self.greatest = min(self.least, drawn.min()), max(self.greatest, drawn.max())
            self.seen += sum(map(_size, chunk))
            fresh = [pair for pair in zip(drawn.tolist(), chunk, strict=True) if pair[0] >= self.from_hash]
            self.kept += fresh
            self.characters += sum(_size(row) for _, row in fresh)
            self._shrink()

    def _shrink(self) -> None:
        """Leave out the half with the smaller hashes, until the rest is small enough."""
        while self.characters > self.most:
            middle = sorted(drawn for drawn, _ in self.kept)[len(self.kept) // 2]
            if middle <= self.from_hash:
                return  # all have one source
            self.from_hash = middle
            self.kept = [pair for pair in self.kept if pair[0] >= middle]
            self.characters = sum(_size(row) for _, row in self.kept)

    def chosen(self, bound: float) -> list[Row]:
        """Return the sample, without what is held out, in the order of the rows."""
        return [row for drawn, row in self.kept if drawn >= bound]


def _size(row: Row) -> int:
    return len(row[0]) + len(row[1])
