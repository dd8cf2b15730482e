"""What a run has learned, as points: a vector for each text, or for each token."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from zoo.data.corpus import PairCorpus, Sequences, TextCorpus
from zoo.data.loader import Loader
from zoo.data.vocab import RESERVED
from zoo.errors import ConfigError
from zoo.evaluation import Setting, autocast
from zoo.experiment.inspection import encoded, token_table
from zoo.metrics import Array
from zoo.record import progress

Batches = Iterable[tuple[Array, Tensor, Tensor]]
"""Rows, ids (batch, time) and their lengths (batch) on the CPU."""


def text_states(model: nn.Module, texts: Sequences, setting: Setting, *, pairs: bool) -> Array:
    """Return a vector (texts, dim) of each text: the encoder's states, averaged over the text where there are several.

    `pairs` says that the texts are sources, which end with a symbol of their own. The vector of a classifier is what
    its hidden layer is given, that of `linear` its scores for each label.
    """
    encoder = encoder_of(model)
    found = np.zeros((0, 0))
    for rows, ids, lengths in progress(_batches(texts, setting.batch_tokens, pairs=pairs), desc="encoding"):
        with torch.no_grad(), autocast(setting.device, setting.precision):
            vectors = encoded(model, encoder, ids.to(setting.device), lengths).double().cpu().numpy()
        if not len(found):
            found = np.zeros((len(texts), vectors.shape[1]))
        found[rows] = vectors
    return found


def _batches(texts: Sequences, batch_tokens: int, *, pairs: bool) -> Batches:
    if pairs:
        nothing = Sequences.from_lists([])
        yield from PairCorpus(src=texts, tgt=nothing, sources=texts).source_loader(batch_tokens)
        return
    corpus = TextCorpus(text=texts, labels=np.zeros(len(texts), dtype=np.int64))
    loader = Loader(corpus, batch_tokens=batch_tokens, shuffle=False)
    for rows, batch in zip(loader.plan(), loader, strict=True):
        yield rows, *batch.inputs[:2]


def encoder_of(model: nn.Module) -> nn.Module:
    """Return the module whose output stands for a text; ConfigError where a model has none."""
    found = getattr(model, "encoder", None) or getattr(model, "scores", None)
    if not isinstance(found, nn.Module):
        raise ConfigError(
            f"{type(model).__name__} has no `encoder`, whose states could be explored; explore its tokens (--tokens)"
        )
    return found


def token_vectors(model: nn.Module, size: int, side: str) -> Array:
    """Return the vector (tokens, dim) of each token of a vocabulary of `size` ids, without the reserved ones.

    `side` is text, src or tgt.
    """
    table = token_table(model, side, size)
    if table is None:
        raise ConfigError(f"{type(model).__name__} has no table of vectors for its {side} tokens to explore")
    return np.asarray(table.weight.detach().double().cpu().numpy())[RESERVED:]
