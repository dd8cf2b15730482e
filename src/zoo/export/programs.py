"""The parts of a model that are exported: a classifier whole, a sequence model as an encoder and a decoder."""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from zoo.data import PairSizes, TextSizes
from zoo.errors import ConfigError
from zoo.experiment import Run
from zoo.models.seq2seq import Seq2Seq
from zoo.models.transformer import Transformer
from zoo.nn.embedding import Rotary, SinusoidalPositions, padding_mask, sinusoids

EXAMPLE = {"batch": 3, "time": 5, "src_time": 7}
"""Sizes of what a program is traced with; any that differ and are above 1 would do."""
VARYING = dict[str, int | None]
"""The sizes that vary, and the largest that each may be (None: any)."""


class Value(NamedTuple):
    """An input or output of a program; in its shape a name stands for a size that varies."""

    name: str
    dtype: str
    shape: tuple[str | int, ...]


class Part(NamedTuple):
    """A module to export, with what it takes and gives, in order."""

    name: str
    module: nn.Module
    inputs: list[Value]
    outputs: list[Value]
    varying: VARYING


class TransformerEncoderPart(nn.Module):
    """Read a source."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.embedding, self.positions, self.encoder = model.src_embedding, model.src_positions, model.encoder

    def forward(self, src: Tensor, src_lengths: Tensor) -> Tensor:
        """Return the memory (batch, src_time, d_model) of src (batch, src_time)."""
        mask = padding_mask(src_lengths, src.size(1), src.device)
        memory: Tensor = self.encoder(self.positions(self.embedding(src)), mask)
        return memory


class TransformerDecoderPart(nn.Module):
    """Predict the symbol after each prefix of a target."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.embedding, self.positions, self.decoder = model.tgt_embedding, model.tgt_positions, model.decoder
        self.output = model.output

    def forward(self, tgt_in: Tensor, memory: Tensor, src_lengths: Tensor) -> Tensor:
        """Return logits (batch, time, tgt_vocab) of tgt_in (batch, time)."""
        mask = padding_mask(src_lengths, memory.size(1), memory.device)
        logits: Tensor = self.output(self.decoder(self.positions(self.embedding(tgt_in)), memory, mask))
        return logits


class RecurrentEncoderPart(nn.Module):
    """Read a source."""

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.embedding, self.encoder, self.bridge = model.src_embedding, model.encoder, model.bridge

    def forward(self, src: Tensor, src_lengths: Tensor) -> tuple[Tensor, ...]:
        """Return the memory (batch, src_time, hidden_size) of src (batch, src_time), and the decoder's first states.

        Each state is (batch, layers, hidden_size): hidden, and of an LSTM the cell.
        """
        memory, hidden = self.encoder(self.embedding(src), src_lengths)
        return memory, *(state.transpose(0, 1) for state in self.bridge(hidden))


class RecurrentDecoderPart(nn.Module):
    """Predict the symbol after each prefix of a target."""

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.embedding, self.decoder, self.output = model.tgt_embedding, model.decoder, model.output

    def forward(self, tgt_in: Tensor, memory: Tensor, src_lengths: Tensor, *states: Tensor) -> Tensor:
        """Return logits (batch, time, tgt_vocab) of tgt_in (batch, time)."""
        mask = padding_mask(src_lengths, memory.size(1), memory.device)
        hidden = tuple(state.transpose(0, 1).contiguous() for state in states)
        vectors, _ = self.decoder(self.embedding(tgt_in), hidden, self.decoder.remember(memory, mask))
        logits: Tensor = self.output(vectors)
        return logits


def parts_of(run: Run) -> list[Part]:
    """Return the parts of a run's model; ConfigError names what can be exported where it cannot.

    They share its weights, and hold tables of positions that need not grow.
    """
    model, sizes, longest = copy.deepcopy(run.model).eval(), run.coding.sizes, run.config.model.max_length
    fix_positions(model, longest + 1)
    if isinstance(sizes, TextSizes):
        return [_classifier(model, sizes, longest)]
    if isinstance(model, Transformer):
        width = model.output.in_features
        return _encoder_decoder(TransformerEncoderPart(model), TransformerDecoderPart(model), sizes, width, [], longest)
    if isinstance(model, Seq2Seq):
        if model.decoder.input_feeding:
            raise ConfigError(
                "model.input_feeding=true cannot be exported, since a program of any length has no place for what its "
                "steps hand on; seq2seq without it can, with any cell and attention"
            )
        width, layers = model.decoder.hidden_size, model.decoder.network.num_layers
        names = ["hidden", "cell"] if isinstance(model.decoder.network, nn.LSTM) else ["hidden"]
        states = [Value(name, "float32", ("batch", layers, width)) for name in names]
        return _encoder_decoder(RecurrentEncoderPart(model), RecurrentDecoderPart(model), sizes, width, states, longest)
    raise ConfigError(
        f"model={run.config.model.name} cannot be exported; of sequence models seq2seq and transformer can"
    )


def fix_positions(model: nn.Module, longest: int) -> None:
    """Make the tables of all positions as long as any sequence, in fp32, as the model reads them."""
    for module in model.modules():
        if isinstance(module, SinusoidalPositions):
            module.table = sinusoids(longest, module.table.size(1)).float()
        if isinstance(module, Rotary):
            module.grow(longest)
            module.cos, module.sin = module.cos.float(), module.sin.float()


def _classifier(model: nn.Module, sizes: TextSizes, longest: int) -> Part:
    inputs = [Value("text", "int64", ("batch", "time")), Value("lengths", "int64", ("batch",))]
    outputs = [Value("logits", "float32", ("batch", sizes.classes))]
    return Part("model", model, inputs, outputs, {"batch": None, "time": longest})


def _encoder_decoder(
    encoder: nn.Module, decoder: nn.Module, sizes: PairSizes, width: int, states: list[Value], longest: int
) -> list[Part]:
    lengths, memory = (
        Value("src_lengths", "int64", ("batch",)),
        Value("memory", "float32", ("batch", "src_time", width)),
    )
    src, tgt_in = Value("src", "int64", ("batch", "src_time")), Value("tgt_in", "int64", ("batch", "time"))
    logits = Value("logits", "float32", ("batch", "time", sizes.tgt_vocab))
    varying: VARYING = {"batch": None, "src_time": longest + 1}  # the end symbol comes on top
    return [
        Part("encoder", encoder, [src, lengths], [memory, *states], varying),
        Part("decoder", decoder, [tgt_in, memory, lengths, *states], [logits], {**varying, "time": longest + 1}),
    ]


def dynamic_shapes(part: Part) -> tuple[Any, ...]:
    """Return for each input which of its sizes vary, as torch.export takes them."""
    names = {name: Dim(name, min=1, max=most) for name, most in part.varying.items()}
    given = [{place: names[size] for place, size in enumerate(value.shape) if isinstance(size, str)}
             for value in part.inputs]  # fmt: skip
    if isinstance(part.module, RecurrentDecoderPart):
        return (*given[:3], tuple(given[3:]))  # *states is one argument
    return tuple(given)


def example_inputs(part: Part) -> tuple[Tensor, ...]:
    """Return inputs to trace a part with."""
    made = []
    for value in part.inputs:
        shape = [EXAMPLE[size] if isinstance(size, str) else size for size in value.shape]
        ids = value.dtype == "int64"
        made.append(torch.ones(shape, dtype=torch.int64) if ids else torch.zeros(shape))
    return tuple(made)


def trace(part: Part) -> ExportedProgram:
    """Return the program of a part, for batches and times of any size."""
    with torch.no_grad():
        return torch.export.export(part.module, example_inputs(part), dynamic_shapes=dynamic_shapes(part), strict=False)
