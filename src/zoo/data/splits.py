"""Rows of text, and who goes to which part: by a hash of the source text, so that parts never move."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from zoo.data.tokenize import normalize
from zoo.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]
Row = tuple[str, str]
"""A source and its target, or a text and its label."""


class Rows(NamedTuple):
    """Row i is `sources[i]`, and its target or label `targets[i]`; texts are in NFC."""

    sources: list[str]
    targets: list[str]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Rows":
        """Keep rows in memory."""
        made = cls([], [])
        for source, target in rows:
            made.sources.append(source)
            made.targets.append(target)
        return made

    def each(self) -> Iterator[Row]:
        """Yield one row after the other."""
        return zip(self.sources, self.targets, strict=True)

    def take(self, kept: Array) -> "Rows":
        """Return the rows where `kept` is True."""
        return Rows(*(list(compress(texts, kept.tolist())) for texts in self))


class FileRows:
    """Rows that stay in their file and are read anew each time; of those that `read` yields, where `kept` is True."""

    def __init__(self, read: Callable[[], Iterator[Row]], kept: Array | None = None) -> None:
        self.read, self.kept = read, kept

    @property
    def sources(self) -> Iterator[str]:
        return (source for source, _ in self.each())

    def each(self) -> Iterator[Row]:
        """Yield one row after the other."""
        return self.read() if self.kept is None else compress(self.read(), self.kept.tobytes())

    def take(self, kept: Array) -> "FileRows":
        """Return the rows where `kept` is True."""
        whole = np.ones(len(kept), dtype=bool) if self.kept is None else self.kept.copy()
        whole[whole] = kept
        return FileRows(self.read, whole)


@dataclass(kw_only=True)
class Parts:
    """The rows of each part, and what was counted on the way (see `zoo.data.notes`)."""

    train: Rows | FileRows
    valid: Rows
    test: Rows | None
    notes: dict[str, int] = field(default_factory=dict)


def normal_rows(rows: Iterable[Row], *, lowercase: bool = False, keep_targets: bool = False) -> Iterator[Row]:
    """Bring rows to NFC, and to lower case where asked; targets keep theirs where asked, as labels do."""
    for source, target in rows:
        yield normalize(source, lowercase=lowercase), normalize(target, lowercase=lowercase and not keep_targets)


def hashes(texts: Iterable[str]) -> Array:
    """Return a number in [0, 1) for each text, spread evenly and the same on every machine."""
    digests = bytearray()
    for text in texts:
        digests += blake2b(text.encode(), digest_size=8).digest()
    return (np.frombuffer(digests, dtype="<u8") >> 11) * 2.0**-53


def hold_out(rows: Rows, *, valid: float, test: float) -> Parts:
    """Split rows by the hash of their source: shares `test` and `valid` of the sources, the rest is train."""
    drawn = hashes(rows.sources)
    is_test, is_valid = drawn < test, (drawn >= test) & (drawn < test + valid)
    return Parts(train=rows.take(~(is_test | is_valid)), valid=rows.take(is_valid), test=rows.take(is_test))


def some_held_out(drawn: Array, *, valid: float, where: str) -> Array:
    """Return which rows are held out, by the hashes of their sources: a share `valid` of the sources.

    It is one source at least, and one is left; DataError where there is only one.
    """
    sources = np.unique(drawn)
    if len(sources) < 2:
        raise DataError(f"{where}: holds one source only, so none can be held out; set `dataset.valid`")
    count = min(max(int((sources < valid).sum()), 1), len(sources) - 1)
    held: Array = drawn <= sources[count - 1]
    return held


def within(drawn: Array, limit: int, *, by_source: bool = False) -> Array:
    """Return which rows stay where only `limit` rows do, or all rows of `limit` sources; 0 keeps all."""
    keys = np.unique(drawn) if by_source else np.sort(drawn)
    if not limit or limit >= len(keys):
        return np.ones(len(drawn), dtype=bool)
    kept: Array = drawn <= keys[limit - 1]
    return kept if by_source else kept & (np.cumsum(kept) <= limit)


def limited(rows: Rows | FileRows, limit: int, *, by_source: bool = False) -> Rows | FileRows:
    """Keep only `limit` rows (or all rows of `limit` sources), drawn by the hash of the source; 0 keeps all."""
    return rows.take(within(hashes(rows.sources), limit, by_source=by_source))


def shared_sources(rows: Rows, train: Rows | FileRows) -> int:
    """Count the sources of `rows` that are in `train` too."""
    return len(set(rows.sources).intersection(train.sources))
