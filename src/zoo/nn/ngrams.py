"""Runs of tokens as features: each run finds its vector by a hash, so that no list of runs is kept."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn.dropout import Dropout
from zoo.nn.embedding import PADDING_ID, weighted_sum

FACTORS = 0x1F7A5C3D9E8B4A67, 0x3C79AC492BA7B653, 0x1C69B3F74AC4AE35
"""Odd, and otherwise arbitrary: that of a step from token to token, and two that spread the result."""


def hash_runs(tokens: Tensor, longest: int, buckets: int) -> Iterator[Tensor]:
    """Yield, for each width from 2 to `longest`, the buckets (batch, time - width + 1) of the runs of tokens.

    They follow from the ids of a run alone, and are the same on every machine: integers of 64 bits wrap around.
    """
    step, first, second = FACTORS
    mixed = tokens
    for width in range(2, min(longest, tokens.size(1)) + 1):
        mixed = mixed[:, :-1] * step + tokens[:, width - 1 :] + width
        spread = (mixed ^ (mixed >> 31)) * first
        spread = (spread ^ (spread >> 29)) * second
        yield (spread ^ (spread >> 32)) % buckets


class RunSum(nn.Module):
    """Add up a vector for each token and for each run of 2 to `ngrams` tokens, over the root of their number.

    Runs share `buckets` vectors (Joulin et al., 2017, 2.1). In training each token and run is left out with chance
    `dropout`, which keeps rare ones from being trusted (Wang and Manning, 2013).
    """

    def __init__(self, vocab_size: int, dim: int, *, ngrams: int, buckets: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.ngrams, self.buckets = ngrams, buckets
        self.tokens = nn.Embedding(vocab_size, dim, padding_idx=PADDING_ID)
        self.runs = nn.Embedding(buckets, dim) if ngrams > 1 else None
        self.dropout = Dropout(dropout)

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """Return (batch, dim) of text (batch, time); lengths (batch) lie on the CPU."""
        if torch.compiler.is_exporting():
            text = F.pad(text, (0, self.ngrams - 1))  # so that there is a run of each width, whatever the time
        lengths = lengths.to(text.device, non_blocking=True)[:, None]
        places = torch.ones_like(text).cumsum(1)  # from 1
        counts = sum((lengths - width).clamp(min=-1) + 1 for width in range(1, self.ngrams + 1))
        scale = counts.clamp(min=1).to(self.tokens.weight.dtype).rsqrt()  # type: ignore[union-attr]
        total = self._add(self.tokens, text, places <= lengths, scale)
        if self.runs is None or text.size(1) < 2:
            return total
        runs = list(hash_runs(text, self.ngrams, self.buckets))
        inside = [places[:, width - 1 :] <= lengths for width in range(2, len(runs) + 2)]
        return total + self._add(self.runs, torch.cat(runs, 1), torch.cat(inside, 1), scale)

    def _add(self, table: nn.Embedding, ids: Tensor, inside: Tensor, scale: Tensor) -> Tensor:
        """Return the sum (batch, dim) of the vectors of those ids (batch, count) that are inside."""
        weights = self.dropout(inside.to(scale.dtype) * scale)
        return weighted_sum(ids, table.weight, weights)

    def extra_repr(self) -> str:
        return f"ngrams={self.ngrams}, buckets={self.buckets}"
