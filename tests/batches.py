"""Batches of texts and of pairs, and models that train on them in a moment."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.data import PairCorpus, PairSizes, Sequences, TextBatch, TextSizes
from zoo.models import create_model

CLASSES, VOCAB = 3, 10


def text_batches(*sizes: int, seed: int = 0) -> list[TextBatch]:
    """Return batches of these many texts of 2 to 5 tokens, whose label is the first token's number modulo 3."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for size in sizes:
        lengths = torch.randint(2, 6, (size,), generator=generator)
        text = torch.randint(4, VOCAB, (size, int(lengths.max())), generator=generator)
        text = text.masked_fill(torch.arange(text.shape[1]) >= lengths[:, None], 0)
        batches.append(TextBatch(text, lengths, text[:, 0] % CLASSES))
    return batches


def merged(batches: list[TextBatch]) -> TextBatch:
    longest = max(batch.text.shape[1] for batch in batches)
    text = torch.cat([F.pad(batch.text, (0, longest - batch.text.shape[1])) for batch in batches])
    return TextBatch(text, torch.cat([b.lengths for b in batches]), torch.cat([b.label for b in batches]))


def pair_corpus(rows: int = 24, *, seed: int = 0) -> PairCorpus:
    generator = torch.Generator().manual_seed(seed)
    lists = [
        torch.randint(4, VOCAB, (int(torch.randint(1, 6, (), generator=generator)),), generator=generator).tolist()
        for _ in range(rows)
    ]
    return PairCorpus(src=Sequences.from_lists(lists), tgt=Sequences.from_lists(row[::-1] for row in lists))


def classifier(**options: Any) -> nn.Module:
    torch.manual_seed(1)
    small = {"encoder": "bag", "embedding_size": 6, "hidden_size": 6, "dropout": 0.0}
    return create_model("classifier", sizes=TextSizes(VOCAB, CLASSES), **{**small, **options}).double()


def transformer(**options: Any) -> nn.Module:
    torch.manual_seed(1)
    small = {"d_model": 8, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 8}
    sizes = PairSizes(VOCAB, VOCAB, False)
    return create_model("transformer", sizes=sizes, **{**small, "dropout": 0.0, "max_length": 16, **options})


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr)


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
