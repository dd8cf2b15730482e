"""Files that are there whole or not at all, and the checkpoints of steps among them."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zoo.errors import BusyError, StorageError

try:
    import fcntl
except ImportError:  # Windows has no flock: two runs in one directory go unnoticed there
    fcntl = None  # type: ignore[assignment]

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""A link in a run that someone else made must not lead our writing to a file of the user's."""
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
        sync_directory(path.parent)
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
    return f"{path}: cannot be written ({reason}; {needed:,} bytes needed{free}); make room, or choose another place"


def sync_directory(directory: Path) -> None:
    """Make sure that what was named or renamed in a directory stays so."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(directory: Path) -> None:
    """Make sure that all files of a directory lie on the disk, whoever wrote them."""
    for path in directory.rglob("*"):
        sync_directory(path) if path.is_dir() else _sync_file(path)
    sync_directory(directory)


def _sync_file(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


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


@contextmanager
def alone(directory: Path, *, doing: str = "training", way: str = "set another run_dir") -> Iterator[None]:
    """Have a directory for this process alone; BusyError names the process that has it.

    `doing` and `way` are for the text: what is done here, and what leads elsewhere. The kernel lets go of the lock when
    its process dies, so that a file left by a crash locks nothing.
    """
    path = directory / ".lock"
    handle = _take(path, doing, way)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(handle)


def _take(path: Path, doing: str, way: str) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK, 0o644)
        if fcntl is None:
            return handle
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise BusyError(f"{path.parent}: process {owner} is {doing} here; wait for it or {way}") from error
        if _is_at(handle, path):
            break
        os.close(handle)  # the process before removed its file between our two calls
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
