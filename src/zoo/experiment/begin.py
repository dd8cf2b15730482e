"""Take a run directory, and train in it; torch is imported only once the directory is ours."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from zoo.config import TrainConfig, check
from zoo.experiment.directory import RunDirectory, choose_directory, locked
from zoo.experiment.signals import Interruption


def train(config: TrainConfig, *, swept: Collection[str] = ()) -> dict[str, Any]:
    """Train, evaluate the best epoch, and return what `results.json` holds, with `run_dir`.

    `swept` names options, such as `optimizer.lr`, that tell the run from those of the same sweep: TensorBoard's table
    shows them first. A finished run that is resumed without more to do returns its results and changes nothing.
    """
    check(config)
    run = choose_directory(config)
    with _leaving_nothing(run):
        run.create()
        with locked(run):
            # The parts of torch catch what a signal raises while they are imported, so it waits until they are there.
            with Interruption(wait=True).watching():
                from zoo.experiment.session import train_in
            return {**train_in(run, config, swept), "run_dir": str(run.path)}


@contextmanager
def _leaving_nothing(run: RunDirectory) -> Iterator[None]:
    """Remove the directory where no run comes of it, whatever ended it."""
    try:
        yield
    except BaseException:
        if not run.begun:
            run.discard()
        raise
