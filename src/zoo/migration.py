"""How files that an earlier zoo wrote are read: a step turns the content of one format into that of the next.

A change after which old files could not be read raises the format by one, and its step is added here. `tests/formats`
keeps runs of every format that a version has written, and a test opens, evaluates and resumes them all.
"""

from collections.abc import Callable, Mapping
from typing import Any

CONFIG: dict[int, Callable[[Any], Any]] = {}
"""Steps by the format of the `config.yaml` that they take, a dict of plain values."""

CHECKPOINT: dict[int, Callable[[Any], Any]] = {}
"""Steps by the format of the checkpoint that they take, its tensors by name and its JSON values as a pair."""


def newest(steps: Mapping[int, Callable[[Any], Any]]) -> int:
    """Return the format that is written today: 1 at first, and one more for each step."""
    return 1 + len(steps)


def migrated(content: Any, found: int, steps: Mapping[int, Callable[[Any], Any]]) -> Any:
    """Return content of format `found` as that of the newest format."""
    for number in range(found, newest(steps)):
        content = steps[number](content)
    return content
