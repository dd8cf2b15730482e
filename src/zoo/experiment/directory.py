"""The files of a run, and who may write them."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from zoo.config import HUB_FORMATS, HubConfig, PreparedConfig, TrainConfig, load_config, title_of
from zoo.errors import CheckpointError, CodeError, ConfigError, StorageError, unknown
from zoo.pretrained import list_pretrained, pretrained_path
from zoo.storage import alone, list_checkpoints, sweep, write_durably

RUNS = Path("runs")


class RunDirectory:
    """Paths inside one run's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.vocabulary = path / "vocabulary"
        self.checkpoints = path / "checkpoints"
        self.best = self.checkpoints / "best.safetensors"
        self.best_aside = self.checkpoints / "best-whole.safetensors"
        self.results = path / "results.json"
        self.made: list[Path] = []  # directories that this process made, the innermost first

    @property
    def begun(self) -> bool:
        """Whether a run has been started here."""
        return self.config.exists()

    @property
    def finished(self) -> bool:
        """Whether the run here came to its end."""
        return self.results.exists()

    @property
    def resumable(self) -> bool:
        """Whether a checkpoint lies here."""
        return bool(list_checkpoints(self.checkpoints))

    def create(self) -> None:
        """Make the directories; StorageError where that is impossible."""
        self.made = [*missing(self.checkpoints), *missing(self.vocabulary), *self.made]
        try:
            self.vocabulary.mkdir(parents=True, exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be made ({error.strerror}); set run_dir elsewhere") from error

    def set_best_aside(self) -> None:
        """Keep the best whole epoch, where a better part of one takes its place until the run goes on."""
        if self.best.exists():
            os.replace(self.best, self.best_aside)

    def take_back_best(self) -> None:
        """Let the best whole epoch be the best again, since the run goes on; results of a part of one end here."""
        if self.best_aside.exists():
            self.results.unlink(missing_ok=True)
            os.replace(self.best_aside, self.best)

    def discard(self) -> None:
        """Remove what `create` made, where no run came of it and nothing else lies there."""
        for path in sorted(set(self.made), key=lambda path: -len(path.parts)):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    def read_config(self) -> TrainConfig:
        """Return the config of the run here; CheckpointError where it is damaged, CodeError for a model not allowed."""
        try:
            return load_config(self.config)
        except CodeError as error:
            raise CodeError(f"{self.config}: {error}") from error
        except ConfigError as error:
            raise CheckpointError(f"{error}; copy the file from the run again, or start a new run") from error

    def read_results(self) -> dict[str, Any]:
        """Return what `results.json` holds; CheckpointError where it is damaged."""
        try:
            results = json.loads(self.results.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{self.results}: cannot be read; delete it and resume the run") from error
        if not _are_results(results):
            raise CheckpointError(f"{self.results}: does not hold results; delete it and resume the run")
        return dict(results)

    def write_results(self, results: dict[str, Any]) -> None:
        """Write `results.json`, whole or not at all."""
        write_durably(self.results, (json.dumps(results, indent=2, ensure_ascii=False) + "\n").encode())


def _are_results(values: Any) -> bool:
    counts = ("best_epoch", "steps", "parameters")
    if not isinstance(values, dict) or not all(isinstance(values.get(key), int) for key in counts):
        return False
    return isinstance(values.get("valid"), dict) and isinstance(values.get("test", {}), dict)


def missing(path: Path) -> list[Path]:
    """Return the directories that are not there of a path and those above it."""
    return [one for one in (path, *path.parents) if not os.path.exists(one)]


@contextmanager
def locked(run: RunDirectory) -> Iterator[None]:
    """Have a run's directory for this process alone, without what a killed process left half written there."""
    with alone(run.path):
        for part in (run.path, run.vocabulary, run.checkpoints):
            sweep(part)
        yield


def new_directory(config: TrainConfig) -> RunDirectory:
    """Return a fresh `runs/<dataset>-<model>/<time>`, made here so that two runs of one second get two."""
    parent = RUNS / title_of(config)
    above = missing(parent)
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1000):
        path = parent / (f"{stamp}-{number}" if number else stamp)
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not parent.is_dir():
                break
            continue
        except OSError as error:
            raise StorageError(f"{path}: cannot be made ({error.strerror}); set run_dir elsewhere") from error
        run = RunDirectory(path)
        run.made = [path, *above]
        return run
    raise StorageError(f"{parent}: cannot be made; set run_dir elsewhere")


def choose_directory(config: TrainConfig) -> RunDirectory:
    """Return the directory that a config means, as `run_dir` and `resume` say together."""
    if isinstance(config.resume, str):
        run = RunDirectory(run_path(config.resume))
        if not run.resumable:
            raise CheckpointError(f"{run.path}: no checkpoint there to resume from")
        return run
    if config.run_dir is None:
        if config.resume:
            raise ConfigError(f"`resume=true` needs `run_dir`; {_newest_unfinished()}")
        return new_directory(config)
    run = RunDirectory(Path(os.path.expanduser(config.run_dir)))
    if run.begun and not config.resume:
        raise ConfigError(f"run_dir={run.path} holds a run; add resume=true to continue it, or set another run_dir")
    return run


def _newest_unfinished() -> str:
    runs = [run for run in map(RunDirectory, _all_runs()) if run.resumable and not run.finished]
    return f"the newest unfinished run is run_dir={runs[0].path}" if runs else f"{RUNS}/ holds no unfinished run"


def _all_runs() -> list[Path]:
    """Return the runs under `runs/`, the newest first."""
    found = [path.parent for path in RUNS.glob("**/config.yaml")]
    return sorted(found, key=lambda path: (path / "config.yaml").stat().st_mtime_ns, reverse=True)


def run_path(name: str, *, trained: bool = True) -> Path:
    """Return the run that a name means: a directory, a file in it, `last`, or an installed model.

    `last` is the newest run with a best epoch, or with `trained=False` the newest of all.
    """
    if name == "last" and not os.path.exists(name):
        usable = [path for path in _all_runs() if not trained or RunDirectory(path).best.exists()]
        if not usable:
            raise CheckpointError(f"{RUNS}/ holds no trained run; train one with zoo-train, or name its directory")
        return usable[0]
    if not name:
        raise CheckpointError("the name of a run is empty; name its directory, or `last`")
    path = Path(os.path.expanduser(name))  # os.path also answers for names that no file can have
    if os.path.isfile(path):
        path = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    if not os.path.exists(path):
        installed = pretrained_path(name)
        if installed is None:
            strange = unknown("installed model", name, list_pretrained())
            raise CheckpointError(f"{name}: no such run; {strange}; name one of these, a run's directory, or `last`")
        return installed
    if not os.path.isfile(path / "config.yaml"):
        raise CheckpointError(f"{name}: no run, it holds no config.yaml; name a run's directory, or `last`")
    return path


def expanded(names: Sequence[str]) -> list[str]:
    """Return the names of runs, those in the directory of a sweep instead of it."""
    found: list[str] = []
    for name in names:
        path = Path(os.path.expanduser(name))  # os.path also answers for names that no file can have
        runs = sorted(str(config.parent) for config in path.glob("*/config.yaml")) if os.path.isdir(path) else []
        found += runs if runs and not (path / "config.yaml").exists() else [name]
    return found


def make_absolute(config: TrainConfig) -> None:
    """Make the paths of the data absolute, so that the run can be used from any directory."""
    for part in file_options(config.dataset):
        paths = getattr(config.dataset, part, None)
        if isinstance(paths, list):
            setattr(config.dataset, part, [_absolute(path) for path in paths])
        elif paths:
            setattr(config.dataset, part, _absolute(paths))


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def file_options(dataset: Any) -> tuple[str, ...]:
    """Return the options of a dataset that name files; those of a dataset of the Hub name its splits."""
    if isinstance(dataset, HubConfig) and dataset.path not in HUB_FORMATS:
        return ("path",) if os.path.isdir(dataset.path) else ()
    return ("path",) if isinstance(dataset, PreparedConfig) else ("train", "valid", "test")
