"""What workers make of a block of rows: first a part, whose tokens have numbers of its own, then a shard of ids.

Both are safetensors, which any program can map into memory. A part or a shard follows from its rows alone, so that it
does not matter who writes it, nor when.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file, save

from zoo.config import TgtDirection
from zoo.data.coding import Coding
from zoo.data.corpus import Array, GrowingSequences, Sequences
from zoo.data.splits import hashes, normal_rows
from zoo.data.subword import Subword
from zoo.data.tokenize import SUBWORD, Numbering, Tokenizer, build_tokenizer, chunks
from zoo.data.vocab import UNK
from zoo.storage import write_durably

PARTS, SHARDS = "parts", "shards"
SEPARATOR = "\0"
"""Stands between texts in a block, since no text that is read can hold it."""


class Block(NamedTuple):
    """Rows as they were read, in the order of the input; sources and targets are joined by NUL."""

    number: int
    sources: str
    targets: str

    @property
    def fingerprint(self) -> str:
        """What tells these rows from others."""
        return hashlib.blake2b(f"{self.sources}\n\0{self.targets}".encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Work:
    """What all blocks have in common: `tokenizers` holds that of each side, `held` is the share held out, 0 for none.

    `begun` tells a preparation from others in the same directory, whose tokenizers and vocabulary a process may keep.
    """

    directory: Path
    tokenizers: tuple[str, ...]
    lowercase: bool
    direction: TgtDirection
    held: float
    begun: float = field(default_factory=monotonic)

    @property
    def sides(self) -> tuple[str, ...]:
        return ("src", "tgt") if len(self.tokenizers) == 2 else ("text",)

    def part(self, number: int) -> Path:
        return self.directory / PARTS / f"{number:06d}.safetensors"

    def shard(self, number: int) -> Path:
        return self.directory / SHARDS / f"{number:06d}.safetensors"

    def model(self, side: str) -> Path:
        """Return where the subwords of a side lie, for all workers to read."""
        return self.directory / PARTS / f"{side}.model"


class Counted(NamedTuple):
    """The tokens of each side, and the labels, of a part's training rows, each with its count.

    seen says which of the sought hashes of a split are those of such rows.
    """

    sides: list[tuple[list[str], Array]]
    labels: tuple[list[str], Array]
    seen: dict[str, Array]


@lru_cache(maxsize=1)
def tokenizers_of(work: Work) -> list[Tokenizer]:
    """Return the tokenizer of each side; subwords have been learned before."""
    sides = zip(work.sides, work.tokenizers, strict=True)
    return [Subword.load(kind, work.model(side)) if kind in SUBWORD else build_tokenizer(kind, [])
            for side, kind in sides]  # fmt: skip


def tokenize(work: Work, block: Block) -> dict[str, Any]:
    """Write the part of a block, and return what the journal keeps of it."""
    raw = zip(block.sources.split(SEPARATOR), block.targets.split(SEPARATOR), strict=True)
    rows = list(normal_rows(raw, lowercase=work.lowercase, keep_targets=work.sides == ("text",)))
    drawn = hashes(source for source, _ in rows)
    tensors = {"hashes": drawn, **_held(work, rows, drawn)}
    tokens = []
    for place, (side, tokenizer) in enumerate(zip(work.sides, tokenizers_of(work), strict=True)):
        numbering, found = Numbering(tokenizer), GrowingSequences()
        for texts in chunks(row[place] for row in rows):
            found.append(numbering.number(texts))
        tensors |= _numbered(side, found.whole(), list(numbering.first))
        tokens.append(len(found.ids))
    if work.sides == ("text",):
        tensors |= _labels([target for _, target in rows])
    told = {"rows": len(rows), "tokens": tokens, "least": float(drawn.min()), "most": float(drawn.max())}
    return {"kind": "part", "number": block.number, "fingerprint": block.fingerprint, **told,
            **_write(work.part(block.number), tensors)}  # fmt: skip


def _held(work: Work, rows: list[tuple[str, str]], drawn: Array) -> dict[str, Array]:
    """Keep the texts of rows that may come to be held out."""
    chosen = np.flatnonzero((drawn < work.held) | (drawn == drawn.min())) if work.held else np.zeros(0, np.int64)
    texts = [rows[i] for i in chosen.tolist()]
    return {"held": chosen, "held.rows": _bytes(json.dumps(texts, ensure_ascii=False))}


def held_rows(work: Work, number: int, bound: float) -> list[tuple[str, str]]:
    """Return the rows of a part whose hashes lie below `bound`."""
    part = load_file(work.part(number))
    rows = json.loads(part["held.rows"].tobytes())
    return [(*rows[i],) for i in np.flatnonzero(part["hashes"][part["held"]] < bound).tolist()]


def _numbered(side: str, sequences: Sequences, tokens: list[str]) -> dict[str, Array]:
    return {
        f"{side}.ids": sequences.ids.astype(_width(len(tokens))),
        f"{side}.offsets": sequences.offsets.astype(np.uint32),
        f"{side}.tokens": _bytes(SEPARATOR.join(tokens)),
    }


def _labels(names: list[str]) -> dict[str, Array]:
    """Number the labels as they come; a blank one has -1."""
    first: dict[str, int] = {}
    numbers = [first.setdefault(name, len(first)) if name.strip() else -1 for name in names]
    return {"labels.ids": np.array(numbers, np.int32), "labels.tokens": _bytes(SEPARATOR.join(first))}


def _width(count: int) -> Any:
    """Return the type that numbers so many tokens."""
    return np.uint16 if count <= 1 << 16 else np.uint32


def _bytes(text: str) -> Array:
    return np.frombuffer(text.encode(), np.uint8)


def _tokens(part: dict[str, Array], side: str) -> list[str]:
    text = part[f"{side}.tokens"].tobytes().decode()
    return text.split(SEPARATOR) if text else []


def _write(path: Path, tensors: dict[str, Array]) -> dict[str, Any]:
    content = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
    write_durably(path, content)
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def sequences_of(tensors: dict[str, Array], side: str) -> Sequences:
    """Return the sequences of a side of a part or a shard."""
    return Sequences(tensors[f"{side}.ids"], tensors[f"{side}.offsets"])


def count(work: Work, number: int, bound: float, sought: dict[str, Array]) -> Counted:
    """Count the tokens and the labels of a part's training rows, those whose hashes are at least `bound`."""
    part = load_file(work.part(number))
    train = part["hashes"] >= bound
    sides = []
    for side in work.sides:
        sequences, tokens = sequences_of(part, side), _tokens(part, side)
        ids = sequences.ids[np.repeat(train, sequences.lengths)]
        sides.append((tokens, np.bincount(ids, minlength=len(tokens))))
    seen = {split: np.isin(drawn, part["hashes"][train]) for split, drawn in sought.items()}
    return Counted(sides, _count_labels(work, part, train), seen)


def _count_labels(work: Work, part: dict[str, Array], train: Array) -> tuple[list[str], Array]:
    if work.sides != ("text",):
        return [], np.zeros(0, np.int64)
    names, numbers = _tokens(part, "labels"), part["labels.ids"][_usable(work, part, train)]
    return names, np.bincount(numbers, minlength=len(names))


def _usable(work: Work, part: dict[str, Array], train: Array) -> Array:
    """Return which training rows have something on each side."""
    full = [np.diff(part[f"{side}.offsets"].astype(np.int64)) > 0 for side in work.sides]
    labels = [part["labels.ids"] >= 0] if work.sides == ("text",) else []
    usable: Array = np.logical_and.reduce([train, *full, *labels])
    return usable


@lru_cache(maxsize=1)
def _coding(work: Work) -> Coding:
    return Coding.load(work.directory)


def write(work: Work, number: int, bound: float) -> dict[str, Any]:
    """Write the shard of a part with the ids of the vocabulary, and return what the index keeps of it."""
    part, coding = load_file(work.part(number)), _coding(work)
    train = part["hashes"] >= bound
    usable = _usable(work, part, train)
    tensors, told = {}, []
    for side in work.sides:
        vocab, backwards = coding.codecs[side].vocab, coding.codecs[side].backwards
        kept = sequences_of(part, side).take(np.flatnonzero(usable))
        kept.ids = np.array([vocab.ids.get(token, UNK) for token in _tokens(part, side)], np.int32)[kept.ids]
        kept = kept.backwards() if backwards else kept
        tensors[f"{side}.ids"], tensors[f"{side}.offsets"] = kept.ids.astype(_width(len(vocab))), kept.offsets
        told.append((len(kept.ids), int(kept.lengths.max(initial=0))))
    tensors = {name: one if name.endswith(".ids") else one.astype(np.uint32) for name, one in tensors.items()}
    if work.sides == ("text",):
        place = {label: i for i, label in enumerate(coding.labels)}
        ids = np.array([place.get(name, 0) for name in _tokens(part, "labels")], np.uint32)
        tensors["labels"] = ids[part["labels.ids"][usable]]
    tokens, longest = zip(*told, strict=True)
    return {"kind": "shard", "number": number, "rows": int(usable.sum()), "empty": int((train & ~usable).sum()),
            "tokens": tokens, "longest": longest, **_write(work.shard(number), tensors)}  # fmt: skip
