"""Take a run directory, and train in it; torch is imported only once the directory is ours."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.config import TrainConfig, check
from zoo.distributed import is_main, joined, launched, of_main
from zoo.errors import ZooError
from zoo.experiment.directory import RunDirectory, choose_directory, locked
from zoo.experiment.signals import Interruption


def train(config: TrainConfig, *, swept: Collection[str] = ()) -> dict[str, Any]:
    """Train, evaluate the best epoch, and return what `results.json` holds, with `run_dir`.

    `swept` names options, such as `optimizer.lr`, that tell the run from those of the same sweep: TensorBoard's table
    shows them first. A finished run that is resumed without more to do returns its results and changes nothing.
    """
    check(config)
    if launched():
        return _train_together(config, swept)
    with _settled(config) as run:
        # The parts of torch catch what a signal raises while they are imported, so it waits until they are there.
        with Interruption(wait=True).watching():
            from zoo.experiment.session import train_in
        return {**train_in(run, config, swept), "run_dir": str(run.path)}


def _train_together(config: TrainConfig, swept: Collection[str]) -> dict[str, Any]:
    """Train with the other processes that torchrun has started; the main one settles the directory for all."""
    with Interruption(wait=True).watching():
        from zoo.experiment.machine import choose_device
        from zoo.experiment.session import train_in
    with joined(choose_device(config.device).type):
        if not is_main():
            path, exit_code = of_main(("", 0))
            if exit_code:  # the main process says why
                raise SystemExit(exit_code)
            return {**train_in(RunDirectory(Path(path)), config, swept), "run_dir": path}
        told = False
        try:
            with _settled(config) as run:
                told = bool(of_main((str(run.path), 0)))
                return {**train_in(run, config, swept), "run_dir": str(run.path)}
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
    """Remove the directory where no run comes of it, whatever ended it."""
    try:
        yield
    except BaseException:
        if not run.begun:
            run.discard()
        raise
