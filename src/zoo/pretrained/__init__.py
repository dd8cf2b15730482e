"""Trained models that are installed with the package: each a run directory without what only training needs.

`index.json` lists them: what each does, the license of its data, its scores, and the SHA-256 of its files.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from zoo.errors import CheckpointError

HOME = Path(__file__).parent
INDEX = HOME / "index.json"


class Pretrained(NamedTuple):
    """One model: its name, what it does, its data's license, its figures on held-out data, its files' checksums."""

    name: str
    summary: str
    license: str
    scores: dict[str, float]
    parameters: int
    files: dict[str, str]

    @property
    def path(self) -> Path:
        """The model's run directory."""
        return HOME / self.name

    def verify(self) -> None:
        """Raise CheckpointError where a file is not the one that was shipped."""
        for name, expected in self.files.items():
            file = self.path / name
            if not file.is_file() or digest(file) != expected:
                raise CheckpointError(f"{file}: not the file that was installed; install zoo again")


def digest(file: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def list_pretrained() -> dict[str, Pretrained]:
    """Return the installed models by their names; CheckpointError where their list is damaged."""
    try:
        listed: dict[str, Any] = json.loads(INDEX.read_text(encoding="utf-8"))
        return {name: Pretrained(name, **entry) for name, entry in listed.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{INDEX}: not the file that was installed; install zoo again") from error


def pretrained_path(name: str) -> Path | None:
    """Return the run directory of the installed model with this name, or None; CheckpointError where it is damaged."""
    found = list_pretrained().get(name)
    if found is None:
        return None
    found.verify()
    return found.path
