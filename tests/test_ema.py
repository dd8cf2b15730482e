"""The average of the weights over the steps."""

import pytest
import torch
from torch import nn

from zoo.data import PairSizes
from zoo.models import create_model
from zoo.optim.ema import EMA


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2).double()


def test_the_average_equals_the_recursion_written_out() -> None:
    model = linear()
    ema = EMA(model, decay=0.6)
    expected = model.weight.detach().clone()
    for update in range(1, 31):
        with torch.no_grad():
            model.weight.add_(update)
        ema.update()
        decay = min(0.6, update / (update + 9))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(ema.tensors()["weight"], expected)
    assert ema.updates == 30


def test_the_weights_come_back_after_use_even_after_an_error() -> None:
    model = linear()
    ema = EMA(model, decay=0.5)
    before, average = model.weight.detach().clone(), ema.averages[0].clone() + 1
    ema.averages[0].copy_(average)

    def use() -> None:
        with ema.applied():
            assert torch.equal(model.weight, average)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        use()
    assert torch.equal(model.weight, before)
    assert torch.equal(ema.averages[0], average)


def test_a_restored_average_goes_on_to_the_same_bits() -> None:
    model = linear()
    ema = EMA(model, decay=0.9)
    ema.update()
    again = EMA(linear(), decay=0.9)
    again.load({name: tensor.clone() for name, tensor in ema.tensors().items()}, ema.updates)
    again.parameters = ema.parameters
    with torch.no_grad():
        model.weight.mul_(3)
    ema.update()
    again.update()
    assert all(torch.equal(a, b) for a, b in zip(ema.averages, again.averages, strict=True))


def test_tied_weights_are_averaged_once() -> None:
    model = create_model("transformer", sizes=PairSizes(9, 9, True), d_model=8, nhead=2, num_encoder_layers=1,
                         num_decoder_layers=1, dim_feedforward=8)  # fmt: skip
    ema = EMA(model, decay=0.9)
    assert len({average.data_ptr() for average in ema.averages}) == len(list(model.parameters()))
    before = model.output.weight.detach().clone()
    with ema.applied():
        assert model.output.weight is model.src_embedding.table.weight
    assert torch.equal(model.output.weight, before)
