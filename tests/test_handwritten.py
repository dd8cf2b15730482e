"""The optimizers written out for reading take torch's steps."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from zoo.optim import handwritten

PAIRS: dict[str, tuple[Callable[..., Optimizer], Callable[..., Optimizer], dict[str, Any]]] = {
    "sgd": (handwritten.SGD, torch.optim.SGD, {"lr": 0.1}),
    "momentum": (handwritten.Momentum, torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "adagrad": (handwritten.AdaGrad, torch.optim.Adagrad, {"lr": 0.1, "eps": 1e-10}),
    "rmsprop": (handwritten.RMSProp, torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-8}),
    "adam": (handwritten.Adam, torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-8}),
}
NAMES = list(PAIRS)


def start() -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in [(3, 4), (4,)]
    ]


def descend(optimizer: Optimizer, params: list[Tensor], steps: int, first: int = 0) -> None:
    """Take steps down a curved loss that changes from step to step, as batches do."""
    for step in range(first, first + steps):
        optimizer.zero_grad()
        loss = ((params[0].sin() @ params[1] - 0.1 * step) ** 2).sum() + (params[0] ** 4).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", NAMES)
def test_twenty_steps_equal_those_of_torch(name: str, weight_decay: float) -> None:
    ours, theirs, options = PAIRS[name]
    a, b = start(), start()
    descend(ours(a, **options, weight_decay=weight_decay), a, 20)
    descend(theirs(b, **options, weight_decay=weight_decay), b, 20)
    for x, y, before in zip(a, b, start(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)
        assert (x - before).abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_groups_keep_rates_and_decays_of_their_own(name: str) -> None:
    ours, theirs, options = PAIRS[name]
    a, b = start(), start()
    for build, params in ((ours, a), (theirs, b)):
        groups = [{"params": params[:1], "weight_decay": 0.3}, {"params": params[1:], "lr": 0.003}]
        descend(build(groups, **options), params, 20)
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_reloaded_state_continues_to_the_same_bits(name: str) -> None:
    ours, _, options = PAIRS[name]
    whole, halves = start(), start()
    descend(ours(whole, **options), whole, 20)
    first = ours(halves, **options)
    descend(first, halves, 10)
    second = ours(halves, **options | {"lr": 9.0})  # the state brings the rate too
    second.load_state_dict(first.state_dict())
    descend(second, halves, 10, first=10)
    assert all(torch.equal(x, y) for x, y in zip(whole, halves, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_torch_continues_from_a_handwritten_state(name: str) -> None:
    ours, theirs, options = PAIRS[name]
    a, b = start(), start()
    descend(theirs(a, **options), a, 20)
    first = ours(b, **options)
    descend(first, b, 10)
    second = theirs(b, **options)
    second.load_state_dict({**second.state_dict(), "state": first.state_dict()["state"]})
    descend(second, b, 10, first=10)
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_without_gradient_stay(name: str) -> None:
    ours, _, options = PAIRS[name]
    params = [*start(), torch.ones(2, dtype=torch.float64, requires_grad=True)]
    descend(ours(params, **options, weight_decay=0.1), params, 2)
    assert torch.equal(params[2], torch.ones(2, dtype=torch.float64))


def test_a_closure_is_evaluated_with_gradients() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    optimizer = handwritten.SGD([x], lr=0.25)

    def closure() -> float:
        loss = (x**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    assert optimizer.step(closure) == 4.0
    assert x.item() == 1.0
