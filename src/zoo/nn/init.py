"""Initial weights: xavier, he, normal, and zeros to see why not."""

import math

import torch
from torch import Tensor, nn

from zoo.nn.norm import BatchNorm

SCHEMES = ("xavier", "he", "normal", "zeros")


class StackedLinear(nn.Linear):
    """Several linear maps of one input, computed as one product and initialized one by one."""

    def __init__(self, in_features: int, out_features: int, parts: int) -> None:
        super().__init__(in_features, parts * out_features)
        self.parts = parts


@torch.no_grad()
def initialize(model: nn.Module, scheme: str) -> None:
    """Set every weight: matrices by the scheme, embeddings by their width, biases to zero, norms as they are.

    xavier is uniform with variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010, eq. 16), he is normal with
    variance 2 / fan_in (He et al., 2015, eq. 10), normal has a standard deviation of 0.02 (Radford et al., 2018),
    zeros sets all but the norms to zero. Embeddings are normal with variance 1 / dim, and zero for the padding.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"`init` must be one of {', '.join(SCHEMES)}, but is {scheme!r}")
    seen: set[int] = set()
    modules = sorted(model.modules(), key=lambda module: not isinstance(module, nn.Embedding))  # a tied matrix is one
    for module in modules:
        if isinstance(module, nn.LayerNorm | BatchNorm):
            continue
        for name, weight in module.named_parameters(recurse=False):
            if id(weight) not in seen:
                seen.add(id(weight))
                _fill(module, name, weight, scheme)


def _fill(module: nn.Module, name: str, weight: Tensor, scheme: str) -> None:
    if scheme == "zeros":
        weight.zero_()
    elif isinstance(module, nn.Embedding):
        _fill_embedding(module)
    elif weight.dim() == 1:
        weight.zero_()
        if isinstance(module, nn.LSTM) and name.startswith("bias_hh"):
            weight.chunk(4)[1].fill_(1.0)  # an open forget gate at first (Jozefowicz et al., 2015)
    else:
        for part in weight.chunk(_parts(module)):
            _fill_matrix(part, scheme)


def _fill_embedding(module: nn.Embedding) -> None:
    module.weight.normal_(std=module.embedding_dim**-0.5)
    if module.padding_idx is not None:
        module.weight[module.padding_idx].zero_()


def _parts(module: nn.Module) -> int:
    """Return how many matrices a weight holds, one above the other."""
    if isinstance(module, StackedLinear):
        return module.parts
    if isinstance(module, nn.RNNBase):
        return {"LSTM": 4, "GRU": 3}.get(module.mode, 1)
    return 1


def _fill_matrix(weight: Tensor, scheme: str) -> None:
    fan_in, fan_out = weight[0].numel(), weight.size(0) * weight[0, 0].numel()
    if scheme == "xavier":
        bound = math.sqrt(6 / (fan_in + fan_out))
        weight.uniform_(-bound, bound)
    else:
        weight.normal_(std=math.sqrt(2 / fan_in) if scheme == "he" else 0.02)
