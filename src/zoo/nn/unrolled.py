"""Recurrent networks written out step by step, for programs that leave PyTorch: torch's own calls fix their length.

The weights are those of torch's modules. A position that is padded leaves the state as it is, so nothing is packed.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Hidden = tuple[Tensor, ...]


def lstm_step(gates: Tensor, hidden: Hidden, weight: Tensor, bias: Tensor) -> Hidden:
    """Return hidden and cell (batch, size) after an input whose share of the gates is (batch, 4 * size)."""
    inner, forget, new, outer = (gates + F.linear(hidden[0], weight, bias)).chunk(4, -1)
    cell = forget.sigmoid() * hidden[1] + inner.sigmoid() * new.tanh()
    return outer.sigmoid() * cell.tanh(), cell


def gru_step(gates: Tensor, hidden: Hidden, weight: Tensor, bias: Tensor) -> Hidden:
    """Return the state (batch, size) after an input whose share of the gates is (batch, 3 * size)."""
    reset, update, new = gates.chunk(3, -1)
    from_reset, from_update, from_new = F.linear(hidden[0], weight, bias).chunk(3, -1)
    kept = (update + from_update).sigmoid()
    candidate = (new + (reset + from_reset).sigmoid() * from_new).tanh()
    return (candidate + kept * (hidden[0] - candidate),)


def rnn_step(gates: Tensor, hidden: Hidden, weight: Tensor, bias: Tensor) -> Hidden:
    """Return the state (batch, size) after an input mapped to (batch, size)."""
    return ((gates + F.linear(hidden[0], weight, bias)).tanh(),)


STEPS: dict[type[nn.RNNBase], Callable[[Tensor, Hidden, Tensor, Tensor], Hidden]] = {
    nn.LSTM: lstm_step,
    nn.GRU: gru_step,
    nn.RNN: rnn_step,
}
"""torch's equations of each cell, one position at a time."""


def scan_time(step: Callable[..., Any], state: Hidden, inputs: Any, *, backwards: bool = False) -> Any:
    """Run `step(state, input)`, which gives a state and an output, over inputs (time, ...) of any time."""
    from torch._higher_order_ops.scan import scan  # slow to import, and nothing but an export needs it

    return scan(step, state, inputs, reverse=backwards)


def run_unrolled(
    network: nn.RNNBase, inputs: Tensor, hidden: Hidden | None = None, lengths: Tensor | None = None
) -> tuple[Tensor, Hidden]:
    """Run torch's network over inputs (batch, time, dim); return outputs (batch, time, size) and its last states.

    With lengths (batch) outputs are zero where padded, and states are those after the last token. States are (layers *
    directions, batch, hidden_size).
    """
    inside = None if lengths is None else torch.arange(inputs.size(1)) < lengths.clamp(min=1)[:, None]
    last: list[Hidden] = []
    directions = 2 if network.bidirectional else 1
    for _ in range(network.num_layers):
        found = []
        for backwards in range(directions):
            first = _first(network, inputs, hidden, len(last))
            outputs, state = _run_direction(network, len(last), inputs, first, inside, bool(backwards))
            found.append(outputs)
            last.append(state)
        inputs = torch.cat(found, -1)
    return inputs, tuple(torch.stack(states) for states in zip(*last, strict=True))


def _first(network: nn.RNNBase, inputs: Tensor, hidden: Hidden | None, number: int) -> Hidden:
    if hidden is not None:
        return tuple(state[number].clone() for state in hidden)
    zeros = inputs.new_zeros(inputs.size(0), network.hidden_size)
    return (zeros, zeros.clone()) if isinstance(network, nn.LSTM) else (zeros,)


def _run_direction(
    network: nn.RNNBase, number: int, inputs: Tensor, hidden: Hidden, inside: Tensor | None, backwards: bool
) -> tuple[Tensor, Hidden]:
    """Run one direction of one layer; return its outputs (batch, time, hidden_size) and its last state."""
    weight, inner, bias, inner_bias = network.all_weights[number][:4]
    advance = STEPS[type(network)]
    gates = F.linear(inputs, weight, bias).transpose(0, 1)  # (time, batch, gates)
    if inputs.size(1) == 1 and inside is None:
        hidden = advance(gates[0], hidden, inner, inner_bias)
        return hidden[0][:, None], hidden

    def step(state: Hidden, given: tuple[Tensor, ...]) -> tuple[Hidden, Tensor]:
        after = advance(given[0], state, inner, inner_bias)
        if inside is not None:
            after = tuple(torch.where(given[1], new, old) for new, old in zip(after, state, strict=True))
        return after, after[0].clone()

    places = () if inside is None else (inside.t()[..., None],)
    hidden, outputs = scan_time(step, hidden, (gates, *places), backwards=backwards)
    outputs = outputs.transpose(0, 1)
    return outputs if inside is None else outputs * inside[..., None], hidden
