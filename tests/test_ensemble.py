"""An ensemble of models: one model to every search, whose probabilities are the mean of its members'."""

import itertools
from typing import Any

import pytest
import torch
from test_search import FAMILIES, VOCAB, model_of, sources
from torch import Tensor

from zoo.data import BOS, EOS, TextSizes
from zoo.evaluation import Decoding, search
from zoo.models import create_model
from zoo.models.ensemble import Ensemble, mean_log_probabilities
from zoo.search import Hypothesis


def pair() -> list[Any]:
    """Return two models of different families with the same vocabularies."""
    return [model_of("transformer", seed=1, sharp=1.5), model_of("seq2seq", seed=2, sharp=1.5)]


def same(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    assert [[one.ids for one in row] for row in found] == [[one.ids for one in row] for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert [one.score for one in row] == pytest.approx([one.score for one in other], rel=1e-5)


def probability(models: list[Any], src: Tensor, ids: list[int], targets: list[int]) -> float:
    """Multiply the mean probabilities of the targets, each after those before it, in float64."""
    total = 1.0
    for step, target in enumerate(targets):
        prefix = torch.tensor([[BOS, *ids[:step]]])
        with torch.no_grad():
            logits = [model(src[None], torch.tensor([len(src)]), prefix)[0, -1] for model in models]
        total *= sum(float(one.double().softmax(-1)[target]) for one in logits) / len(models)
    return total


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("decoding", [Decoding(max_length=6), Decoding(width=4, max_length=6, nbest=4)])
@pytest.mark.parametrize("copies", [1, 2, 3])
def test_an_ensemble_of_a_model_with_itself_is_that_model(family: str, decoding: Decoding, copies: int) -> None:
    src, lengths = sources([5, 2, 7, 3, 1])
    model = model_of(family)
    same(search(Ensemble([model] * copies), src, lengths, decoding), search(model, src, lengths, decoding))


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
def test_an_ensemble_of_two_families_equals_exhaustive_search_in_float64(penalty: float) -> None:
    models, longest = pair(), 3
    tokens = [token for token in range(VOCAB) if token != EOS]
    width = len(tokens) ** longest * VOCAB
    src, lengths = sources([4])
    known = {}
    for count in range(longest + 1):
        for ids in itertools.product(tokens, repeat=count):
            targets = [*ids, EOS] if count < longest else list(ids)
            chance = probability(models, src[0], list(ids), targets)
            known[ids] = float(torch.tensor(chance, dtype=torch.float64).log()) / len(targets) ** penalty
    decoding = Decoding(width=width, max_length=longest, length_penalty=penalty, nbest=width)
    found = search(Ensemble(models), src, lengths, decoding)[0]
    assert tuple(found[0].ids) == max(known, key=lambda ids: known[ids])
    assert {tuple(one.ids): one.score for one in found} == pytest.approx(known, rel=1e-4)


def test_greedy_search_takes_the_token_of_the_highest_mean_probability_at_each_step() -> None:
    models = pair()
    src, lengths = sources([5, 2, 7])
    found = search(Ensemble(models), src, lengths, Decoding(max_length=5))
    for row, (one,) in enumerate(found):
        targets = [*one.ids, EOS][:5]
        for step in range(len(targets)):
            chances = [
                probability(models, src[row, : lengths[row]], one.ids[:step], [*one.ids[:step], token])
                for token in range(VOCAB)
            ]
            assert targets[step] == max(range(VOCAB), key=lambda token: chances[token])


@pytest.mark.parametrize("width", [1, 3])
def test_an_ensembles_output_does_not_depend_on_its_batch(width: int) -> None:
    lengths_of = [5, 2, 7, 3, 1, 7]
    src, lengths = sources(lengths_of)
    model, decoding = Ensemble(pair()), Decoding(width=width, max_length=7, nbest=width)
    together = search(model, src, lengths, decoding)
    for row, length in enumerate(lengths_of):
        same([together[row]], search(model, src[row : row + 1, :length], lengths[row : row + 1], decoding))


def test_the_logits_of_an_ensemble_are_the_log_of_the_mean_probability() -> None:
    models = [
        create_model("classifier", sizes=TextSizes(9, 3), encoder=encoder, embedding_size=4, hidden_size=4).eval()
        for encoder in ("bag", "gru")
    ]
    text, lengths = torch.tensor([[4, 5, 6], [7, 8, 0]]), torch.tensor([3, 2])
    with torch.no_grad():
        expected = (models[0](text, lengths).softmax(-1) + models[1](text, lengths).softmax(-1)) / 2
        found = Ensemble(models)(text, lengths)
    torch.testing.assert_close(found.exp(), expected)


def test_probabilities_too_small_for_their_type_are_averaged_all_the_same() -> None:
    logits = [torch.tensor([0.0, -500.0]), torch.tensor([0.0, -400.0])]
    assert mean_log_probabilities(logits).tolist() == pytest.approx([0.0, -400 - 0.6931472])
    assert mean_log_probabilities([one.to(torch.bfloat16) for one in logits]).dtype == torch.float32
