"""Subword tokenizers, learned by sentencepiece from the training texts."""

import io
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from random import Random

from zoo.config import Tokenizer as Kind
from zoo.data.sampling import bpe_dropout, sample_unigram, sample_words, unigram_lattice
from zoo.errors import ConfigError, DataError
from zoo.storage import write_durably

SPACE, LITERAL_SPACE = "\u2581", "\ufdd0"
"""sentencepiece's mark for a space, and the noncharacter that stands for that mark where a text holds it."""
DEFAULT_SIZE = 8000
UNKNOWN = -10.0
"""What a character that is no piece scores below the rarest piece, as in sentencepiece."""
LONGEST_SENTENCE = 10_000_000


class Subword:
    """Byte pair encoding (Sennrich 2016) or a unigram model (Kudo 2018).

    Nothing is normalized and no space is dropped, so that joining the pieces gives the text back.
    """

    def __init__(self, name: str, model: bytes) -> None:
        from sentencepiece import SentencePieceProcessor

        self.name, self.model = name, model
        self.processor = SentencePieceProcessor()
        self.processor.LoadFromSerializedProto(model)

    @classmethod
    def train(cls, name: str, texts: Iterable[str], *, vocab_size: int) -> "Subword":
        """Learn at most `vocab_size` pieces (0: 8000); fewer where the texts do not hold as many."""
        from sentencepiece import SentencePieceTrainer

        model = io.BytesIO()
        try:
            SentencePieceTrainer.train(
                sentence_iterator=map(_escape, texts), model_writer=model, model_type=name,
                vocab_size=(vocab_size or DEFAULT_SIZE) + 1, hard_vocab_limit=False, character_coverage=1.0,
                normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=True,
                unk_id=0, bos_id=-1, eos_id=-1, pad_id=-1, max_sentence_length=LONGEST_SENTENCE,
                num_threads=1, minloglevel=2,
            )  # fmt: skip
        except (RuntimeError, OSError) as error:
            raise ConfigError(
                f"no {name} pieces can be learned with `dataset.vocab_size` {vocab_size or DEFAULT_SIZE} "
                f"({str(error).splitlines()[0]}); it must hold every character of the training texts"
            ) from error
        return cls(name, model.getvalue())

    def split(self, text: str) -> list[str]:
        return self.split_many([text])[0]

    def split_many(self, texts: Iterable[str]) -> list[list[str]]:
        pieces: list[list[str]] = self.processor.encode([_escape(text) for text in texts], out_type=str)
        return pieces

    def sample_many(self, texts: Iterable[str], *, strength: float, seed: int) -> list[list[str]]:
        """Split with dropout (bpe) or by drawing from all splits (unigram); a function of `seed` alone."""
        random, scores = Random(seed), self.scores()
        longest, unknown = max(map(len, scores)), min(scores.values()) + UNKNOWN

        def merge(word: str, count: int) -> list[list[str]]:
            return [bpe_dropout(word, scores, dropout=strength, random=random) for _ in range(count)]

        def draw(word: str, count: int) -> list[list[str]]:
            lattice = unigram_lattice(word, scores, alpha=strength, longest=longest, unknown=unknown)
            return [sample_unigram(word, lattice, random=random) for _ in range(count)]

        marked = (SPACE + _escape(text).replace(" ", SPACE) if text else "" for text in texts)
        return sample_words(marked, merge if self.name == Kind.bpe else draw)

    def scores(self) -> dict[str, float]:
        """Return the score of each piece: its log probability (unigram), or less the later it was learned (bpe)."""
        return {piece: self.processor.get_score(i) for i, piece in enumerate(self.pieces(), 1)}

    def join(self, tokens: Iterable[str]) -> str:
        pieces = iter(tokens)
        first = "".join(islice(pieces, 1)).removeprefix(SPACE)
        return (first + "".join(pieces)).replace(SPACE, " ").replace(LITERAL_SPACE, SPACE)

    def pieces(self) -> list[str]:
        """Return all pieces but the unknown one."""
        return [self.processor.id_to_piece(i) for i in range(1, self.processor.vocab_size())]

    def save(self, path: Path) -> None:
        write_durably(path, self.model)

    @classmethod
    def load(cls, name: str, path: Path) -> "Subword":
        """Read what `save` wrote; DataError where that is not a model of sentencepiece."""
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: is no file; copy it from the run again")  # a pipe would wait for ever
        try:
            return cls(name, path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}; it must lie beside the run's config") from error
        except RuntimeError as error:
            raise DataError(f"{path}: no model of sentencepiece; copy the file from the run again") from error


def _escape(text: str) -> str:
    return text.replace(SPACE, LITERAL_SPACE)
