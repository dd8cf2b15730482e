"""A Transformer as CTranslate2 specifies it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.models.transformer import Transformer
from zoo.nn.attention import CrossAttention, SelfAttention
from zoo.nn.embedding import LearnedPositions, NoPositions, sinusoids
from zoo.nn.transformer import DecoderLayer, EncoderLayer, FeedForward, SwiGLU

Tokens = Sequence[str]


def save_translator(
    model: Transformer, directory: Path, *, src_tokens: Tokens, tgt_tokens: Tokens, longest: int, quantize: str = ""
) -> None:
    """Write a model as CTranslate2 reads it; quantize is empty or int8, longest the most positions of a sequence.

    The tokens are those of all ids; the first four are padding, unknown, start and end, spelled alike on both sides. A
    source needs no end symbol: CTranslate2 adds it.
    """
    spec = build_spec(model, longest)
    spec.register_source_vocabulary(list(src_tokens))
    spec.register_target_vocabulary(list(tgt_tokens))
    _, unk, bos, eos = tgt_tokens[:4]
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = unk, bos, eos
    spec.config.decoder_start_token = bos
    spec.config.add_source_eos = True
    spec.config.layer_norm_epsilon = 1e-5
    spec.validate()
    spec.optimize(quantization=quantize or None)
    spec.save(str(directory))


def check_fits(model: nn.Module) -> None:
    """Raise ConfigError where CTranslate2 has no place for a model."""
    way_out = "export it with --format torch or onnx"
    if not isinstance(model, Transformer):
        raise ConfigError(f"CTranslate2 holds model=transformer alone; {way_out}")
    if isinstance(model.src_positions, NoPositions):
        raise ConfigError(
            f"CTranslate2 holds no encoder with model.positions=rotary, but sinusoidal and learned ones; {way_out}"
        )


def build_spec(model: Transformer, longest: int) -> Any:
    """Return CTranslate2's specification of a model with its weights; ConfigError where it has none."""
    from ctranslate2.specs import TransformerSpec
    from ctranslate2.specs.common_spec import Activation

    check_fits(model)
    encoder = cast("list[EncoderLayer]", list(model.encoder.layers))
    decoder = cast("list[DecoderLayer]", list(model.decoder.layers))
    block, nhead = encoder[0].feedforward, encoder[0].attention.nhead
    gated, pre = isinstance(block, SwiGLU), isinstance(model.encoder.norm, nn.LayerNorm)
    inside = Activation.SWISH if gated else Activation.RELU if _is_relu(block) else Activation.GELU
    layers = (len(encoder), len(decoder))
    spec = TransformerSpec.from_config(layers, nhead, pre_norm=pre, activation=inside, ffn_glu=gated)
    src, tgt = spec.encoder, spec.decoder
    _set_stack(src, src.embeddings[0], model.encoder, model.src_embedding.table, model.src_positions, longest)
    _set_stack(tgt, tgt.embeddings, model.decoder, model.tgt_embedding.table, model.tgt_positions, longest)
    _set_linear(tgt.projection, model.output)
    for part, encoder_layer in zip(src.layer, encoder, strict=True):
        _set_encoder_layer(part, encoder_layer)
    for part, decoder_layer in zip(tgt.layer, decoder, strict=True):
        _set_decoder_layer(part, decoder_layer)
    return spec


def _is_relu(block: nn.Module) -> bool:
    return isinstance(block, FeedForward) and isinstance(block.activation, nn.ReLU)


def _set_stack(
    spec: Any, embeddings: Any, stack: nn.Module, table: nn.Embedding, positions: nn.Module, longest: int
) -> None:
    embeddings.weight = _array(table.weight)
    spec.position_encodings.encodings = _array(_places(positions, longest, table.embedding_dim))
    if isinstance(stack.norm, nn.LayerNorm):
        _set_norm(spec.layer_norm, stack.norm)


def _places(positions: nn.Module, longest: int, dim: int) -> Tensor:
    """Return what is added to the token vectors at each place, (longest, dim)."""
    if isinstance(positions, LearnedPositions):
        return positions.table.weight * math.sqrt(dim)
    return sinusoids(longest, dim)


def _set_encoder_layer(spec: Any, layer: EncoderLayer) -> None:
    _set_self_attention(spec.self_attention, layer.attention, layer.attention_residual.norm)
    _set_feedforward(spec.ffn, layer.feedforward, layer.feedforward_residual.norm)


def _set_decoder_layer(spec: Any, layer: DecoderLayer) -> None:
    _set_self_attention(spec.self_attention, layer.attention, layer.attention_residual.norm)
    _set_cross_attention(spec.attention, layer.cross, layer.cross_residual.norm)
    _set_feedforward(spec.ffn, layer.feedforward, layer.feedforward_residual.norm)


def _set_self_attention(spec: Any, attention: SelfAttention, norm: Any) -> None:
    _set_linear(spec.linear[0], attention.qkv)
    _set_linear(spec.linear[1], attention.output)
    _set_norm(spec.layer_norm, norm)


def _set_cross_attention(spec: Any, attention: CrossAttention, norm: Any) -> None:
    _set_linear(spec.linear[0], attention.query)
    _set_linear(spec.linear[1], attention.key_value)
    _set_linear(spec.linear[2], attention.output)
    _set_norm(spec.layer_norm, norm)


def _set_feedforward(spec: Any, block: Any, norm: Any) -> None:
    if isinstance(block, SwiGLU):
        _set_halves(spec.linear_0, spec.linear_0_noact, block.gate_value)
    else:
        _set_linear(spec.linear_0, block.inner)
    _set_linear(spec.linear_1, block.outer)
    _set_norm(spec.layer_norm, norm)


def _set_halves(first: Any, second: Any, linear: nn.Linear) -> None:
    weights, biases = _array(linear.weight), _array(linear.bias)
    for spec, weight, bias in zip((first, second), np.split(weights, 2), np.split(biases, 2), strict=True):
        spec.weight, spec.bias = weight, bias


def _set_linear(spec: Any, linear: nn.Linear) -> None:
    spec.weight, spec.bias = _array(linear.weight), _array(linear.bias)


def _set_norm(spec: Any, norm: Any) -> None:
    spec.gamma, spec.beta = _array(norm.weight), _array(norm.bias)


def _array(weight: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = weight.detach().float().cpu().numpy()
    return array.copy()  # quantization writes in place
