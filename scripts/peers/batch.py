"""Rows of ids as padded tensors and back, with start and end symbols where the zoo's batches have them."""

from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor

from zoo.data.corpus import Sequences
from zoo.data.vocab import BOS, EOS, PAD

from .interface import Rows


def pad_sources(rows: Rows) -> Tensor:
    """Return sources (batch, time) with their end symbols."""
    return _pad(rows, append=EOS)


def pad_texts(rows: Rows) -> Tensor:
    """Return texts (batch, time)."""
    return _pad(rows)


def pad_targets(rows: Rows, *, value: int = PAD) -> tuple[Tensor, Tensor]:
    """Return what a decoder reads and what it predicts, each (batch, time), the latter padded with `value`."""
    return _pad(rows, prepend=BOS), _pad(rows, append=EOS, value=value)


def pad_whole_targets(rows: Rows) -> Tensor:
    """Return targets (batch, time) between their start and end symbols."""
    return _pad(rows, prepend=BOS, append=EOS)


def _pad(rows: Rows, *, prepend: int | None = None, append: int | None = None, value: int = PAD) -> Tensor:
    return Sequences.from_lists(rows).pad(np.arange(len(rows)), prepend=prepend, append=append, value=value)


def until_end(rows: Iterable[Sequence[int]]) -> list[list[int]]:
    """Return rows of ids, each up to its first end symbol."""
    return [list(ids[: ids.index(EOS)] if EOS in ids else ids) for ids in rows]
