"""A text classifier whose activations are modules; `classifier_functional` is the same network with functions.

A module is seen by `print(model)`, by hooks and by graph tracing (as `call_module`), and can be replaced by name.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from zoo.nn.dropout import Dropout, TokenDropout
from zoo.nn.init import initialize
from zoo.nn.norm import build_norm
from zoo.nn.text import build_text_encoder

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
}


def build_activation(name: str) -> nn.Module:
    """Return a new module of this activation."""
    if name not in ACTIVATIONS:
        raise ValueError(f"`activation` must be one of {', '.join(ACTIVATIONS)}, but is {name!r}")
    return ACTIVATIONS[name]()


class Classifier(nn.Module):
    """Turn a text into one vector, and that through a hidden layer into a score for each class."""

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        *,
        encoder: str = "cnn",
        activation: str = "relu",
        embedding_size: int = 128,
        hidden_size: int = 128,
        num_layers: int = 1,
        nhead: int = 4,
        kernel_sizes: Sequence[int] = (1, 2, 3),
        bidirectional: bool = True,
        pooling: str = "last",
        dropout: float = 0.5,
        word_dropout: float = 0.0,
        norm: str = "none",
        init: str = "xavier",
    ) -> None:
        super().__init__()
        self.word_dropout = TokenDropout(word_dropout)
        self.encoder = build_text_encoder(
            encoder,
            vocab_size,
            embedding_size=embedding_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            nhead=nhead,
            kernel_sizes=kernel_sizes,
            bidirectional=bidirectional,
            pooling=pooling,
            dropout=dropout,
            activation=build_activation(activation),
        )
        self.hidden = nn.Linear(self.encoder.size, hidden_size)
        self.norm = build_norm(norm, hidden_size)
        self.activation = build_activation(activation)
        self.output = nn.Linear(hidden_size, num_classes)
        self.dropout = Dropout(dropout)
        initialize(self, init)

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (batch, num_classes) of text (batch, time); lengths (batch) lie on the CPU."""
        vector = self.dropout(self.encoder(self.word_dropout(text), lengths))
        hidden = self.dropout(self.activation(self.norm(self.hidden(vector))))
        logits: Tensor = self.output(hidden)
        return logits
