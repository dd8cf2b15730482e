"""A text classifier of your own, outside of the package, trained by the loop of the zoo.

From Python: python examples/own_model.py
From the shell, in the directory of this file: ZOO_ALLOW_CODE=own_model zoo-train model=own_model:Weighted
"""

import torch
from torch import Tensor, nn

from zoo.config import ClassifierConfig, MovieReviewsConfig, TrainConfig
from zoo.data import Loader, build_data
from zoo.evaluation import Setting, evaluate
from zoo.training import training

# ---- the model: two sizes come from the data, the rest are its options


class Weighted(nn.Module):
    """A mean of word vectors, each with a weight of its own."""

    def __init__(self, vocab_size: int, num_classes: int, *, hidden_size: int = 100, dropout: float = 0.5) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, hidden_size, padding_idx=0)
        self.weight = nn.Linear(hidden_size, 1)
        self.output = nn.Linear(hidden_size, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (batch, num_classes) of the token ids in text (batch, time), where 0 is padding."""
        vectors = self.dropout(self.embedding(text))  # (batch, time, hidden_size)
        weights = self.weight(vectors).squeeze(-1).masked_fill(text == 0, -1e4).softmax(-1)  # (batch, time)
        return self.output((weights[..., None] * vectors).sum(1))


# ---- the data, the loop and the result


def main(epochs: int = 8) -> None:
    """Train on film reviews, and print what each epoch and the test part give."""
    torch.manual_seed(1)
    data = build_data(TrainConfig(model=ClassifierConfig(), dataset=MovieReviewsConfig()))
    trainloader = Loader(data.train, batch_tokens=2048, seed=1)
    validloader = Loader(data.valid, batch_tokens=2048, shuffle=False)
    model = Weighted(*data.sizes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for epoch in range(1, epochs + 1):
        trainloader.set_epoch(epoch)  # another order of batches, by the seed
        result = training(epoch, model, trainloader, validloader, optimizer=optimizer)
        print(f"epoch {epoch}: loss {result.loss:.3f}, valid accuracy {result.valid_accuracy:.3f}")
    metrics = evaluate(model, data.test, data.codecs, Setting(torch.device("cpu")))
    print(f"test accuracy {metrics['accuracy']:.3f}")


if __name__ == "__main__":
    main()
