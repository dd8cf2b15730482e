"""A run directory: build it from a config, resume it, reopen it."""

from zoo.experiment.run import Label, Output, Run, open_run
from zoo.experiment.train import train

__all__ = ["Label", "Output", "Run", "open_run", "train"]
