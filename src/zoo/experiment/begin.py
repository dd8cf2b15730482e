"""Take a run directory, and train in it; torch is imported only once the directory is ours."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.config import TrainConfig, check
from zoo.distributed import is_main, joined, launched, of_main
from zoo.errors import ConfigError, ZooError
from zoo.experiment.directory import RunDirectory, choose_directory, locked
from zoo.experiment.signals import Interruption
from zoo.experiment.watch import Watch


def train(config: TrainConfig, *, swept: Collection[str] = (), watch: Watch | None = None) -> dict[str, Any]:
    """Train, evaluate the best epoch, and return what `results.json` holds, with `run_dir`.

    `swept` names options, such as `optimizer.lr`, that tell the run from those of the same sweep: TensorBoard's table
    shows them first. A finished run that is resumed without more to do returns its results and changes nothing. `watch`
    may end it before its time, with `Ended`. With `lr_find` no run begins: what is returned is that of
    `zoo.experiment.rate_test.find_rate`.
    """
    check(config)
    if launched():
        return _train_together(config)
    with _settled(config) as run:
        # The parts of torch catch what a signal raises while they are imported, so it waits until they are there.
        with Interruption(wait=True).watching():
            if config.lr_find:
                from zoo.experiment.rate_test import find_rate
            else:
                from zoo.experiment.session import train_in
        found = find_rate(run, config) if config.lr_find else train_in(run, config, swept=swept, watch=watch)
        return {**found, "run_dir": str(run.path)}


def _train_together(config: TrainConfig) -> dict[str, Any]:
    """Train with the other processes that torchrun has started; the main one settles the directory for all."""
    if config.lr_find:
        raise ConfigError("`lr_find` runs in one process; leave out torchrun")
    with Interruption(wait=True).watching():
        from zoo.experiment.machine import choose_device
        from zoo.experiment.session import train_in
    with joined(choose_device(config.device).type):
        if not is_main():
            path, exit_code = of_main(("", 0))
            if exit_code:  # the main process says why
                raise SystemExit(exit_code)
            return {**train_in(RunDirectory(Path(path)), config), "run_dir": path}
        told = False
        try:
            with _settled(config) as run:
                told = bool(of_main((str(run.path), 0)))
                return {**train_in(run, config), "run_dir": str(run.path)}
        except ZooError as error:
            if not told:
                of_main(("", error.exit_code))
            raise


@contextmanager
def _settled(config: TrainConfig) -> Iterator[RunDirectory]:
    """Have the directory that a config means for this process alone."""
    run = choose_directory(config)
    with _leaving_nothing(run):
        run.create()
        with locked(run):
            yield run


@contextmanager
def _leaving_nothing(run: RunDirectory) -> Iterator[None]:
    """Remove what is empty of a directory where no run comes of it, whatever ended it."""
    try:
        yield
    finally:
        if not run.begun:
            run.discard()
