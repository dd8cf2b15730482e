"""What turns a text into one vector: a mean, windows, a recurrent network or self-attention.

Every encoder has `size`, the width of its vector, and maps tokens (batch, time) and their lengths (batch), a tensor
on the CPU, to (batch, size). A text without tokens gives a finite vector too.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn.dropout import Dropout
from zoo.nn.embedding import SinusoidalPositions, TokenEmbedding, padding_mask, weighted_sum
from zoo.nn.recurrent import CELLS, Hidden, RecurrentEncoder
from zoo.nn.transformer import LayerOptions, TransformerEncoder


class BagEncoder(nn.Module):
    """Average the vectors of all tokens, whatever their order (Joulin et al., 2017)."""

    def __init__(self, vocab_size: int, embedding_size: int) -> None:
        super().__init__()
        self.size = embedding_size
        self.embedding = TokenEmbedding(vocab_size, embedding_size)

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """Return (batch, embedding_size); the vectors of single tokens are never laid out."""
        table = self.embedding.table.weight
        lengths = lengths.to(text.device, non_blocking=True)[:, None]
        inside = torch.ones_like(text).cumsum(1) <= lengths
        return weighted_sum(text, table, inside.to(table.dtype) / lengths.clamp(min=1))


class WindowEncoder(nn.Module):
    """Look for patterns in windows of a few tokens and keep the strongest match of each (Kim, 2014, eq. 1 to 3).

    Windows lie within the text; a text shorter than a window is filled up with zeros.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        hidden_size: int,
        *,
        kernel_sizes: Sequence[int],
        activation: Callable[[Tensor], Tensor],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.size = hidden_size * len(kernel_sizes)
        self.embedding = TokenEmbedding(vocab_size, embedding_size)
        self.dropout = Dropout(dropout)
        self.windows = nn.ModuleList(nn.Conv1d(embedding_size, hidden_size, width) for width in kernel_sizes)
        self.activation = activation

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """Return (batch, hidden_size * number of window widths)."""
        vectors = self.dropout(self.embedding(text))  # (batch, time, embedding_size)
        mask = padding_mask(lengths, text.size(1), text.device)
        if mask is not None:
            vectors = vectors.masked_fill(mask[..., None], 0)
        signals = vectors.transpose(1, 2)
        return torch.cat([self._strongest(window, signals, lengths) for window in self.windows], -1)

    def _strongest(self, window: nn.Module, signals: Tensor, lengths: Tensor) -> Tensor:
        """Return each pattern's largest value (batch, hidden_size) over the windows within the text."""
        width = int(window.kernel_size[0])  # type: ignore[index]
        missing = width - 1 if torch.compiler.is_exporting() else max(0, width - signals.size(2))
        matches = window(F.pad(signals, (0, missing)))  # (batch, hidden_size, time + missing - width + 1)
        outside = padding_mask((lengths - width + 1).clamp(min=1), matches.size(2), matches.device)
        if outside is not None:
            matches = matches.masked_fill(outside[:, None], torch.finfo(matches.dtype).min)
        return self.activation(matches.max(-1).values)


class RecurrentTextEncoder(nn.Module):
    """Read the text, and make one vector of the states as `pooling` says (see `POOLINGS`)."""

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        hidden_size: int,
        *,
        cell: str,
        num_layers: int,
        bidirectional: bool,
        pooling: str = "last",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"`pooling` must be one of {', '.join(POOLINGS)}, but is {pooling!r}")
        self.size = hidden_size * (2 if pooling == "mean_max" else 1)
        self.pool = POOLINGS[pooling]
        self.embedding = TokenEmbedding(vocab_size, embedding_size)
        self.dropout = Dropout(dropout)
        self.encoder = RecurrentEncoder(
            embedding_size, hidden_size, cell=cell, num_layers=num_layers, bidirectional=bidirectional, dropout=dropout
        )

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """Return (batch, size)."""
        outputs, hidden = self.encoder(self.dropout(self.embedding(text)), lengths)
        return self.pool(outputs, hidden, padding_mask(lengths, text.size(1), text.device))


class TransformerTextEncoder(nn.Module):
    """Average the vectors that self-attention makes of the tokens."""

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        hidden_size: int,
        *,
        nhead: int,
        num_layers: int,
        activation: Callable[[Tensor], Tensor],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.size = hidden_size
        self.embedding = TokenEmbedding(vocab_size, embedding_size, scaled=True)
        self.widen = nn.Linear(embedding_size, hidden_size) if embedding_size != hidden_size else nn.Identity()
        self.positions = SinusoidalPositions(hidden_size)
        self.dropout = Dropout(dropout)
        options = LayerOptions(hidden_size, nhead, 4 * hidden_size, dropout, activation)
        self.encoder = TransformerEncoder(options, num_layers)

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """Return (batch, hidden_size)."""
        mask = padding_mask(lengths, text.size(1), text.device)
        vectors = self.dropout(self.positions(self.widen(self.embedding(text))))
        return masked_mean(self.encoder(vectors, mask), mask)


def masked_mean(vectors: Tensor, mask: Tensor | None) -> Tensor:
    """Average vectors (batch, time, dim) over the time that mask (batch, time) does not hide."""
    if mask is None:
        return vectors.mean(1)
    inside = (~mask).to(vectors.dtype)
    weights = inside / inside.sum(1, keepdim=True).clamp(min=1)
    return torch.bmm(weights[:, None], vectors)[:, 0]


def last_state(outputs: Tensor, hidden: Hidden, mask: Tensor | None) -> Tensor:
    """Return the last layer's last state, with two directions the last of each."""
    return hidden[0][-1]


def mean_state(outputs: Tensor, hidden: Hidden, mask: Tensor | None) -> Tensor:
    """Return the mean of the last layer's states."""
    return masked_mean(outputs, mask)


def max_state(outputs: Tensor, hidden: Hidden, mask: Tensor | None) -> Tensor:
    """Return each feature's largest value over the last layer's states (Conneau et al., 2017, 3.2.2)."""
    if mask is not None:
        mask = mask & torch.ones_like(mask).cumsum(1).ne(1)  # a text without tokens has one state
        outputs = outputs.masked_fill(mask[..., None], torch.finfo(outputs.dtype).min)
    return outputs.max(1).values


def mean_max_state(outputs: Tensor, hidden: Hidden, mask: Tensor | None) -> Tensor:
    """Return both, side by side (Howard and Ruder, 2018, 3.3)."""
    return torch.cat([mean_state(outputs, hidden, mask), max_state(outputs, hidden, mask)], -1)


POOLINGS: dict[str, Callable[[Tensor, Hidden, Tensor | None], Tensor]] = {
    "last": last_state,
    "mean": mean_state,
    "max": max_state,
    "mean_max": mean_max_state,
}
"""From outputs (batch, time, dim), last states and the padding to one vector for each text, (batch, size)."""

TextEncoder = BagEncoder | WindowEncoder | RecurrentTextEncoder | TransformerTextEncoder


def build_text_encoder(
    kind: str,
    vocab_size: int,
    *,
    embedding_size: int,
    hidden_size: int,
    num_layers: int,
    nhead: int,
    kernel_sizes: Sequence[int],
    bidirectional: bool,
    pooling: str,
    dropout: float,
    activation: Callable[[Tensor], Tensor],
) -> TextEncoder:
    """Return the encoder of this kind; each takes of the sizes what it knows."""
    if kind == "bag":
        return BagEncoder(vocab_size, embedding_size)
    sizes = (vocab_size, embedding_size, hidden_size)
    if kind == "cnn":
        return WindowEncoder(*sizes, kernel_sizes=kernel_sizes, activation=activation, dropout=dropout)
    if kind in CELLS:
        return RecurrentTextEncoder(
            *sizes,
            cell=kind,
            num_layers=num_layers,
            bidirectional=bidirectional,
            pooling=pooling,
            dropout=dropout,
        )
    if kind == "transformer":
        return TransformerTextEncoder(
            *sizes, nhead=nhead, num_layers=num_layers, activation=activation, dropout=dropout
        )
    raise ValueError(f"`encoder` must be one of bag, cnn, rnn, gru, lstm, transformer, but is {kind!r}")
