"""The Hydra application: the schema of zoo.config under the choices of `configs/`."""

import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zoo.cli.exits import report
from zoo.config import GROUPS, TrainConfig, check
from zoo.errors import ConfigError


def register() -> None:
    """Give Hydra the dataclasses, each choice in a group of its own beside the user's choices."""
    store = ConfigStore.instance()
    store.store(name="schema", node=TrainConfig(model="???", dataset="???", optimizer="???", scheduler="???"))
    for group, classes in GROUPS.items():
        for name, cls in classes.items():
            store.store(group=f"schema/{group}", name=name, node=cls(name=name))


def to_config(composed: Any) -> TrainConfig:
    """Return what Hydra composed as a checked TrainConfig."""
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
    register()
    jobs = Jobs(train, swept)

    @hydra.main(version_base="1.3", config_path="pkg://zoo.configs", config_name="train")
    def job(composed: Any) -> None:
        jobs(composed)

    with hydra_errors(), _arguments(arguments):
        job()
    return jobs.finish()


class Jobs:
    """Trains each job that Hydra hands over; in a multirun a failure is kept and the rest go on."""

    def __init__(self, train: Callable[[TrainConfig], Any], swept: Collection[str]) -> None:
        self.train, self.swept = train, swept
        self.count = 0
        self.failures: list[tuple[str, int]] = []
        self.single: Exception | None = None

    def __call__(self, composed: Any) -> None:
        try:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                self._one_of_many(composed)
            else:
                self.train(to_config(composed))
        except Exception as error:  # carried past Hydra, which would print its own account of it
            self.single = error

    def _one_of_many(self, composed: Any) -> None:
        self.count += 1
        words = list(HydraConfig.get().overrides.task)
        title = " ".join([w for w in words if w.partition("=")[0] in self.swept] or words).replace("'", "")
        print(f"[{self.count}] {title}", file=sys.stderr, flush=True)
        try:
            self.train(to_config(composed))
        except Exception as error:
            self.failures.append((title, report(error)))

    def finish(self) -> int:
        """Raise what a single run raised; print a multirun's failures and return the first one's exit code."""
        if self.single is not None:
            raise self.single
        if not self.failures:
            return 0
        print(f"{len(self.failures)} of {self.count} runs failed:", file=sys.stderr)
        for title, code in self.failures:
            print(f"  exit code {code}  {title}", file=sys.stderr)
        return self.failures[0][1]


@contextmanager
def hydra_errors() -> Iterator[None]:
    """Turn what Hydra raises into one line of ours."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # without it Hydra prints many lines itself and exits
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # Jobs keeps what trainings raise, so this is about the options; of any class, seen here
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
    """Join an exception's own lines and the first line of what caused it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = str(error.__cause__ or "").strip().splitlines()[:1]
    return "; ".join(dict.fromkeys(lines + cause)) or type(error).__name__
