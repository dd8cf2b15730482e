"""Somebody who looks on while a run trains, and may end it: a search over many runs does."""

import math
import time
from collections.abc import Callable
from typing import NamedTuple


class Ended(Exception):
    """The one who watches a training has ended it; all is saved, and the text says why."""


def look_on(epoch: int, values: dict[str, float], over: bool) -> None:
    """Let a training go its way."""


class Watch(NamedTuple):
    """What is called after each epoch and may raise `Ended`, and when the training ends, after a step or an epoch.

    `after_epoch` is given the epoch, its figures as `metrics.jsonl` has them, and whether the training is over anyway.
    The deadline is a time of `time.monotonic`. Without `test` the test part is not scored.
    """

    after_epoch: Callable[[int, dict[str, float], bool], None] = look_on
    deadline: float = math.inf
    test: bool = True

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self.deadline

    def epoch_ended(self, epoch: int, values: dict[str, float], *, over: bool) -> None:
        """Tell of an epoch; raise `Ended` where the training has to end with it."""
        self.after_epoch(epoch, values, over)
        if self.late and not over:
            raise Ended(f"stopped after epoch {epoch}: the time of the one who watches is up")
