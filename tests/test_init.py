"""Initial weights have the spread that the papers ask for, matrix by matrix."""

import math

import pytest
import torch
from torch import nn

from zoo.nn.init import StackedLinear, initialize

SPREADS = {
    "xavier": lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)),
    "he": lambda fan_in, fan_out: math.sqrt(2 / fan_in),
    "normal": lambda fan_in, fan_out: 0.02,
}


def initialized(module, scheme):
    torch.manual_seed(0)
    initialize(module, scheme)
    return module


def spread(weight):
    return weight.detach().std().item()


@pytest.mark.parametrize("scheme", SPREADS)
def test_each_matrix_has_its_own_spread(scheme):
    expected = SPREADS[scheme]
    linear = initialized(nn.Linear(200, 100), scheme)
    assert spread(linear.weight) == pytest.approx(expected(200, 100), rel=0.05)
    assert (linear.bias == 0).all()
    stacked = initialized(StackedLinear(100, 80, parts=3), scheme)
    assert stacked.weight.shape == (240, 100)
    assert spread(stacked.weight) == pytest.approx(expected(100, 80), rel=0.05)
    windows = initialized(nn.Conv1d(50, 60, 4), scheme)
    assert spread(windows.weight) == pytest.approx(expected(50 * 4, 60 * 4), rel=0.05)
    recurrent = initialized(nn.LSTM(100, 80), scheme)
    assert spread(recurrent.weight_ih_l0) == pytest.approx(expected(100, 80), rel=0.05)
    assert spread(recurrent.weight_hh_l0) == pytest.approx(expected(80, 80), rel=0.05)


@pytest.mark.parametrize("scheme", SPREADS)
def test_embeddings_follow_their_width_and_padding_is_zero(scheme):
    embedding = initialized(nn.Embedding(500, 64, padding_idx=0), scheme)
    assert spread(embedding.weight[1:]) == pytest.approx(1 / 8, rel=0.05)
    assert (embedding.weight[0] == 0).all()


@pytest.mark.parametrize("scheme", SPREADS)
def test_norms_stay_and_forget_gates_are_open(scheme):
    norm = initialized(nn.LayerNorm(8), scheme)
    assert (norm.weight == 1).all()
    recurrent = initialized(nn.LSTM(4, 3, num_layers=2), scheme)
    for bias in (recurrent.bias_hh_l0, recurrent.bias_hh_l1):
        assert bias.tolist() == [0.0] * 3 + [1.0] * 3 + [0.0] * 6


@pytest.mark.parametrize("embedding_first", [False, True])
def test_a_tied_matrix_is_initialized_once_as_an_embedding(embedding_first):
    embedding, output = nn.Embedding(400, 64), nn.Linear(64, 400)
    output.weight = embedding.weight
    initialized(nn.Sequential(*((embedding, output) if embedding_first else (output, embedding))), "he")
    assert spread(output.weight) == pytest.approx(1 / 8, rel=0.05)


def test_zeros_are_everywhere_but_in_the_norms():
    model = nn.Sequential(nn.Embedding(5, 4), nn.LSTM(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    initialized(model, "zeros")
    for name, weight in model.named_parameters():
        assert (weight == (1 if name == "2.weight" else 0)).all(), name


def test_an_unknown_scheme_is_named():
    with pytest.raises(ValueError, match="`init` must be one of xavier, he, normal, zeros, but is 'ones'"):
        initialize(nn.Linear(2, 2), "ones")
