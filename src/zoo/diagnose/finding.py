"""What a rule says of a run: the fault, how bad it is, the evidence, and what to type."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

from zoo.experiment.curves import Curves


class Severity(IntEnum):
    """How much a fault costs."""

    minor = 1  # something can be gained
    serious = 2  # the model is far from what it could be
    fatal = 3  # the figures are none, or are not to be trusted


class Advice(NamedTuple):
    """Overrides to type together, none where the cure is not an option; and what they do."""

    overrides: tuple[str, ...]
    why: str


class Finding(NamedTuple):
    """A fault of a run. `what` is the head line; evidence has the figures and epochs, a line each."""

    fault: str
    severity: Severity
    what: str
    evidence: list[str]
    advice: list[Advice]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        cures = [{"overrides": list(one.overrides), "why": one.why} for one in self.advice]
        return {**self._asdict(), "severity": self.severity.name, "advice": cures}


Rule = Callable[[Curves], Finding | None]


def advise(why: str, **options: object) -> Advice:
    """Return advice to set options; two underscores stand for the dot of a group."""
    return Advice(tuple(f"{key.replace('__', '.')}={value}" for key, value in options.items()), why)


def shown(value: float) -> str:
    """Write a figure as the lines of a training do, with three digits."""
    return f"{value:.3g}"
