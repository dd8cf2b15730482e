"""Tokens and their ids; the first four ids are reserved and have no spelling."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from zoo.errors import DataError
from zoo.storage import write_durably

PAD, UNK, BOS, EOS = 0, 1, 2, 3
RESERVED = 4
"""Number of reserved ids: padding, unknown token, start and end of a sequence."""


class Vocab:
    """A list of tokens; the first one has id 4. A literal `<pad>` in a text is a token like any other."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = list(tokens)
        self.ids = {token: i for i, token in enumerate(self.tokens, RESERVED)}
        if len(self.ids) != len(self.tokens):
            raise ValueError("`tokens` must not repeat a token")

    @classmethod
    def build(cls, counts: Mapping[str, int], *, min_count: int = 1, max_size: int = 0) -> "Vocab":
        """Keep the tokens seen at least `min_count` times, the most frequent first, equally frequent ones by text.

        `max_size` bounds the tokens that are kept, reserved ids not counted; 0 keeps all.
        """
        kept = [token for token, count in counts.items() if count >= min_count]
        kept.sort(key=lambda token: (-counts[token], token))
        return cls(kept[:max_size] if max_size else kept)

    def __len__(self) -> int:
        """Return the number of ids, reserved ones included."""
        return RESERVED + len(self.tokens)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the ids of tokens; what is not in the vocabulary becomes UNK."""
        get = self.ids.get
        return [get(token, UNK) for token in tokens]

    def token(self, index: int) -> str:
        """Return the spelling of an id; that of a reserved id is empty."""
        return self.tokens[index - RESERVED] if index >= RESERVED else ""

    def save(self, path: Path) -> None:
        """Write the tokens as a JSON list."""
        write_durably(path, (json.dumps(self.tokens, ensure_ascii=False, indent=0) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> "Vocab":
        """Read what `save` wrote; DataError where the file is missing or holds anything else."""
        tokens = read_json(path)
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise DataError(f"{path}: expected a JSON list of tokens; copy the file from the run again")
        if len(set(tokens)) != len(tokens):
            raise DataError(f"{path}: a token stands there twice; copy the file from the run again")
        return cls(tokens)


def read_json(path: Path) -> object:
    """Return the content of a JSON file of a run; DataError names the file."""
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: is no file; copy it from the run again")  # a pipe would wait for ever
        return json.loads(path.read_text(encoding="utf-8"))
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; it must lie beside the run's config") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: malformed JSON; copy the file from the run again") from error
