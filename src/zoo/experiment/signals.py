"""Ending a run when it is asked to, at a place where nothing is lost."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Lets SIGINT and SIGTERM end a run after a step and a save; the second one ends it at once.

    `wait` is True while a step may be under way: a signal is noted then, and `obey` acts on it once all is saved. At
    other times the state is saved already, and a signal ends the run where it stands.
    """

    def __init__(self) -> None:
        self.wait = False
        self.noted = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handle the two signals until the end of the block."""
        try:
            before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # signals belong to the main thread
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def obey(self) -> None:
        """End the run if that was asked for."""
        if self.noted:
            _end(self.noted)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted or not self.wait:
            _end(number)
        self.noted = number


def _end(number: int) -> None:
    """Raise what ends a process that a signal asks to end."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
