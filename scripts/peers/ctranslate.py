"""CTranslate2, given the weights of a zoo Transformer through its own specification of the architecture."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import Tensor, nn

from zoo.data.vocab import RESERVED
from zoo.models.transformer import Transformer
from zoo.nn.attention import CrossAttention, SelfAttention
from zoo.nn.embedding import sinusoids
from zoo.nn.transformer import DecoderLayer, EncoderLayer

from .interface import Rows
from .weights import dimensions_of, norm_of

NAME = "CTranslate2"

LONGEST = 1024

SYMBOLS = ("<pad>", "<unk>", "<s>", "</s>")


def version() -> str:
    """Return the version of CTranslate2; ImportError where it is not installed."""
    import ctranslate2

    found: str = ctranslate2.__version__
    return found


class Translator:
    """Decode on the CPU with the weights of a zoo Transformer, pre- or post-norm; ids are its tokens' names.

    All sources are best given in one call: they are sorted by length and cut into batches of at most `max_batch_size`
    tokens, padding included, which `inter_threads` workers share, each of `intra_threads` threads (0: its own choice).
    """

    def __init__(
        self,
        model: Transformer,
        compute_type: str = "float32",
        *,
        inter_threads: int = 1,
        intra_threads: int = 0,
        max_batch_size: int = 512,
    ) -> None:
        import ctranslate2

        self.max_batch_size = max_batch_size
        self.tokens = _vocabulary(model.output.out_features)
        self.sources = _vocabulary(model.src_embedding.table.num_embeddings)
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        with TemporaryDirectory() as directory:
            _save(model, Path(directory))
            self.translator = ctranslate2.Translator(
                directory, compute_type=compute_type, inter_threads=inter_threads, intra_threads=intra_threads
            )

    def greedy(self, src: Rows, max_length: int) -> list[list[int]]:
        """Return the likeliest token at each step, at most `max_length` of them, the end symbol included."""
        return self._translate(src, beam_size=1, max_decoding_length=max_length)

    def beam(self, src: Rows, width: int, max_length: int) -> list[list[int]]:
        """Return the best output of a beam search for each source; it is done when `width` outputs have ended."""
        return self._translate(src, beam_size=width, max_decoding_length=max_length)

    def _translate(self, src: Rows, **options: Any) -> list[list[int]]:
        results = self.translator.translate_batch(
            [[self.sources[index] for index in row] for row in src],
            max_batch_size=self.max_batch_size,
            batch_type="tokens",
            min_decoding_length=0,
            max_input_length=0,
            length_penalty=1.0,
            **options,
        )
        return [[self.ids[token] for token in result.hypotheses[0]] for result in results]


def _vocabulary(size: int) -> list[str]:
    return [*SYMBOLS, *map(str, range(RESERVED, size))]


def _save(model: Transformer, directory: Path) -> None:
    """Write the model as CTranslate2 reads it."""
    from ctranslate2.specs import TransformerSpec

    sizes = dimensions_of(model)
    spec = TransformerSpec.from_config(sizes.layers, sizes.nhead, pre_norm=norm_of(model) == "pre")
    _set_stack(spec.encoder, spec.encoder.embeddings[0], model.encoder, model.src_embedding.table)
    _set_stack(spec.decoder, spec.decoder.embeddings, model.decoder, model.tgt_embedding.table)
    _set_linear(spec.decoder.projection, model.output)
    for part, encoder_layer in zip(spec.encoder.layer, model.encoder.layers, strict=True):
        _set_encoder_layer(part, encoder_layer)
    for part, decoder_layer in zip(spec.decoder.layer, model.decoder.layers, strict=True):
        _set_decoder_layer(part, decoder_layer)
    spec.register_source_vocabulary(_vocabulary(sizes.src_vocab))
    spec.register_target_vocabulary(_vocabulary(sizes.tgt_vocab))
    spec.config.add_source_eos = True
    spec.config.layer_norm_epsilon = 1e-5
    spec.validate()
    spec.optimize()
    spec.save(str(directory))


def _set_stack(spec: Any, embeddings: Any, stack: nn.Module, table: nn.Embedding) -> None:
    embeddings.weight = _array(table.weight)
    spec.position_encodings.encodings = _array(sinusoids(LONGEST, table.embedding_dim).float())
    if isinstance(stack.norm, nn.LayerNorm):
        _set_norm(spec.layer_norm, stack.norm)


def _set_encoder_layer(spec: Any, layer: EncoderLayer) -> None:
    _set_self_attention(spec.self_attention, layer.attention, layer.attention_residual.norm)
    _set_feedforward(spec.ffn, layer.feedforward, layer.feedforward_residual.norm)


def _set_decoder_layer(spec: Any, layer: DecoderLayer) -> None:
    _set_self_attention(spec.self_attention, layer.attention, layer.attention_residual.norm)
    _set_cross_attention(spec.attention, layer.cross, layer.cross_residual.norm)
    _set_feedforward(spec.ffn, layer.feedforward, layer.feedforward_residual.norm)


def _set_self_attention(spec: Any, attention: SelfAttention, norm: nn.LayerNorm) -> None:
    _set_linear(spec.linear[0], attention.qkv)
    _set_linear(spec.linear[1], attention.output)
    _set_norm(spec.layer_norm, norm)


def _set_cross_attention(spec: Any, attention: CrossAttention, norm: nn.LayerNorm) -> None:
    _set_linear(spec.linear[0], attention.query)
    _set_linear(spec.linear[1], attention.key_value)
    _set_linear(spec.linear[2], attention.output)
    _set_norm(spec.layer_norm, norm)


def _set_feedforward(spec: Any, block: Any, norm: nn.LayerNorm) -> None:
    _set_linear(spec.linear_0, block.inner)
    _set_linear(spec.linear_1, block.outer)
    _set_norm(spec.layer_norm, norm)


def _set_linear(spec: Any, linear: nn.Linear) -> None:
    spec.weight, spec.bias = _array(linear.weight), _array(linear.bias)


def _set_norm(spec: Any, norm: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _array(norm.weight), _array(norm.bias)


def _array(weight: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = weight.detach().float().cpu().numpy()
    return array
