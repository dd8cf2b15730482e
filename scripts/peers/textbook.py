"""What tutorials teach: `torch.nn.Transformer` and step-by-step LSTMs, plain Adam, float32, no caches.

The Transformer follows PyTorch's tutorial on translation with `nn.Transformer`, the recurrent models the ones on
sequence-to-sequence networks with attention, in batches and with padding masked.
"""

import math
import re

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo.data.vocab import BOS, EOS, PAD
from zoo.models.transformer import Transformer

from .batch import pad_sources, pad_targets, until_end
from .interface import Dimensions, RecurrentDimensions, Rows
from .weights import dimensions_of, norm_of, rename, split_weights

NAME = "textbook loop"

CRITERION = nn.CrossEntropyLoss(ignore_index=PAD)

NAMES = {  # of the modules, from the zoo's to those below
    r"^output": "generator",
    r"embedding\.table": "embedding",
    r"attention\.output": "attention.out_proj",
    r"cross\.output": "cross.out_proj",
    r"\.attention\.": ".self_attn.",
    r"\.cross\.": ".multihead_attn.",
    r"attention_residual\.norm": "norm1",
    r"encoder(.*)feedforward_residual\.norm": r"encoder\1norm2",
    r"decoder(.*)feedforward_residual\.norm": r"decoder\1norm3",
    r"cross_residual\.norm": "norm2",
    r"feedforward\.inner": "linear1",
    r"feedforward\.outer": "linear2",
    r"^(encoder|decoder)": r"transformer.\1",
}


def version() -> str:
    """Return the version of torch."""
    return torch.__version__


class PositionalEncoding(nn.Module):
    """Add sines and cosines to the token vectors, then dropout."""

    table: Tensor

    def __init__(self, d_model: int, dropout: float, longest: int = 5000) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        rates = torch.exp(-torch.arange(0, d_model, 2) * math.log(10000) / d_model)
        angles = torch.arange(longest)[:, None] * rates
        table = torch.zeros(longest, d_model)
        table[:, 0::2], table[:, 1::2] = angles.sin(), angles.cos()
        self.register_buffer("table", table, persistent=False)

    def forward(self, vectors: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(vectors + self.table[: vectors.size(1)])
        return dropped


class TextbookTransformer(nn.Module):
    """Translate with `nn.Transformer`; norms stand after each block, or before it with `norm_first`."""

    def __init__(self, sizes: Dimensions, *, norm_first: bool = False) -> None:
        super().__init__()
        self.src_embedding = nn.Embedding(sizes.src_vocab, sizes.d_model)
        self.tgt_embedding = nn.Embedding(sizes.tgt_vocab, sizes.d_model)
        self.positions = PositionalEncoding(sizes.d_model, sizes.dropout)
        self.transformer = nn.Transformer(
            sizes.d_model,
            sizes.nhead,
            sizes.layers,
            sizes.layers,
            sizes.dim_feedforward,
            sizes.dropout,
            batch_first=True,
            norm_first=norm_first,
        )
        self.generator = nn.Linear(sizes.d_model, sizes.tgt_vocab)
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        """Return logits (batch, time, tgt_vocab) for src (batch, src_time) and tgt (batch, time)."""
        padded = src == PAD
        decoded = self.transformer(
            self._embed(self.src_embedding, src),
            self._embed(self.tgt_embedding, tgt),
            tgt_mask=_causal(tgt.size(1)),
            src_key_padding_mask=padded,
            tgt_key_padding_mask=tgt == PAD,
            memory_key_padding_mask=padded,
        )
        logits: Tensor = self.generator(decoded)
        return logits

    @torch.no_grad()
    def greedy(self, src: Tensor, max_length: int) -> Tensor:
        """Return tokens (batch, time), padded with anything after the end symbol; each step decodes all positions."""
        padded = src == PAD
        memory = self.transformer.encoder(self._embed(self.src_embedding, src), src_key_padding_mask=padded)
        tokens = torch.full((len(src), 1), BOS)
        while tokens.size(1) <= max_length and not (tokens == EOS).any(1).all():
            decoded = self.transformer.decoder(
                self._embed(self.tgt_embedding, tokens),
                memory,
                tgt_mask=_causal(tokens.size(1)),
                memory_key_padding_mask=padded,
            )
            best = self.generator(decoded[:, -1]).argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, best], 1)
        return tokens[:, 1:]

    def _embed(self, embedding: nn.Embedding, tokens: Tensor) -> Tensor:
        vectors: Tensor = self.positions(embedding(tokens) * math.sqrt(embedding.embedding_dim))
        return vectors


def _causal(time: int) -> Tensor:
    return torch.triu(torch.ones(time, time, dtype=torch.bool), diagonal=1)


class LSTMEncoder(nn.Module):
    """Read sources in both directions."""

    def __init__(self, sizes: RecurrentDimensions) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.src_vocab, sizes.embedding_size)
        self.dropout = nn.Dropout(sizes.dropout)
        self.lstm = nn.LSTM(sizes.embedding_size, sizes.hidden_size // 2, batch_first=True, bidirectional=True)

    def forward(self, src: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs (batch, src_time, hidden_size) and the last states, each (batch, hidden_size)."""
        lengths = (src != PAD).sum(1)
        vectors = self.dropout(self.embedding(src))
        packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        outputs, (hidden, cell) = self.lstm(packed)
        padded, _ = pad_packed_sequence(outputs, batch_first=True)
        return padded, torch.cat([hidden[0], hidden[1]], 1), torch.cat([cell[0], cell[1]], 1)


class LuongDecoder(nn.Module):
    """Predict one symbol at a time, attending after the recurrence (Luong et al., 2015, dot)."""

    def __init__(self, sizes: RecurrentDimensions) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.tgt_vocab, sizes.embedding_size)
        self.dropout = nn.Dropout(sizes.dropout)
        self.cell = nn.LSTMCell(sizes.embedding_size, sizes.hidden_size)
        self.combine = nn.Linear(2 * sizes.hidden_size, sizes.hidden_size)
        self.output = nn.Linear(sizes.hidden_size, sizes.tgt_vocab)

    def forward(self, src: Tensor, memory: Tensor, hidden: Tensor, cell: Tensor, tgt: Tensor) -> Tensor:
        """Return logits (batch, time, tgt_vocab) after tgt (batch, time), given what the encoder made of src."""
        padded, logits = src == PAD, []
        for tokens in tgt.unbind(1):
            hidden, cell = self.cell(self.dropout(self.embedding(tokens)), (hidden, cell))
            scores = torch.bmm(memory, hidden[:, :, None]).squeeze(2)  # (batch, src_time)
            context = _average(scores, memory, padded)
            attended = torch.tanh(self.combine(torch.cat([context, hidden], 1)))
            logits.append(self.output(self.dropout(attended)))
        return torch.stack(logits, 1)


class BahdanauDecoder(nn.Module):
    """Predict one symbol at a time, attending before the recurrence, which reads the context (Bahdanau et al., 2015).

    The keys are projected once, which not all tutorials do.
    """

    def __init__(self, sizes: RecurrentDimensions) -> None:
        super().__init__()
        size = sizes.hidden_size
        self.embedding = nn.Embedding(sizes.tgt_vocab, sizes.embedding_size)
        self.dropout = nn.Dropout(sizes.dropout)
        self.query, self.key, self.energy = nn.Linear(size, size), nn.Linear(size, size), nn.Linear(size, 1)
        self.cell = nn.LSTMCell(sizes.embedding_size + size, size)
        self.output = nn.Linear(size, sizes.tgt_vocab)

    def forward(self, src: Tensor, memory: Tensor, hidden: Tensor, cell: Tensor, tgt: Tensor) -> Tensor:
        """Return logits (batch, time, tgt_vocab) after tgt (batch, time), given what the encoder made of src."""
        padded, keys, logits = src == PAD, self.key(memory), []
        for tokens in tgt.unbind(1):
            scores = self.energy(torch.tanh(self.query(hidden)[:, None] + keys)).squeeze(2)  # (batch, src_time)
            context = _average(scores, memory, padded)
            inputs = torch.cat([self.dropout(self.embedding(tokens)), context], 1)
            hidden, cell = self.cell(inputs, (hidden, cell))
            logits.append(self.output(self.dropout(hidden)))
        return torch.stack(logits, 1)


def _average(scores: Tensor, values: Tensor, padded: Tensor) -> Tensor:
    """Return the values' average (batch, dim), weighted by the softmax of scores (batch, src_time)."""
    weights = torch.softmax(scores.masked_fill(padded, -math.inf), 1)
    return torch.bmm(weights[:, None], values).squeeze(1)


class Seq2Seq(nn.Module):
    """An encoder and a decoder of LSTMs."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        """Return logits (batch, time, tgt_vocab) for src (batch, src_time) and tgt (batch, time)."""
        logits: Tensor = self.decoder(src, *self.encoder(src), tgt)
        return logits


class TransformerTrainer:
    """Train `nn.Transformer` with the optimizer of its tutorial."""

    def __init__(self, dimensions: Dimensions) -> None:
        self.model = TextbookTransformer(dimensions)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9)

    def step(self, src: Rows, tgt: Rows) -> float:
        """Take one optimizer step on a batch and return its loss before the step."""
        return _step(self.model, self.optimizer, src, tgt)

    def greedy(self, src: Rows, max_length: int) -> list[list[int]]:
        """Return the likeliest token at each step, at most `max_length` of them, the end symbol included."""
        return _greedy(self.model, src, max_length)


class LuongTrainer:
    """Train an LSTM whose attention comes after the recurrence."""

    def __init__(self, dimensions: RecurrentDimensions) -> None:
        self.model = Seq2Seq(LSTMEncoder(dimensions), LuongDecoder(dimensions))
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def step(self, src: Rows, tgt: Rows) -> float:
        """Take one optimizer step on a batch and return its loss before the step."""
        return _step(self.model, self.optimizer, src, tgt)


class BahdanauTrainer:
    """Train an LSTM whose attention feeds the recurrence."""

    def __init__(self, dimensions: RecurrentDimensions) -> None:
        self.model = Seq2Seq(LSTMEncoder(dimensions), BahdanauDecoder(dimensions))
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def step(self, src: Rows, tgt: Rows) -> float:
        """Take one optimizer step on a batch and return its loss before the step."""
        return _step(self.model, self.optimizer, src, tgt)


class Translator:
    """Decode with `nn.Transformer` and the weights of a zoo Transformer; there is no beam search."""

    def __init__(self, model: Transformer) -> None:
        norm = norm_of(model)
        self.model = TextbookTransformer(dimensions_of(model), norm_first=norm == "pre")
        if norm == "post":  # nn.Transformer ends its stacks with one more norm, the zoo does not
            self.model.transformer.encoder.norm = self.model.transformer.decoder.norm = None
        self.model.load_state_dict(_fuse(rename(split_weights(model), NAMES)))

    def greedy(self, src: Rows, max_length: int) -> list[list[int]]:
        """Return the likeliest token at each step, at most `max_length` of them, the end symbol included."""
        return _greedy(self.model, src, max_length)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, src: Rows, tgt: Rows) -> float:
    model.train()
    tgt_in, tgt_out = pad_targets(tgt)
    logits = model(pad_sources(src), tgt_in)
    optimizer.zero_grad()
    loss = CRITERION(logits.reshape(-1, logits.size(-1)), tgt_out.reshape(-1))
    loss.backward()
    optimizer.step()
    return float(loss.item())


def _greedy(model: TextbookTransformer, src: Rows, max_length: int) -> list[list[int]]:
    model.eval()
    return until_end(model.greedy(pad_sources(src), max_length).tolist())


def _fuse(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put queries, keys and values one above the other, as `nn.MultiheadAttention` keeps them."""
    fused = {name: weight for name, weight in weights.items() if not re.search(r"attn\.(query|key|value)\.", name)}
    for name in weights:
        if ".query." in name:
            parts = [weights[name.replace(".query.", f".{part}.")] for part in ("query", "key", "value")]
            fused[name.replace(".query.", ".in_proj_")] = torch.cat(parts)
    return fused
