"""Text classifiers as tutorials teach them: `nn.Conv1d` or `nn.LSTM`, plain Adam, float32."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from .batch import pad_texts
from .interface import Rows


class WindowClassifier(nn.Module):
    """Keep the strongest match of each window of one to three tokens (Kim, 2014)."""

    def __init__(self, vocab: int, classes: int, *, embedding_size: int, size: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embedding_size, padding_idx=0)
        self.windows = nn.ModuleList(nn.Conv1d(embedding_size, size, width, padding=width - 1) for width in (1, 2, 3))
        self.output = nn.Sequential(nn.Dropout(dropout), nn.Linear(3 * size, size), nn.ReLU(), nn.Dropout(dropout),
                                    nn.Linear(size, classes))  # fmt: skip

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (batch, classes) of text (batch, time)."""
        vectors = self.embedding(text).transpose(1, 2)
        found = [torch.relu(window(vectors)).max(2).values for window in self.windows]
        logits: Tensor = self.output(torch.cat(found, 1))
        return logits


class LSTMClassifier(nn.Module):
    """Read the text in both directions and classify by the last states."""

    def __init__(self, vocab: int, classes: int, *, embedding_size: int, size: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embedding_size, padding_idx=0)
        self.lstm = nn.LSTM(embedding_size, size // 2, batch_first=True, bidirectional=True)
        self.output = nn.Sequential(nn.Dropout(dropout), nn.Linear(size, size), nn.ReLU(), nn.Dropout(dropout),
                                    nn.Linear(size, classes))  # fmt: skip

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (batch, classes) of text (batch, time)."""
        packed = pack_padded_sequence(self.embedding(text), lengths, batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.lstm(packed)
        logits: Tensor = self.output(torch.cat([hidden[0], hidden[1]], 1))
        return logits


class Trainer:
    """Train a classifier; `encoder` is cnn or lstm."""

    def __init__(self, encoder: str, vocab: int, classes: int, **sizes: Any) -> None:
        kind = {"cnn": WindowClassifier, "lstm": LSTMClassifier}[encoder]
        self.model = kind(vocab, classes, **sizes)
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.criterion = nn.CrossEntropyLoss()

    def step(self, texts: Rows, labels: list[int]) -> float:
        """Take one optimizer step on a batch and return its loss before the step."""
        self.model.train()
        logits = self.model(pad_texts(texts), torch.tensor([len(row) for row in texts]))
        loss = self.criterion(logits, torch.tensor(labels))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.item())
