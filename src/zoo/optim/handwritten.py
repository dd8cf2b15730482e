"""Five optimizers written out for reading: the formula of each paper, applied to one parameter at a time.

In every formula g is the gradient, theta the parameter and lr the rate. `step` takes the same steps as the
class of torch.optim that its docstring names, and keeps its state under the same names; torch's are faster.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
Closure = Callable[[], float] | None


class SGD(Optimizer):
    """Step against the gradient (Robbins and Monro 1951); equals torch.optim.SGD.

    theta <- theta - lr * g
    """

    def __init__(self, params: Params, *, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Closure = None) -> float | None:  # type: ignore[override]
        loss = evaluate(closure)
        for theta, g, _, group in gradients(self):
            theta -= group["lr"] * g
        return loss


class Momentum(Optimizer):
    """Step along a velocity that forgets slowly (Polyak 1964); equals torch.optim.SGD(momentum=...).

    v <- momentum * v + g
    theta <- theta - lr * v
    """

    def __init__(self, params: Params, *, lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Closure = None) -> float | None:  # type: ignore[override]
        loss = evaluate(closure)
        for theta, g, state, group in gradients(self, "momentum_buffer"):
            v = state["momentum_buffer"]
            v.mul_(group["momentum"]).add_(g)
            theta -= group["lr"] * v
        return loss


class AdaGrad(Optimizer):
    """Divide by the root of the sum of all squared gradients (Duchi et al. 2011); equals torch.optim.Adagrad.

    s <- s + g^2
    theta <- theta - lr * g / (sqrt(s) + eps)
    """

    def __init__(self, params: Params, *, lr: float, eps: float = 1e-10, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Closure = None) -> float | None:  # type: ignore[override]
        loss = evaluate(closure)
        for theta, g, state, group in gradients(self, "sum"):
            s = state["sum"]
            s += g**2
            theta -= group["lr"] * g / (s.sqrt() + group["eps"])
        return loss


class RMSProp(Optimizer):
    """Divide by the root of a running mean of squared gradients (Hinton 2012, lecture 6e); equals torch.optim.RMSprop.

    s <- alpha * s + (1 - alpha) * g^2
    theta <- theta - lr * g / (sqrt(s) + eps)
    """

    def __init__(self, params: Params, *, lr: float, alpha: float = 0.99, eps: float = 1e-8,
                 weight_decay: float = 0.0) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Closure = None) -> float | None:  # type: ignore[override]
        loss = evaluate(closure)
        for theta, g, state, group in gradients(self, "square_avg"):
            s, alpha = state["square_avg"], group["alpha"]
            s.mul_(alpha).add_((1 - alpha) * g**2)
            theta -= group["lr"] * g / (s.sqrt() + group["eps"])
        return loss


class Adam(Optimizer):
    """Momentum and RMSProp, both corrected for their start at zero (Kingma and Ba 2015, algorithm 1).

    m <- beta1 * m + (1 - beta1) * g
    v <- beta2 * v + (1 - beta2) * g^2
    theta <- theta - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps), in step t = 1, 2, ...

    Equals torch.optim.Adam.
    """

    def __init__(self, params: Params, *, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Closure = None) -> float | None:  # type: ignore[override]
        loss = evaluate(closure)
        for theta, g, state, group in gradients(self, "exp_avg", "exp_avg_sq"):
            m, v, (beta1, beta2) = state["exp_avg"], state["exp_avg_sq"], group["betas"]
            t = int(state["step"])
            m.mul_(beta1).add_((1 - beta1) * g)
            v.mul_(beta2).add_((1 - beta2) * g**2)
            theta -= group["lr"] * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + group["eps"])
        return loss


def gradients(optimizer: Optimizer, *averages: str) -> Iterator[tuple[Tensor, Tensor, dict[str, Any], dict[str, Any]]]:
    """Yield parameter, gradient, state and group for each parameter that has a gradient.

    The gradient includes that of weight decay, the penalty weight_decay / 2 * |theta|^2 added to the loss. The state
    counts this step and holds a tensor shaped like the parameter, first zero, under each name of `averages`.
    """
    for group in optimizer.param_groups:
        for theta in group["params"]:
            if theta.grad is None:
                continue
            state = optimizer.state[theta]
            if averages and not state:
                state.update({"step": torch.zeros(())} | {name: torch.zeros_like(theta) for name in averages})
            if averages:
                state["step"] += 1
            yield theta, theta.grad + group["weight_decay"] * theta, state, group


def evaluate(closure: Closure) -> float | None:
    """Return the loss of a closure that computes it and its gradients, as torch's optimizers allow."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
