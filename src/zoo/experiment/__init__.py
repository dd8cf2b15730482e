"""A run directory: build it from a config, resume it, reopen it."""

from typing import TYPE_CHECKING, Any

from zoo.experiment.signals import obey

if TYPE_CHECKING:
    from zoo.experiment.begin import train
    from zoo.experiment.committee import Committee, load
    from zoo.experiment.run import Label, Output, Run, open_run
    from zoo.experiment.watch import Ended, Watch

__all__ = ["Committee", "Ended", "Label", "Output", "Run", "Watch", "load", "open_run", "train"]

_HOMES = {"train": "begin", "Committee": "committee", "load": "committee", "Ended": "watch", "Watch": "watch"}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: which directory to use is settled before torch is there."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module 'zoo.experiment' has no attribute {name!r}")
    found = getattr(import_module(f"zoo.experiment.{_HOMES.get(name, 'run')}"), name)
    obey()  # the parts of torch catch what a signal raises while they are imported
    return found
