"""The layers of the Transformer (Vaswani et al., 2017), and their stacks."""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn.attention import (
    CrossAttention,
    SelfAttention,
    additive_mask,
    causal_mask,
    dot_product_attention,
)
from zoo.nn.dropout import Dropout
from zoo.nn.init import StackedLinear

Block = Callable[[Tensor], Tensor]


class LayerOptions(NamedTuple):
    """What every layer of a stack is built from; see `zoo.config.TransformerConfig` for what each means."""

    d_model: int
    nhead: int
    dim_feedforward: int
    dropout: float = 0.1
    activation: str | Block = "relu"
    norm: str = "pre"
    rotary: bool = False


class FeedForward(nn.Module):
    """Apply a two-layer network to every position (Vaswani et al., 2017, eq. 2)."""

    def __init__(self, d_model: int, dim_feedforward: int, activation: Block) -> None:
        super().__init__()
        self.inner = nn.Linear(d_model, dim_feedforward)
        self.activation = activation
        self.outer = nn.Linear(dim_feedforward, d_model)

    def forward(self, x: Tensor) -> Tensor:
        mapped: Tensor = self.outer(self.activation(self.inner(x)))
        return mapped


class SwiGLU(nn.Module):
    """Apply a feed-forward network whose inside is gated by a swish (Shazeer, 2020, eq. 6)."""

    def __init__(self, d_model: int, dim_feedforward: int) -> None:
        super().__init__()
        self.gate_value = StackedLinear(d_model, dim_feedforward, parts=2)
        self.outer = nn.Linear(dim_feedforward, d_model)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.gate_value(x).chunk(2, -1)
        mapped: Tensor = self.outer(F.silu(gate) * value)
        return mapped


def build_feedforward(d_model: int, dim_feedforward: int, activation: str | Block) -> nn.Module:
    """Return the feed-forward block: `relu`, `gelu`, `swiglu`, or the plain one around a given activation."""
    if not isinstance(activation, str):
        return FeedForward(d_model, dim_feedforward, activation)
    if activation == "swiglu":
        return SwiGLU(d_model, dim_feedforward)
    if activation in ("relu", "gelu"):
        return FeedForward(d_model, dim_feedforward, nn.ReLU(inplace=True) if activation == "relu" else nn.GELU())
    raise ValueError(f"`activation` must be one of relu, gelu, swiglu, but is {activation!r}")


class PreNorm(nn.Module):
    """Wrap a block as x + dropout(block(norm(x))) (Xiong et al., 2020)."""

    def __init__(self, d_model: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, block: Block) -> Tensor:
        return self.dropout.add(x, block(self.norm(x)))


class PostNorm(nn.Module):
    """Wrap a block as norm(x + dropout(block(x))) (Vaswani et al., 2017, 3.1)."""

    def __init__(self, d_model: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, block: Block) -> Tensor:
        normed: Tensor = self.norm(self.dropout.add(x, block(x)))
        return normed


def build_residual(norm: str, d_model: int, dropout: float) -> nn.Module:
    """Return the residual connection with its norm before (`pre`) or after (`post`) the block."""
    if norm not in ("pre", "post"):
        raise ValueError(f"`norm` must be one of pre, post, but is {norm!r}")
    return PreNorm(d_model, dropout) if norm == "pre" else PostNorm(d_model, dropout)


def final_norm(options: LayerOptions) -> nn.Module:
    """Return the norm that ends a stack of pre-norm layers; post-norm layers end with their own."""
    return nn.LayerNorm(options.d_model) if options.norm == "pre" else nn.Identity()


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each with residual and norm."""

    def __init__(self, options: LayerOptions) -> None:
        super().__init__()
        self.attention = SelfAttention(options.d_model, options.nhead, rotary=options.rotary)
        self.feedforward = build_feedforward(options.d_model, options.dim_feedforward, options.activation)
        self.attention_residual = build_residual(options.norm, options.d_model, options.dropout)
        self.feedforward_residual = build_residual(options.norm, options.d_model, options.dropout)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map x (batch, time, d_model); bias (batch, 1, 1, time) hides the padding."""
        x = self.attention_residual(x, lambda inner: self.attention(inner, bias))
        x = self.feedforward_residual(x, self.feedforward)
        return x


class DecoderLayer(nn.Module):
    """Causal self-attention, attention over the source and a feed-forward network, each with residual and norm."""

    def __init__(self, options: LayerOptions) -> None:
        super().__init__()
        self.attention = SelfAttention(options.d_model, options.nhead, rotary=options.rotary)
        self.cross = CrossAttention(options.d_model, options.nhead)
        self.feedforward = build_feedforward(options.d_model, options.dim_feedforward, options.activation)
        self.attention_residual = build_residual(options.norm, options.d_model, options.dropout)
        self.cross_residual = build_residual(options.norm, options.d_model, options.dropout)
        self.feedforward_residual = build_residual(options.norm, options.d_model, options.dropout)

    def forward(self, x: Tensor, memory: Tensor, causal: Tensor | None, bias: Tensor | None = None) -> Tensor:
        """Map x (batch, time, d_model), given the encoded source memory (batch, src_time, d_model).

        causal (time, time) is added to the scores of self-attention, bias (batch, 1, 1, src_time) to the others.
        """
        keys, values = self.cross.project(memory)
        x = self.attention_residual(x, lambda inner: self.attention(inner, causal))
        x = self.cross_residual(x, lambda inner: self.cross(inner, keys, values, bias))
        x = self.feedforward_residual(x, self.feedforward)
        return x

    def step(self, x: Tensor, past: Tensor, time: int, memory: Tensor, bias: Tensor | None) -> Tensor:
        """Map one position x (batch, 1, d_model), the `time`-th, and write its keys and values into `past`.

        past (2, batch, heads, capacity, dim) holds the earlier keys and values, memory (2, sources, heads, src_time,
        dim) those of the sources, at which all rows of a source look together.
        """
        beams = (memory.size(1), -1, x.size(-1))  # (sources, rows of each, d_model)
        x = self.attention_residual(x, lambda inner: self._look_back(inner, past, time))
        x = self.cross_residual(x, lambda inner: self.cross(inner.view(beams), *memory, bias).view_as(inner))
        x = self.feedforward_residual(x, self.feedforward)
        return x

    def _look_back(self, x: Tensor, past: Tensor, time: int) -> Tensor:
        queries, keys, values = self.attention.project(x, time)
        past[0, :, :, time], past[1, :, :, time] = keys[:, :, 0], values[:, :, 0]
        seen = past[:, :, :, : time + 1]
        return self.attention.merge(dot_product_attention(queries, seen[0], seen[1], None))

    def align(self, x: Tensor, memory: Tensor, causal: Tensor | None, bias: Tensor | None) -> Tensor:
        """Return this layer's weights over the source (batch, time, src_time), averaged over the heads."""
        keys, _ = self.cross.project(memory)
        x = self.attention_residual(x, lambda inner: self.attention(inner, causal))
        inner = self.cross_residual.norm(x) if isinstance(self.cross_residual, PreNorm) else x
        return self.cross.weights(inner, keys, bias)


class TransformerEncoder(nn.Module):
    """A stack of encoder layers."""

    def __init__(self, options: LayerOptions, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(options) for _ in range(num_layers))
        self.norm = final_norm(options)

    def forward(self, x: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Encode x (batch, time, d_model); padding_mask (batch, time) is True where padded."""
        bias = None if padding_mask is None else additive_mask(padding_mask[:, None, None], x.dtype)
        for layer in self.layers:
            x = layer(x, bias)
        encoded: Tensor = self.norm(x)
        return encoded


class DecoderState(NamedTuple):
    """What decoding remembers: keys and values of all layers, of the target for each row and of each source once.

    past is (2 * layers, batch, heads, capacity, dim), of which the first `time` positions are filled; memory is
    (2 * layers, sources, heads, src_time, dim), bias (sources, 1, 1, src_time), owners (sources) the rows of `encode`
    that these came from. Each source has equally many rows of the batch, one after the other: the beams of a search.
    """

    past: Tensor
    time: int
    memory: Tensor
    bias: Tensor | None
    owners: Tensor

    @torch.no_grad()  # an output that is written in place has no gradient
    def select(self, rows: Tensor) -> "DecoderState":
        """Return the state of these rows, in this order; rows may repeat. The new state is a copy."""
        past = self.past.new_empty(self.past.size(0), len(rows), *self.past.shape[2:])
        filled = slice(0, self.time)
        torch.index_select(self.past[:, :, :, filled], 1, rows, out=past[:, :, :, filled])
        beams = self.past.size(1) // len(self.owners)
        sources = self.owners[rows // beams]
        owners, counts = torch.unique_consecutive(sources, return_counts=True)
        if (counts != counts[0]).any():
            owners = sources
        if torch.equal(owners, self.owners):  # beams of a source trade places: what they look at stays
            return self._replace(past=past)
        places = (owners[:, None] == self.owners).int().argmax(1)
        bias = None if self.bias is None else self.bias[places]
        return DecoderState(past, self.time, self.memory.index_select(1, places), bias, owners)

    def grown(self) -> "DecoderState":
        """Return a state that has room for one more position."""
        capacity = self.past.size(3)
        if self.time < capacity:
            return self
        past = self.past.new_empty(*self.past.shape[:3], 2 * capacity, self.past.size(4))
        past[:, :, :, :capacity] = self.past
        return self._replace(past=past)


class TransformerDecoder(nn.Module):
    """A stack of decoder layers."""

    def __init__(self, options: LayerOptions, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(options) for _ in range(num_layers))
        self.norm = final_norm(options)

    def forward(self, x: Tensor, memory: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Map x (batch, time, d_model), no position seeing a later one, given memory (batch, src_time, d_model).

        padding_mask (batch, src_time) belongs to the source; padding of the target comes after all that counts.
        """
        causal, bias = self._masks(x, padding_mask)
        for layer in self.layers:
            x = layer(x, memory, causal, bias)
        decoded: Tensor = self.norm(x)
        return decoded

    def align(self, x: Tensor, memory: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Return the last layer's weights over the source (batch, time, src_time), averaged over the heads."""
        causal, bias = self._masks(x, padding_mask)
        for layer in self.layers[:-1]:
            x = layer(x, memory, causal, bias)
        return self._layers()[-1].align(x, memory, causal, bias)

    def _layers(self) -> list[DecoderLayer]:
        return cast("list[DecoderLayer]", list(self.layers))

    def _masks(self, x: Tensor, padding_mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        causal = additive_mask(causal_mask(x.size(1), x.device), x.dtype)
        return causal, None if padding_mask is None else additive_mask(padding_mask[:, None, None], x.dtype)

    def start(self, memory: Tensor, padding_mask: Tensor | None = None, *, capacity: int = 16) -> DecoderState:
        """Return the state before the first step: the source's keys and values, and room for the target's."""
        pairs = [part for layer in self._layers() for part in layer.cross.project(memory)]
        stacked = torch.stack(pairs)  # (2 * layers, batch, heads, src_time, dim)
        past = stacked.new_empty(*stacked.shape[:3], capacity, stacked.size(4))
        bias = None if padding_mask is None else additive_mask(padding_mask[:, None, None], stacked.dtype)
        return DecoderState(past, 0, stacked, bias, torch.arange(memory.size(0), device=memory.device))

    def step(self, x: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Map the next position x (batch, 1, d_model). The given state is used up: its buffer is written to."""
        state = state.grown()
        for number, layer in enumerate(self._layers()):
            own = slice(2 * number, 2 * number + 2)
            x = layer.step(x, state.past[own], state.time, state.memory[own], state.bias)
        return self.norm(x), state._replace(time=state.time + 1)
