"""Every variant of a model, every optimizer and every schedule learns in the one loop."""

import math
from typing import Any

import pytest
import torch
from batches import CLASSES, VOCAB, classifier, merged, pair_corpus, text_batches
from torch import nn

from zoo.config import (
    OPTIMIZERS,
    SCHEDULERS,
    Activation,
    Attention,
    Cell,
    Encoder,
    FeedForward,
    Init,
    Norm,
    Pooling,
    Positions,
)
from zoo.data import Loader, PairSizes, Sequences, TextCorpus, TextSizes
from zoo.models import create_model
from zoo.optim import build_optimizer, build_schedule, run_progress
from zoo.training import LoopState, training

PAIRS = [("seq2seq", {"cell": cell}) for cell in Cell]
PAIRS += [("seq2seq", {"attention": attention}) for attention in Attention]
PAIRS += [("seq2seq", {"input_feeding": True}), ("seq2seq", {"teacher_forcing": 0.5}), ("seq2seq", {"num_layers": 2})]
PAIRS += [("seq2seq", {"init": init}) for init in Init]
PAIRS += [("transformer", {"norm": norm}) for norm in Norm]
PAIRS += [("transformer", {"positions": positions}) for positions in Positions]
PAIRS += [("transformer", {"activation": activation}) for activation in FeedForward]
PAIRS += [("transformer", {"init": init}) for init in Init] + [("transformer", {"tie_embeddings": False})]
FAMILIES = ("classifier", "classifier_functional")
TEXTS = [(family, {"encoder": encoder}) for family in FAMILIES for encoder in Encoder]
TEXTS += [(family, {"activation": activation}) for family in FAMILIES for activation in Activation]
TEXTS += [(family, {"init": init}) for family in FAMILIES for init in Init]
TEXTS += [(family, {"encoder": "gru", "pooling": pooling}) for family in FAMILIES for pooling in Pooling]
TEXTS += [("linear", {"ngrams": ngrams}) for ngrams in (2, 3)]


def learner(family: str, options: dict[str, Any]) -> tuple[nn.Module, Any]:
    torch.manual_seed(2)
    if family == "linear":
        return create_model(family, sizes=TextSizes(VOCAB, CLASSES), buckets=64, **options), [merged(text_batches(12))]
    if family.startswith("classifier"):
        text = merged(text_batches(12))
        small = {"embedding_size": 8, "hidden_size": 8, "dropout": 0.0}
        return create_model(family, sizes=TextSizes(VOCAB, CLASSES), **{**small, **options}), [text]
    small = {"embedding_size": 8, "hidden_size": 8, "dropout": 0.0}
    if family == "transformer":
        small = {"d_model": 8, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 8,
                 "dropout": 0.0, "max_length": 16}  # fmt: skip
    model = create_model(family, sizes=PairSizes(VOCAB, VOCAB, False), **{**small, **options})
    return model, Loader(pair_corpus(), batch_tokens=200)


@pytest.mark.parametrize(("family", "options"), PAIRS + TEXTS, ids=lambda part: str(part).replace(" ", ""))
def test_every_variant_of_a_model_learns(family: str, options: dict[str, Any]) -> None:
    model, batches = learner(family, options)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = [training(epoch, model, batches, [], optimizer=optimizer).loss for epoch in range(1, 7)]
    assert all(math.isfinite(loss) for loss in losses)
    if options.get("init") != "zeros":
        assert losses[-1] < losses[0]


RATES = {"sgd": 0.3, "momentum": 0.1, "nesterov": 0.1, "adadelta": 20.0}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("family", ["classifier", "transformer"])
def test_every_optimizer_learns(name: str, family: str) -> None:
    model, batches = learner(family, {})
    optimizer = build_optimizer(OPTIMIZERS[name](name=name, lr=RATES.get(name, 0.02)), model)
    losses = [training(epoch, model, batches, [], optimizer=optimizer).loss for epoch in range(1, 9)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_schedule_learns(name: str) -> None:
    model, batches = learner("classifier", {})
    optimizer = torch.optim.Adam(model.parameters())
    schedule = build_schedule(SCHEDULERS[name](name=name), width=8)
    lr = 2.0 if name == "noam" else 0.02

    def rate(state: LoopState) -> float:
        return lr * schedule.factor(run_progress(step=state.step + 1, last_step=20), state.step + 1)

    losses, state = [], LoopState()
    for epoch in range(1, 21):
        result = training(epoch, model, batches, batches, optimizer=optimizer, schedule=rate, state=state)
        schedule.observe(result.valid_loss)
        losses.append(result.loss)
    assert losses[-1] < losses[0]


def test_one_batch_can_be_overfitted_by_each_family() -> None:
    for family in ("seq2seq", "transformer", "classifier", "classifier_functional"):
        wide = {"d_model": 16, "dim_feedforward": 32} if family == "transformer" else {"hidden_size": 32}
        model, batches = learner(family, wide)
        if not family.startswith("classifier"):
            batches = Loader(pair_corpus(6), batch_tokens=200)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for epoch in range(1, 101):
            result = training(epoch, model, batches, [], optimizer=optimizer)
        assert result.accuracy == 1.0, family
        assert result.loss < 0.2, family


def test_a_corpus_of_texts_trains_through_the_loader() -> None:
    text = merged(text_batches(12))
    rows = [row[:length].tolist() for row, length in zip(text.text, text.lengths.tolist(), strict=True)]
    corpus = TextCorpus(text=Sequences.from_lists(rows), labels=text.label.numpy())
    model = classifier(encoder="cnn")
    loader = Loader(corpus, batch_tokens=16, seed=3)
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.02), []
    for epoch in range(1, 6):
        loader.set_epoch(epoch)
        losses.append(training(epoch, model, loader, loader, optimizer=optimizer).loss)
    assert losses[-1] < losses[0]
