"""Take a run directory, and train in it; torch is imported only once the directory is ours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from zoo.config import TrainConfig, check
from zoo.experiment.directory import RunDirectory, choose_directory, locked
from zoo.experiment.signals import Interruption


def train(config: TrainConfig) -> dict[str, Any]:
    """Train, evaluate the best epoch, and return what `results.json` holds, with `run_dir`.

    A finished run that is resumed without more to do returns its results and changes nothing. With `lr_find` no run
    begins: what is returned is that of `zoo.experiment.rate_test.find_rate`.
    """
    check(config)
    run = choose_directory(config)
    with _leaving_nothing(run):
        run.create()
        with locked(run):
            # The parts of torch catch what a signal raises while they are imported, so it waits until they are there.
            with Interruption(wait=True).watching():
                work = _work(config)
            return {**work(run, config), "run_dir": str(run.path)}


def _work(config: TrainConfig) -> Callable[[RunDirectory, TrainConfig], dict[str, Any]]:
    if config.lr_find:
        from zoo.experiment.rate_test import find_rate

        return find_rate
    from zoo.experiment.session import train_in

    return train_in


@contextmanager
def _leaving_nothing(run: RunDirectory) -> Iterator[None]:
    """Remove what is empty of a directory where no run comes of it, whatever ended it."""
    try:
        yield
    finally:
        if not run.begun:
            run.discard()
