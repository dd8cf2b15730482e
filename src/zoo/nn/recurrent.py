"""Recurrent encoder and decoder: hidden states that never see padding."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo.nn.attention import ScoredAttention
from zoo.nn.dropout import Dropout
from zoo.nn.unrolled import run_unrolled

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
"""Hochreiter and Schmidhuber (1997), Cho et al. (2014), Elman (1990)."""

Hidden = tuple[Tensor, ...]
"""States (layers, batch, hidden_size): hidden and cell of an LSTM, hidden alone of the others."""


def build_cell(
    cell: str, input_size: int, hidden_size: int, *, num_layers: int, bidirectional: bool, dropout: float
) -> nn.RNNBase:
    """Return torch's recurrent network of this kind, batch first, with dropout between its layers."""
    if cell not in CELLS:
        raise ValueError(f"`cell` must be one of {', '.join(CELLS)}, but is {cell!r}")
    if bidirectional and hidden_size % 2:
        raise ValueError(f"`hidden_size` must be even for two directions, but is {hidden_size}")
    size = hidden_size // 2 if bidirectional else hidden_size
    between = dropout if num_layers > 1 else 0.0
    kind = CELLS[cell]
    return kind(input_size, size, num_layers=num_layers, bidirectional=bidirectional, dropout=between, batch_first=True)


def run_cell(network: nn.RNNBase, inputs: Tensor, hidden: Hidden | None = None) -> tuple[Tensor, Hidden]:
    """Run torch's network over inputs (batch, time, dim); return its outputs and last states as a tuple."""
    if torch.compiler.is_exporting():
        return run_unrolled(network, inputs, hidden)
    given = None if hidden is None else hidden if isinstance(network, nn.LSTM) else hidden[0]
    outputs, last = network(inputs, given)
    return outputs, last if isinstance(last, tuple) else (last,)


class RecurrentEncoder(nn.Module):
    """Read sequences in one direction or both; both together are as wide as `hidden_size`.

    Sequences of different lengths are packed, so that padding reaches no state; equal ones are read as they are.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        cell: str = "lstm",
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.bidirectional = bidirectional
        self.network = build_cell(
            cell, input_size, hidden_size, num_layers=num_layers, bidirectional=bidirectional, dropout=dropout
        )

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Hidden]:
        """Read inputs (batch, time, input_size) of these lengths (batch), a tensor on the CPU.

        Returns the outputs (batch, time, hidden_size), zero where padded, and the states after each sequence's last
        token (and, backwards, its first) as (layers, batch, hidden_size).
        """
        if torch.compiler.is_exporting():
            outputs, hidden = run_unrolled(self.network, inputs, lengths=lengths)
        elif int(lengths.min()) >= inputs.size(1):
            outputs, hidden = run_cell(self.network, inputs)
        else:
            outputs, hidden = self._run_packed(inputs, lengths.clamp(min=1))
        return outputs, tuple(self._join(state) for state in hidden)

    def _run_packed(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Hidden]:
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        outputs, last = self.network(packed)
        padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.size(1))
        return padded, last if isinstance(last, tuple) else (last,)

    def _join(self, state: Tensor) -> Tensor:
        """Put the two directions of (layers * directions, batch, size) side by side."""
        if not self.bidirectional:
            return state
        return torch.cat([state[0::2], state[1::2]], -1)


class Bridge(nn.Module):
    """Turn the encoder's last states into the decoder's first (Bahdanau et al., 2015, A.2.2)."""

    def __init__(self, hidden_size: int, states: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(hidden_size, hidden_size) for _ in range(states))

    def forward(self, hidden: Hidden) -> Hidden:
        return tuple(torch.tanh(linear(state)) for linear, state in zip(self.maps, hidden, strict=True))


class Memory(NamedTuple):
    """The encoded source: outputs (batch, src_time, dim), what the attention made of them, and the padding."""

    outputs: Tensor
    projected: Tensor | None
    padding_mask: Tensor | None

    def select(self, rows: Tensor) -> "Memory":
        """Return the memory of these rows."""
        projected = None if self.projected is None else self.projected[rows]
        mask = None if self.padding_mask is None else self.padding_mask[rows]
        return Memory(self.outputs[rows], projected, mask)


class RecurrentDecoder(nn.Module):
    """Predict the next vectors from the last ones, looking at the source after the recurrence (Luong et al., 2015).

    Without input feeding the recurrence does not wait for the attention, so whole sequences run in one call and
    attention over all their positions in another.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        attention: ScoredAttention | None,
        cell: str = "lstm",
        num_layers: int = 1,
        dropout: float = 0.0,
        input_feeding: bool = False,
    ) -> None:
        super().__init__()
        if input_feeding and attention is None:
            raise ValueError("`input_feeding` needs an attention; set `attention` to dot, general or additive")
        self.hidden_size, self.input_feeding = hidden_size, input_feeding
        width = input_size + hidden_size if input_feeding else input_size
        self.network = build_cell(cell, width, hidden_size, num_layers=num_layers, bidirectional=False, dropout=dropout)
        self.attention = attention
        self.combine = nn.Linear(2 * hidden_size, hidden_size) if attention is not None else None
        self.dropout = Dropout(dropout)

    def remember(self, outputs: Tensor, padding_mask: Tensor | None) -> Memory:
        """Prepare the encoder's outputs for many steps."""
        projected = None if self.attention is None else self.attention.project(outputs)
        return Memory(outputs, projected, padding_mask)

    def forward(self, inputs: Tensor, hidden: Hidden, memory: Memory) -> tuple[Tensor, Tensor | None]:
        """Return the vectors (batch, time, hidden_size) after inputs (batch, time, input_size), and the weights."""
        if self.input_feeding:
            return self._run_feeding(inputs, hidden, memory)
        outputs, _ = run_cell(self.network, inputs, hidden)
        attended, weights = self._attend(outputs, memory)
        return self.dropout(attended), weights

    def step(self, inputs: Tensor, hidden: Hidden, feed: Tensor, memory: Memory) -> tuple[Tensor, Hidden, Tensor]:
        """Advance by one position: inputs is (batch, input_size), feed (batch, hidden_size) the last vector.

        Returns the vector (batch, hidden_size), the states after it and the attention's weights (batch, src_time),
        which are empty without attention.
        """
        if self.input_feeding:
            inputs = torch.cat([inputs, feed.to(inputs.dtype)], -1)
        outputs, hidden = run_cell(self.network, inputs[:, None], hidden)
        attended, weights = self._attend(outputs, memory)
        empty = attended.new_empty(len(attended), 0)
        return self.dropout(attended[:, 0]), hidden, empty if weights is None else weights[:, 0]

    def first_feed(self, inputs: Tensor) -> Tensor:
        """Return the zeros that stand for the vector before the first; inputs is (batch, ...)."""
        return inputs.new_zeros(len(inputs), self.hidden_size)

    def _run_feeding(self, inputs: Tensor, hidden: Hidden, memory: Memory) -> tuple[Tensor, Tensor]:
        vectors, weights, feed = [], [], self.first_feed(inputs)
        for position in inputs.unbind(1):
            feed, hidden, looked_at = self.step(position, hidden, feed, memory)
            vectors.append(feed)
            weights.append(looked_at)
        return torch.stack(vectors, 1), torch.stack(weights, 1)

    def _attend(self, outputs: Tensor, memory: Memory) -> tuple[Tensor, Tensor | None]:
        """Return tanh(W [context; state]) (Luong et al., 2015, eq. 5) for outputs (batch, time, hidden_size)."""
        if self.attention is None or self.combine is None:
            return outputs, None
        context, weights = self.attention(outputs, memory.outputs, memory.padding_mask, projected=memory.projected)
        return torch.tanh(self.combine(torch.cat([context, outputs.to(context.dtype)], -1))), weights
