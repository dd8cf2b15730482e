"""Time attention on batches of ever new shapes, forward and backward, by each of torch's kernels on a GPU.

    python scripts/attention_shapes.py

Training sees such batches: sentences of like lengths, as many as fill it. What compiles for a shape pays here.
"""

import time

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

HEADS, WIDTH = 4, 32
WARM_UP = 3
KERNELS = {
    "memory-efficient": (SDPBackend.EFFICIENT_ATTENTION, 60),
    "plain products": (SDPBackend.MATH, 60),
    "cuDNN": (SDPBackend.CUDNN_ATTENTION, 12),
}
"""torch's kernels that take a mask, and how many shapes each is timed on."""


def attend(shape: int) -> None:
    """Run attention forward and backward on random bf16 batches of a size that `shape` settles."""
    batch, positions = 100 + shape, 20 + shape % 17
    parts = [torch.randn(batch, HEADS, positions, WIDTH, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
    queries, keys, values = (part.requires_grad_() for part in parts)
    bias: Tensor = torch.zeros(batch, 1, 1, positions, device="cuda", dtype=torch.bfloat16)
    F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias).sum().backward()  # type: ignore[no-untyped-call]


def milliseconds(kernel: SDPBackend, shapes: int) -> float:
    """Return the mean time of a shape that comes for the first time."""
    with sdpa_kernel(kernel):
        for shape in range(WARM_UP):
            attend(shape)
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for shape in range(WARM_UP, WARM_UP + shapes):
            attend(shape)
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / shapes * 1000


if __name__ == "__main__":
    if not torch.cuda.is_available():
        raise SystemExit("error: torch finds no CUDA device here")
    print(torch.cuda.get_device_name())
    for name, (kernel, shapes) in KERNELS.items():
        print(f"{name:<18}{milliseconds(kernel, shapes):8.2f} ms a shape")
