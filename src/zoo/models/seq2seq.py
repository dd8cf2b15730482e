"""Recurrent encoder and decoder with attention (Sutskever et al., 2014; Bahdanau et al., 2015; Luong et al., 2015)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.nn.attention import build_attention
from zoo.nn.dropout import Dropout
from zoo.nn.embedding import TokenEmbedding, padding_mask
from zoo.nn.init import initialize
from zoo.nn.recurrent import Bridge, Hidden, Memory, RecurrentDecoder, RecurrentEncoder


class RecurrentState(NamedTuple):
    """What decoding remembers of each row of the batch.

    hidden holds states (batch, layers, hidden_size), feed (batch, hidden_size) the last attended vector, sources
    (batch) the row of `encode` that a row came from.
    """

    hidden: Hidden
    feed: Tensor
    memory: Memory
    sources: Tensor

    def select(self, rows: Tensor) -> "RecurrentState":
        """Return the state of these rows, in this order; rows may repeat."""
        hidden = tuple(state[rows] for state in self.hidden)
        sources = self.sources[rows]
        same = torch.equal(sources, self.sources)  # beams of a source trade places: what they look at stays
        return RecurrentState(hidden, self.feed[rows], self.memory if same else self.memory.select(rows), sources)


class Seq2Seq(nn.Module):
    """Translate a source sequence into a target sequence with recurrent networks.

    The encoder's two directions together are as wide as `hidden_size`. With `teacher_forcing` below 1, the decoder
    in training is fed its own best symbol in place of the target's with chance 1 - teacher_forcing, at each step
    and for each row by itself (Bengio et al., 2015).
    """

    def __init__(
        self,
        src_vocab: int,
        tgt_vocab: int,
        *,
        shared_vocabulary: bool = False,
        cell: str = "lstm",
        attention: str = "dot",
        input_feeding: bool = False,
        embedding_size: int = 128,
        hidden_size: int = 256,
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.2,
        teacher_forcing: float = 1.0,
        init: str = "xavier",
    ) -> None:
        super().__init__()
        if not 0 <= teacher_forcing <= 1:
            raise ValueError(f"`teacher_forcing` must be from 0 to 1, but is {teacher_forcing}")
        self.teacher_forcing = teacher_forcing
        self.src_embedding = TokenEmbedding(src_vocab, embedding_size)
        self.tgt_embedding = self.src_embedding if shared_vocabulary else TokenEmbedding(tgt_vocab, embedding_size)
        self.dropout = Dropout(dropout)
        self.encoder = RecurrentEncoder(
            embedding_size,
            hidden_size,
            cell=cell,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
        )
        self.bridge = Bridge(hidden_size, 2 if cell == "lstm" else 1) if bidirectional else nn.Identity()
        self.decoder = RecurrentDecoder(
            embedding_size,
            hidden_size,
            attention=build_attention(attention, query_size=hidden_size, key_size=hidden_size),
            cell=cell,
            num_layers=num_layers,
            dropout=dropout,
            input_feeding=input_feeding,
        )
        self.output = nn.Linear(hidden_size, tgt_vocab)
        initialize(self, init)

    def forward(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor) -> Tensor:
        """Return logits (batch, time, tgt_vocab) for the symbols after each of tgt_in (batch, time).

        src is (batch, src_time), src_lengths (batch) on the CPU.
        """
        logits: Tensor = self.output(self.features(src, src_lengths, tgt_in))
        return logits

    def features(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor) -> Tensor:
        """Return the vectors (batch, time, hidden_size) from which the output layer makes the logits."""
        hidden, memory = self._encode(src, src_lengths)
        if self.training and self.teacher_forcing < 1:
            return self._own_features(tgt_in, hidden, memory)
        vectors: Tensor = self.decoder(self._embed_target(tgt_in), hidden, memory)[0]
        return vectors

    def encode(self, src: Tensor, src_lengths: Tensor) -> RecurrentState:
        """Return the state from which `decode_step` starts."""
        hidden, memory = self._encode(src, src_lengths)
        sources = torch.arange(len(src), device=src.device)
        return RecurrentState(_batch_first(hidden), self.decoder.first_feed(memory.outputs), memory, sources)

    def decode_step(self, tokens: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Return logits (batch, tgt_vocab) for the symbols after tokens (batch), and the state after them."""
        feed, hidden, _ = self.decoder.step(
            self._embed_target(tokens), _layers_first(state.hidden), state.feed, state.memory
        )
        return self.output(feed), state._replace(hidden=_batch_first(hidden), feed=feed)

    def align(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor) -> Tensor:
        """Return the attention's weights (batch, time, src_time); ValueError without attention."""
        if self.decoder.attention is None:
            raise ValueError("`attention` is none, so there is nothing to align; choose dot, general or additive")
        hidden, memory = self._encode(src, src_lengths)
        weights: Tensor = self.decoder(self._embed_target(tgt_in), hidden, memory)[1]
        return weights

    def _encode(self, src: Tensor, src_lengths: Tensor) -> tuple[Hidden, Memory]:
        outputs, hidden = self.encoder(self.dropout(self.src_embedding(src)), src_lengths)
        mask = padding_mask(src_lengths, src.size(1), src.device)
        return self.bridge(hidden), self.decoder.remember(outputs, mask)

    def _embed_target(self, tokens: Tensor) -> Tensor:
        vectors: Tensor = self.dropout(self.tgt_embedding(tokens))
        return vectors

    def _own_features(self, tgt_in: Tensor, hidden: Hidden, memory: Memory) -> Tensor:
        """Return `features` where the decoder is fed the model's own best symbols here and there."""
        taught = torch.rand(tgt_in.shape, device=tgt_in.device) < self.teacher_forcing
        feeds = [self.decoder.first_feed(memory.outputs)]
        for time, target in enumerate(tgt_in.unbind(1)):
            tokens = torch.where(taught[:, time], target, self.output(feeds[-1]).argmax(-1)) if time else target
            feed, hidden, _ = self.decoder.step(self._embed_target(tokens), hidden, feeds[-1], memory)
            feeds.append(feed)
        return torch.stack(feeds[1:], 1)


def _batch_first(hidden: Hidden) -> Hidden:
    return tuple(state.transpose(0, 1) for state in hidden)


def _layers_first(hidden: Hidden) -> Hidden:
    return tuple(state.transpose(0, 1).contiguous() for state in hidden)
