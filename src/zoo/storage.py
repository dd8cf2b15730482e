"""Writing a file so that it is there whole or not at all."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from zoo.errors import StorageError


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
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(_storage_message(path, len(content), error)) from error


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
