"""The text classifier of `classifier`, with its activations called as functions.

State-dict keys, parameters and logits are those of `classifier`; a function has no name in the model, so
`print(model)` and hooks do not see it, and graph tracing shows it as `call_function`.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn.dropout import Dropout, TokenDropout
from zoo.nn.init import initialize
from zoo.nn.norm import build_norm
from zoo.nn.text import build_text_encoder

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
}


def find_function(name: str) -> Callable[[Tensor], Tensor]:
    """Return the function of this activation."""
    if name not in FUNCTIONS:
        raise ValueError(f"`activation` must be one of {', '.join(FUNCTIONS)}, but is {name!r}")
    return FUNCTIONS[name]


class ClassifierFunctional(nn.Module):
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
            activation=find_function(activation),
        )
        self.hidden = nn.Linear(self.encoder.size, hidden_size)
        self.norm = build_norm(norm, hidden_size)
        self.activation = find_function(activation)
        self.output = nn.Linear(hidden_size, num_classes)
        self.dropout = Dropout(dropout)
        initialize(self, init)

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (batch, num_classes) of text (batch, time); lengths (batch) lie on the CPU."""
        vector = self.dropout(self.encoder(self.word_dropout(text), lengths))
        hidden = self.dropout(self.activation(self.norm(self.hidden(vector))))
        logits: Tensor = self.output(hidden)
        return logits
