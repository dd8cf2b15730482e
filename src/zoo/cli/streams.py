"""The standard streams as a shell may leave them: closed, read by nobody, or of an encoding that lacks letters."""

import os
import sys
from contextlib import suppress
from typing import Any, TextIO


def prepare() -> None:
    """Open closed streams on nothing, lest a file of ours take their place, and let every letter be written."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = _lenient(sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False))
    sys.stderr = _lenient(sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False))


def _lenient(stream: Any) -> Any:
    """Let a stream whose encoding lacks a letter show it as an escape."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream


def silence(stream: TextIO) -> None:
    """Let what is written to a stream that nobody reads any more go nowhere, at the interpreter's end too."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def say(text: str) -> None:
    """Print a line of results; where nobody reads them any more, the work goes on in silence."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        silence(sys.stdout)


def complain(text: str) -> None:
    """Print a line on stderr, if anybody reads it."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            silence(sys.stderr)
