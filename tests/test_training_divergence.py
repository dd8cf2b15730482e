"""What the loop does where a loss or a gradient is not finite, and what it computes in which precision."""

import math

import pytest
import torch
from batches import classifier, pair_corpus, same, sgd, text_batches, transformer, weights
from torch import Tensor, nn

from zoo.data import Loader
from zoo.errors import DivergenceError
from zoo.optim.ema import EMA
from zoo.training import SKIP_BUDGET, LoopState, training


def test_bf16_computes_products_in_bf16_and_keeps_weights_in_float32() -> None:
    torch.manual_seed(0)
    seen: list[torch.dtype] = []
    model = transformer()
    model.output.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    loader = Loader(pair_corpus(), batch_tokens=48)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = [training(e, model, loader, loader, optimizer=optimizer, precision="bf16").loss for e in (1, 2, 3)]
    assert set(seen) == {torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert losses[2] < losses[0]


class Spoiler(nn.Module):
    """A classifier whose logits, or whose gradient, is not finite in the forward passes named."""

    def __init__(self, *, logits: tuple[int, ...] = (), gradient: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.inner, self.calls = classifier(), 0
        self.logits, self.gradient = logits, gradient

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        logits: Tensor = self.inner(text, lengths)
        self.calls += self.training
        if self.calls in self.logits:
            logits = logits * math.nan
        if self.calls in self.gradient:
            logits.register_hook(lambda gradient: gradient * math.inf)
        return logits


def test_a_loss_that_is_not_finite_raises_before_the_weights_change() -> None:
    batches, model, seen = text_batches(2, 3, 4, 5), Spoiler(logits=(3,)), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with pytest.raises(DivergenceError) as caught:
        training(4, model, batches, batches, optimizer=optimizer,
                 after_step=lambda report, state: seen.append(weights(model)))  # fmt: skip
    where = "at step 3 (epoch 4, batch 3, learning rate 0.01)"
    assert str(caught.value) == f"the loss is no longer finite {where}; lower optimizer.lr or set clip=1"
    assert len(seen) == 2
    assert same(weights(model), seen[-1])


def test_a_gradient_that_is_not_finite_is_skipped_and_counted() -> None:
    batches, state = text_batches(2, 3, 4), LoopState()
    model, plain = Spoiler(gradient=(2,)), classifier()
    ema = EMA(model, decay=0.9)
    training(1, model, batches, [], optimizer=sgd(model), state=state, ema=ema, clip=1.0)
    training(1, plain, [batches[0], batches[2]], [], optimizer=sgd(plain), clip=1.0)
    assert (state.skipped, state.skipped_in_a_row, state.step) == (1, 0, 3)
    assert same(weights(model), weights(plain))
    assert ema.updates == 2


def test_too_many_gradients_in_a_row_that_are_not_finite_raise() -> None:
    count = SKIP_BUDGET + 3
    batches, state = text_batches(*[2] * count), LoopState()
    model = Spoiler(gradient=(1, *range(3, count + 1)))
    before, seen = weights(model), []
    with pytest.raises(DivergenceError, match=rf"the gradient is no longer finite at step {count} "):
        training(1, model, batches, [], optimizer=sgd(model), state=state,
                 after_step=lambda report, state: seen.append(weights(model)))  # fmt: skip
    assert state.skipped == SKIP_BUDGET + 2
    assert same(weights(model), seen[1])  # after the one good step
    assert not same(weights(model), before)


def test_a_scale_that_has_fallen_to_one_is_not_what_spoils_the_gradient() -> None:
    count = SKIP_BUDGET + 4
    model, state = Spoiler(gradient=tuple(range(1, count + 1))), LoopState()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    with pytest.raises(DivergenceError, match=r"gradient .* at step 13 .*; lower optimizer\.lr$"):
        training(1, model, text_batches(*[2] * count), [], optimizer=sgd(model), state=state, scaler=scaler, clip=1.0)
    assert state.skipped_in_a_row == 13


def test_what_the_caller_left_in_the_gradients_has_no_part_in_a_step() -> None:
    models = [classifier(), classifier()]
    for parameter in models[0].parameters():
        parameter.grad = torch.ones_like(parameter)
    for model in models:
        training(1, model, text_batches(3), [], optimizer=sgd(model), device="cpu")
    assert same(weights(models[0]), weights(models[1]))


def test_an_unknown_precision_is_refused() -> None:
    model = classifier()
    with pytest.raises(ValueError, match="unknown precision 'fp61'; did you mean 'fp16'"):
        training(1, model, text_batches(2), [], optimizer=sgd(model), precision="fp61")


def test_half_precision_makes_a_scaler_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda *a, enabled: made.append(enabled) or scaler(*a, enabled=False))
    for precision in ("fp32", "fp16"):
        training(1, classifier(), [], [], optimizer=sgd(classifier()), precision=precision)
    assert made == [False, True]
