"""Greedy and beam search over any model with `encode` and `decode_step`."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from zoo.data.vocab import BOS, EOS


class State(Protocol):
    """What a decoder carries from step to step; every tensor in it is batch first."""

    def select(self, rows: Tensor) -> Any:
        """Return the state of the given rows (int64, may repeat)."""
        ...


class SequenceModel(Protocol):
    """The two methods that searching needs."""

    def encode(self, src: Tensor, src_lengths: Tensor) -> Any:
        """Read the source, (batch, time), and return the decoder's first state."""
        ...

    def decode_step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Take the last tokens (batch) and return logits (batch, vocab) and the next state."""
        ...


class Hypothesis(NamedTuple):
    """An output without start and end symbol, and its log-probability over length to the power of the penalty."""

    ids: list[int]
    score: float


@torch.no_grad()
def greedy(model: SequenceModel, src: Tensor, src_lengths: Tensor, *, max_length: int) -> list[Hypothesis]:
    """Take the likeliest token at each step, at most `max_length` of them, the end symbol included.

    src is (batch, time), src_lengths (batch) on the CPU. Rows that have ended leave the batch once they are an eighth
    of it, so that the last steps cost what the longest rows need. The score is the mean log-probability of a token.
    """
    count, device = len(src), src.device
    state = model.encode(src, src_lengths)
    output = torch.full((count, max_length), EOS, device=device)
    total = torch.zeros(count, device=device)
    length = torch.zeros(count, dtype=torch.int64, device=device)
    rows = torch.arange(count, device=device)  # of the batch as it was given
    tokens = torch.full((count,), BOS, device=device)
    ended = torch.zeros(count, dtype=torch.bool, device=device)
    for step in range(max_length):
        logits, state = model.decode_step(tokens, state)
        best, tokens = logits.float().log_softmax(-1).max(-1)
        tokens = tokens.masked_fill_(ended, EOS)
        output[rows, step] = tokens
        total[rows] += best.masked_fill_(ended, 0)
        length[rows[~ended]] = step + 1
        ended = tokens == EOS
        alive = (~ended).nonzero().squeeze(1)
        if not len(alive):
            break
        if len(alive) <= len(rows) * 7 // 8:
            rows, tokens, ended, state = rows[alive], tokens[alive], ended[alive], state.select(alive)
    scores = (total / length).tolist()
    return [Hypothesis(_until_end(ids), score) for ids, score in zip(output.tolist(), scores, strict=True)]


def _until_end(ids: list[int]) -> list[int]:
    return ids[: ids.index(EOS)] if EOS in ids else ids


@torch.no_grad()
def beam(
    model: SequenceModel,
    src: Tensor,
    src_lengths: Tensor,
    *,
    width: int,
    max_length: int,
    length_penalty: float = 1.0,
    nbest: int = 1,
) -> list[list[Hypothesis]]:
    """Keep the `width` likeliest prefixes at each step; return up to `nbest` outputs for each source, best first.

    src is (batch, time), int64, each row ended by the end symbol and padded with 0; src_lengths (batch) lies on the
    CPU. An output has at most `max_length` symbols, the end symbol included, and is given without it.
    A source is done when `width` outputs have ended. Scores are log-probabilities over (length with end symbol) to
    the power of `length_penalty` (Wu et al. 2016, eq. 14, without its constant). ValueError where nbest exceeds width.
    """
    if nbest > width:
        raise ValueError(f"`nbest` must be at most the beam width ({width}), but is {nbest}")
    count, device = len(src), src.device
    state = model.encode(src, src_lengths).select(torch.arange(count, device=device).repeat_interleave(width))
    ended: list[list[Hypothesis]] = [[] for _ in range(count)]
    sources = list(range(count))
    prefixes = torch.full((count, width, 1), BOS, device=device)
    scores = torch.full((count, width), -torch.inf, device=device)
    scores[:, 0] = 0  # the prefixes are equal at first: only one of them may grow
    for step in range(1, max_length + 1):
        logits, state = model.decode_step(prefixes[:, :, -1].reshape(-1), state)
        values, parents, tokens = _candidates(scores, logits)
        _collect(ended, sources, prefixes, values, parents, tokens, step**length_penalty)
        parents, tokens, scores = _continue(values, parents, tokens)
        prefixes = torch.cat([prefixes.gather(1, parents[:, :, None].expand(-1, -1, step)), tokens[:, :, None]], 2)
        alive = [row for row, source in enumerate(sources) if len(ended[source]) < width]
        if not alive:
            break
        if len(alive) > len(sources) * 7 // 8:
            alive = list(range(len(sources)))
        kept = torch.tensor(alive, device=device)
        state = state.select((kept[:, None] * width + parents[kept]).reshape(-1))
        prefixes, scores, sources = prefixes[kept], scores[kept], [sources[row] for row in alive]
    else:
        _collect_unended(ended, sources, prefixes, scores, max_length**length_penalty)
    return [sorted(found, key=lambda one: -one.score)[:nbest] for found in ended]


def _candidates(scores: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the 2 x width best continuations: scores, parents and tokens, each (batch, 2 x width).

    Twice the width, since each prefix has one end symbol: at least `width` of them go on.
    """
    batch, width = scores.shape
    grown = scores[:, :, None] + logits.float().log_softmax(-1).view(batch, width, -1)
    vocab = grown.shape[-1]
    values, flat = grown.view(batch, -1).topk(min(2 * width, width * vocab))
    return values, flat // vocab, flat % vocab


def _collect(
    ended: list[list[Hypothesis]],
    sources: list[int],
    prefixes: Tensor,
    values: Tensor,
    parents: Tensor,
    tokens: Tensor,
    divisor: float,
) -> None:
    """Keep the outputs that end here and rank among the best `width`."""
    width = prefixes.shape[1]
    final = (tokens == EOS) & values.isfinite()
    final[:, width:] = False
    places = final.nonzero()
    if not len(places):
        return
    row, column = places.unbind(1)
    outputs = prefixes[row, parents[row, column], 1:].tolist()
    for index, ids, score in zip(row.tolist(), outputs, (values[row, column] / divisor).tolist(), strict=True):
        if len(ended[sources[index]]) < width:
            ended[sources[index]].append(Hypothesis(ids, score))


def _continue(values: Tensor, parents: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return parents, tokens and scores of the best `width` candidates that go on, each (batch, width)."""
    width = max(values.shape[1] // 2, 1)
    order = (tokens == EOS).to(torch.uint8).sort(dim=1, stable=True).indices[:, :width]
    scores = values.gather(1, order).masked_fill(tokens.gather(1, order) == EOS, -torch.inf)
    return parents.gather(1, order), tokens.gather(1, order), scores


def _collect_unended(
    ended: list[list[Hypothesis]], sources: list[int], prefixes: Tensor, scores: Tensor, divisor: float
) -> None:
    """Fill up with the prefixes that reached the longest length, so that every source has an output."""
    width = prefixes.shape[1]
    for source, row, values in zip(sources, prefixes[:, :, 1:].tolist(), (scores / divisor).tolist(), strict=True):
        room = width - len(ended[source])
        unended = [Hypothesis(ids, value) for ids, value in zip(row, values, strict=True) if value > -torch.inf]
        ended[source] += unended[:room]
