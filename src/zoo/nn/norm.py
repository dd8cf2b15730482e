"""Normalization of one vector for each text; it comes after pooling, where no padding is left."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORMS = ("none", "batch", "layer")


class BatchNorm(nn.Module):
    """Bring each feature to mean 0 and variance 1 over the batch, then scale and shift it (Ioffe and Szegedy, 2015).

    Outside of training the running mean and variance stand in, and in training too for a batch of one row, which has no
    variance. Equals `torch.nn.BatchNorm1d` otherwise, but keeps no count of its batches.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, size: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))
        self.momentum, self.eps = momentum, eps

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, size) for x (batch, size)."""
        over_batch = self.training and x.size(0) > 1
        running = self.running_mean, self.running_var
        return F.batch_norm(x, *running, self.weight, self.bias, over_batch, self.momentum, self.eps)

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, momentum={self.momentum}, eps={self.eps}"


def build_norm(name: str, size: int) -> nn.Module:
    """Return a new normalization of vectors of this size."""
    if name not in NORMS:
        raise ValueError(f"`norm` must be one of {', '.join(NORMS)}, but is {name!r}")
    if name == "none":
        return nn.Identity()
    return BatchNorm(size) if name == "batch" else nn.LayerNorm(size)
