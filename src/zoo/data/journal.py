"""What a long work has done so far: a line each, on the disk before the next is begun."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from zoo.errors import StorageError
from zoo.storage import write_durably

Entry = dict[str, Any]


class Journal:
    """Entries with a `kind` and a `number`, of which a later one takes the place of an earlier. A context."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, dict[int, Entry]] = {}
        lines = list(_whole(path))
        for line in lines:
            self._keep(json.loads(line))
        write_durably(path, b"".join(lines))
        self._file = open(path, "ab")  # noqa: SIM115

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, entry: Entry) -> None:
        """Write an entry; StorageError where that is impossible."""
        self._keep(entry)
        try:
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written ({error.strerror or error}); make room") from error

    def of(self, kind: str) -> dict[int, Entry]:
        """Return the entries of a kind, by their number."""
        return dict(sorted(self._entries.get(kind, {}).items()))

    def _keep(self, entry: Entry) -> None:
        self._entries.setdefault(entry["kind"], {})[entry["number"]] = entry


def _whole(path: Path) -> Iterator[bytes]:
    """Yield the lines up to the first that is torn, as a kill may leave the last one."""
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        try:
            json.loads(line)
        except ValueError:
            return
        if not line.endswith(b"\n"):
            return
        yield line
