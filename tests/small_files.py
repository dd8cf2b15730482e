"""Small files of pairs and of labelled texts, configs that train on them, and what was read of them."""

from pathlib import Path

import numpy as np

from zoo.config import ClassifierConfig, LabelledConfig, PairsConfig, Tokenizer, TrainConfig, TransformerConfig
from zoo.data import Data, PairCorpus, TextCorpus

PAIRS = "".join(f"word{i}\tw o r d {i}\n" for i in range(100))
LABELLED = "".join(f"text number {i}\t{'even' if i % 2 == 0 else 'odd'}\n" for i in range(100))


def write(directory: Path, name: str, content: str) -> str:
    (directory / name).write_text(content, encoding="utf-8")
    return str(directory / name)


def pairs(train: str, **options: object) -> TrainConfig:
    longest = options.pop("max_length", 512)
    return TrainConfig(model=TransformerConfig(max_length=longest), dataset=PairsConfig(train=train, **options))


def labelled(train: str, **options: object) -> TrainConfig:
    longest = options.pop("max_length", 512)
    return TrainConfig(model=ClassifierConfig(max_length=longest), dataset=LabelledConfig(train=train, **options))


def paired(corpus: object) -> PairCorpus:
    assert isinstance(corpus, PairCorpus)
    return corpus


def text(corpus: object) -> TextCorpus:
    assert isinstance(corpus, TextCorpus)
    return corpus


def train_sources(data: Data) -> set[str]:
    train = paired(data.train)
    return {data.codecs["src"].decode(train.src.row(i)) for i in range(len(train))}


def same(one: object, two: object) -> bool:
    left, right = vars(one), vars(two)
    return all(
        left[key] == right[key] if isinstance(left[key], list) or left[key] is None else
        np.array_equal(getattr(left[key], "ids", left[key]), getattr(right[key], "ids", right[key]))
        and np.array_equal(getattr(left[key], "offsets", 0), getattr(right[key], "offsets", 0))
        for key in left
    )  # fmt: skip


SIDES = {"src_tokenizer": Tokenizer.bpe, "tgt_tokenizer": Tokenizer.bpe, "vocab_size": 40}
