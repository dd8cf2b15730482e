import math
import subprocess
import sys
from collections import Counter
from random import Random

import pytest

from zoo.data.sampling import DRAWS, bpe_dropout, sample_unigram, sample_words, unigram_lattice
from zoo.data.subword import Subword

TEXTS = ["the cat sat on the mat", "a dog sat on a log", "  two  spaces and a mark ", "lower newer wider"] * 4
SCORES = {"a": -1.0, "b": -2.0, "ab": -2.0, "ba": -2.5, "aba": -3.0}


def splits(word: str) -> list[list[str]]:
    """List every split of a word into pieces."""
    if not word:
        return [[]]
    return [[word[:n], *rest] for n in range(1, len(word) + 1) if word[:n] in SCORES for rest in splits(word[n:])]


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_unigram_draws_each_split_as_often_as_its_probability_says(alpha: float) -> None:
    weights = {tuple(split): math.exp(alpha * sum(SCORES[piece] for piece in split)) for split in splits("abab")}
    lattice, random = unigram_lattice("abab", SCORES, alpha=alpha, longest=3, unknown=-9.0), Random(0)
    drawn = Counter(tuple(sample_unigram("abab", lattice, random=random)) for _ in range(20_000))
    assert drawn.keys() <= weights.keys()
    for split, weight in weights.items():
        assert drawn[split] / 20_000 == pytest.approx(weight / sum(weights.values()), abs=0.015)


def test_a_character_that_is_no_piece_stands_alone() -> None:
    lattice = unigram_lattice("axb", SCORES, alpha=1.0, longest=3, unknown=-9.0)
    assert sample_unigram("axb", lattice, random=Random(0)) == ["a", "x", "b"]


def test_bpe_without_dropout_is_that_of_sentencepiece() -> None:
    model = Subword.train("bpe", TEXTS, vocab_size=40)
    assert model.sample_many(TEXTS, strength=0.0, seed=1) == model.split_many(TEXTS)


def test_dropout_leaves_out_merges_and_a_dropout_of_one_leaves_letters() -> None:
    scores = {"ab": -0.0, "abc": -1.0}
    assert bpe_dropout("abc", scores, dropout=0.0, random=Random(0)) == ["abc"]
    assert bpe_dropout("abc", scores, dropout=1.0, random=Random(0)) == ["a", "b", "c"]
    drawn = Counter(len(bpe_dropout("abc", scores, dropout=0.3, random=Random(i))) for i in range(5000))
    assert drawn[3] / 5000 == pytest.approx(0.3, abs=0.03)  # the first merge is left out
    assert drawn[2] / 5000 == pytest.approx(0.7 * 0.3, abs=0.03)


def test_a_frequent_word_takes_its_draws_in_turn() -> None:
    count = iter(range(1000))
    rows = sample_words(["\u2581a\u2581b"] * 100, lambda word, n: [[f"{word}{next(count)}"] for _ in range(n)])
    seen = Counter(row[0] for row in rows)
    assert len(seen) == DRAWS
    assert max(seen.values()) - min(seen.values()) <= 1


def test_another_process_draws_the_same() -> None:
    code = (
        "from zoo.data.subword import Subword; texts = ['the cat sat on the mat'] * 9;"
        "print([Subword.train(name, texts, vocab_size=20).sample_many(texts, strength=0.3, seed=7)"
        " for name in ('bpe', 'unigram')])"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    texts = ["the cat sat on the mat"] * 9
    models = [Subword.train(name, texts, vocab_size=20) for name in ("bpe", "unigram")]
    assert other.strip() == str([model.sample_many(texts, strength=0.3, seed=7) for model in models])
