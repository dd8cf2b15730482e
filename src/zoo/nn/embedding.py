"""Tokens and positions as vectors, and which positions are padding."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PADDING_ID = 0


def padding_mask(lengths: Tensor, time: int, device: torch.device) -> Tensor | None:
    """Return the mask (batch, time), True where padded, or None where nothing is; an exported program always has one.

    lengths (batch) lie on the CPU, so looking at them waits for no accelerator.
    """
    if not torch.compiler.is_exporting() and int(lengths.min()) >= time:
        return None
    return torch.arange(time) >= lengths[:, None] if device.type == "cpu" else _mask_on(lengths, time, device)


def _mask_on(lengths: Tensor, time: int, device: torch.device) -> Tensor:
    return torch.arange(time, device=device) >= lengths.to(device, non_blocking=True)[:, None]


class TokenEmbedding(nn.Module):
    """Look up token vectors, optionally times sqrt(dim) (Vaswani et al., 2017, 3.4).

    The vector of the padding (id 0) is zero at first and gets no gradient from being looked up. With tokens of any
    shape, the result has one more dimension, in the dtype of autocast where that is on.
    """

    def __init__(self, vocab_size: int, dim: int, *, scaled: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(vocab_size, dim, padding_idx=PADDING_ID)
        self.scale = math.sqrt(dim) if scaled else 1.0

    def forward(self, tokens: Tensor) -> Tensor:
        weight = self.table.weight
        if torch.is_autocast_enabled(weight.device.type):
            weight = weight.to(torch.get_autocast_dtype(weight.device.type))
        vectors = F.embedding(tokens, weight, self.table.padding_idx)
        return vectors if self.scale == 1.0 else vectors * self.scale


def weighted_sum(ids: Tensor, table: Tensor, weights: Tensor) -> Tensor:
    """Return the sum (batch, dim) of the rows of table (vocab, dim) that ids (batch, time) name, times their weights.

    The rows themselves are never laid out, but in an exported program, whose time may be 1.
    """
    if torch.compiler.is_exporting():
        return torch.bmm(weights[:, None], F.embedding(ids, table))[:, 0]
    return F.embedding_bag(ids, table, mode="sum", per_sample_weights=weights)


def sinusoids(length: int, dim: int) -> Tensor:
    """Return the table (length, dim) of sines and cosines (Vaswani et al., 2017, 3.5)."""
    angles = _angles(length, dim)  # (length, ceil(dim / 2))
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :dim]


def _angles(length: int, dim: int) -> Tensor:
    rates = 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    return torch.arange(length, dtype=torch.float64)[:, None] * rates


class SinusoidalPositions(nn.Module):
    """Add fixed sines and cosines to the token vectors (Vaswani et al., 2017, 3.5); any length."""

    table: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoids(64, dim), persistent=False)

    def forward(self, vectors: Tensor, start: int = 0) -> Tensor:
        """Add positions `start`, `start` + 1, ... to vectors (batch, time, dim)."""
        end = start + vectors.size(1)
        if end > len(self.table):
            self.table = sinusoids(2 * end, vectors.size(2)).to(vectors.device)
        return vectors + self.table[start:end].to(vectors.dtype)


class LearnedPositions(nn.Module):
    """Add a learned vector for each of `max_length` positions (Gehring et al., 2017)."""

    def __init__(self, max_length: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(max_length, dim)

    def forward(self, vectors: Tensor, start: int = 0) -> Tensor:
        """Add positions `start`, `start` + 1, ... to vectors (batch, time, dim)."""
        end, longest = start + vectors.size(1), self.table.num_embeddings
        if end > longest:
            raise ValueError(
                f"learned positions end at {longest}, but the sequence has at least {end}; "
                "raise `model.max_length` or choose sinusoidal or rotary `model.positions`"
            )
        scale = math.sqrt(vectors.size(2))  # as large as the scaled token vectors
        return vectors + (self.table.weight[start:end] * scale).to(vectors.dtype)


class NoPositions(nn.Module):
    """Leave the token vectors as they are: rotary positions enter in the attention."""

    def forward(self, vectors: Tensor, start: int = 0) -> Tensor:
        return vectors


def build_positions(kind: str, *, dim: int, max_length: int) -> nn.Module:
    """Return what adds positions of `kind` to token vectors."""
    if kind == "sinusoidal":
        return SinusoidalPositions(dim)
    if kind == "learned":
        return LearnedPositions(max_length, dim)
    if kind == "rotary":
        return NoPositions()
    raise ValueError(f"`positions` must be one of sinusoidal, learned, rotary, but is {kind!r}")


class Rotary(nn.Module):
    """Turn pairs of features by an angle that grows with the position (Su et al., 2021, eq. 34).

    The product of a turned query and a turned key then depends on the distance of their positions alone.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"`d_model` over `nhead` must be even for rotary positions, but is {dim}")
        self.dim = dim
        self.register_buffer("cos", torch.empty(0), persistent=False)
        self.register_buffer("sin", torch.empty(0), persistent=False)
        self.grow(64)

    def grow(self, length: int) -> None:
        """Make the tables hold `length` positions."""
        angles = _angles(length, self.dim).repeat(1, 2)  # (length, dim): feature i is paired with i + dim / 2
        self.cos, self.sin = angles.cos().to(self.cos.device), angles.sin().to(self.sin.device)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Turn x (..., time, dim) as positions `start`, `start` + 1, ..."""
        end = start + x.size(-2)
        if end > len(self.cos):
            self.grow(2 * end)
        left, right = x.chunk(2, -1)
        turned = torch.cat([-right, left], -1)
        return x * self.cos[start:end].to(x.dtype) + turned * self.sin[start:end].to(x.dtype)
