"""`zoo prepare`: from rows of any number to shards of ids, in parallel, in memory that does not grow with them.

First one process reads the rows, and workers tokenize their blocks, each with numbers of its own (parts); then tokens
are counted; then the numbers become the ids of the vocabulary (shards). A journal says what is done, so that a
preparation that was killed goes on there.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from tqdm import tqdm

from zoo.config import Leakage, Task, TgtDirection, task_of
from zoo.data.blocks import Sample, blocks, bound_of
from zoo.data.build import check_leaks
from zoo.data.coding import FILE as CODING
from zoo.data.coding import LONGEST_OUTPUT, Coding
from zoo.data.corpus import Array
from zoo.data.files import Paths, read_rows
from zoo.data.journal import Entry, Journal
from zoo.data.learn import label_names
from zoo.data.prepared import INDEX, STATE, File, Index, Shard, sha256_of
from zoo.data.resuming import JOURNAL, STDIN, Request, clear, only_here, tidy
from zoo.data.shards import (
    PARTS,
    SHARDS,
    Block,
    Counted,
    Work,
    count,
    held_rows,
    tokenize,
    tokenizers_of,
    write,
)
from zoo.data.splits import Row, hashes, normal_rows
from zoo.data.subword import Subword
from zoo.data.tokenize import SUBWORD, Codec, Numbering
from zoo.data.workers import Workers
from zoo.errors import ConfigError, DataError
from zoo.storage import write_durably

SAMPLE = 10_000_000
"""Characters that subwords are learned from."""
HELD = ("valid", "test")
IDLE = {"limit": "prepare a shorter file", "subword_sampling": "it needs the texts in each epoch",
        "swap": "it changes texts in each epoch"}  # fmt: skip
"""Options that prepared data cannot have, and why."""


@dataclass(kw_only=True)
class Done:
    """What a preparation came to; `tokens` are those of train that were tokenized now, in so many seconds."""

    index: Index
    tokens: int
    seconds: float


def prepare(dataset: Any, directory: Path, *, workers: int = 1, anew: bool = False,
            note: Callable[[str], None] = lambda line: None) -> Done:  # fmt: skip
    """Write the data that a config of pairs or labelled texts means, or go on where that was ended before.

    `-` as `dataset.train` is standard input. With `anew` what another preparation has left in the directory is removed.
    `note` is told what there is to say on the way.
    """
    _check_options(dataset)
    request, directory = Request(dataset), Path(os.path.abspath(directory))
    with only_here(directory):
        if anew:
            clear(directory)
        return Preparation(dataset, directory, request, workers, note).run()


def _check_options(dataset: Any) -> None:
    for key, why in IDLE.items():
        if getattr(dataset, key, 0):
            raise ConfigError(f"`dataset.{key}` has no place in prepared data ({why}); leave it out")


class Preparation:
    """One directory of prepared data on its way."""

    def __init__(self, dataset: Any, directory: Path, request: Request, workers: int,
                 note: Callable[[str], None]) -> None:  # fmt: skip
        self.dataset, self.directory, self.request, self.note = dataset, directory, request, note
        self.labelled = task_of(dataset) == Task.labelled
        sides = ("tokenizer",) if self.labelled else ("src_tokenizer", "tgt_tokenizer")
        self.work = Work(
            directory,
            tuple(str(getattr(dataset, side)) for side in sides),
            dataset.lowercase,
            getattr(dataset, "tgt_direction", TgtDirection.left_to_right),
            held=0.0 if dataset.valid else dataset.valid_fraction,
        )
        self.shared = getattr(dataset, "shared_vocabulary", False)
        self.workers = Workers(workers)
        self.fresh = self.blocks = 0
        self.journal: Journal

    def run(self) -> Done:
        """Do what is left to do."""
        if (self.directory / INDEX).is_file():
            return self._as_it_is()
        begun = monotonic()
        with Journal(self.directory / JOURNAL) as self.journal, self.workers:
            self._begin()
            self._tokenize()
            parts = self.journal.of("part")
            bound = self._bound(list(parts.values()))
            held = {split: self._rows_of(split, bound, len(parts)) for split in HELD}
            labels, leaks = self._learn(bound, held)
            self._write(bound)
            index = self._index(labels, leaks, held)
        tidy(self.directory)
        return Done(index=index, tokens=self.fresh, seconds=monotonic() - begun)

    def _as_it_is(self) -> Done:
        """Return what is finished, if it is what was asked for."""
        index = Index.load(self.directory)
        self.request.check_same(self.directory, index.dataset, index.inputs)
        index.check_sizes()
        tidy(self.directory)
        return Done(index=index, tokens=0, seconds=0.0)

    def _begin(self) -> None:
        """Go on with what was begun, if it is what is asked for; where nothing is done, start."""
        if self.journal.of("part"):
            self.request.check_state(self.directory)
            return
        shutil.rmtree(self.directory / PARTS, ignore_errors=True)
        self.request.write(self.directory)
        for name in (PARTS, SHARDS):
            (self.directory / name).mkdir(exist_ok=True)

    def _read(self, split: str = "train") -> Iterator[Row]:
        paths: Paths = getattr(self.dataset, split)
        paths = "/dev/stdin" if paths == STDIN else paths
        return read_rows(paths, columns=self.dataset.columns, header=self.dataset.header)

    def _normal(self, rows: Iterable[Row]) -> Iterator[Row]:
        return normal_rows(rows, lowercase=self.dataset.lowercase, keep_targets=self.labelled)

    def _tokenize(self) -> None:
        """Write the parts that are missing; rows whose parts are there are read and compared."""
        piped = self.dataset.train == STDIN
        if self.journal.of("read") and not piped and all(map(self._is_whole, self.journal.of("part").values())):
            return
        rows = self._learn_subwords() if set(self.work.tokenizers).intersection(SUBWORD) else self._read()
        for entry in self.workers.each(tokenize, self._missing(blocks(rows))):
            self.fresh += sum(entry["tokens"])
            self.journal.add(entry)
        if len(self.journal.of("part")) > self.blocks:
            raise self._changed(self.blocks)
        self.journal.add({"kind": "read", "number": 0})

    def _missing(self, found: Iterable[Block]) -> Iterator[tuple[Work, Block]]:
        done = self.journal.of("part")
        for block in found:
            self.blocks += 1
            before = done.get(block.number)
            if before and before["fingerprint"] != block.fingerprint:
                raise self._changed(block.number)
            if not (before and self._is_whole(before)):
                yield self.work, block

    def _changed(self, block: int) -> DataError:
        return DataError(
            f"{self.request.where}: holds other rows than when {self.directory} was begun (block {block}); "
            "add --anew to start again, or name another directory"
        )

    def _is_whole(self, entry: Entry) -> bool:
        """Whether the file of an entry lies there as it was written."""
        path = (self.work.part if entry["kind"] == "part" else self.work.shard)(entry["number"])
        return path.is_file() and path.stat().st_size == entry["bytes"] and sha256_of(path) == entry["sha256"]

    def _learn_subwords(self) -> Iterator[Row]:
        """Learn the pieces of the sides that have some, unless they were, and return all rows.

        A file is read once more for that; of standard input the first rows have to do.
        """
        if all(self.work.model(side).is_file() for side in self._learning()):
            return self._read()
        sample, rows = Sample(SAMPLE), self._read()
        first: list[Row] = []
        if self.dataset.train == STDIN:
            while sample.seen < SAMPLE and (some := list(islice(rows, 1000))):
                sample.add(self._normal(some))
                first += some
        else:
            sample.add(self._normal(rows))
        rest = list(islice(rows, 1))
        chosen = sample.chosen(self._held_of(sample, whole=not rest))
        if sample.full or rest:
            self.note(f"subwords are learned from {len(chosen):,} rows, with {SAMPLE:,} characters at most")
        for places in [[0, 1]] if self.shared else [[place] for place in range(len(self.work.sides))]:
            self._train_subwords(places, chosen)
        return chain(first, rest, rows) if self.dataset.train == STDIN else self._read()

    def _held_of(self, sample: Sample, *, whole: bool) -> float:
        """Return the hash below which rows of a sample are held out, or may be where it is not of all rows."""
        if not (self.work.held and whole):
            return self.work.held
        return bound_of(sample.rows, self.work.held, least=sample.least, most=sample.greatest, where=self.request.where)

    def _learning(self) -> list[str]:
        return [side for side, kind in zip(self.work.sides, self.work.tokenizers, strict=True) if kind in SUBWORD]

    def _train_subwords(self, places: list[int], rows: list[Row]) -> None:
        kind = self.work.tokenizers[places[0]]
        if kind in SUBWORD:
            texts = (row[place] for place in places for row in rows)
            model = Subword.train(kind, texts, vocab_size=self.dataset.vocab_size)
            for place in places:
                model.save(self.work.model(self.work.sides[place]))

    def _bound(self, parts: list[Entry]) -> float:
        """Return the hash below which rows are held out; where there is a validation file, none is."""
        if not self.work.held:
            return 0.0
        least, most = min(part["least"] for part in parts), max(part["most"] for part in parts)
        rows = sum(part["rows"] for part in parts)
        return bound_of(rows, self.work.held, least=least, most=most, where=self.request.where)

    def _rows_of(self, split: str, bound: float, parts: int) -> list[Row]:
        if getattr(self.dataset, split):
            return list(self._normal(self._read(split)))
        if split == "test":
            return []
        return [row for number in range(parts) for row in held_rows(self.work, number, bound)]

    def _learn(self, bound: float, held: dict[str, list[Row]]) -> tuple[list[int], dict[str, int]]:
        """Write the vocabularies; return the training rows of each label, and how many sources are not apart."""
        looked_for = [
            split for split in HELD if getattr(self.dataset, split) and self.dataset.leakage != Leakage.ignore
        ]
        sought = {split: np.unique(hashes(source for source, _ in held[split])) for split in looked_for}
        seen = {split: np.zeros(len(drawn), bool) for split, drawn in sought.items()}
        sides = [Numbering(tokenizer) for tokenizer in tokenizers_of(self.work)]
        numberings = [sides[0]] * 2 if self.shared else sides
        labels: dict[str, int] = {}
        for counted in self._each(count, "counting", [bound, sought]):
            _add(counted, numberings, labels, seen)
        leaks = {f"{split}_sources_in_train": int(found.sum()) for split, found in seen.items()}
        for split in looked_for:
            check_leaks(leaks[f"{split}_sources_in_train"], split, self.dataset.leakage)
        names = label_names(labels, self.dataset.name) if self.labelled else []
        codecs = self._codecs(numberings)
        Coding(codecs, names, 0 if self.labelled else LONGEST_OUTPUT).save(self.directory)
        return [labels[name] for name in names], leaks

    def _codecs(self, numberings: list[Numbering]) -> dict[str, Codec]:
        options = {key: getattr(self.dataset, key) for key in ("min_count", "lowercase")}
        made = {one: one.learn([], max_size=self.dataset.vocab_size, **options) for one in dict.fromkeys(numberings)}
        codecs = {side: made[numbering] for side, numbering in zip(self.work.sides, numberings, strict=True)}
        if "tgt" in codecs:
            codecs["tgt"] = codecs["tgt"].towards(self.work.direction)
        return codecs

    def _each(self, function: Callable[..., Any], title: str, given: list[Any],
              numbers: Iterable[int] | None = None) -> Iterator[Any]:  # fmt: skip
        """Yield what workers make of each part, under a progress bar."""
        numbers = list(self.journal.of("part") if numbers is None else numbers)
        jobs = ((self.work, number, *given) for number in numbers)
        bar: tqdm[None] = tqdm(desc=title, total=len(numbers), unit="part", disable=None, leave=False, delay=1)
        with bar:
            for found in self.workers.each(function, jobs):
                bar.update()
                yield found

    def _write(self, bound: float) -> None:
        done = {number for number, entry in self.journal.of("shard").items() if self._is_whole(entry)}
        missing = [number for number in self.journal.of("part") if number not in done]
        for entry in self._each(write, "writing", [bound], missing):
            self.journal.add(entry)

    def _index(self, labels: list[int], leaks: dict[str, int], held: dict[str, list[Row]]) -> Index:
        """Write what is held out, and the index, with which the data are there."""
        entries = self.journal.of("shard")
        for split, rows in held.items():
            if rows:
                lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                write_durably(self.directory / f"{split}.jsonl", lines.encode())
        shards = [
            Shard(
                file=File(f"{SHARDS}/{self.work.shard(number).name}", entry["bytes"], entry["sha256"]),
                rows=entry["rows"],
                tokens=entry["tokens"],
                longest=entry["longest"],
            )
            for number, entry in entries.items()
        ]
        names = [CODING, *(path.name for path in sorted(self.directory.iterdir()) if _is_kept(path))]
        index = Index(
            directory=self.directory,
            task=task_of(self.dataset),
            dataset=self.request.options,
            inputs=self.request.inputs,
            notes={"train_empty": sum(entry["empty"] for entry in entries.values()), **leaks},
            labels=labels,
            shards=shards,
            files=[_file(self.directory / name, self.directory) for name in dict.fromkeys(names)],
        )
        if not index.rows:
            where = self.request.where
            raise DataError(f"{where}: no training row is left, each has an empty side; check `dataset.columns`")
        index.save()
        return index


def _add(counted: Counted, numberings: list[Numbering], labels: dict[str, int], seen: dict[str, Array]) -> None:
    """Add the counts of a part to those of all."""
    for numbering, (tokens, counts) in zip(numberings, counted.sides, strict=True):
        numbering.add(tokens, counts)
    for name, rows in zip(counted.labels[0], counted.labels[1].tolist(), strict=True):
        if rows:
            labels[name] = labels.get(name, 0) + rows
    for split, found in counted.seen.items():
        seen[split] |= found


def _file(path: Path, directory: Path) -> File:
    return File(str(path.relative_to(directory)), path.stat().st_size, sha256_of(path))


def _is_kept(path: Path) -> bool:
    return path.suffix in (".json", ".jsonl", ".model") and path.name not in (STATE, JOURNAL, INDEX)
