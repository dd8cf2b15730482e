"""Write pairs that a script makes, any number of them: what the figures of docs/large-data.md are measured with.

python scripts/make_pairs.py pairs.tsv --rows 20000000
python scripts/make_pairs.py words.tsv --rows 1000000 --kind words
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
PIECE = 100_000
"""Rows that are made together."""
SHORTEST, LONGEST = 6, 12
"""Tokens of a side."""
WORDS = 20_000


def letters(rng: np.random.Generator) -> Callable[[int], list[str]]:
    """Return what makes rows of a word and its letters in upper case: `zebra`, TAB, `Z E B R A`."""

    def make(rows: int) -> list[str]:
        lengths = rng.integers(SHORTEST, LONGEST + 1, rows)
        small = rng.integers(ord("a"), ord("z") + 1, int(lengths.sum()), dtype=np.uint8)
        spaced = np.full(2 * len(small), ord(" "), np.uint8)
        spaced[::2] = small - ord("a") + ord("A")
        source, target = small.tobytes().decode(), spaced.tobytes().decode()
        return [f"{source[end - n : end]}\t{target[2 * (end - n) : 2 * end - 1]}\n" for n, end in _cuts(lengths)]

    return make


def words(rng: np.random.Generator) -> Callable[[int], list[str]]:
    """Return what makes rows of two sentences of made-up words, of which few are frequent and many are rare."""
    drawn = {"".join(rng.choice(list(ascii_lowercase), rng.integers(2, 9))) for _ in range(2 * WORDS)}
    known = sorted(drawn)[:WORDS]
    rng.shuffle(known)
    chances = 1 / np.arange(1, len(known) + 1)

    def sentences(rows: int) -> list[str]:
        lengths = rng.integers(SHORTEST, LONGEST + 1, rows)
        numbers = rng.choice(len(known), int(lengths.sum()), p=chances / chances.sum()).tolist()
        return [" ".join([known[i] for i in numbers[end - n : end]]) for n, end in _cuts(lengths)]

    return lambda rows: [f"{src}\t{tgt}\n" for src, tgt in zip(sentences(rows), sentences(rows), strict=True)]


KINDS = {"letters": letters, "words": words}


def _cuts(lengths: Array) -> Iterator[tuple[int, int]]:
    return zip(lengths.tolist(), np.cumsum(lengths).tolist(), strict=True)


def main() -> None:
    """Write the rows, a piece at a time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=KINDS, default="letters")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    make = KINDS[options.kind](np.random.default_rng(options.seed))
    with options.file.open("w", encoding="utf-8") as file:
        for start in range(0, options.rows, PIECE):
            file.writelines(make(min(PIECE, options.rows - start)))


if __name__ == "__main__":
    main()
