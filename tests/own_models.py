"""Models as users write them, sound and not, for the tests of `model=own_models:Class`."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence


class Words(nn.Module):
    """The mean of word vectors.

    And more that no help shows.
    """

    def __init__(self, vocab_size: int, num_classes: int, *, width: int = 8, dropout: float = 0.2,
                 kind: Literal["mean", "sum"] = "mean", windows: Sequence[int] = (1, 2), cut: int | None = None,
                 bias: bool = True) -> None:  # fmt: skip
        super().__init__()
        self.given = {"width": width, "kind": kind, "windows": windows, "cut": cut, "bias": bias}
        self.embedding = nn.EmbeddingBag(vocab_size, width, padding_idx=0, mode=kind)
        self.output = nn.Linear(width, num_classes, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, text: Tensor, lengths: Tensor) -> Any:
        return self.output(self.dropout(self.embedding(text)))


class State(NamedTuple):
    hidden: Tensor

    def select(self, rows: Tensor) -> "State":
        return State(self.hidden[rows])


class Sequences(nn.Module):
    """Two GRUs."""

    def __init__(self, src_vocab: int, tgt_vocab: int, hidden_size: int = 8, max_length: int = 20,
                 shared_vocabulary: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.given = {"max_length": max_length, "shared_vocabulary": shared_vocabulary}
        self.src_embedding = nn.Embedding(src_vocab, hidden_size)
        self.positions = nn.Embedding(max_length + 1, hidden_size)
        self.tgt_embedding = nn.Embedding(tgt_vocab, hidden_size)
        self.encoder = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.decoder = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size, tgt_vocab)

    def forward(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor) -> Any:
        state = self.encode(src, src_lengths)
        return self.output(self.decoder(self.tgt_embedding(tgt_in), state.hidden[None])[0])

    def encode(self, src: Tensor, src_lengths: Tensor) -> State:
        vectors = self.src_embedding(src) + self.positions.weight[: src.size(1)]
        packed = pack_padded_sequence(vectors, src_lengths, batch_first=True, enforce_sorted=False)
        return State(self.encoder(packed)[1][0])

    def decode_step(self, tokens: Tensor, state: State) -> Any:
        outputs, hidden = self.decoder(self.tgt_embedding(tokens[:, None]), state.hidden[None])
        return self.output(outputs[:, 0]), State(hidden[0])


class Told(Words):
    """A model whose `forward` does not tell what it learns."""

    task = "labelled"

    def forward(self, *inputs: Tensor) -> Any:
        return super().forward(*inputs)


class TwoOutputs(Words):
    def forward(self, text: Tensor, lengths: Tensor) -> Any:
        return super().forward(text, lengths), lengths


class WrongShape(Words):
    def forward(self, text: Tensor, lengths: Tensor) -> Any:
        return self.embedding(text)


class Raises(Words):
    def forward(self, text: Tensor, lengths: Tensor) -> Any:
        return self.output(text)


class StateAlone(Sequences):
    def decode_step(self, tokens: Tensor, state: State) -> Any:
        return state


class NoSearch(nn.Module):
    def __init__(self, src_vocab: int, tgt_vocab: int) -> None:
        super().__init__()

    def forward(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor) -> None: ...


class NoSizes(nn.Module):
    def __init__(self, *, width: int = 8) -> None:
        super().__init__()

    def forward(self, text: Tensor, lengths: Tensor) -> None: ...


class NoDefault(Words):
    def __init__(self, vocab_size: int, num_classes: int, width: int) -> None:
        super().__init__(vocab_size, num_classes, width=width)


class WrongType(Words):
    def __init__(self, vocab_size: int, num_classes: int, table: dict[str, int] | None = None) -> None:
        super().__init__(vocab_size, num_classes)


class OneInput(Words):
    def forward(self, text: Tensor) -> Any:  # type: ignore[override]
        return self.embedding(text)


class UnknownTask(Words):
    task = "classify"


def function() -> Tensor:
    return torch.zeros(1)
