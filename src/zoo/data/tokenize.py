"""From a text to tokens to ids, and back."""

import json
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from zoo.config import TgtDirection
from zoo.config import Tokenizer as Kind
from zoo.data.corpus import Array, GrowingSequences, Sequences, renumber
from zoo.data.subword import Subword
from zoo.data.vocab import RESERVED, UNK, Vocab, read_json
from zoo.errors import ConfigError, DataError, unknown
from zoo.storage import write_durably

T = TypeVar("T")
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


class CharWord:
    """The tokens of `char`, and after them those of `word`, each with a space before it to tell it from a character.

    Both together tell a classifier that counts tokens more than either.
    """

    name = "char_word"

    def __init__(self) -> None:
        self.words = Word()

    def split(self, text: str) -> list[str]:
        return [*text, *(f" {word}" for word in self.words.split(text))]

    def split_many(self, texts: Iterable[str]) -> Iterable[Sequence[str]]:
        return map(self.split, texts)

    def join(self, tokens: Iterable[str]) -> str:
        return "".join(token for token in tokens if len(token) == 1)


PLAIN: dict[str, Callable[[], Tokenizer]] = {
    "char": Char,
    "jamo": Jamo,
    "space": Space,
    "word": Word,
    "char_word": CharWord,
}


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
    """The tokenizer and the vocabulary of one side. Texts are brought to NFC, and lower-cased where asked.

    From right to left, the ids of a text are those of its tokens from the last to the first; tokens and texts are as
    ever.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        vocab: Vocab,
        *,
        lowercase: bool = False,
        direction: TgtDirection = TgtDirection.left_to_right,
    ) -> None:
        self.tokenizer, self.vocab, self.lowercase, self.direction = tokenizer, vocab, lowercase, direction

    def towards(self, direction: TgtDirection) -> "Codec":
        """Return the codec of the same tokenizer and vocabulary for models that write in a direction."""
        if direction == self.direction:
            return self
        return Codec(self.tokenizer, self.vocab, lowercase=self.lowercase, direction=direction)

    @property
    def backwards(self) -> bool:
        """Whether ids run from right to left."""
        return self.direction == TgtDirection.right_to_left

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
        ids = self.vocab.encode(self.split(text))
        return ids[::-1] if self.backwards else ids

    def encode_many(self, texts: Iterable[str]) -> Sequences:
        """Return the ids of many texts."""
        normal = map(self.normalize, texts)
        return self._directed(_sequences(map(self.tokenizer.split_many, chunks(normal)), self._ids))

    def sample_many(self, texts: Iterable[str], *, strength: float, seed: int) -> Sequences:
        """Return ids of random subwords, a function of `seed`; those of other tokenizers are not random."""
        if not isinstance(self.tokenizer, Subword):
            return self.encode_many(texts)
        sampled = self.tokenizer.sample_many(map(self.normalize, texts), strength=strength, seed=seed)
        return self._directed(_sequences([sampled], self._ids))

    def _directed(self, ids: Sequences) -> Sequences:
        return ids.backwards() if self.backwards else ids

    def _ids(self, tokens: Iterable[str]) -> Iterable[int]:
        return map(self.vocab.ids.get, tokens, repeat(UNK))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids as they stand in a text, reserved ones left out."""
        tokens = [self.vocab.token(int(index)) for index in ids if index >= RESERVED]
        return tokens[::-1] if self.backwards else tokens

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text that ids spell, in NFC; reserved ones are left out."""
        return unicodedata.normalize("NFC", self.tokenizer.join(self.tokens(ids)))

    def save(self, directory: Path, name: str) -> None:
        """Write `NAME.json`, `NAME.vocab.json` and, for subwords, `NAME.model`."""
        options = {
            "tokenizer": str(self.tokenizer.name),
            "lowercase": self.lowercase,
            "direction": str(self.direction),
        }
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
        direction = str(options.get("direction", TgtDirection.left_to_right))  # files of zoo 0.1.0 have none
        if direction not in TgtDirection.__members__:
            raise DataError(
                f"{path}: {unknown('direction', direction, TgtDirection)}; copy the file from the run again"
            )
        subword = kind in SUBWORD
        tokenizer: Tokenizer = Subword.load(kind, directory / f"{name}.model") if subword else PLAIN[kind]()
        vocab = Vocab.load(directory / f"{name}.vocab.json")
        return cls(tokenizer, vocab, lowercase=options["lowercase"], direction=TgtDirection[direction])


class Numbering:
    """Numbers the tokens of the training texts as they come; ids follow when all are counted.

    Each text is split once. Texts are in NFC.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.first: defaultdict[str, int] = defaultdict()
        self.first.default_factory = self.first.__len__
        self.counts: Array = np.zeros(1024, np.int64)

    def number(self, texts: Iterable[str]) -> Sequences:
        """Return a number for each token of the texts."""
        numbered = _lay(self.tokenizer.split_many(texts), self._numbers)
        self._make_room()
        np.add.at(self.counts, numbered.ids, 1)
        return numbered

    def add(self, tokens: Sequence[str], counts: Array) -> None:
        """Count tokens, each of them different, that were numbered elsewhere."""
        numbers = np.fromiter(self._numbers(tokens), dtype=np.int64, count=len(tokens))
        self._make_room()
        self.counts[numbers] += counts

    def _make_room(self) -> None:
        while len(self.counts) < len(self.first):
            self.counts = np.concatenate((self.counts, np.zeros_like(self.counts)))

    def _numbers(self, tokens: Iterable[str]) -> Iterable[int]:
        return map(self.first.__getitem__, tokens)

    def learn(self, sides: Sequence[Sequences], *, min_count: int = 1, max_size: int = 0,
              lowercase: bool = False) -> Codec:  # fmt: skip
        """Build the vocabulary, and put ids in the place of the numbers that `sides` hold."""
        counts = dict(zip(self.first, self.counts.tolist(), strict=False))
        vocab = _build_vocab(self.tokenizer, counts, min_count, max_size)
        ids = np.fromiter((vocab.ids.get(token, UNK) for token in counts), dtype=np.int32, count=len(counts))
        for side in sides:
            renumber(side.ids, ids)
        return Codec(self.tokenizer, vocab, lowercase=lowercase)


def _build_vocab(tokenizer: Tokenizer, counts: dict[str, int], min_count: int, max_size: int) -> Vocab:
    if isinstance(tokenizer, Subword):
        return Vocab(tokenizer.pieces())
    vocab = Vocab.build(counts, min_count=min_count, max_size=max_size)
    if counts and not vocab.tokens:
        raise ConfigError(f"no token of the training texts occurs `dataset.min_count` ({min_count}) times; lower it")
    return vocab


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield lists of so many items as are tokens, and not yet ids, at a time."""
    items = iter(items)
    while chunk := list(islice(items, CHUNK)):
        yield chunk


def _sequences(chunks: Iterable[Iterable[Sequence[str]]],
               number: Callable[[Iterable[str]], Iterable[int]]) -> Sequences:  # fmt: skip
    """Lay the ids of all tokens end to end, a chunk at a time."""
    made = GrowingSequences()
    for chunk in chunks:
        made.append(_lay(chunk, number))
    return made.whole()


def _lay(chunk: Iterable[Sequence[str]], number: Callable[[Iterable[str]], Iterable[int]]) -> Sequences:
    rows = list(chunk)
    ids = np.fromiter(number(chain.from_iterable(rows)), dtype=np.int32)
    return Sequences.from_lengths(ids, np.fromiter(map(len, rows), dtype=np.int64, count=len(rows)))
