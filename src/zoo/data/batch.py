"""What a loader yields and a model takes."""

from typing import NamedTuple

import torch
from torch import Tensor

IGNORE = -100
"""Target id that no loss and no metric counts; PyTorch's own default."""


class PairBatch(NamedTuple):
    """Source and target sequences; lengths stay on the CPU, where packing and masks read them without a wait.

    src (batch, src_time), src_lengths (batch), tgt_in (batch, time) begins with the start symbol,
    tgt_out (batch, time) ends with the end symbol and is padded with -100.
    """

    src: Tensor
    src_lengths: Tensor
    tgt_in: Tensor
    tgt_out: Tensor

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.src, self.src_lengths, self.tgt_in

    @property
    def targets(self) -> Tensor:
        return self.tgt_out

    @property
    def tokens(self) -> int:
        """How many target symbols count."""
        return int((self.tgt_out != IGNORE).sum())

    def blank(self) -> "PairBatch":
        """Return the batch with no target that counts."""
        return self._replace(tgt_out=torch.full_like(self.tgt_out, IGNORE))

    def to(self, device: torch.device) -> "PairBatch":
        src, tgt_in, tgt_out = (part.to(device, non_blocking=True) for part in (self.src, self.tgt_in, self.tgt_out))
        return PairBatch(src, self.src_lengths, tgt_in, tgt_out)


class TextBatch(NamedTuple):
    """Texts and their labels: text (batch, time), lengths (batch) on the CPU, label (batch)."""

    text: Tensor
    lengths: Tensor
    label: Tensor

    @property
    def inputs(self) -> tuple[Tensor, Tensor]:
        return self.text, self.lengths

    @property
    def targets(self) -> Tensor:
        return self.label

    @property
    def tokens(self) -> int:
        """How many tokens the texts have."""
        return int(self.lengths.sum())

    def blank(self) -> "TextBatch":
        """Return the batch with no target that counts."""
        return self._replace(label=torch.full_like(self.label, IGNORE))

    def to(self, device: torch.device) -> "TextBatch":
        text, label = (part.to(device, non_blocking=True) for part in (self.text, self.label))
        return TextBatch(text, self.lengths, label)


Batch = PairBatch | TextBatch
