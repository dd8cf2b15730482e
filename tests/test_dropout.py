"""Dropout keeps the mean, has the right rate and is off in evaluation."""

import pytest
import torch

from zoo.nn.dropout import Dropout, TokenDropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_the_rate_is_right_and_the_mean_kept(p, dtype):
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(400_001, dtype=dtype)).double()
    assert (dropped == 0).double().mean().item() == pytest.approx(p, abs=0.004)
    assert dropped.max().item() == pytest.approx(1 / (1 - p), rel=0.02)  # p is rounded to 1 / 256
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("p", [1e-9, 0.999, 1 - 1e-9])
def test_a_rate_at_the_edge_gives_finite_numbers(p):
    assert Dropout(p)(torch.ones(1000)).isfinite().all()


def test_neighbors_are_dropped_independently():
    torch.manual_seed(0)
    kept = (Dropout(0.3)(torch.ones(400_000)) != 0).double()
    for distance in (1, 2, 3, 4, 5):
        both = (kept[distance:] * kept[:-distance]).mean().item()
        assert both == pytest.approx(0.49, abs=0.005)


def test_the_gradient_flows_where_the_activation_does():
    torch.manual_seed(0)
    x = torch.ones(1000, requires_grad=True)
    dropped = Dropout(0.4)(x)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, dropped.detach())


@pytest.mark.parametrize("train", [False, True])
def test_add_is_the_residual_plus_dropout(train):
    dropout = Dropout(0.4).train(train)
    residual, x = torch.randn(2, 100)
    torch.manual_seed(1)
    expected = residual + dropout(x)
    torch.manual_seed(1)
    torch.testing.assert_close(dropout.add(residual, x), expected)


def test_it_is_off_in_evaluation_and_at_rate_zero():
    x = torch.randn(100)
    assert Dropout(0.4).eval()(x) is x
    assert Dropout(0.0)(x) is x
    tokens = torch.arange(100)
    assert TokenDropout(0.4).eval()(tokens) is tokens
    assert TokenDropout(0.0)(tokens) is tokens


def test_equal_seeds_drop_equally_and_each_call_anew():
    dropout, x = Dropout(0.5), torch.ones(1000)
    torch.manual_seed(3)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)


def test_tokens_become_unknown_at_the_rate_but_padding_never():
    torch.manual_seed(0)
    tokens = torch.full((100, 1000), 9)
    tokens[:, 500:] = 0
    dropped = TokenDropout(0.3)(tokens)
    assert (dropped[:, :500] == 1).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert (dropped[:, 500:] == 0).all()
    assert set(dropped.unique().tolist()) == {0, 1, 9}


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_a_rate_out_of_range_is_named(p):
    with pytest.raises(ValueError, match=f"`dropout` must be at least 0 and below 1, but is {p}"):
        Dropout(p)
    with pytest.raises(ValueError, match=f"`word_dropout` must be at least 0 and below 1, but is {p}"):
        TokenDropout(p)
