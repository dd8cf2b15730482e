"""Logistic regression on tokens and runs of tokens: a score of each for each class, and no hidden layer."""

from torch import Tensor, nn

from zoo.nn.ngrams import RunSum

SCALE = 8.0
"""Factor of all scores: with it the learning rates of the other models fit, and a few epochs are enough."""


class LinearClassifier(nn.Module):
    """Add up, for each class, the scores of a text's tokens and of its runs of up to `ngrams` tokens.

    All scores are zero at first, so what training has never seen counts for nothing.
    """

    def __init__(
        self, vocab_size: int, num_classes: int, *, ngrams: int = 2, buckets: int = 2**18, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.scores = RunSum(vocab_size, num_classes, ngrams=ngrams, buckets=buckets, dropout=dropout)
        self.bias = nn.Parameter(Tensor(num_classes))
        for weight in self.parameters():
            nn.init.zeros_(weight)

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (batch, num_classes) of text (batch, time); lengths (batch) lie on the CPU."""
        logits: Tensor = SCALE * self.scores(text, lengths) + self.bias
        return logits
