"""Random subwords, so that a model meets a word in many spellings.

sentencepiece samples too, but mixes its seed with something that differs from process to process (seen with 0.2.3), so
that no run could be repeated. No piece crosses a space, hence words are drawn one by one.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from random import Random

WORD = re.compile("\u2581[^\u2581]*")
DRAWS = 16
"""Most draws for a word in an epoch; a more frequent word takes them in turn."""

Draw = Callable[[str, int], list[list[str]]]
"""From a word and a count to that many splits."""
Lattice = list[tuple[list[int], list[float]]]
"""For each position the beginnings of the last piece, and their chances summed up."""


def bpe_dropout(word: str, scores: Mapping[str, float], *, dropout: float, random: Random) -> list[str]:
    """Merge the best pair until none is left, each possible merge left out with chance `dropout` (Provilkov 2020).

    `scores` are those of the pieces; of equally good pairs the leftmost is merged. Without dropout this is plain BPE.
    """
    symbols = list(word)
    while True:
        pairs = ((scores.get(symbols[i] + symbols[i + 1]), -i) for i in range(len(symbols) - 1))
        kept = [(score, i) for score, i in pairs if score is not None and (not dropout or random.random() >= dropout)]
        if not kept:
            return symbols
        i = -max(kept)[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


def unigram_lattice(word: str, scores: Mapping[str, float], *, alpha: float, longest: int, unknown: float) -> Lattice:
    """Return, for each position in `word`, where the piece that ends there may begin, and with what chance.

    `scores` are the log probabilities of the pieces, none of which has more than `longest` characters; a character
    that is no piece has `unknown`. All splits of word[:end] together weigh exp(reach[end]), a sum of probabilities to
    the power `alpha` (Kudo 2018, eq. 8).
    """
    reach = [0.0]
    lattice: Lattice = [([], [])]
    for end in range(1, len(word) + 1):
        found = [(begin, scores.get(word[begin:end])) for begin in range(max(0, end - longest), end - 1)]
        weights = {begin: reach[begin] + alpha * score for begin, score in found if score is not None}
        weights[end - 1] = reach[end - 1] + alpha * scores.get(word[end - 1], unknown)
        top = max(weights.values())
        cumulated = list(accumulate(math.exp(weight - top) for weight in weights.values()))
        lattice.append((list(weights), cumulated))
        reach.append(top + math.log(cumulated[-1]))
    return lattice


def sample_unigram(word: str, lattice: Lattice, *, random: Random) -> list[str]:
    """Draw one of all splits by its chance, the last piece first."""
    pieces, end = [], len(word)
    while end:
        begins, cumulated = lattice[end]
        begin = random.choices(begins, cum_weights=cumulated)[0]
        pieces.append(word[begin:end])
        end = begin
    return pieces[::-1]


def sample_words(texts: Iterable[str], draw: Draw) -> list[list[str]]:
    """Split each text, a run of words that each begin with sentencepiece's mark, by draws for its words."""
    rows = [WORD.findall(text) for text in texts]
    counts = Counter(word for row in rows for word in row)
    drawn = {word: draw(word, min(count, DRAWS)) for word, count in counts.items()}
    turn: Counter[str] = Counter()
    return [[piece for word in row for piece in _next(drawn[word], turn, word)] for row in rows]


def _next(draws: list[list[str]], turn: Counter[str], word: str) -> list[str]:
    turn[word] += 1
    return draws[turn[word] % len(draws)]
