"""A run directory: build it from a config, resume it, reopen it."""

from zoo.experiment.committee import Committee, load
from zoo.experiment.run import Label, Output, Run, open_run
from zoo.experiment.train import train

__all__ = ["Committee", "Label", "Output", "Run", "load", "open_run", "train"]
