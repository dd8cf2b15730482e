"""What the benchmark asks of another implementation."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

Rows = Sequence[Sequence[int]]
"""The ids of one side of a batch, as `zoo.data.vocab` numbers them, without start, end and padding."""


class Dimensions(NamedTuple):
    """The sizes of a Transformer; `layers` counts those of the encoder, and those of the decoder too."""

    src_vocab: int
    tgt_vocab: int
    d_model: int = 256
    nhead: int = 4
    layers: int = 3
    dim_feedforward: int = 1024
    dropout: float = 0.1


class RecurrentDimensions(NamedTuple):
    """The sizes of a recurrent model of one layer; the encoder's two directions together are `hidden_size` wide."""

    src_vocab: int
    tgt_vocab: int
    embedding_size: int = 128
    hidden_size: int = 256
    dropout: float = 0.2


class Peer(Protocol):
    """A module of this package, which imports without the package that it is about.

    `version` returns what is installed; ImportError where nothing is.
    """

    NAME: str
    version: Callable[[], str]


class Trainer(Protocol):
    """A model with its optimizer."""

    def step(self, src: Rows, tgt: Rows) -> float:
        """Take one optimizer step on a batch and return its loss before the step."""
        ...


class Translator(Protocol):
    """A model with the weights of the zoo's, ready to decode."""

    def greedy(self, src: Rows, max_length: int) -> list[list[int]]:
        """Return the likeliest token at each step, at most `max_length` of them, the end symbol included."""
        ...

    def beam(self, src: Rows, width: int, max_length: int) -> list[list[int]]:
        """Return the best output of a beam search for each source."""
        ...
