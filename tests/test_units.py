"""Which units of nn.ReLU answer, seen from outside."""

import pytest
import torch
from torch import Tensor, nn

from zoo.record.units import watched


class Shifted(nn.Module):
    """Pass inputs on through one ReLU module, as often as asked."""

    def __init__(self, calls: int = 1) -> None:
        super().__init__()
        self.activation, self.calls = nn.ReLU(), calls

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.stack([self.activation(inputs - number) for number in range(self.calls)]).sum(0)


def test_a_unit_is_dead_that_is_zero_in_all_batches() -> None:
    model = Shifted()
    with watched(model) as units:
        model(torch.tensor([[1.0, -1.0, 0.0, -2.0], [-1.0, -1.0, -3.0, -2.0]]))
        assert units.figures() == {"dead_units": 0.75}
        model(torch.tensor([[-1.0, 5.0, -1.0, 0.0]])[None])  # (1, 1, 4)
    assert units.figures() == {"dead_units": 0.5}


def test_a_module_that_is_called_in_several_places_has_one_row_of_units() -> None:
    model = Shifted(calls=2)
    with watched(model) as units:
        model(torch.tensor([[0.5, -1.0]]))
    assert units.figures() == {"dead_units": 0.5}


def test_no_module_and_no_input_give_no_figure_and_no_failure() -> None:
    with watched(nn.Linear(2, 2)) as units:
        pass
    assert units.figures() == {}
    model = Shifted()
    with watched(model) as units:
        model(torch.empty(0, 3))
    assert units.figures() == {"dead_units": 1.0}


def test_hooks_are_gone_afterwards_whatever_happens() -> None:
    model = Shifted()
    with pytest.raises(RuntimeError, match="amid"), watched(model):
        raise RuntimeError("amid")
    assert not model.activation._forward_hooks
