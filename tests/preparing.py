"""Files to prepare, the same data in memory and prepared, and what a preparation has written."""

import random
from pathlib import Path
from typing import Any

import numpy as np

from zoo.config import ClassifierConfig, LabelledConfig, PreparedConfig, TrainConfig, check
from zoo.data import Data, build_data
from zoo.data.corpus import Corpus, PairCorpus, Sequences, TextCorpus
from zoo.data.prepare import prepare
from zoo.data.prepared import Index, ShardedCorpus

LETTERS = "abcdefghij"


def write_pairs(path: Path, rows: int = 600, *, seed: int = 1) -> str:
    drawn = random.Random(seed)
    with path.open("w") as file:
        for _ in range(rows):
            word = "".join(drawn.choices(LETTERS, k=drawn.randint(0, 9)))
            file.write(f"{word}\t{' '.join(word.upper())}\n")
    return str(path)


def write_texts(path: Path, rows: int = 400) -> str:
    drawn = random.Random(2)
    with path.open("w") as file:
        for _ in range(rows):
            text = " ".join("".join(drawn.choices("abc", k=2)) for _ in range(drawn.randint(0, 8)))
            file.write(f"{text}\t{drawn.choice(['good', 'bad', '', 'so so'])}\n")
    return str(path)


def config_of(dataset: Any, **changes: Any) -> TrainConfig:
    labelled = isinstance(dataset, LabelledConfig) or getattr(dataset, "task", "") == "labelled"
    config = TrainConfig(**{"dataset": dataset, **({"model": ClassifierConfig()} if labelled else {}), **changes})
    check(config)
    return config


def train_of(data: Data) -> Corpus:
    """Return the training part of prepared data as one that is in memory."""
    assert isinstance(data.train, ShardedCorpus)
    return data.train.read(range(len(data.train.index.shards)))


def both(dataset: Any, directory: Path, *, max_length: int = 512) -> tuple[Data, Data]:
    """Return the data in memory, and prepared."""
    config = config_of(dataset)
    config.model.max_length = max_length
    done = prepare(dataset, directory)
    made = PreparedConfig(path=str(directory))
    again = config_of(made, model=config.model)
    assert done.index.rows
    return build_data(config), build_data(again)


def alike(one: Sequences, other: Sequences) -> bool:
    return np.array_equal(one.ids, other.ids) and np.array_equal(one.offsets, other.offsets)


def check_alike(one: Data, other: Data) -> None:
    train = train_of(other)
    for before, now in ((one.train, train), (one.valid, other.valid), (one.test, other.test)):
        if isinstance(before, PairCorpus):
            assert isinstance(now, PairCorpus)
            assert alike(before.src, now.src)
            assert alike(before.tgt, now.tgt)
            assert (before.source_texts, before.references) == (now.source_texts, now.references)
        elif isinstance(before, TextCorpus):
            assert isinstance(now, TextCorpus)
            assert alike(before.text, now.text)
            assert before.labels.tolist() == now.labels.tolist()
    assert {side: codec.vocab.tokens for side, codec in one.codecs.items()} == {
        side: codec.vocab.tokens for side, codec in other.codecs.items()
    }
    assert (one.labels, one.max_output, one.notes) == (other.labels, other.max_output, other.notes)
    assert len(one.train) == len(other.train)
    assert one.label_counts() == other.label_counts()


def files_of(directory: Path) -> dict[str, bytes]:
    kept = [path for path in directory.rglob("*") if path.is_file() and path.name != "index.json"]
    return {str(path.relative_to(directory)): path.read_bytes() for path in kept}


def digests(directory: Path) -> list[str]:
    return [shard.file.sha256 for shard in Index.load(directory).shards]
