"""Which units of the `nn.ReLU` modules ever answer; `F.relu` is a function, on which no hook hangs."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Units:
    """The largest value of each unit so far, by module and width.

    A module that is called in several places has one row of units for all of them; one that answers anywhere is alive.
    """

    def __init__(self) -> None:
        self.largest: dict[tuple[str, int], Tensor] = {}

    def see(self, name: str, output: Tensor) -> None:
        """Note the outputs (..., units) of a module."""
        found = output.detach().flatten(0, -2).amax(0) if output.numel() else output.new_zeros(output.shape[-1])
        self.add([{(name, output.shape[-1]): found.float().cpu()}])

    def add(self, others: Iterable[dict[tuple[str, int], Tensor]]) -> None:
        """Note the largest values that were seen elsewhere."""
        for other in others:
            for key, found in other.items():
                self.largest[key] = torch.maximum(self.largest[key], found) if key in self.largest else found

    def figures(self) -> dict[str, float]:
        """Return `dead_units`, the share of units that were zero throughout; nothing where no module was seen."""
        return {"dead_units": _dead_share(list(self.largest.values()))} if self.largest else {}

    def by_module(self) -> dict[str, float]:
        """Return the same share for each module."""
        names = dict.fromkeys(name for name, _ in self.largest)
        return {name: _dead_share([seen for (other, _), seen in self.largest.items() if other == name])
                for name in names}  # fmt: skip


def _dead_share(largest: list[Tensor]) -> float:
    return float(torch.cat([values <= 0 for values in largest]).double().mean())


@contextmanager
def watched(model: nn.Module) -> Iterator[Units]:
    """Watch the `nn.ReLU` modules of a model while it runs; their hooks are gone afterwards."""
    units = Units()

    def hook_of(name: str) -> Any:
        return lambda module, inputs, output: units.see(name, output)

    hooks = [
        module.register_forward_hook(hook_of(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.ReLU)
    ]
    try:
        yield units
    finally:
        for hook in hooks:
            hook.remove()
