"""Files that are there whole or not at all, and the checkpoints of steps among them."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from zoo.errors import StorageError

_STEP = re.compile(r"step-(\d{8,})\.safetensors")


def write_durably(path: Path, content: bytes) -> None:
    """Write, sync, rename and sync the directory; StorageError tells the bytes needed and free."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        message = _storage_message(path, len(content), error)  # before the room is free again
        _remove(temporary)
        raise StorageError(message) from error
    except BaseException:
        _remove(temporary)
        raise


def _storage_message(path: Path, needed: int, error: OSError) -> str:
    reason = error.strerror or str(error)
    try:
        free = f", {shutil.disk_usage(path.parent).free:,} free"
    except OSError:
        free = ""
    return f"{path}: cannot be written ({reason}; {needed:,} bytes needed{free}); make room or set run_dir elsewhere"


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def sweep(directory: Path) -> None:
    """Delete what killed writes left in a directory."""
    for path in directory.glob(".*.tmp"):
        _remove(path)


def step_path(directory: Path, step: int) -> Path:
    """Return where the checkpoint after `step` optimizer steps lies."""
    return directory / f"step-{step:08d}.safetensors"


def list_checkpoints(directory: Path) -> list[Path]:
    """Return the step checkpoints of a directory, highest step first, whatever the clock says."""
    if not directory.is_dir():
        return []
    found = [(int(match[1]), path) for path in directory.iterdir() if (match := _STEP.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def prune(directory: Path, *, keep: int, newest: Path | None = None) -> None:
    """Delete all but the `keep` newest step checkpoints up to `newest`, and what a killed save left behind.

    Those above `newest`, the one that was just written, are damaged ones that were passed over.
    """
    paths = list_checkpoints(directory)
    first = paths.index(newest) if newest in paths else 0
    for path in [*paths[first + keep :], *paths[:first]]:
        path.unlink(missing_ok=True)
    sweep(directory)
