"""The Hydra application: the schema of zoo.config under the choices of `configs/`."""

import os
import re
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zoo.cli.compose import read
from zoo.cli.exits import report
from zoo.cli.overrides import SECRET, split
from zoo.cli.streams import complain
from zoo.cli.sweep import Sweep, failed_row, row_of, with_directory
from zoo.config import GROUPS, TrainConfig, check, is_own, options_class
from zoo.errors import ConfigError, ZooError
from zoo.experiment.signals import obey
from zoo.tune.rows import Row

ENVIRONMENT = re.compile(r"oc\.env:\s*['\"]?(\w+)")


def register(own: Collection[str] = ()) -> None:
    """Give Hydra the dataclasses, each choice in a group of its own beside the user's choices.

    `own` names models of the user's own, of which no file says what they bring.
    """
    store = ConfigStore.instance()
    store.store(name="schema", node=TrainConfig(model="???", dataset="???", optimizer="???", scheduler="???"))
    for group, classes in GROUPS.items():
        for name, cls in classes.items():
            store.store(group=f"schema/{group}", name=name, node=cls(name=name))
    for name in own:
        store.store(group="schema/model", name=name, node=options_class("model", name)(name=name))
        brought: list[dict[str, str]] = [
            {f"override /{key}": value} for key, value in read("model", name).overrides.items()
        ]
        defaults = [{"/schema/model@model": name}, *brought]
        store.store(group="model", name=name, node={"defaults": defaults}, package="_global_")


def _models(arguments: Collection[str]) -> list[str]:
    """Return the models that a command line names."""
    texts = [word.removeprefix("model=") for word in arguments if word.startswith("model=")]
    return [name.strip() for text in texts for name in split(text)]


def to_config(composed: Any) -> TrainConfig:
    """Return what Hydra composed as a checked TrainConfig."""
    for name in ENVIRONMENT.findall(OmegaConf.to_yaml(composed)):
        if SECRET.search(name):
            raise ConfigError(
                f"`oc.env:{name}` looks like a secret, and the run's config.yaml would hold it; leave it out"
            )
    try:
        config = OmegaConf.to_object(composed)
    except (OmegaConfBaseException, AttributeError) as error:
        raise ConfigError(one_line(error)) from error
    assert isinstance(config, TrainConfig)
    check(config)
    return config


def run(arguments: list[str], train: Callable[[TrainConfig], Any], *, swept: Collection[str] = ()) -> int:
    """Compose and train, once or for every job of a multirun; return the exit code.

    The keys in `swept` are what tells the jobs apart.
    """
    register([name for name in _models(arguments) if is_own(name)])
    arguments = with_directory(arguments)
    Between.directory = None
    jobs = Jobs(train, swept, arguments)

    @hydra.main(version_base="1.3", config_path="pkg://zoo.configs", config_name="train")
    def job(composed: Any) -> None:
        jobs(composed)

    with hydra_errors(), _arguments(arguments):
        job()
    return jobs.finish()


def is_basic(launcher: Any) -> bool:
    """Whether a launcher runs one job after the other in this process."""
    return str(launcher._target_).endswith(".BasicLauncher")


class Between(Callback):
    """Stands between Hydra and the jobs: knows a multirun's directory, and lets go of what a job has left."""

    directory: Path | None = None

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        """Keep the directory, which a launcher that hands jobs to other processes does not tell this one."""
        Between.directory, launcher = Path(config.hydra.sweep.dir), config.hydra.launcher
        if not is_basic(launcher):
            Sweep(Between.directory, []).forget()
            logs = launcher.get("submitit_folder")
            complain(f"the jobs run in other processes{f'; what they say lies in {Path(logs).parent}' if logs else ''}")

    def on_job_end(self, config: Any, job_return: JobReturn, **kwargs: Any) -> None:
        """Keep nothing but how the job ended; Hydra would hold its configuration until the last one has."""
        job_return.cfg = job_return.hydra_cfg = None


class Jobs:
    """Trains each job that Hydra hands over; in a multirun a failure is kept and the rest go on.

    Launchers other than Hydra's own copy it into a process for each job.
    """

    def __init__(self, train: Callable[[TrainConfig], Any], swept: Collection[str], arguments: list[str]) -> None:
        self.train, self.swept, self.arguments = train, swept, arguments
        self.sweep: Sweep | None = None
        self.single: Exception | None = None

    def __call__(self, composed: Any) -> None:
        if self.single is not None:
            return
        try:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                self._one_of_many(composed)
            else:
                self.train(to_config(composed))
        except Exception as error:  # carried past Hydra, which would print its own account of it
            if not is_basic(HydraConfig.get().launcher):
                raise  # to the process that has started this one
            self.single = error

    def _one_of_many(self, composed: Any) -> None:
        found = HydraConfig.get()
        sweep = self.sweep = self.sweep or self._opened(Path(found.sweep.dir), alone=is_basic(found.launcher))
        words = [word.replace("'", "").replace("\\:", ":") for word in found.overrides.task]
        words = [word for word in words if word.partition("=")[0] in self.swept] or words
        number = found.job.num + 1
        complain(f"[{number}] {' '.join(words)}")
        try:
            sweep.add(self._row(sweep, composed, number, words))
        except (KeyboardInterrupt, SystemExit):
            sweep.release()
            complain(f"stopped in job {number}; the same command goes on with the sweep in {sweep.path}")
            raise

    def _opened(self, path: Path, *, alone: bool) -> Sweep:
        sweep = Sweep(path, self.arguments)
        if alone:
            sweep.begin()
        return sweep

    def _row(self, sweep: Sweep, composed: Any, number: int, words: list[str]) -> Row:
        """Train a job of a sweep; return what came of it."""
        title, config = " ".join(words), None
        try:
            config = to_config(composed)
            return row_of(number, title, config, sweep.settle(config, words) or self.train(config))
        except Exception as error:
            obey()  # what a signal raised may come as another error
            return failed_row(number, title, config, report(error), error)

    def finish(self) -> int:
        """Raise what a single run raised, or print a multirun's table; return the exit code."""
        if self.single is not None:
            raise self.single
        if self.sweep is None and Between.directory is not None:
            self.sweep = Sweep(Between.directory, self.arguments)  # its jobs ran in other processes
        return self.sweep.finish() if self.sweep else 0


@contextmanager
def hydra_errors() -> Iterator[None]:
    """Turn what Hydra raises into one line of ours."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # without it Hydra prints many lines itself and exits
    try:
        yield
    except Exception as error:  # Jobs keeps what trainings raise, so this is about the options; of any class, seen here
        if isinstance(error, OSError | ZooError) and not isinstance(error, HydraException):
            raise
        raise ConfigError(one_line(error)) from error
    finally:
        os.environ.pop("HYDRA_FULL_ERROR")
        if before is not None:
            os.environ["HYDRA_FULL_ERROR"] = before


@contextmanager
def _arguments(arguments: list[str]) -> Iterator[None]:
    """Let Hydra, which reads `sys.argv`, see these arguments."""
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        yield
    finally:
        sys.argv = before


def one_line(error: BaseException) -> str:
    """Join an exception's own lines, but for where Hydra has looked, and the first line of what caused it."""
    own = str(error).partition("Config search path")[0]
    lines = [line.strip() for line in own.splitlines() if line.strip()]
    cause = str(error.__cause__ or "").strip().splitlines()[:1]
    return "; ".join(dict.fromkeys(lines + cause)) or type(error).__name__
