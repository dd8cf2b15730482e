"""Rows of text, and who goes to which part: by a hash of the source text, so that parts never move."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from zoo.data.tokenize import normalize
from zoo.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]


class Rows(NamedTuple):
    """Row i is `sources[i]`, and its target or label `targets[i]`; texts are in NFC."""

    sources: list[str]
    targets: list[str]

    def take(self, rows: Array) -> "Rows":
        """Return the given rows (numbers, or True for those to keep)."""
        numbers = (np.flatnonzero(rows) if rows.dtype == bool else rows).tolist()
        return Rows([self.sources[i] for i in numbers], [self.targets[i] for i in numbers])


@dataclass(kw_only=True)
class Parts:
    """The rows of each part, and what was counted on the way (see `zoo.data.notes`)."""

    train: Rows
    valid: Rows
    test: Rows | None
    notes: dict[str, int] = field(default_factory=dict)


def normal_rows(sources: Sequence[str], targets: Sequence[str], *, lowercase: bool = False,
                labelled: bool = False) -> Rows:  # fmt: skip
    """Bring rows to NFC, and to lower case where asked; labels keep their case."""
    return Rows(
        [normalize(text, lowercase=lowercase) for text in sources],
        [normalize(text, lowercase=lowercase and not labelled) for text in targets],
    )


def hashes(texts: Sequence[str]) -> Array:
    """Return a number in [0, 1) for each text, spread evenly and the same on every machine."""
    digests = b"".join(blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return (np.frombuffer(digests, dtype="<u8") >> 11) * 2.0**-53


def hold_out(rows: Rows, *, valid: float, test: float) -> Parts:
    """Split rows by the hash of their source: shares `test` and `valid` of the sources, the rest is train."""
    drawn = hashes(rows.sources)
    is_test, is_valid = drawn < test, (drawn >= test) & (drawn < test + valid)
    return Parts(train=rows.take(~(is_test | is_valid)), valid=rows.take(is_valid), test=rows.take(is_test))


def hold_out_some(rows: Rows, *, valid: float, where: str) -> Parts:
    """Split as `hold_out` without a test part, but hold out one source at least; DataError where there is only one."""
    drawn = hashes(rows.sources)
    sources = np.unique(drawn)
    if len(sources) < 2:
        raise DataError(f"{where}: holds one source only, so none can be held out; set `dataset.valid`")
    count = min(max(int((sources < valid).sum()), 1), len(sources) - 1)
    is_valid = drawn <= sources[count - 1]
    return Parts(train=rows.take(~is_valid), valid=rows.take(is_valid), test=None)


def limited(rows: Rows, limit: int, *, by_source: bool = False) -> Rows:
    """Keep only `limit` rows (or all rows of `limit` sources), drawn by the hash of the source; 0 keeps all."""
    drawn = hashes(rows.sources)
    keys = np.unique(drawn) if by_source else np.sort(drawn)
    if not limit or limit >= len(keys):
        return rows
    kept = drawn <= keys[limit - 1]
    return rows.take(np.flatnonzero(kept) if by_source else np.flatnonzero(kept)[:limit])


def shared_sources(rows: Rows, train: Rows) -> int:
    """Count the sources of `rows` that are in `train` too."""
    return len(set(rows.sources) & set(train.sources))
