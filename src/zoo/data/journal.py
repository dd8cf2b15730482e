"""What a long work has done so far: a line each, on the disk before the next is begun."""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from zoo.storage import write_durably

Entry = dict[str, Any]


class Journal:
    """Entries with a `kind` and a `number`, of which a later one takes the place of an earlier. A context."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, dict[int, Entry]] = {}
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []  # the last one may be torn
        for line in lines:
            self._keep(json.loads(line))
        write_durably(path, b"".join(line + b"\n" for line in lines))
        self._file = open(path, "ab")  # noqa: SIM115

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, entry: Entry) -> None:
        """Write an entry."""
        self._keep(entry)
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def of(self, kind: str) -> dict[int, Entry]:
        """Return the entries of a kind, by their number."""
        return dict(sorted(self._entries.get(kind, {}).items()))

    def _keep(self, entry: Entry) -> None:
        self._entries.setdefault(entry["kind"], {})[entry["number"]] = entry
