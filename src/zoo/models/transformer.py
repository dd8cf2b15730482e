"""The Transformer (Vaswani et al., 2017)."""

from torch import Tensor, nn

from zoo.nn.dropout import Dropout
from zoo.nn.embedding import TokenEmbedding, build_positions, padding_mask
from zoo.nn.init import initialize
from zoo.nn.transformer import DecoderState, LayerOptions, TransformerDecoder, TransformerEncoder


class Transformer(nn.Module):
    """Translate a source sequence into a target sequence with attention alone.

    tie_embeddings makes the target's embedding and the output layer one matrix (Press and Wolf, 2017), and the
    source's too where both sides have one vocabulary (shared_vocabulary).
    """

    def __init__(
        self,
        src_vocab: int,
        tgt_vocab: int,
        *,
        shared_vocabulary: bool = False,
        d_model: int = 128,
        nhead: int = 4,
        num_encoder_layers: int = 3,
        num_decoder_layers: int = 3,
        dim_feedforward: int = 512,
        dropout: float = 0.1,
        activation: str = "relu",
        norm: str = "pre",
        positions: str = "sinusoidal",
        tie_embeddings: bool = True,
        init: str = "xavier",
        max_length: int = 512,
    ) -> None:
        super().__init__()
        self.src_embedding = TokenEmbedding(src_vocab, d_model, scaled=True)
        self.tgt_embedding = TokenEmbedding(tgt_vocab, d_model, scaled=True)
        longest = max_length + 1  # a start or end symbol is not part of a sequence's length
        self.src_positions = build_positions(positions, dim=d_model, max_length=longest)
        self.tgt_positions = build_positions(positions, dim=d_model, max_length=longest)
        self.dropout = Dropout(dropout)
        options = LayerOptions(d_model, nhead, dim_feedforward, dropout, activation, norm, rotary=positions == "rotary")
        self.encoder = TransformerEncoder(options, num_encoder_layers)
        self.decoder = TransformerDecoder(options, num_decoder_layers)
        self.output = nn.Linear(d_model, tgt_vocab)
        if tie_embeddings:
            self._tie(shared_vocabulary)
        initialize(self, init)

    def _tie(self, shared_vocabulary: bool) -> None:
        self.output.weight = self.tgt_embedding.table.weight
        if shared_vocabulary:
            self.src_embedding.table.weight = self.tgt_embedding.table.weight

    def forward(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor) -> Tensor:
        """Return logits (batch, time, tgt_vocab) for the symbols after each of tgt_in (batch, time).

        src is (batch, src_time), src_lengths (batch) on the CPU.
        """
        logits: Tensor = self.output(self.features(src, src_lengths, tgt_in))
        return logits

    def features(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor) -> Tensor:
        """Return the vectors (batch, time, d_model) from which the output layer makes the logits."""
        memory, mask = self._encode(src, src_lengths)
        vectors: Tensor = self.decoder(self._embed_target(tgt_in), memory, mask)
        return vectors

    def encode(self, src: Tensor, src_lengths: Tensor) -> DecoderState:
        """Return the state from which `decode_step` starts, with the source's keys and values of all layers."""
        return self.decoder.start(*self._encode(src, src_lengths))

    def decode_step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return logits (batch, tgt_vocab) for the symbols after tokens (batch), and the state after them.

        The given state is used up; `select` makes copies.
        """
        decoded, state = self.decoder.step(self._embed_target(tokens[:, None], state.time), state)
        return self.output(decoded[:, 0]), state

    def align(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor) -> Tensor:
        """Return the last decoder layer's attention (batch, time, src_time), averaged over the heads."""
        memory, mask = self._encode(src, src_lengths)
        return self.decoder.align(self._embed_target(tgt_in), memory, mask)

    def _encode(self, src: Tensor, src_lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        mask = padding_mask(src_lengths, src.size(1), src.device)
        vectors = self.dropout(self.src_positions(self.src_embedding(src)))
        return self.encoder(vectors, mask), mask

    def _embed_target(self, tokens: Tensor, start: int = 0) -> Tensor:
        vectors: Tensor = self.dropout(self.tgt_positions(self.tgt_embedding(tokens), start))
        return vectors
