"""From a text to tokens to ids, and back."""

import json
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zoo.config import Tokenizer as Kind
from zoo.data.corpus import Array, Sequences
from zoo.data.subword import Subword
from zoo.data.vocab import RESERVED, UNK, Vocab, read_json
from zoo.errors import ConfigError, DataError, unknown
from zoo.storage import write_durably

CHUNK = 4096
"""Texts that are tokens, and not yet ids, at a time."""
SUBWORD = (Kind.bpe, Kind.unigram)


class Tokenizer(Protocol):
    """What turns a text in NFC into tokens and tokens into a text; `name` is its choice in the config."""

    name: str

    def split(self, text: str) -> list[str]: ...

    def split_many(self, texts: Iterable[str]) -> Iterable[Sequence[str]]: ...

    def join(self, tokens: Iterable[str]) -> str: ...


class Char:
    """One token for each character."""

    name = "char"

    def split(self, text: str) -> list[str]:
        return list(text)

    def split_many(self, texts: Iterable[str]) -> Iterable[Sequence[str]]:
        return texts  # a string is a sequence of characters already

    def join(self, tokens: Iterable[str]) -> str:
        return "".join(tokens)


class Jamo:
    """One token for each character of the decomposed text (NFD): Hangul syllables become letters."""

    name = "jamo"

    def split(self, text: str) -> list[str]:
        return list(unicodedata.normalize("NFD", text))

    def split_many(self, texts: Iterable[str]) -> Iterable[Sequence[str]]:
        return (unicodedata.normalize("NFD", text) for text in texts)

    def join(self, tokens: Iterable[str]) -> str:
        return "".join(tokens)


class Space:
    """Tokens between white space."""

    name = "space"

    def split(self, text: str) -> list[str]:
        return text.split()

    def split_many(self, texts: Iterable[str]) -> Iterable[Sequence[str]]:
        return (text.split() for text in texts)

    def join(self, tokens: Iterable[str]) -> str:
        return " ".join(tokens)


class Word:
    """torchtext's `basic_english`: lower case, punctuation apart from words."""

    name = "word"

    def __init__(self) -> None:
        from torchtext.data.utils import get_tokenizer

        self.split: Callable[[str], list[str]] = get_tokenizer("basic_english")

    def split_many(self, texts: Iterable[str]) -> Iterable[Sequence[str]]:
        return map(self.split, texts)

    def join(self, tokens: Iterable[str]) -> str:
        return " ".join(tokens)


PLAIN: dict[str, Callable[[], Tokenizer]] = {"char": Char, "jamo": Jamo, "space": Space, "word": Word}


def normalize(text: str, *, lowercase: bool = False) -> str:
    """Return the text in NFC, in which all texts are compared, split and given back."""
    return unicodedata.normalize("NFC", text.lower() if lowercase else text)


def build_tokenizer(name: str, texts: Iterable[str], *, vocab_size: int = 0) -> Tokenizer:
    """Return the tokenizer of that name; bpe and unigram learn their pieces from `texts`."""
    if name in SUBWORD:
        return Subword.train(name, texts, vocab_size=vocab_size)
    if name not in PLAIN:
        raise ConfigError(unknown("tokenizer", name, Kind.__members__))
    return PLAIN[name]()


class Codec:
    """The tokenizer and the vocabulary of one side. Texts are brought to NFC, and lower-cased where asked."""

    def __init__(self, tokenizer: Tokenizer, vocab: Vocab, *, lowercase: bool = False) -> None:
        self.tokenizer, self.vocab, self.lowercase = tokenizer, vocab, lowercase

    def normalize(self, text: str) -> str:
        return normalize(text, lowercase=self.lowercase)

    @property
    def lowers_case(self) -> bool:
        """Whether outputs are in lower case whatever the data are."""
        return self.lowercase or self.tokenizer.name == Kind.word

    def split(self, text: str) -> list[str]:
        """Return the tokens of a text, known to the vocabulary or not."""
        return self.tokenizer.split(self.normalize(text))

    def canonical(self, text: str) -> str:
        """Return the text as a model that knows all its tokens would write it."""
        return self.normalize(self.tokenizer.join(self.split(text)))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without start and end symbols."""
        return self.vocab.encode(self.split(text))

    def encode_many(self, texts: Iterable[str]) -> Sequences:
        """Return the ids of many texts."""
        normal = map(self.normalize, texts)
        return _sequences(map(self.tokenizer.split_many, _chunks(normal)), self._ids)

    def sample_many(self, texts: Iterable[str], *, strength: float, seed: int) -> Sequences:
        """Return ids of random subwords, a function of `seed`; those of other tokenizers are not random."""
        if not isinstance(self.tokenizer, Subword):
            return self.encode_many(texts)
        sampled = self.tokenizer.sample_many(map(self.normalize, texts), strength=strength, seed=seed)
        return _sequences([sampled], self._ids)

    def _ids(self, tokens: Iterable[str]) -> Iterable[int]:
        return map(self.vocab.ids.get, tokens, repeat(UNK))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids, reserved ones left out."""
        return [self.vocab.token(int(index)) for index in ids if index >= RESERVED]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text that ids spell, in NFC; reserved ones are left out."""
        return unicodedata.normalize("NFC", self.tokenizer.join(self.tokens(ids)))

    def save(self, directory: Path, name: str) -> None:
        """Write `NAME.json`, `NAME.vocab.json` and, for subwords, `NAME.model`."""
        options = {"tokenizer": str(self.tokenizer.name), "lowercase": self.lowercase}
        write_durably(directory / f"{name}.json", (json.dumps(options) + "\n").encode())
        self.vocab.save(directory / f"{name}.vocab.json")
        if isinstance(self.tokenizer, Subword):
            self.tokenizer.save(directory / f"{name}.model")

    @classmethod
    def load(cls, directory: Path, name: str) -> "Codec":
        """Read what `save` wrote; DataError names the file that is missing or malformed."""
        path = directory / f"{name}.json"
        options: Any = read_json(path)
        kind = str(options.get("tokenizer")) if isinstance(options, dict) else ""
        if kind not in Kind.__members__ or not isinstance(options.get("lowercase"), bool):
            raise DataError(f"{path}: expected a tokenizer and whether to lower-case; copy the file from the run again")
        subword = kind in SUBWORD
        tokenizer: Tokenizer = Subword.load(kind, directory / f"{name}.model") if subword else PLAIN[kind]()
        return cls(tokenizer, Vocab.load(directory / f"{name}.vocab.json"), lowercase=options["lowercase"])


def fit(tokenizer: Tokenizer, sides: Sequence[Sequence[str]], *, min_count: int = 1, max_size: int = 0,
        lowercase: bool = False) -> tuple[Codec, list[Sequences]]:  # fmt: skip
    """Build one vocabulary from all `sides` (lists of texts) and return the codec with the ids of each side.

    Each text is split once: tokens are numbered as they come, and numbered again when all are counted.
    """
    first: defaultdict[str, int] = defaultdict()
    first.default_factory = first.__len__
    number: Callable[[Iterable[str]], Iterable[int]] = lambda tokens: map(first.__getitem__, tokens)  # noqa: E731
    normal = ((normalize(text, lowercase=lowercase) for text in side) for side in sides)
    numbered = [_sequences(map(tokenizer.split_many, _chunks(side)), number) for side in normal]
    counts = sum((np.bincount(side.ids, minlength=len(first)) for side in numbered), np.zeros(len(first), np.int64))
    vocab = _build_vocab(tokenizer, dict(zip(first, counts.tolist(), strict=True)), min_count, max_size)
    final = np.fromiter((vocab.ids.get(token, UNK) for token in first), dtype=np.int32, count=len(first))
    ids = [Sequences(final[side.ids], side.offsets) for side in numbered]
    return Codec(tokenizer, vocab, lowercase=lowercase), ids


def _build_vocab(tokenizer: Tokenizer, counts: dict[str, int], min_count: int, max_size: int) -> Vocab:
    if isinstance(tokenizer, Subword):
        return Vocab(tokenizer.pieces())
    vocab = Vocab.build(counts, min_count=min_count, max_size=max_size)
    if counts and not vocab.tokens:
        raise ConfigError(f"no token of the training texts occurs `dataset.min_count` ({min_count}) times; lower it")
    return vocab


def _chunks(texts: Iterable[str]) -> Iterable[list[str]]:
    texts = iter(texts)
    while chunk := list(islice(texts, CHUNK)):
        yield chunk


def _sequences(chunks: Iterable[Iterable[Sequence[str]]],
               number: Callable[[Iterable[str]], Iterable[int]]) -> Sequences:  # fmt: skip
    """Lay the ids of all tokens end to end, a chunk at a time."""
    ids: list[Array] = [np.zeros(0, np.int32)]
    lengths: list[Array] = [np.zeros(0, np.int64)]
    for chunk in chunks:
        rows = list(chunk)
        ids.append(np.fromiter(number(chain.from_iterable(rows)), dtype=np.int32))
        lengths.append(np.fromiter(map(len, rows), dtype=np.int64, count=len(rows)))
    return Sequences.from_lengths(np.concatenate(ids), np.concatenate(lengths))
