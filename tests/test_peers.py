"""The benchmark's adapters: what others decode equals what the zoo decodes, and what they train learns."""

import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import peers
import pytest
import torch
from peers.batch import pad_sources, pad_targets

from zoo import search
from zoo.data.batch import IGNORE
from zoo.data.vocab import BOS, PAD, UNK
from zoo.loss import summed_loss
from zoo.models.transformer import Transformer

SCRIPTS = Path(__file__).parent.parent / "scripts"

SRC_VOCAB, TGT_VOCAB, LONGEST = 14, 12, 20
SIZES = peers.Dimensions(SRC_VOCAB, TGT_VOCAB, d_model=16, nhead=2, layers=2, dim_feedforward=32, dropout=0.0)
RECURRENT = peers.RecurrentDimensions(SRC_VOCAB, TGT_VOCAB, embedding_size=8, hidden_size=16, dropout=0.0)

pytestmark = [
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage:UserWarning"),
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
]

models = pytest.mark.parametrize(("norm", "tied"), [("pre", False), ("post", True)])


def sources(count: int, *, longest: int, seed: int = 0) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.choice([UNK, *range(4, SRC_VOCAB)]) for _ in range(draw.randint(1, longest))] for _ in range(count)]


def targets(src: peers.Rows) -> list[list[int]]:
    return [[4 + index % (TGT_VOCAB - 4) for index in row] for row in src]


def lengths(src: peers.Rows) -> torch.Tensor:
    return torch.tensor([len(row) + 1 for row in src])


@cache
def model(norm: str, tied: bool) -> Transformer:
    """Return a model trained for a moment: no weight is as it began, outputs end, and it is sure of little."""
    torch.manual_seed(1)
    made = Transformer(
        SRC_VOCAB, TGT_VOCAB, d_model=16, nhead=2, num_encoder_layers=2, num_decoder_layers=2, dim_feedforward=32,
        norm=norm, tie_embeddings=tied,
    )  # fmt: skip
    optimizer = torch.optim.Adam(made.parameters(), lr=0.003)
    for seed in range(100):
        src = sources(32, longest=6, seed=seed)
        tgt_in, tgt_out = pad_targets(targets(src), value=IGNORE)
        total, count = summed_loss(made(pad_sources(src), lengths(src), tgt_in), tgt_out)
        optimizer.zero_grad()
        (total / count).backward()
        optimizer.step()
    with torch.no_grad():
        made.output.bias[[PAD, BOS]] = -1e4  # some peers never predict them
    return made.eval()


def greedy(zoo: Transformer, src: peers.Rows) -> list[list[int]]:
    return [found.ids for found in search.greedy(zoo, pad_sources(src), lengths(src), max_length=LONGEST)]


def beam(zoo: Transformer, src: peers.Rows, **options: Any) -> list[list[int]]:
    options = {"width": 5, "max_length": LONGEST, **options}
    return [best[0].ids for best in search.beam(zoo, pad_sources(src), lengths(src), **options)]


def installed(module: Any) -> Any:
    """Return the module, or skip the test where its package is not installed."""
    try:
        module.version()
    except ImportError as error:
        pytest.skip(f"{module.NAME}: {error}")
    return module


def share_equal(found: list[list[int]], expected: list[list[int]]) -> float:
    return sum(one == other for one, other in zip(found, expected, strict=True)) / len(expected)


@models
def test_the_model_of_these_tests_tells_searches_apart(norm: str, tied: bool) -> None:
    src = sources(100, longest=9)
    found = greedy(model(norm, tied), src)
    assert len({len(ids) for ids in found}) > 4
    assert share_equal(found, beam(model(norm, tied), src)) < 0.7


@models
@pytest.mark.parametrize("peer", [peers.textbook, peers.joeynmt, peers.ctranslate], ids=lambda peer: peer.NAME)
def test_greedy_outputs_equal_the_zoo_s(peer: Any, norm: str, tied: bool) -> None:
    src = sources(100, longest=9)
    translator = installed(peer).Translator(model(norm, tied))
    assert translator.greedy(src, LONGEST) == greedy(model(norm, tied), src)


@pytest.mark.parametrize("tied", [False, True])
def test_marian_s_greedy_and_beam_outputs_equal_the_zoo_s(tied: bool) -> None:
    src = sources(100, longest=9)
    translator = installed(peers.huggingface).Translator(model("post", tied))
    assert translator.greedy(src, LONGEST) == greedy(model("post", tied), src)
    assert translator.beam(src, 5, LONGEST) == beam(model("post", tied), src)


@models
def test_ctranslate2_s_beam_outputs_equal_the_zoo_s(norm: str, tied: bool) -> None:
    src = sources(100, longest=9)
    translator = installed(peers.ctranslate).Translator(model(norm, tied), inter_threads=2, max_batch_size=64)
    assert translator.beam(src, 5, 60) == beam(model(norm, tied), src, max_length=60)


def test_ctranslate2_in_int8_mostly_agrees() -> None:
    src = sources(100, longest=9)
    translator = installed(peers.ctranslate).Translator(model("pre", False), "int8")
    assert share_equal(translator.greedy(src, LONGEST), greedy(model("pre", False), src)) > 0.85


@models
def test_joeynmt_s_beam_without_length_penalty_mostly_agrees(norm: str, tied: bool) -> None:
    src = sources(100, longest=9)
    translator = installed(peers.joeynmt).Translator(model(norm, tied), beam_alpha=-1.0)
    expected = beam(model(norm, tied), src, length_penalty=0.0)
    assert share_equal(translator.beam(src, 5, LONGEST), expected) > 0.85


TRAINERS: dict[str, tuple[Any, Callable[[], Any]]] = {
    "textbook Transformer": (peers.textbook, lambda: peers.textbook.TransformerTrainer(SIZES)),
    "textbook Luong": (peers.textbook, lambda: peers.textbook.LuongTrainer(RECURRENT)),
    "textbook Bahdanau": (peers.textbook, lambda: peers.textbook.BahdanauTrainer(RECURRENT)),
    "Marian in fp32": (peers.huggingface, lambda: peers.huggingface.TransformerTrainer(SIZES)),
    "Marian in bf16": (peers.huggingface, lambda: peers.huggingface.TransformerTrainer(SIZES, "bf16")),
    "JoeyNMT Transformer": (peers.joeynmt, lambda: peers.joeynmt.TransformerTrainer(SIZES)),
    "JoeyNMT Luong": (peers.joeynmt, lambda: peers.joeynmt.LuongTrainer(RECURRENT)),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_losses_fall(name: str) -> None:
    peer, build = TRAINERS[name]
    installed(peer)
    torch.manual_seed(1)
    src = sources(16, longest=5)
    trainer = build()
    for group in trainer.optimizer.param_groups:
        group["lr"] = 0.01  # the sizes here are too small for the rates of real ones
    losses = [trainer.step(src, targets(src)) for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("encoder", ["cnn", "lstm"])
def test_the_textbook_s_classifiers_learn_labels(encoder: str) -> None:
    torch.manual_seed(1)
    texts, labels = [[4, 5, 6], [7, 5], [4, 6, 6, 6], [7, 7, 6]], [0, 1, 0, 1]
    trainer = peers.texts.Trainer(encoder, 9, 2, embedding_size=4, size=8, dropout=0.0)
    trainer.optimizer.param_groups[0]["lr"] = 0.01
    losses = [trainer.step(texts, labels) for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]


def test_the_textbook_decodes_what_it_has_learned() -> None:
    torch.manual_seed(1)
    src = sources(8, longest=5)
    trainer = peers.textbook.TransformerTrainer(SIZES)
    trainer.optimizer.param_groups[0]["lr"] = 0.01
    for _ in range(100):
        trainer.step(src, targets(src))
    assert trainer.greedy(src, LONGEST) == targets(src)


def test_fasttext_learns_two_labels_from_words() -> None:
    fasttext = installed(peers.fasttext)
    texts = [["good", "film"], ["bad", "film"]] * 50
    labels = [1, 0] * 50
    classifier = fasttext.train(texts, labels, dim=8, epochs=20, lr=0.5, threads=1)
    assert classifier.accuracy(texts, labels) == 1
    assert classifier.predict([["good"]]) == ["1"]
    assert classifier.training_words_per_second > 0
    assert classifier.prediction_words_per_second(texts) > 0


def test_marian_refuses_models_that_it_cannot_copy() -> None:
    translator = installed(peers.huggingface).Translator
    with pytest.raises(ValueError, match="the model's `norm` is pre; set it to post"):
        translator(model("pre", False))
    with pytest.raises(ValueError, match="`model` must have sinusoidal positions, ReLU"):
        translator(Transformer(SRC_VOCAB, TGT_VOCAB, norm="post", positions="rotary"))
    with pytest.raises(ValueError, match="`precision` must be one of fp32, bf16, but is 'fp16'"):
        peers.huggingface.TransformerTrainer(SIZES, "fp16")


def test_importing_the_adapters_imports_no_peer() -> None:
    code = "import sys, peers; print({'transformers', 'joeynmt', 'ctranslate2', 'fasttext'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
