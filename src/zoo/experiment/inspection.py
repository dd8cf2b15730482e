"""What is inside of a model: its weights, and on a few rows its gradients, activations and encoder states."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from zoo.data.corpus import Array, Corpus, TextCorpus
from zoo.data.loader import Loader
from zoo.errors import ConfigError
from zoo.evaluation import Setting, autocast
from zoo.loss import model_loss, summed_loss
from zoo.nn.embedding import padding_mask
from zoo.nn.text import masked_mean

ACTIVATIONS = (nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid)
"""Modules whose outputs are looked at; a function such as `F.relu` is none, and no hook hangs on it."""
ROWS = 32


def inside(model: nn.Module, corpus: Corpus, setting: Setting) -> dict[str, Array]:
    """Return `weights/<name>`, `gradients/<name>` and `activations/<module>`, the latter two of a few rows of a corpus.

    The gradient is that of the mean loss in fp32 and without dropout, so that no random number is drawn; `.grad` of the
    weights stays as it is, and the model comes back in eval mode.
    """
    model.eval()
    named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    batch: Any = few_rows(corpus, setting.batch_tokens).to(setting.device)
    with torch.backends.cudnn.flags(enabled=False), _outputs(model) as outputs:  # cuDNN has no gradient in eval mode
        loss, count, _ = model_loss(model, batch, summed_loss)
        gradients = torch.autograd.grad(loss / count.clamp(min=1), list(named.values()), allow_unused=True)
    found: dict[str, Tensor] = {f"weights/{name}": weight for name, weight in named.items()}
    found |= {f"gradients/{name}": one for name, one in zip(named, gradients, strict=True) if one is not None}
    found |= {f"activations/{name}": torch.cat(parts) for name, parts in outputs.items()}
    return {name: tensor.detach().float().cpu().numpy() for name, tensor in found.items()}


def few_rows(corpus: Corpus, batch_tokens: int) -> Any:
    """Return a batch of at most `ROWS` rows, evenly spread over a corpus, fewer where they are long."""
    rows = spread_rows(len(corpus), ROWS)
    longest = max(int(side[rows].max()) for side in corpus.lengths)
    return corpus.batch(spread_rows(len(corpus), min(ROWS, max(1, batch_tokens // longest))))


def spread_rows(size: int, limit: int) -> Array:
    """Return at most `limit` of the numbers below `size`, evenly spread."""
    count = min(size, limit)
    rows: Array = np.arange(count) * size // max(count, 1)
    return rows


@contextmanager
def _outputs(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Collect what the `ACTIVATIONS` of a model give while it runs, flat, by the name of the module."""
    seen: dict[str, list[Tensor]] = {}

    def hook_of(name: str) -> Any:
        return lambda module, inputs, output: seen.setdefault(name, []).append(output.detach().flatten())

    hooks = [module.register_forward_hook(hook_of(name))
             for name, module in model.named_modules() if isinstance(module, ACTIVATIONS)]  # fmt: skip
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def encoder_states(model: Any, corpus: Corpus, setting: Setting, *, limit: int) -> tuple[Array, Array] | None:
    """Return the rows of at most `limit` examples, evenly spread, and what the encoder makes of each (examples, dim).

    States over time are averaged. Rows of pairs are those of their different sources. None where a model has no
    encoder.
    """
    if not isinstance(getattr(model, "encoder", None), nn.Module):
        return None
    model.eval()
    rows, states = [], []
    for numbers, ids, lengths in _sources(corpus, setting.batch_tokens, limit):
        with autocast(setting.device, setting.precision):
            states.append(encoded(model, model.encoder, ids.to(setting.device), lengths).float().cpu().numpy())
        rows.append(numbers)
    order = np.argsort(np.concatenate(rows), kind="stable")
    return np.concatenate(rows)[order], np.concatenate(states)[order]


def encoded(model: Any, encoder: nn.Module, ids: Tensor, lengths: Tensor) -> Tensor:
    """Return one vector for each text (batch, dim), as the encoder gives it on the model's own way.

    ids is (batch, time), lengths (batch) on the CPU. States over time are averaged.
    """
    with _output_of(encoder) as seen:
        getattr(model, "encode", model)(ids, lengths)
    return _pooled(seen[0], lengths)


def token_table(model: nn.Module, side: str, size: int) -> nn.Embedding | None:
    """Return the table of a model that holds a vector for each of `size` ids of a side (`src`, `tgt` or `text`)."""
    home = getattr(model, f"{side}_embedding", model)
    tables = (module for module in home.modules() if isinstance(module, nn.Embedding) and module.num_embeddings == size)
    return next(tables, None)


def _sources(corpus: Corpus, batch_tokens: int, limit: int) -> Iterator[tuple[Array, Tensor, Tensor]]:
    """Yield (rows, ids, lengths) of at most `limit` examples."""
    if not isinstance(corpus, TextCorpus):
        yield from corpus.source_loader(batch_tokens, limit=limit)
        return
    chosen = spread_rows(len(corpus), limit)
    part = TextCorpus(text=corpus.text.take(chosen), labels=corpus.labels[chosen])
    loader = Loader(part, batch_tokens=batch_tokens, shuffle=False)
    for rows in loader.plan():
        batch = part.batch(rows)
        yield chosen[rows], batch.text, batch.lengths


@contextmanager
def _output_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect a module's outputs, of several the first."""
    seen: list[Tensor] = []
    hook = module.register_forward_hook(lambda module, inputs, output: seen.append(_first(output)))
    try:
        yield seen
    finally:
        hook.remove()


def _first(output: Any) -> Tensor:
    """Return the first of a module's outputs, one that is packed with its padding."""
    output = output[0] if isinstance(output, tuple) and not isinstance(output, PackedSequence) else output
    found: Tensor = pad_packed_sequence(output, batch_first=True)[0] if isinstance(output, PackedSequence) else output
    return found


def _pooled(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean over time of states (batch, time, dim), padding left out; of (batch, dim) themselves."""
    if states.size(0) != len(lengths) or states.dim() not in (2, 3):
        raise ConfigError(
            "the states of a model's `encoder` must be (batch, time, dim) or (batch, dim), but are "
            f"{tuple(states.shape)} for {len(lengths)} texts"
        )
    if states.dim() == 2:
        return states
    return masked_mean(states, padding_mask(lengths, states.size(1), states.device))
