"""When and in which order the checkpoints of a run are written."""

import time
from typing import Any

from torch import Tensor

from zoo.checkpoint import save_checkpoint
from zoo.experiment.directory import RunDirectory
from zoo.storage import prune, step_path

BUDGET = 0.02
"""Share of a run's time that saves may take which nothing but the end of an epoch asks for."""

SPEED = 100e6
"""Bytes a second that a first save is taken to write, before one has been measured."""

Content = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors and JSON values of a checkpoint."""


class Saver:
    """Writes a run's checkpoints, the best epoch always before the state that tells of it.

    What the budget leaves out waits; `flush` writes it when the run ends, however it does. Of several processes one
    `writes`, and the others only keep count.
    """

    def __init__(self, run_dir: RunDirectory, *, keep: int, writes: bool = True) -> None:
        self.run_dir, self.kept, self.writes = run_dir, keep, writes
        self.step = 0  # of the newest checkpoint
        self.whole = False  # whether that stands at the end of an epoch
        self._state: Content | None = None
        self._best: Content | None = None
        self._begun = time.monotonic()
        self._spent = 0.0
        self._dearest = 0.0  # seconds of a save

    def keep(self, tensors: dict[str, Tensor], values: dict[str, Any], *, now: bool, copy: bool = False) -> None:
        """Write the state of the present step, at once or if the budget has room for it.

        Otherwise it waits until `forget`, as the tensors that it is, or as a copy where they change before that.
        """
        if not self.writes:
            self.step, self.whole = values["loop"]["step"], values["whole"]
            return
        self._state = tensors, values
        expected = self._dearest or sum(tensor.nbytes for tensor in tensors.values()) / SPEED
        if now or self._spent + expected <= BUDGET * (time.monotonic() - self._begun):
            self.flush()
        elif copy:
            self._state = _copied(tensors), values

    def forget(self) -> None:
        """Let a state go that waits, since a step is about to change its tensors."""
        self._state = None

    def keep_best(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Take the weights of the best epoch so far, to be written before the next state."""
        if self.writes:
            self._best = _copied(tensors), values

    def write_part(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Let a part of an epoch be the best, and set the best whole one aside until the run goes on."""
        if self.writes:
            self.flush()
            self.run_dir.set_best_aside()
            save_checkpoint(self.run_dir.best, tensors, values)

    def flush(self) -> None:
        """Write what waits."""
        begun = time.monotonic()
        if self._best is not None:
            self.run_dir.take_back_best()
            save_checkpoint(self.run_dir.best, *self._best)
            self._best = None
        if self._state is not None:
            self._write(*self._state)
            self._state = None
        passed = time.monotonic() - begun
        self._spent += passed
        self._dearest = max(self._dearest, passed)

    def _write(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        self.run_dir.take_back_best()
        path = step_path(self.run_dir.checkpoints, values["loop"]["step"])
        save_checkpoint(path, tensors, values)
        self.step, self.whole = values["loop"]["step"], values["whole"]
        self.run_dir.results.unlink(missing_ok=True)  # they told of an earlier end
        prune(self.run_dir.checkpoints, keep=self.kept, newest=path)


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
