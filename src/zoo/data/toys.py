"""Toy tasks, drawn from the seed: copy, reverse, sort, and the parity of a count."""

from collections.abc import Callable
from string import ascii_lowercase

import numpy as np

from zoo.config import ToyConfig
from zoo.data.splits import Array, Parts, Rows, limited
from zoo.errors import ConfigError


def parity(text: str, symbols: int) -> str:
    """Say whether the letters from the first half of the alphabet are `even` or `odd` in number."""
    first_half = ascii_lowercase[: symbols // 2]
    return "odd" if sum(letter in first_half for letter in text) % 2 else "even"


def build_target(name: str, symbols: int) -> Callable[[str], str]:
    """Return the function from a text to its target or label."""
    tasks: dict[str, Callable[[str], str]] = {
        "copy": lambda text: text,
        "reverse": lambda text: text[::-1],
        "sort": lambda text: "".join(sorted(text)),
        "parity": lambda text: parity(text, symbols),
    }
    return tasks[name]


def read_toy(config: ToyConfig, *, seed: int) -> Parts:
    """Draw the three parts: no sequence of valid or test is in another part, nor twice in its own.

    Lengths are uniform. Of each length at most a third of all sequences is held out, so that train meets every length.
    """
    rng = np.random.default_rng((seed, 0x70))
    held = _draw_held_out(config, rng)
    valid, test = held[config.test_size :], held[: config.test_size]
    train = _draw_unseen(config, rng, set(held))
    target = build_target(config.name, config.symbols)
    rows = [Rows(texts, [target(text) for text in texts]) for texts in (train, valid, test)]
    return Parts(train=limited(rows[0], config.limit), valid=rows[1], test=rows[2])


def _draw_held_out(config: ToyConfig, rng: np.random.Generator) -> list[str]:
    """Draw the sequences of valid and test in random order, each once."""
    wanted = config.valid_size + config.test_size
    lengths = range(config.min_length, config.max_length + 1)
    room = {length: min(config.symbols**length // 3, wanted) for length in lengths}
    if sum(room.values()) < wanted:
        raise ConfigError(
            f"{config.symbols} letters in sequences of {config.min_length} to {config.max_length} are too few for "
            f"{wanted} held-out sequences; raise `dataset.max_length` or `dataset.symbols`, or lower "
            "`dataset.valid_size` and `dataset.test_size`"
        )
    held: dict[str, None] = {}
    while len(held) < wanted:
        open_lengths = np.array([length for length in lengths if room[length]])
        for text in _draw(config, rng, rng.choice(open_lengths, wanted - len(held))):
            if room[len(text)] and text not in held:
                held[text] = None
                room[len(text)] -= 1
    texts = list(held)
    return [texts[i] for i in rng.permutation(len(texts))]


def _draw_unseen(config: ToyConfig, rng: np.random.Generator, held: set[str]) -> list[str]:
    """Draw the training sequences; one that is held out is drawn again, of the same length."""
    lengths = rng.integers(config.min_length, config.max_length + 1, config.train_size)
    texts = _draw(config, rng, lengths)
    while seen := [i for i, text in enumerate(texts) if text in held]:
        for i, text in zip(seen, _draw(config, rng, lengths[seen]), strict=True):
            texts[i] = text
    return texts


def _draw(config: ToyConfig, rng: np.random.Generator, lengths: Array) -> list[str]:
    """Draw one sequence of each given length."""
    letters = rng.integers(ord("a"), ord("a") + config.symbols, int(lengths.sum()), dtype=np.uint8)
    text, ends = letters.tobytes().decode("ascii"), np.cumsum(lengths).tolist()
    return [text[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]
