"""Normalization of a vector for each text equals torch's, and is an option of both classifiers."""

import pytest
import torch
from torch import nn

from zoo.config import HiddenNorm
from zoo.models.classifier import Classifier
from zoo.models.classifier_functional import ClassifierFunctional
from zoo.nn.norm import NORMS, BatchNorm, build_norm


def test_batch_norm_equals_torchs_in_training_and_after() -> None:
    torch.manual_seed(0)
    ours, theirs = BatchNorm(5), nn.BatchNorm1d(5)
    for _ in range(3):
        x = 3 * torch.randn(7, 5) + 2
        torch.testing.assert_close(ours(x), theirs(x))
    x = torch.randn(2, 5)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_a_batch_of_one_row_is_normalized_by_the_running_figures() -> None:
    norm = BatchNorm(3)
    for _ in range(5):
        norm(torch.randn(8, 3))
    x = torch.randn(1, 3)
    assert torch.equal(norm(x), norm.eval()(x))


def test_the_choices_are_those_of_the_config() -> None:
    assert list(HiddenNorm.__members__) == list(NORMS)
    assert isinstance(build_norm("none", 3), nn.Identity)
    assert isinstance(build_norm("layer", 3), nn.LayerNorm)
    with pytest.raises(ValueError, match="`norm` must be one of none, batch, layer, but is 'group'"):
        build_norm("group", 3)


@pytest.mark.parametrize("norm", NORMS)
def test_both_classifiers_have_equal_keys_and_logits_and_padding_changes_nothing(norm: str) -> None:
    options = {"embedding_size": 6, "hidden_size": 8, "encoder": "cnn", "norm": norm}
    module, function = Classifier(20, 3, **options), ClassifierFunctional(20, 3, **options)
    function.load_state_dict(module.state_dict())
    text, lengths = torch.randint(4, 20, (4, 7)), torch.tensor([2, 7, 1, 4])
    padded = torch.cat([text, torch.randint(4, 20, (4, 3))], 1)
    for model in (module, function):
        model.dropout.p = model.encoder.dropout.p = 0.0
    assert torch.equal(module(text, lengths), function(text, lengths))
    torch.testing.assert_close(module(padded, lengths), function(text, lengths))


@pytest.mark.parametrize("init", ["xavier", "zeros"])
def test_initial_weights_leave_the_scale_of_a_norm_at_one(init: str) -> None:
    model = Classifier(20, 3, norm="batch", init=init)
    assert torch.equal(model.norm.weight, torch.ones(128))
