"""Several models as one: their probabilities, averaged."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class EnsembleState(NamedTuple):
    """The state of each model."""

    states: tuple[Any, ...]

    def select(self, rows: Tensor) -> "EnsembleState":
        """Return the state of these rows, in this order; rows may repeat."""
        return EnsembleState(tuple(state.select(rows) for state in self.states))


class Ensemble(nn.Module):
    """Answer with the mean of the probabilities of models that share vocabularies, of whatever families.

    Logits are the logarithms of these means, so that losses and searches take an ensemble for a model.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return log-probabilities, shaped as each model's logits for these inputs."""
        return mean_log_probabilities(model(*inputs) for model in self.models)

    def encode(self, src: Tensor, src_lengths: Tensor) -> EnsembleState:
        """Return the state from which `decode_step` starts."""
        models: Any = self.models
        return EnsembleState(tuple(model.encode(src, src_lengths) for model in models))

    def decode_step(self, tokens: Tensor, state: EnsembleState) -> tuple[Tensor, EnsembleState]:
        """Return log-probabilities (batch, vocab) for the symbols after tokens (batch), and the state after them."""
        models: Any = self.models
        steps = [model.decode_step(tokens, one) for model, one in zip(models, state.states, strict=True)]
        logits, states = zip(*steps, strict=True)
        return mean_log_probabilities(logits), EnsembleState(states)


def mean_log_probabilities(logits: Iterable[Tensor]) -> Tensor:
    """Return the logarithm of the mean of the softmax of each, in fp32 or better; all are (..., classes).

    They are taken one after the other, so that those of several models need not lie in memory together.
    """
    total, count = None, 0
    for one in logits:
        log = one.to(torch.promote_types(one.dtype, torch.float32)).log_softmax(-1)
        total, count = log if total is None else torch.logaddexp(total, log), count + 1
    if total is None:
        raise ValueError("an ensemble needs at least one model")
    return total - math.log(count)
