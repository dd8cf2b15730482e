"""Attention: one class for each score of the recurrent models, and many heads for the Transformer.

Masks are boolean, True where a key is padding and to be ignored; None says that nothing is.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn.embedding import Rotary
from zoo.nn.init import StackedLinear


def attend(scores: Tensor, values: Tensor, padding_mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the values' average, weighted by the softmax of the scores, and the weights.

    scores is (batch, time, src_time), values (batch, src_time, dim), padding_mask (batch, src_time).
    """
    if padding_mask is not None:
        scores = scores.masked_fill(padding_mask[:, None], torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, -1)
    return torch.bmm(weights, values.to(weights.dtype)), weights


class DotAttention(nn.Module):
    """Score a query and a key by their product (Luong et al., 2015, eq. 7, dot); both are equally wide."""

    def project(self, keys: Tensor) -> Tensor:
        """Prepare the keys once for many calls."""
        return keys

    def forward(
        self, queries: Tensor, keys: Tensor, padding_mask: Tensor | None = None, *, projected: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attend from every query to the keys, which are the values too.

        queries is (batch, time, dim), keys (batch, src_time, dim), padding_mask (batch, src_time), projected what
        `project` made of the keys, where that is known. Returns the contexts (batch, time, dim) and the weights
        (batch, time, src_time), which sum to one and are zero on padding.
        """
        return attend(torch.bmm(queries, keys.to(queries.dtype).transpose(1, 2)), keys, padding_mask)


class GeneralAttention(nn.Module):
    """Score by a learned bilinear form, query W key (Luong et al., 2015, eq. 7, general)."""

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(key_size, query_size, bias=False)

    def project(self, keys: Tensor) -> Tensor:
        """Return W key (batch, src_time, query_size)."""
        projected: Tensor = self.key(keys)
        return projected

    def forward(
        self, queries: Tensor, keys: Tensor, padding_mask: Tensor | None = None, *, projected: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attend from every query to the keys; see `DotAttention.forward`."""
        projected = self.project(keys) if projected is None else projected
        return attend(torch.bmm(queries, projected.to(queries.dtype).transpose(1, 2)), keys, padding_mask)


class AdditiveAttention(nn.Module):
    """Score by a small network, v tanh(W query + U key) (Bahdanau et al., 2015, eq. 6 and A.1.2)."""

    def __init__(self, query_size: int, key_size: int, hidden_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, hidden_size, bias=False)
        self.key = nn.Linear(key_size, hidden_size, bias=False)
        self.energy = nn.Linear(hidden_size, 1, bias=False)

    def project(self, keys: Tensor) -> Tensor:
        """Return U key (batch, src_time, hidden_size)."""
        projected: Tensor = self.key(keys)
        return projected

    def forward(
        self, queries: Tensor, keys: Tensor, padding_mask: Tensor | None = None, *, projected: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attend from every query to the keys; see `DotAttention.forward`."""
        projected = self.project(keys) if projected is None else projected
        mixed = torch.tanh(self.query(queries)[:, :, None] + projected[:, None])  # (batch, time, src_time, hidden)
        return attend(self.energy(mixed).squeeze(-1), keys, padding_mask)


ScoredAttention = DotAttention | GeneralAttention | AdditiveAttention


def build_attention(score: str, *, query_size: int, key_size: int) -> ScoredAttention | None:
    """Return the attention with this score, or None for `none`."""
    if score == "none":
        return None
    if score == "dot":
        if query_size != key_size:
            raise ValueError(f"dot attention needs queries as wide as keys ({key_size}), but they have {query_size}")
        return DotAttention()
    if score == "general":
        return GeneralAttention(query_size, key_size)
    if score == "additive":
        return AdditiveAttention(query_size, key_size, query_size)
    raise ValueError(f"`attention` must be one of none, dot, general, additive, but is {score!r}")


def additive_mask(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Turn a boolean mask into a term for scores: 0 where attention may look, a huge negative number elsewhere.

    The number is finite, so that a row without any key gives no NaN.
    """
    if mask is None:
        return None
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(mask, torch.finfo(dtype).min / 2)


def causal_mask(time: int, device: torch.device) -> Tensor | None:
    """Return the mask (time, time), True above the diagonal, or None for a single position."""
    if not torch.compiler.is_exporting() and time == 1:
        return None
    return torch.ones(time, time, dtype=torch.bool, device=device).triu_(1)


def dot_product_attention(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    """Return softmax(queries keys / sqrt(dim) + bias) values (Vaswani et al., 2017, eq. 1).

    queries is (batch, heads, time, dim), keys and values (batch, heads, src_time, dim), bias broadcasts to
    (batch, heads, time, src_time). For short sequences two products are faster on a CPU than the fused call.
    """
    if queries.device.type != "cpu":
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
    return torch.matmul(attention_weights(queries, keys, bias), values)


def attention_weights(queries: Tensor, keys: Tensor, bias: Tensor | None) -> Tensor:
    """Return the weights (batch, heads, time, src_time) of `dot_product_attention`."""
    scores = torch.matmul(queries, keys.transpose(-2, -1)).mul_(queries.size(-1) ** -0.5)
    if bias is not None:
        scores += bias.to(scores.dtype)
    return torch.softmax(scores, -1)


def split_heads(x: Tensor, nhead: int, parts: int = 1) -> tuple[Tensor, ...]:
    """Turn (batch, time, parts * dim) into `parts` tensors (batch, heads, time, dim / heads), with one copy for all."""
    split = x.view(*x.shape[:-1], parts, nhead, -1)  # (batch, time, parts, heads, dim)
    return split.permute(2, 0, 3, 1, 4).contiguous().unbind(0)


def merge_heads(x: Tensor) -> Tensor:
    """Turn (batch, heads, time, dim / heads) back into (batch, time, dim)."""
    return x.transpose(1, 2).flatten(2)


def check_heads(d_model: int, nhead: int) -> None:
    """Raise ValueError where the heads cannot share the model's width evenly."""
    if nhead < 1 or d_model % nhead:
        raise ValueError(f"`nhead` must divide `d_model` ({d_model}), but is {nhead}")


class SelfAttention(nn.Module):
    """Let every position look at the others of its sequence, with several heads (Vaswani et al., 2017, 3.2.2)."""

    def __init__(self, d_model: int, nhead: int, *, rotary: bool = False) -> None:
        super().__init__()
        check_heads(d_model, nhead)
        self.nhead = nhead
        self.qkv = StackedLinear(d_model, d_model, parts=3)
        self.output = nn.Linear(d_model, d_model)
        self.rotary = Rotary(d_model // nhead) if rotary else None

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend within x (batch, time, d_model); bias (batch or 1, 1, time or 1, time) is added to the scores."""
        queries, keys, values = self.project(x)
        return self.merge(dot_product_attention(queries, keys, values, bias))

    def project(self, x: Tensor, start: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys, values (batch, heads, time, dim) of x, whose first position is `start`."""
        queries, keys, values = split_heads(self.qkv(x), self.nhead, parts=3)
        if self.rotary is not None:
            queries, keys = self.rotary(queries, start), self.rotary(keys, start)
        return queries, keys, values

    def merge(self, heads: Tensor) -> Tensor:
        """Mix the heads (batch, heads, time, dim) into (batch, time, d_model)."""
        merged: Tensor = self.output(merge_heads(heads))
        return merged


class CrossAttention(nn.Module):
    """Let every target position look at the encoded source, with several heads (Vaswani et al., 2017, 3.2.3)."""

    def __init__(self, d_model: int, nhead: int) -> None:
        super().__init__()
        check_heads(d_model, nhead)
        self.nhead = nhead
        self.query = nn.Linear(d_model, d_model)
        self.key_value = StackedLinear(d_model, d_model, parts=2)
        self.output = nn.Linear(d_model, d_model)

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values (batch, heads, src_time, dim) of the encoded source (batch, src_time, d_model)."""
        keys, values = split_heads(self.key_value(memory), self.nhead, parts=2)
        return keys, values

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend from x (batch, time, d_model) to keys and values as `project` gives them."""
        (queries,) = split_heads(self.query(x), self.nhead)
        attended: Tensor = self.output(merge_heads(dot_product_attention(queries, keys, values, bias)))
        return attended

    def weights(self, x: Tensor, keys: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the attention weights (batch, time, src_time), averaged over the heads."""
        (queries,) = split_heads(self.query(x), self.nhead)
        return attention_weights(queries, keys, bias).mean(1)
