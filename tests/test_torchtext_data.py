"""Files that `dataset=torchtext` reads train, are read again, and give the batches of the zoo's own corpora."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.config import (
    ClassifierConfig,
    Encoder,
    Seq2SeqConfig,
    Task,
    TgtDirection,
    Tokenizer,
    TorchtextConfig,
    TrainConfig,
    TransformerConfig,
)
from zoo.data import EOS, IGNORE, PAD, build_data
from zoo.data.torchtext_data import build_iterator
from zoo.experiment import open_run, train
from zoo.models import create_model

WORDS = ["a", "b", "c", "d", "e", "f"]
TEXTS = [(" ".join(WORDS[(i * j) % 6] for j in range(1, 2 + i % 5)), "yes" if i % 2 else "no") for i in range(24)]
PAIRS = [(text, " ".join(reversed(text.split())) + (" z" if label == "yes" else "")) for text, label in TEXTS]


def write(path: Path, rows: list[tuple[str, str]]) -> str:
    path.write_text("".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    return str(path)


def labelled(directory: Path, **options: Any) -> TrainConfig:
    rows = [*TEXTS, ("<pad> <unk> a", "yes"), ("b <pad>", "no")]
    dataset = TorchtextConfig(
        task=Task.labelled,
        tokenizer=Tokenizer.space,
        train=write(directory / "train.tsv", rows),
        valid=write(directory / "valid.tsv", [*TEXTS[:5], ("a b", "never seen"), ("", "yes")]),
        test=write(directory / "test.tsv", [("c d", "no"), ("d c", "yes"), ("new words", "no")]),
        batch_size=6,
    )
    model = ClassifierConfig(encoder=Encoder.bag, embedding_size=8, hidden_size=8, dropout=0.0)
    return TrainConfig(model=model, dataset=dataset, epochs=3, **options)


def paired(directory: Path, model: Any) -> TrainConfig:
    dataset = TorchtextConfig(
        task=Task.pairs,
        src_tokenizer=Tokenizer.space,
        train=write(directory / "train.tsv", PAIRS),
        valid=write(directory / "valid.tsv", PAIRS[:4]),
        test=write(directory / "test.tsv", [("a c", "c a"), ("d e", "e d"), ("d e", "e d z")]),
        batch_size=6,
    )
    return TrainConfig(model=model, dataset=dataset, epochs=3)


def training_losses(run: str) -> list[float]:
    lines = (Path(run) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["train_loss"] for line in lines]


def test_labelled_files_train_through_torchtext_and_the_run_can_be_used(here: Path) -> None:
    results = train(labelled(here))
    losses = training_losses(results["run_dir"])
    assert losses[-1] < losses[0]
    run = open_run(results["run_dir"])
    assert run.evaluate("test") == results["test"]
    assert run.evaluate("valid") == results["valid"]
    assert [found.label in ("yes", "no") for found in run.predict(["a b", "", "c"])] == [True] * 3


def test_the_validation_accuracy_counts_unknown_labels_and_empty_texts_as_errors(here: Path) -> None:
    results = train(labelled(here))
    lines = [json.loads(line) for line in (Path(results["run_dir"]) / "metrics.jsonl").read_text().splitlines()]
    best = lines[results["best_epoch"] - 1]
    assert best["valid_accuracy"] == results["valid"]["accuracy"]
    assert best["valid_loss"] == pytest.approx(results["valid"]["loss"], rel=1e-2)
    assert results["valid"]["accuracy"] <= 5 / 7


@pytest.mark.parametrize(
    "model",
    [
        Seq2SeqConfig(embedding_size=8, hidden_size=8),
        TransformerConfig(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8),
    ],
    ids=lambda model: model.name,
)
def test_pairs_of_files_train_through_torchtext_and_the_run_can_be_used(here: Path, model: Any) -> None:
    results = train(paired(here, model))
    losses = training_losses(results["run_dir"])
    assert losses[-1] < losses[0]
    run = open_run(results["run_dir"])
    assert run.evaluate("test") == results["test"]
    assert len(run.predict(["a b", "", "c"])) == 3


def order(loader: Any) -> list[Any]:
    return [tuple(part.tolist() for part in batch.to(torch.device("cpu")).inputs) for batch in loader]


def test_the_order_follows_from_the_seed_and_the_epoch_alone(here: Path) -> None:
    config = labelled(here)
    data = build_data(config)
    model = create_model("classifier", sizes=data.sizes)

    def make(seed: int) -> Any:
        return build_iterator(data.train, data.codecs, model, batch_size=4, seed=seed, train=True, labels=data.labels)

    first, second, other = make(1), make(1), make(2)
    for loader, epoch in ((first, 1), (second, 1), (other, 1)):
        loader.set_epoch(epoch)
    one = order(first)
    torch.manual_seed(99)
    assert order(second) == one
    assert order(other) != one
    first.set_epoch(2)
    assert order(first) != one
    first.set_epoch(1)
    assert order(first) == one


def test_reserved_spellings_in_a_text_stay_text(here: Path) -> None:
    data = build_data(labelled(here))
    model = create_model("classifier", sizes=data.sizes)
    loader = build_iterator(data.train, data.codecs, model, batch_size=6, seed=1, train=True, labels=data.labels)
    codec = data.codecs["text"]
    texts = [
        (codec.decode(row[:length]), data.labels[label])
        for batch in loader
        for row, length, label in zip(*map(Tensor.tolist, batch), strict=True)
    ]
    assert ("<pad> <unk> a", "yes") in texts
    assert ("b <pad>", "no") in texts
    assert not any(
        PAD in row[:n] or set(row[n:]) - {PAD}
        for batch in loader
        for row, n, _ in zip(*map(Tensor.tolist, batch), strict=True)
    )


@pytest.mark.parametrize("direction", TgtDirection)
def test_batches_equal_those_of_the_zoos_own_corpora(here: Path, direction: TgtDirection) -> None:
    config = paired(here, Seq2SeqConfig())
    config.dataset.tgt_direction = direction
    data = build_data(config)
    model = create_model("seq2seq", sizes=data.sizes)
    loader = build_iterator(data.train, data.codecs, model, batch_size=100, seed=1, train=True)
    (batch,) = loader
    ours = data.train.batch(torch.arange(len(data.train)).numpy())
    parts = []
    for one in (batch, ours):
        given = one.tgt_in.masked_fill(one.tgt_out == IGNORE, PAD)  # what follows the end of a target is never asked
        parts.append(sorted(zip(one.src.tolist(), given.tolist(), one.tgt_out.tolist(), strict=True)))
    assert parts[0] == parts[1]
    assert bool((batch.src.gather(1, batch.src_lengths[:, None] - 1) == EOS).all())
