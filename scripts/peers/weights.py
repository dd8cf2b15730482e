"""The weights of a zoo Transformer under the names of another implementation."""

import re
from collections.abc import Mapping

from torch import Tensor, nn

from zoo.models.transformer import Transformer
from zoo.nn.embedding import SinusoidalPositions
from zoo.nn.transformer import FeedForward

from .interface import Dimensions

STACKED = {"qkv": ("query", "key", "value"), "key_value": ("key", "value")}
"""Which linear maps the zoo computes as one, and what they are."""


def split_weights(model: Transformer) -> dict[str, Tensor]:
    """Return the model's `state_dict`, in which queries, keys and values have a map each, such as `attention.query`."""
    found: dict[str, Tensor] = {}
    for name, weight in model.state_dict().items():
        stem, module, kind = name.rsplit(".", 2) if name.count(".") > 1 else ("", *name.split("."))
        parts = STACKED.get(module)
        if parts is None:
            found[name] = weight
        else:
            found |= {
                f"{stem}.{part}.{kind}": piece for part, piece in zip(parts, weight.chunk(len(parts)), strict=True)
            }
    return found


def rename(weights: Mapping[str, Tensor], patterns: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the weights under other names: each pattern, a regular expression, is replaced in turn."""
    return {_replace(name, patterns): weight for name, weight in weights.items()}


def _replace(name: str, patterns: Mapping[str, str]) -> str:
    for pattern, replacement in patterns.items():
        name = re.sub(pattern, replacement, name)
    return name


def dimensions_of(model: Transformer) -> Dimensions:
    """Return the sizes of a model that others can copy.

    Raises ValueError where it has other positions than sinusoidal, another activation than ReLU, or stacks of unequal
    depth.
    """
    encoder, decoder = model.encoder.layers, model.decoder.layers
    block = encoder[0].feedforward
    plain = isinstance(block, FeedForward) and isinstance(block.activation, nn.ReLU)
    if not plain or not isinstance(model.src_positions, SinusoidalPositions) or len(encoder) != len(decoder):
        raise ValueError("`model` must have sinusoidal positions, ReLU, and as many encoder as decoder layers")
    src_vocab, d_model = model.src_embedding.table.weight.shape
    tgt_vocab, nhead, inner = model.output.out_features, encoder[0].attention.nhead, block.inner.out_features
    return Dimensions(src_vocab, tgt_vocab, d_model, nhead, len(encoder), inner, dropout=model.dropout.p)


def norm_of(model: Transformer) -> str:
    """Return `pre` or `post`, where the model's norms stand."""
    return "pre" if isinstance(model.encoder.norm, nn.LayerNorm) else "post"


def is_tied(model: Transformer) -> bool:
    """Tell whether the output layer is the target's embedding."""
    return model.output.weight is model.tgt_embedding.table.weight
