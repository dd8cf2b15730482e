"""Where data may be prepared, and whether what lies there was made from the same options and files."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from zoo.config import to_dict
from zoo.data.prepared import INDEX, STATE
from zoo.data.shards import PARTS, SHARDS
from zoo.errors import BusyError, ConfigError, DataError, StorageError
from zoo.storage import alone, sweep, write_durably

JOURNAL = "journal.jsonl"
STDIN = "-"
SPLITS = ("train", "valid", "test")


class Request:
    """What a preparation is asked for: the options, with absolute paths, and by what the files are known."""

    def __init__(self, dataset: Any) -> None:
        self.options = {**to_dict(dataset), **{split: _absolute(getattr(dataset, split)) for split in SPLITS}}
        self.inputs = [_stamp(path, split) for split in SPLITS for path in _paths(getattr(dataset, split))]
        self.where = _paths(dataset.train)[0]
        self.defaults = to_dict(type(dataset)())

    def write(self, directory: Path) -> None:
        """Write it down, before anything is done."""
        state = {"options": self.options, "inputs": self.inputs}
        write_durably(directory / STATE, json.dumps(state, ensure_ascii=False).encode())

    def check_state(self, directory: Path) -> None:
        """Raise an error where the preparation that is under way was asked for something else."""
        state = json.loads((directory / STATE).read_text(encoding="utf-8"))
        self.check_same(directory, state["options"], state["inputs"])

    def check_same(self, directory: Path, options: dict[str, Any], inputs: list[list[Any]]) -> None:
        """Raise an error where these are other options or other files."""
        again = "add --anew to start again, or name another directory"
        for key, value in self.options.items():
            before = options.get(key, self.defaults[key])  # an older version may lack an option
            if before != value:
                name = "dataset" if key == "name" else f"dataset.{key}"
                raise ConfigError(f"{directory}: was begun with {name}={before}, not {value}; {again}")
        for stamp, now in zip(inputs, self.inputs, strict=True):
            if stamp != now:
                raise DataError(f"{now[0]}: has changed since {directory} was begun; {again}")


def _paths(paths: Any) -> list[str]:
    return [paths] if isinstance(paths, str) and paths else list(paths or [])


def _absolute(paths: Any) -> Any:
    if isinstance(paths, list):
        return [_absolute(path) for path in paths]
    return os.path.abspath(paths) if paths and paths != STDIN else paths


def _stamp(path: str, split: str) -> list[Any]:
    """Return what a file is known by: its path, its size and when it was changed."""
    if path == STDIN and split == "train":
        return [path, 0, 0]
    if path == STDIN:
        raise ConfigError(f"`dataset.{split}` must be a file; only `dataset.train` can be standard input")
    try:
        found = os.stat(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: {reason}; name a file, or - for standard input") from error
    return [os.path.abspath(path), found.st_size, found.st_mtime_ns]


@contextmanager
def only_here(directory: Path) -> Iterator[None]:
    """Have a directory for this process alone; made where it is missing, refused where it holds anything else."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        found = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise StorageError(f"{directory}: cannot be made ({error.strerror}); name another directory") from error
    strange = [name for name in found if name not in (JOURNAL, PARTS, SHARDS)]
    if strange and not {INDEX, STATE}.intersection(found):
        raise ConfigError(f"{directory}: holds other files ({strange[0]}); name a new directory")
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(directory))
        except BusyError as error:
            raise BusyError(f"{directory}: another zoo prepare works here; wait for it, or name another one") from error
        sweep(directory)
        yield


def clear(directory: Path) -> None:
    """Remove what a preparation has written."""
    for path in directory.iterdir():
        if path.name in (PARTS, SHARDS):
            shutil.rmtree(path)
        elif path.suffix in (".json", ".jsonl", ".model"):
            path.unlink()


def tidy(directory: Path) -> None:
    """Remove what finished data do not need."""
    shutil.rmtree(directory / PARTS, ignore_errors=True)
    for name in (STATE, JOURNAL):
        (directory / name).unlink(missing_ok=True)
