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


def correct_count(logits: Tensor, targets: Tensor) -> Tensor:
    """Return how many targets have the largest logit; divide by `target_count` for the accuracy."""
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
    dtype = hidden.dtype
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
    bias = output.bias if output.bias is not None else output.weight.new_zeros(output.out_features)
    targets = targets.flatten()
    tensors = [hidden.flatten(0, -2).to(dtype), output.weight.to(dtype), bias.to(dtype)]
    if not torch.is_grad_enabled():
        tensors = [tensor.detach() for tensor in tensors]  # tells `_OutputLoss` that no gradient is wanted
    with torch.autocast(hidden.device.type, enabled=False):
        total, right = _OutputLoss.apply(*tensors, targets, label_smoothing)  # type: ignore[no-untyped-call]
    return total, (targets >= 0).sum(), right


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


def _has_large_output(model: nn.Module) -> bool:
    if not hasattr(type(model), "features"):  # behind torch.compile it has none
        return False
    weight: Tensor = model.output.weight  # type: ignore[union-attr,assignment]
    return weight.device.type == "cpu" and len(weight) >= LARGE


class _OutputLoss(torch.autograd.Function):
    """The loss of a linear layer's outputs, with its gradients made on the way there."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, label_smoothing: float
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
            loss, correct = _sum(logits, targets[rows], label_smoothing, gradient=wanted)
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
        return *(part * gradient.to(part.dtype) for part in ctx.saved_tensors), None, None


def _sum(logits: Tensor, targets: Tensor, label_smoothing: float, *, gradient: bool) -> tuple[Tensor, Tensor]:
    """Return the summed loss of logits (rows, classes) and how many targets are right.

    With `gradient` the logits are overwritten with the gradient of the loss.
    """
    total = logits.new_zeros((), dtype=torch.promote_types(logits.dtype, torch.float32))
    right = targets.new_zeros(())
    for rows in _blocks(len(logits), max(1, BLOCK // logits.size(1))):
        values, target = logits[rows].to(total.dtype, copy=True), targets[rows]
        counts, place = target >= 0, target.clamp(min=0)[:, None]
        right += correct_count(values, target)
        norm = values.logsumexp(-1, keepdim=True)
        loss = norm - (1 - label_smoothing) * values.gather(1, place)
        if label_smoothing:
            loss -= label_smoothing * values.mean(-1, keepdim=True)
        total += loss[counts].sum()
        if gradient:
            values.sub_(norm).exp_().sub_(label_smoothing / logits.size(1))  # softmax less the smoothed target
            values.scatter_add_(1, place, values.new_full(place.shape, label_smoothing - 1))
            logits[rows] = values.mul_(counts[:, None])
    return total, right


def _blocks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
