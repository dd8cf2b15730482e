"""A report's directory: whose it is, and files that are there whole or not at all."""

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.errors import ConfigError, StorageError
from zoo.experiment.directory import missing
from zoo.explore.board import event_file, projector_files
from zoo.explore.exploring import Findings
from zoo.explore.page import page
from zoo.explore.pictures import Picture
from zoo.explore.report import report_of
from zoo.explore.sources import Source
from zoo.record import save_figure
from zoo.storage import NO_LINK, alone, sweep, write_durably

REPORT, PAGE = "report.json", "report.html"
EVENTS = "events.out.tfevents.{}.explore"


@contextmanager
def prepared(directory: Path, source: Source) -> Iterator[None]:
    """Make a report's directory, before the long work; ConfigError where the report of another source is in it.

    It is for this process alone: the files of two reports would mix. What was made is removed again where no report
    comes of it.
    """
    made = missing(directory)
    try:
        _prepare(directory, source)
        with alone(directory, doing="exploring", way="name another place with --out"):
            yield
    finally:
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _prepare(directory: Path, source: Source) -> None:
    if directory == source.home and directory.is_symlink():  # in a run of a stranger it may lead anywhere
        raise StorageError(f"{directory}: is a link; name the place it leads to with --out, or delete it")
    owner = _owner(directory / REPORT)
    moved = source.kind == "run" and directory == source.home  # a run and what lies in it may go elsewhere together
    if owner is not None and owner != (source.kind, source.path) and not (moved and owner[0] == "run"):
        raise ConfigError(
            f"{directory} holds the report of {owner[0]} {owner[1]}, which is another source; name another place "
            "with --out, or delete it"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".{os.getpid()}.tmp"
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | NO_LINK, 0o644))
        probe.unlink()
    except OSError as error:
        raise StorageError(
            f"{directory}: cannot be written ({error.strerror}); name another place with --out"
        ) from error


def _owner(path: Path) -> tuple[str, str] | None:
    """Return kind and path of the source whose report lies there; None where none does."""
    if not os.path.lexists(path):
        return None
    if not path.is_file():
        return "what is no file, in", str(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return str(found["kind"]), str(found["path"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "what is no report of zoo, in", str(path)


def save(directory: Path, found: Findings, pictures: list[Picture]) -> dict[str, Any]:
    """Write a report's files, `report.json` as the last, and return what that holds.

    What an earlier report of the same source left behind is deleted.
    """
    report = report_of(found)
    report["figures"] = [f"{picture.name}.png" for picture in pictures]
    images = {picture.name: _png(picture) for picture in pictures}
    events = event_file(report, pictures, images)
    stale = _stale(directory)
    sweep(directory)
    files = {f"{name}.png": image for name, image in images.items()}
    files |= {**projector_files(found), PAGE: page(report, pictures, images).encode("utf-8", "backslashreplace")}
    files[EVENTS.format(time.time_ns() // 10**6)] = events
    files[REPORT] = (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
    for name, content in files.items():
        write_durably(directory / name, content)
    for path in stale:
        if path.name not in files:
            path.unlink(missing_ok=True)
    return report


def _png(picture: Picture) -> bytes:
    file = io.BytesIO()
    save_figure(picture.figure, file)
    return file.getvalue()


def _stale(directory: Path) -> list[Path]:
    """Return the files of the earlier report that has its own names for them: event files and figures."""
    paths = list(directory.glob(EVENTS.format("*")))
    try:
        figures = json.loads((directory / REPORT).read_text(encoding="utf-8"))["figures"]
        names = [name for name in figures if isinstance(name, str) and name == os.path.basename(name)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        names = []
    return [*paths, *(directory / name for name in names if name.endswith(".png"))]
