"""Cross entropy as a sum and a count, so that no mean depends on how batches were cut."""

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data.batch import IGNORE


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
    return (logits.argmax(-1) == targets).sum()


def target_count(targets: Tensor) -> Tensor:
    """Return the number of targets that are not padding; labels unseen in training count, and are never right."""
    return (targets != IGNORE).sum()
