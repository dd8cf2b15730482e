"""The real `zoo-train` on a machine that fails: `python faulty_train.py FAULT... -- OVERRIDE...`.

A fault is a name and its arguments, parted by equals signs, as in `signal=15=3`. All are laid around the product from
outside; there is nothing in it that a test could switch.
"""

import builtins
import errno
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any


def around(holder: Any, name: str, before: Callable[..., Any] | None = None,
           after: Callable[..., Any] | None = None) -> None:  # fmt: skip
    """Call `before` and `after` with a function's arguments around each call of it."""
    inner = getattr(holder, name)

    def outer(*arguments: Any, **options: Any) -> Any:
        if before is not None:
            before(*arguments, **options)
        result = inner(*arguments, **options)
        if after is not None:
            after(*arguments, **options)
        return result

    setattr(holder, name, outer)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Opened:
    """A file whose writing goes wrong."""

    def __init__(self, file: Any, write: Callable[[Any, bytes], int]) -> None:
        self._file, self._write = file, write

    def write(self, content: Any) -> int:
        return self._write(self._file, content)

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def opening(name: str, write: Callable[[Any, bytes], int]) -> None:
    """Let `write` stand for the writing of files with `name` in theirs."""
    inner = builtins.open

    def outer(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        opened = inner(file, mode, *arguments, **options)
        return Opened(opened, write) if name in str(file) and set(mode) & set("wa") else opened

    builtins.open = io.open = outer  # type: ignore[assignment]


def kill(stage: str, name: str) -> None:
    """Die at a stage of the write of the file `name`."""

    def half(file: Any, content: bytes) -> int:
        file.write(content[: len(content) // 2])
        file.flush()
        die()
        return 0

    def begin(file: Any, content: bytes) -> int:
        die()
        return 0

    def at_its_place(source: Any, target: Any) -> None:
        if name in str(target):
            die()

    if stage in ("before", "half"):
        opening(f".{name}", begin if stage == "before" else half)
    elif stage in ("before-rename", "after-rename"):
        around(os, "replace", **{stage.removesuffix("-rename"): at_its_place})
    else:  # while old ones are deleted, from the write of `name` on

        def pruned(path: Any, **options: Any) -> None:
            if "step-" in str(path) and armed:
                die()

        armed: list[int] = []
        around(os, "replace", after=lambda _, target: armed.append(1) if name in str(target) else None)
        around(os, "unlink", **{stage.removesuffix("-unlink"): pruned})


def at_step(step: str, act: Callable[[Any], None], last: str = "") -> None:
    """Call `act` with the loop's step, in front of the steps with these numbers."""
    from zoo import training

    def before(stepping: Any, group: Any, state: Any) -> None:
        if int(step) <= state.step + 1 <= int(last or step):
            act(stepping)

    around(training._Step, "__call__", before)


def send(number: str, step: str) -> None:
    """Get a signal while a step is under way."""
    at_step(step, lambda stepping: os.kill(os.getpid(), int(number)))


def nan(step: str) -> None:
    """Have a loss of NaN at a step."""

    def spoil(stepping: Any) -> None:
        inner = stepping.criterion
        stepping.criterion = lambda *parts, **options: tuple(part * float("nan") for part in inner(*parts, **options))

    at_step(step, spoil)


def infinite(first: str, last: str) -> None:
    """Have gradients of infinity in these steps."""

    def spoil(stepping: Any) -> None:
        inner = type(stepping)._backward

        def backward(group: Any, counted: int) -> Any:
            sums = inner(stepping, group, counted)
            stepping.parameters[0].grad.fill_(float("inf"))
            del stepping._backward
            return sums

        stepping._backward = backward

    at_step(first, spoil, last)


def memory(step: str) -> None:
    """Ask torch for more memory than there is."""
    import torch

    at_step(step, lambda stepping: torch.empty(1 << 48))


def linger(step: str, seconds: str) -> None:
    """Let a step take long, in one call that no handler of Python's can interrupt."""
    import threading

    at_step(step, lambda stepping: uninterrupted(threading.Event(), time.monotonic() + float(seconds)))


def uninterrupted(never: Any, until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        try:
            never.wait(left)
        except BaseException:
            continue


def full(name: str) -> None:
    """Have no room for files with `name` in theirs."""

    def refuse(file: Any, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    opening(name, refuse)


def clock(text: str) -> None:
    """Let the clock stand at a time."""
    fixed = datetime.fromisoformat(text)

    class Standing(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return fixed

    time.time = fixed.timestamp  # type: ignore[assignment]
    time.time_ns = lambda: int(fixed.timestamp() * 1e9)
    from zoo.experiment import directory

    directory.datetime = Standing  # type: ignore[misc]


def rows(path: str) -> None:
    """Write down the rows of each training batch that is taken, with its epoch."""
    from zoo.data.loader import Loader

    inner = Loader.iterate

    def iterate(self: Loader, start: int = 0) -> Any:
        batches = self.plan()[start:] if self.shuffle else []
        for number, batch in enumerate(inner(self, start)):
            if batches:
                with open(path, "a") as file:
                    file.write(f"{self.epoch} {batches[number].tolist()}\n")
            yield batch

    Loader.iterate = iterate  # type: ignore[method-assign]


FAULTS: dict[str, Callable[..., None]] = {
    "kill": kill,
    "signal": send,
    "nan": nan,
    "infinite": infinite,
    "memory": memory,
    "linger": linger,
    "full": full,
    "clock": clock,
    "rows": rows,
}


if __name__ == "__main__":
    end = sys.argv.index("--")
    for fault in sys.argv[1:end]:
        name, *arguments = fault.split("=")
        FAULTS[name](*arguments)
    sys.argv = ["zoo-train", *sys.argv[end + 1 :]]
    from zoo.cli import train_main

    sys.exit(train_main())
