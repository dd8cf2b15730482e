"""Greedy and beam search against definitions that need no cleverness."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.config import MODELS, Task, task_of_model
from zoo.data import BOS, EOS, PairSizes
from zoo.evaluation import Decoding, search
from zoo.models import create_model
from zoo.search import Hypothesis, beam, greedy

VOCAB = 6
SMALL = {
    "seq2seq": {"embedding_size": 6, "hidden_size": 6, "attention": "additive", "num_layers": 2},
    "transformer": {
        "d_model": 8,
        "nhead": 2,
        "num_encoder_layers": 1,
        "num_decoder_layers": 2,
        "dim_feedforward": 8,
        "max_length": 16,
    },
}
FAMILIES = sorted(SMALL)
CELLS = [("transformer", {"positions": positions}) for positions in ("sinusoidal", "learned", "rotary")] + [
    ("seq2seq", {"cell": cell, "input_feeding": feeding})
    for cell in ("lstm", "gru", "rnn")
    for feeding in (False, True)
]


def model_of(family: str, *, vocab: int = VOCAB, seed: int = 3, sharp: float = 3.0, **options: Any) -> Any:
    """Return a random model in float64 whose choices are not near ties."""
    torch.manual_seed(seed)
    model = create_model(family, sizes=PairSizes(vocab, vocab, False), **{**SMALL[family], **options}).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight) * sharp * weight.shape[-1] ** -0.5)
    return model


def sources(lengths: list[int], *, seed: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    src = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, length in enumerate(lengths):
        src[row, : length - 1] = torch.randint(4, VOCAB, (length - 1,), generator=generator)
        src[row, length - 1] = EOS
    return src, torch.tensor(lengths)


def next_log_probabilities(model: Any, src: Tensor, lengths: Tensor, prefix: list[int]) -> Tensor:
    """Run the whole model anew on one source and one prefix."""
    with torch.no_grad():
        logits = model(src, lengths, torch.tensor([[BOS, *prefix]]))
    return logits[0, -1].float().log_softmax(-1)


def naive_greedy(model: Any, src: Tensor, length: int, *, max_length: int) -> tuple[list[int], float]:
    ids: list[int] = []
    total = 0.0
    for _ in range(max_length):
        best = next_log_probabilities(model, src[None, :length], torch.tensor([length]), ids)
        total += float(best.max())
        if int(best.argmax()) == EOS:
            return ids, total / (len(ids) + 1)
        ids.append(int(best.argmax()))
    return ids, total / max_length


def every_output(model: Any, src: Tensor, length: int, *, max_length: int) -> dict[tuple[int, ...], tuple[float, int]]:
    """Return log-probability and length with end symbol of every output: ended in time, or cut at `max_length`."""
    found = {}
    for count in range(max_length + 1):
        for ids in itertools.product([token for token in range(VOCAB) if token != EOS], repeat=count):
            with torch.no_grad():
                logits = model(src[None, :length], torch.tensor([length]), torch.tensor([[BOS, *ids]]))
            steps = logits[0].float().log_softmax(-1)
            outputs = [*ids, EOS] if count < max_length else list(ids)
            found[ids] = sum(float(steps[i, token]) for i, token in enumerate(outputs)), len(outputs)
    return found


@pytest.mark.parametrize(("family", "options"), CELLS)
def test_greedy_equals_a_loop_that_reruns_the_decoder(family: str, options: dict[str, Any]) -> None:
    src, lengths = sources([5, 2, 7, 3, 1])
    ended = set()
    for seed in range(4):
        model = model_of(family, seed=seed, **options)
        for row, found in enumerate(greedy(model, src, lengths, max_length=7)):
            ids, score = naive_greedy(model, src[row], int(lengths[row]), max_length=7)
            assert found.ids == ids
            assert found.score == pytest.approx(score, rel=1e-4)
            ended.add(len(ids))
    assert len(ended) > 1, "all outputs are of one length: rows that end early were not tried"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_beam_of_width_one_equals_greedy(family: str, length_penalty: float) -> None:
    src, lengths = sources([5, 2, 7, 3, 1])
    for seed in range(4):
        model = model_of(family, seed=seed)
        outputs = beam(model, src, lengths, width=1, max_length=6, length_penalty=length_penalty)
        expected = greedy(model, src, lengths, max_length=6)
        assert [[one.ids for one in found] for found in outputs] == [[one.ids] for one in expected]
        if length_penalty == 1:
            assert [found[0].score for found in outputs] == pytest.approx([one.score for one in expected], rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_beam_wide_enough_equals_exhaustive_search(family: str) -> None:
    src, lengths = sources([3, 4])
    model = model_of(family, sharp=1.5)
    width = (VOCAB - 1) ** 3 * VOCAB  # more than there are prefixes
    every = [every_output(model, src[row], int(lengths[row]), max_length=3) for row in range(2)]
    for penalty in (0.0, 0.6, 1.0, 2.0):
        outputs = beam(model, src, lengths, width=width, max_length=3, length_penalty=penalty, nbest=width)
        for found, known in zip(outputs, every, strict=True):
            scores = {ids: total / length**penalty for ids, (total, length) in known.items()}
            assert len(found) == len(scores)
            assert tuple(found[0].ids) == max(scores, key=lambda ids: scores[ids])
            assert {tuple(one.ids): one.score for one in found} == pytest.approx(scores, rel=1e-4)


def test_the_length_penalty_decides_between_short_and_long() -> None:
    src, lengths = sources([4, 4, 4], seed=9)
    model = model_of("seq2seq", sharp=1.5)
    short, long = (
        [len(found[0].ids) for found in beam(model, src, lengths, width=150, max_length=3, length_penalty=penalty)]
        for penalty in (0.0, 3.0)
    )
    assert sum(short) < sum(long)


@pytest.mark.parametrize(("family", "options"), CELLS)
@pytest.mark.parametrize("width", [1, 3])
def test_an_output_does_not_depend_on_its_batch(family: str, options: dict[str, Any], width: int) -> None:
    lengths_of = [5, 2, 7, 3, 1, 7]
    src, lengths = sources(lengths_of)
    model = model_of(family, seed=1, **options)
    decoding = Decoding(width=width, max_length=7, nbest=width)
    together = search(model, src, lengths, decoding)
    for row, length in enumerate(lengths_of):
        alone = search(model, src[row : row + 1, :length], lengths[row : row + 1], decoding)[0]
        assert [one.ids for one in together[row]] == [one.ids for one in alone]
        assert [one.score for one in together[row]] == pytest.approx([one.score for one in alone], rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_nbest_outputs_are_sorted_and_distinct(family: str) -> None:
    src, lengths = sources([5, 2, 7])
    for seed in range(3):
        for found in beam(model_of(family, seed=seed), src, lengths, width=5, max_length=6, nbest=4):
            assert 1 <= len(found) <= 4
            assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
            assert len({tuple(one.ids) for one in found}) == len(found)
            assert all(EOS not in one.ids for one in found)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("width", [1, 4])
def test_outputs_are_no_longer_than_asked(family: str, width: int) -> None:
    src, lengths = sources([5, 2, 7])
    model = model_of(family)
    with torch.no_grad():
        model.output.bias[EOS] = -1e4  # never ends by itself
    outputs = search(model, src, lengths, Decoding(width=width, max_length=5))
    assert [len(found[0].ids) for found in outputs] == [5, 5, 5]
    with torch.no_grad():
        model.output.bias[EOS] = 1e4
    assert search(model, src, lengths, Decoding(width=width, max_length=5))[0][0].ids == []


def test_more_outputs_than_the_beam_holds_are_refused() -> None:
    src, lengths = sources([3])
    with pytest.raises(ValueError, match=r"`nbest` must be at most the beam width \(2\), but is 3"):
        beam(model_of("seq2seq"), src, lengths, width=2, max_length=3, nbest=3)


def test_search_of_width_one_gives_one_output_for_each_source() -> None:
    src, lengths = sources([3, 2])
    outputs = search(model_of("transformer"), src, lengths, Decoding(width=1, max_length=3))
    assert [len(found) for found in outputs] == [1, 1]
    assert isinstance(outputs[0][0], Hypothesis)


def test_every_sequence_model_can_be_searched() -> None:
    pairs = {name for name, cls in MODELS.items() if task_of_model(cls(name=name)) == Task.pairs}
    assert pairs == set(SMALL)
