"""What `zoo prepare` has written, and its training part, of which a window at a time is in memory."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from zoo.config import Task
from zoo.data.corpus import Array, Corpus, GrowingSequences, PairCorpus, Sequences, TextCorpus
from zoo.data.files import read_rows
from zoo.data.splits import Rows
from zoo.data.vocab import read_json
from zoo.errors import DataError
from zoo.storage import write_durably

INDEX = "index.json"
FORMAT = 1
PIECE = 1 << 20
AGAIN = "prepare the data again (zoo prepare, with --anew)"


class File(NamedTuple):
    """A file of prepared data, by its path within them."""

    name: str
    bytes: int
    sha256: str


@dataclass(kw_only=True)
class Shard:
    """Some training rows: tokens, and those of the longest row, of each side."""

    file: File
    rows: int
    tokens: list[int]
    longest: list[int]


@dataclass(kw_only=True)
class Index:
    """What lies where; `dataset` holds the options that it was prepared with, `labels` the rows of each label."""

    directory: Path
    task: Task
    dataset: dict[str, Any]
    inputs: list[list[Any]]
    notes: dict[str, int]
    labels: list[int]
    shards: list[Shard]
    files: list[File]
    format: int = FORMAT
    _checked: set[int] = field(default_factory=set, repr=False)

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def tokens(self) -> int:
        return sum(sum(shard.tokens) for shard in self.shards)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.all_files())

    def all_files(self) -> list[File]:
        return [*self.files, *(shard.file for shard in self.shards)]

    def save(self) -> None:
        """Write the index, whole or not at all."""
        kept = {key: value for key, value in asdict(self).items() if key not in ("directory", "_checked")}
        write_durably(self.directory / INDEX, (json.dumps(kept, ensure_ascii=False) + "\n").encode())

    @classmethod
    def load(cls, directory: Path) -> "Index":
        """Read an index; DataError where there is none, or one of another kind."""
        path = directory / INDEX
        if not path.is_file():
            under_way = " yet; its preparation was not finished: type the same `zoo prepare` again"
            begun = (directory / STATE).is_file()
            raise DataError(
                f"{directory}: holds no prepared data{under_way if begun else '; write them by zoo prepare'}"
            )
        values = read_json(path)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise DataError(f"{path}: is no index of format {FORMAT}; {AGAIN}")
        try:
            shards = [Shard(**{**one, "file": File(*one["file"])}) for one in values.pop("shards")]
            files = [File(*one) for one in values.pop("files")]
            return cls(**{**values, "task": Task(values["task"])}, directory=directory, shards=shards, files=files)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: is malformed ({error!r}); {AGAIN}") from error

    def check_sizes(self) -> None:
        """Raise DataError for the first file that is missing or has another size."""
        for file in self.all_files():
            path = self.directory / file.name
            found = path.stat().st_size if path.is_file() else None
            if found != file.bytes:
                what = "is missing" if found is None else f"has {found:,} bytes in place of {file.bytes:,}"
                raise DataError(f"{path}: {what}; copy it again, or {AGAIN}")

    def check(self, file: File) -> None:
        """Raise DataError where a file's content is another one."""
        path = self.directory / file.name
        try:
            digest = sha256_of(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); copy it again, or {AGAIN}") from error
        if digest != file.sha256:
            raise DataError(f"{path}: is damaged, its checksum is another one; copy it again, or {AGAIN}")

    def read(self, number: int, *, whole: bool = True) -> dict[str, Array]:
        """Return the arrays of a shard; with `whole=False` the offsets alone.

        What is read whole for the first time is checked.
        """
        file = self.shards[number].file
        if whole and number not in self._checked:
            self.check(file)
            self._checked.add(number)
        try:
            with safe_open(self.directory / file.name, framework="numpy") as mapped:
                names = [name for name in mapped.keys() if whole or name.endswith(".offsets")]  # noqa: SIM118
                return {name: mapped.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise DataError(f"{self.directory / file.name}: cannot be read ({error}); {AGAIN}") from error

    def held_out(self, split: str) -> Rows | None:
        """Return the rows of the validation or test part, None where there is none."""
        path = self.directory / f"{split}.jsonl"
        if split == "train":
            raise DataError(
                f"{self.directory}: holds no texts of the train part; name its file, as in zoo evaluate RUN FILE"
            )
        return Rows.of(read_rows(str(path))) if any(file.name == path.name for file in self.files) else None


STATE = "preparing.json"
"""What a preparation that is under way has been asked for."""


def sha256_of(path: Path) -> str:
    """Return the checksum of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ShardedCorpus:
    """The training part of prepared data; no array of it is as long as the data.

    Of pairs, rows with more than `longest` tokens on a side are left out, texts are cut to that, as in memory.
    """

    def __init__(self, index: Index, *, longest: int) -> None:
        self.index, self.longest = index, longest
        self.sides = ("src", "tgt") if index.task == Task.pairs else ("text",)
        self.beyond = 0  # rows that are longer
        self._most = 0  # tokens of the last side of the longest row that stays
        for number, shard in enumerate(index.shards):
            if max(shard.longest) <= longest:
                self._most = max(self._most, shard.longest[-1])
                continue
            lengths = self._lengths(number)
            fits = np.maximum.reduce(lengths) <= longest
            self.beyond += int((~fits).sum())
            self._most = max(self._most, int(lengths[-1][fits].max(initial=0)))

    def __len__(self) -> int:
        """Return the number of rows to train on."""
        return self.index.rows - (self.beyond if len(self.sides) == 2 else 0)

    @property
    def longest_target(self) -> int:
        """Tokens of the longest target to train on."""
        return self._most

    @property
    def sizes(self) -> list[int]:
        """The tokens of each shard, those that a batch adds included."""
        return [sum(shard.tokens) + shard.rows * len(shard.tokens) for shard in self.index.shards]

    @property
    def digest(self) -> str:
        """What tells these rows from others."""
        digests = [shard.file.sha256 for shard in self.index.shards]
        return hashlib.sha256(" ".join([str(self.longest), *digests]).encode()).hexdigest()

    def label_counts(self, count: int) -> Array:
        """Return how many rows each of `count` labels has."""
        return np.array(self.index.labels, np.int64)

    def few(self) -> Corpus:
        """Return the first rows, to look at."""
        first = next((i for i in range(len(self.sizes)) if sum(map(len, self.lengths_of([i])))), 0)
        return self.read([first])

    def lengths_of(self, shards: Sequence[int]) -> list[Array]:
        """Return the lengths of each side, as they stand in a batch, of the rows of some shards."""
        parts = [self._fitting(self._lengths(number)) for number in shards]
        end = len(self.sides) - 1  # pairs end with a symbol
        return [np.concatenate(one) + end for one in zip(*parts, strict=True)]

    def _lengths(self, number: int) -> list[Array]:
        offsets = self.index.read(number, whole=False)
        return [np.diff(offsets[f"{side}.offsets"]).astype(np.int32) for side in self.sides]

    def _fitting(self, lengths: list[Array]) -> list[Array]:
        if len(lengths) == 1:
            return [np.minimum(lengths[0], self.longest)]
        fits = np.maximum(*lengths) <= self.longest
        return [side[fits] for side in lengths]

    def read(self, shards: Sequence[int]) -> Corpus:
        """Return the rows of some shards, in their order."""
        sides = [GrowingSequences() for _ in self.sides]
        labels: list[Array] = []
        for number in shards:
            tensors = self.index.read(number)
            found = [Sequences(tensors[f"{side}.ids"], tensors[f"{side}.offsets"]) for side in self.sides]
            for side, sequences in zip(sides, self._cut(found), strict=True):
                side.append(sequences)
            labels += [tensors["labels"]] if "labels" in tensors else []
        read = [side.whole() for side in sides]
        if len(read) == 2:
            return PairCorpus(src=read[0], tgt=read[1])
        return TextCorpus(text=read[0], labels=np.concatenate(labels).astype(np.int64))

    def _cut(self, found: list[Sequences]) -> list[Sequences]:
        if len(found) == 1:
            return [found[0].cut(self.longest)]
        lengths = np.maximum(*(side.lengths for side in found))
        if lengths.max(initial=0) <= self.longest:
            return found
        return [side.take(np.flatnonzero(lengths <= self.longest)) for side in found]
