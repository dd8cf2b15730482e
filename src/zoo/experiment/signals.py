"""Ending a run when it is asked to, at a place where nothing is lost."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE = 0.7
"""Seconds that a run may take to end after the second signal."""
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals that ask a process to end; the last one where a terminal is closed."""


class Interruption:
    """Lets a signal end a run after a step and a save; the second one ends it at once.

    `wait` is True while a step may be under way: a signal is noted then, and `obey` acts on it once all is saved. At
    other times nothing of worth is under way, and a signal ends the run where it stands.
    """

    def __init__(self, *, wait: bool = False) -> None:
        self.wait = wait
        self.noted = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handle the signals until the end of the block, and obey one that came before or in it.

        A library may swallow what a signal raises amid it, or turn it into an error of its own; neither counts.
        """
        obey()
        if threading.current_thread() is not threading.main_thread():  # signals belong to that one
            yield
            return
        before = {number: signal.signal(number, self._note) for number in ENDING if not _is_ignored_hangup(number)}
        _watching.append(self)
        try:
            with _ending_at_the_second():
                yield
        except Exception:
            self.obey()
            raise
        finally:
            _watching.remove(self)
            for number, handler in before.items():
                signal.signal(number, handler)
        self.obey()

    def obey(self, asked: int = 0) -> None:
        """End the run if that was asked for, here or by the signal `asked` of another process.

        What is noted is never overwritten by what was read before: a signal may come between the two.
        """
        if asked:
            self.noted = asked
        if self.noted:
            _end(self.noted)

    def _note(self, number: int, frame: FrameType | None) -> None:
        waits = self.wait and not self.noted
        self.noted = number
        if not waits:
            _end(number)


_watching: list[Interruption] = []
"""Who handles signals now, the innermost last."""


def obey() -> None:
    """End the process if a signal asked for that, though the exception was lost on its way."""
    for interruption in _watching:
        interruption.obey()


def _is_ignored_hangup(number: int) -> bool:
    """Whether it is the hangup that `nohup` lets a process outlive."""
    return number not in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(number) == signal.SIG_IGN


def _end(number: int) -> None:
    """Raise what ends a process that a signal asks to end."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


@contextmanager
def _ending_at_the_second() -> Iterator[None]:
    """End the process soon after its second signal, even within a long call into a library.

    Python handles signals between two of its own instructions; the numbers arrive here at once.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_count, args=(ours,), name="signals", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        theirs.close()  # the watcher reads the end of it
        watcher.join()
        ours.close()


def _count(ours: socket.socket) -> None:
    asked = last = 0
    while True:
        try:
            received = ours.recv(1)
        except TimeoutError:
            os._exit(128 + last)
        if not received:
            return
        last = received[0]
        asked += last in ENDING
        if asked == 2:
            ours.settimeout(GRACE)
