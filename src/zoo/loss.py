"""Cross entropy as a sum and a count, so that no mean depends on how batches were cut."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from zoo.data.batch import IGNORE

ROWS = 512
"""Positions whose logits `output_loss` holds at a time."""
LARGE = 1500
"""Classes from which on this is faster than one product and one loss."""
BLOCK = 1 << 19
"""Logits that are turned into gradients at a time: few enough for a CPU's cache."""


def summed_loss(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return the cross entropy summed over the targets that count, and their number, both scalars on the device.

    logits is (..., classes), targets (...) with the same leading dimensions. Targets below 0 do not count: padding
    (-100), and labels that training never saw (-1), which have no logit. Computed in float32 at least.
    """
    targets = targets.flatten().masked_fill(targets.flatten() < 0, IGNORE)
    logits = logits.flatten(0, -2).to(torch.promote_types(logits.dtype, torch.float32))
    total = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum", label_smoothing=label_smoothing)
    return total, (targets != IGNORE).sum()


def squared_error(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared error summed over targets that are numbers, and how many there are; shapes are the same.

    A criterion for the loop, whose loss is then the mean squared error. Computed in float32 at least.
    """
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    return F.mse_loss(outputs, targets, reduction="sum"), torch.tensor(targets.numel(), device=targets.device)


def correct_count(logits: Tensor, targets: Tensor) -> Tensor:
    """Return how many targets have the largest logit; divide by `target_count` for the accuracy.

    Targets that are numbers, not classes, are never right.
    """
    if targets.is_floating_point():
        return torch.zeros((), dtype=torch.int64, device=targets.device)
    return (logits.max(-1).indices == targets).sum()  # of bfloat16, `argmax` takes four times as long on a CPU


def target_count(targets: Tensor) -> Tensor:
    """Return the number of targets that are not padding; labels unseen in training count, and are never right."""
    return (targets != IGNORE).sum()


def output_loss(
    hidden: Tensor, output: nn.Linear, targets: Tensor, *, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the `summed_loss` of output(hidden), the number of its targets, and how many of them are right.

    hidden is (..., dim), targets (...). The logits of a large vocabulary are by far the largest tensor of a step; here
    they are made for `ROWS` positions at a time, and turned into gradients before the next ones come.
    """
    total, right = _apply(hidden.flatten(0, -2), output, targets.flatten(), label_smoothing, 0.0)
    return total, (targets >= 0).sum(), right


def output_rdrop_loss(
    first: Tensor, second: Tensor, output: nn.Linear, targets: Tensor, *, weight: float, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `rdrop_loss` does of output(first) and output(second), as sparingly as `output_loss`."""
    pairs = torch.stack([first.flatten(0, -2), second.flatten(0, -2)], 1).flatten(0, 1)  # (2 x positions, dim)
    total, right = _apply(pairs, output, targets.flatten().repeat_interleave(2), label_smoothing, weight)
    return total / 2, (targets >= 0).sum(), right / 2


def _apply(
    hidden: Tensor, output: nn.Linear, targets: Tensor, label_smoothing: float, rdrop: float
) -> tuple[Tensor, Tensor]:
    """Return the loss and how many are right of hidden (rows, dim) and targets (rows); with `rdrop`, rows are pairs."""
    dtype = hidden.dtype
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
    bias = output.bias if output.bias is not None else output.weight.new_zeros(output.out_features)
    tensors = [hidden.to(dtype), output.weight.to(dtype), bias.to(dtype)]
    if not torch.is_grad_enabled():
        tensors = [tensor.detach() for tensor in tensors]  # tells `_OutputLoss` that no gradient is wanted
    with torch.autocast(hidden.device.type, enabled=False):
        total, right = _OutputLoss.apply(*tensors, targets, label_smoothing, rdrop)  # type: ignore[no-untyped-call]
    return total, right


def model_loss(
    model: nn.Module, batch: Any, criterion: Callable[..., tuple[Tensor, Tensor]] = summed_loss, **options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the criterion's loss of a batch, the number of its targets, and how many the model gets right.

    On a CPU, a model with a large vocabulary and `features` (what its `output` layer is given) is not asked for logits.
    """
    if criterion is summed_loss and _has_large_output(model):
        return output_loss(model.features(*batch.inputs), model.output, batch.targets, **options)  # type: ignore[operator,arg-type]
    logits = model(*batch.inputs)
    loss, count = criterion(logits, batch.targets, **options)
    return loss, count, correct_count(logits.detach(), batch.targets)


def rdrop_loss(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., tuple[Tensor, Tensor]] = summed_loss,
    *,
    weight: float,
    **options: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `model_loss` does, of two passes that each draw their dropout (R-Drop; Wu et al., 2021).

    The loss is the mean of the two plus `weight` times their `divergence`, as in the authors' code; their eq. 4 adds
    the two losses up, so that its weight is twice this one. How many are right is the mean as well. Two passes take
    inputs of any layout, and are as fast as one of twice the rows.
    """
    if criterion is summed_loss and _has_large_output(model):
        first, second = (model.features(*batch.inputs) for _ in range(2))  # type: ignore[operator]
        return output_rdrop_loss(first, second, model.output, batch.targets, weight=weight, **options)  # type: ignore[arg-type]
    first, second = (model(*batch.inputs) for _ in range(2))
    (loss, count), (other, _) = (criterion(logits, batch.targets, **options) for logits in (first, second))
    right, hit = (correct_count(logits.detach(), batch.targets) for logits in (first, second))
    return (loss + other) / 2 + weight * divergence(first, second, batch.targets), count, (right + hit) / 2


def divergence(first: Tensor, second: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of KL(p, q) and KL(q, p), summed over the targets that count, p and q the softmax of two logits.

    That is half the sum of (p - q) (log p - log q), where no term is negative. Logits are (..., classes), targets
    (...) with the same leading dimensions. Computed in float32 at least.
    """
    one, other = (
        logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1) for logits in (first, second)
    )
    apart = ((one.exp() - other.exp()) * (one - other)).sum(-1)
    return apart.masked_fill(targets < 0, 0).sum() / 2


def _has_large_output(model: nn.Module) -> bool:
    if not hasattr(type(model), "features"):  # behind torch.compile it has none
        return False
    weight: Tensor = model.output.weight  # type: ignore[union-attr,assignment]
    return weight.device.type == "cpu" and len(weight) >= LARGE


class _OutputLoss(torch.autograd.Function):
    """The loss of a linear layer's outputs, with its gradients made on the way there."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, label_smoothing: float, rdrop: float
    ) -> tuple[Tensor, Tensor]:
        exact = torch.promote_types(hidden.dtype, torch.float32)
        total, right = hidden.new_zeros((), dtype=exact), targets.new_zeros(())
        wanted = any(ctx.needs_input_grad)
        to_hidden = torch.empty_like(hidden)
        to_weight, to_bias = torch.zeros_like(weight, dtype=exact), torch.zeros_like(bias, dtype=exact)
        buffer = hidden.new_empty(min(ROWS, len(hidden)), len(weight))
        for rows in _blocks(len(hidden), ROWS):
            inputs = hidden[rows]
            logits = torch.addmm(bias, inputs, weight.t(), out=buffer[: len(inputs)])
            loss, correct = _sum(logits, targets[rows], label_smoothing, rdrop, gradient=wanted)
            total += loss
            right += correct
            if wanted:
                torch.mm(logits, weight, out=to_hidden[rows])
                to_weight += logits.t() @ inputs
                to_bias += logits.sum(0)
        ctx.save_for_backward(to_hidden, to_weight.to(weight.dtype), to_bias.to(bias.dtype))
        ctx.mark_non_differentiable(right)
        return total, right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return *(part * gradient.to(part.dtype) for part in ctx.saved_tensors), None, None, None


def _sum(
    logits: Tensor, targets: Tensor, label_smoothing: float, rdrop: float, *, gradient: bool
) -> tuple[Tensor, Tensor]:
    """Return the summed loss of logits (rows, classes) and how many targets are right.

    With `rdrop`, rows are pairs, and that times the divergence of each pair is part of both losses. With `gradient` the
    logits are overwritten with the gradient of the loss.
    """
    total = logits.new_zeros((), dtype=torch.promote_types(logits.dtype, torch.float32))
    right = targets.new_zeros(())
    together = 2 if rdrop else 1
    for rows in _blocks(len(logits), together * max(1, BLOCK // (together * logits.size(1)))):
        values, target = logits[rows].to(total.dtype, copy=True), targets[rows]
        counts, place = target >= 0, target.clamp(min=0)[:, None]
        right += correct_count(values, target)
        norm = values.logsumexp(-1, keepdim=True)
        loss = norm - (1 - label_smoothing) * values.gather(1, place)
        if label_smoothing:
            loss -= label_smoothing * values.mean(-1, keepdim=True)
        total += loss[counts].sum()
        if rdrop:
            apart, growth = _divergences(values - norm)
            total += rdrop * apart[counts].sum()
        if gradient:
            values.sub_(norm).exp_().sub_(label_smoothing / logits.size(1))  # softmax less the smoothed target
            values.scatter_add_(1, place, values.new_full(place.shape, label_smoothing - 1))
            if rdrop:
                values.add_(growth, alpha=rdrop)
            logits[rows] = values.mul_(counts[:, None])
    return total, right


def _divergences(logs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the divergence of each row from its partner, and the gradient of the sum of all these by the logits.

    logs (rows, classes) holds log-probabilities, of which rows 2 i and 2 i + 1 are partners.
    """
    logs = logs.view(-1, 2, logs.size(1))
    probabilities = logs.exp()
    further, more = logs - logs.flip(1), probabilities - probabilities.flip(1)
    growth = probabilities * (further - (probabilities * further).sum(-1, keepdim=True)) + more
    return (further * more).sum(-1).flatten() / 2, growth.flatten(0, 1)


def _blocks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
