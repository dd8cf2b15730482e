"""Dropout with random numbers that a CPU can draw fast."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def keep_mask(shape: torch.Size, p: float, *, dtype: torch.dtype) -> Tensor:
    """Draw a CPU mask that is 0 with chance p and else 1 / (1 - p), so that it keeps the mean.

    The generator of the CPU draws one number at a time, so one 64-bit number serves eight places. The chance is
    rounded to 1 / 256, near 0 and 1 to 1 / 65536. Uses torch's global generator.
    """
    kind, places, values = (torch.int8, 8, 256) if 0.05 <= p <= 0.95 else (torch.int16, 4, 65536)
    size, zeros = shape.numel(), min(round(p * values), values - 1)
    draws = torch.empty(-(-size // places), dtype=torch.int64).random_(-(2**63), None)
    numbers = draws.view(kind)[:size].view(shape)  # uniform, from -values / 2 on
    mask = torch.ge(numbers, zeros - values // 2, out=torch.empty(shape, dtype=dtype))
    return mask.mul_(values / (values - zeros))


class Dropout(nn.Module):
    """Zero activations with chance p in training and scale the rest (Srivastava et al., 2014)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"`dropout` must be at least 0 and below 1, but is {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        return x * keep_mask(x.shape, self.p, dtype=x.dtype)

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        """Return residual + dropout(x) in the dtype of x, in one pass where the CPU allows it.

        Sums of a float32 and a bfloat16 tensor are slow on a CPU, so the residual follows the block's output.
        """
        residual = residual.to(x.dtype)
        if not self.training or not self.p or x.device.type != "cpu":
            dropped: Tensor = self(x)
            return residual + dropped
        return torch.addcmul(residual, x, keep_mask(x.shape, self.p, dtype=x.dtype))

    def extra_repr(self) -> str:
        return f"p={self.p}"


class TokenDropout(nn.Module):
    """Replace token ids by `unknown_id` with chance p in training, except the padding (word dropout)."""

    def __init__(self, p: float, *, unknown_id: int = 1, padding_id: int = 0) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"`word_dropout` must be at least 0 and below 1, but is {p}")
        self.p, self.unknown_id, self.padding_id = p, unknown_id, padding_id

    def forward(self, tokens: Tensor) -> Tensor:
        if not self.training or not self.p:
            return tokens
        hit = torch.rand(tokens.shape, device=tokens.device) < self.p
        return tokens.masked_fill(hit & (tokens != self.padding_id), self.unknown_id)

    def extra_repr(self) -> str:
        return f"p={self.p}"
