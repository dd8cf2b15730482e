"""What a person sees on stderr: warnings, and a progress bar, quiet where nobody watches."""

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeVar

from tqdm import tqdm

from zoo.distributed import is_main

T = TypeVar("T")


def progress(iterable: Iterable[T] | None = None, *, desc: str, total: int | None = None, initial: int = 0,
             unit: str = "batch", enabled: bool | None = None) -> "tqdm[T]":  # fmt: skip
    """Return a bar to iterate over, or to `update` by hand where there is only a `total`.

    Without `enabled` it is shown exactly when stderr is a terminal. It disappears when it is closed.
    """
    hidden = not is_main() or (None if enabled is None else not enabled)
    options: dict[str, Any] = {"iterable": iterable, "desc": desc, "total": total, "initial": initial, "unit": unit}
    return tqdm(**options, disable=hidden, leave=False, dynamic_ncols=True)


def show(bar: "tqdm[Any]", *, loss: float, tokens_per_second: float) -> None:
    """Put the loss and the speed beside the time left; they appear with the bar's next update."""
    if not bar.disable:
        bar.set_postfix_str(f"loss {loss:.3f}, {tokens_per_second:,.0f} tokens/s", refresh=False)


def warn(text: str) -> None:
    """Print a warning."""
    if not is_main():
        return
    with suppress(OSError, ValueError):  # nobody listens
        tqdm.write(f"warning: {text}", file=sys.stderr)
