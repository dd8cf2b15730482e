"""A sweep: a directory of jobs that goes on where it stopped, and a table of what came of each."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from copy import deepcopy
from hashlib import blake2b
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

from zoo.cli.streams import complain, say
from zoo.cli.tables import leaderboard
from zoo.config import TrainConfig, load_config, to_dict
from zoo.errors import BusyError, ConfigError
from zoo.experiment.directory import make_absolute
from zoo.storage import alone, write_durably
from zoo.tune.rows import Row, error_line, figures_of, ranked, write_csv

SWEEPS = Path("runs", "multirun")
DIRECTORY = "hydra.sweep.dir"
RECORD, TABLE, ROWS = "sweep.json", "sweep.csv", ".rows"
LONGEST_NAME = 80


def is_multirun(arguments: Collection[str]) -> bool:
    """Whether the arguments ask for a sweep."""
    return not {"-m", "--multirun"}.isdisjoint(arguments)


def with_directory(arguments: list[str]) -> list[str]:
    """Return the arguments of a sweep, with the directory of the newest unfinished one that has the same."""
    named = any(word.startswith(f"{DIRECTORY}=") for word in arguments)
    found = None if named or not is_multirun(arguments) else _unfinished(arguments)
    if found is None:
        return arguments
    complain(f"going on with the sweep in {found}, which was not finished; for a new one set {DIRECTORY}=DIR")
    return [*arguments, f"{DIRECTORY}='{found}'"]


def _unfinished(arguments: list[str]) -> Path | None:
    for record in sorted(SWEEPS.glob(f"*/{RECORD}"), reverse=True):
        try:
            saved = json.loads(record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if saved == {"arguments": arguments, "finished": False} and _is_free(record.parent):
            return record.parent
    return None


def _is_free(path: Path) -> bool:
    try:
        with alone(path):
            return True
    except BusyError:
        return False


class Sweep:
    """The directory of a sweep: jobs' runs, a row for each job that has ended, and the table made of those."""

    def __init__(self, path: Path, arguments: list[str]) -> None:
        self.path, self._held = path, ExitStack()
        self.arguments = [word for word in arguments if not word.startswith(f"{DIRECTORY}=")]

    def begin(self) -> None:
        """Keep other processes out, and forget what earlier ones have left of the table."""
        self._held.enter_context(alone(self.path, way=f"set another {DIRECTORY}"))
        self.forget()
        self._record(finished=False)

    def forget(self) -> None:
        """Remove the rows of jobs that have ended."""
        shutil.rmtree(self.path / ROWS, ignore_errors=True)

    def release(self) -> None:
        """Let another process work on the sweep."""
        self._held.close()

    def _record(self, *, finished: bool) -> None:
        content = json.dumps({"arguments": self.arguments, "finished": finished}, ensure_ascii=False) + "\n"
        write_durably(self.path / RECORD, content.encode("utf-8", "backslashreplace"))

    def settle(self, config: TrainConfig, words: Sequence[str]) -> dict[str, Any] | None:
        """Give a job its directory; return its results where it finished before with the same options."""
        if config.run_dir is None:
            config.run_dir = str(self.path / job_name(words))
            config.resume = os.path.isfile(Path(config.run_dir) / "config.yaml")
        return earlier_results(config)

    def add(self, row: Row) -> None:
        """Enter what came of a job into the table; other processes may do so at the same time."""
        write_durably(self.path / ROWS / f"{row.number}.json", json.dumps(row).encode())
        self._tabulate()

    def _tabulate(self) -> list[Row]:
        """Write the table, in the order of the jobs; return its rows, the best first."""
        found = [json.loads(file.read_bytes()) for file in (self.path / ROWS).glob("[0-9]*.json")]
        rows = ranked([Row(*values) for values in sorted(found, key=itemgetter(0))])
        write_csv(self.path / TABLE, sorted(rows, key=attrgetter("number")))
        return rows

    def finish(self) -> int:
        """Print the table; return the exit code of the first job that failed, 0 where none did."""
        rows = self._tabulate()
        self.forget()
        self._record(finished=True)
        self.release()
        say(leaderboard(rows, "job"))
        say(f"sweep  {self.path / TABLE}")
        if rows and rows[0].rank:
            say(f"run    {rows[0].run_dir} (the best)")
            say(f"look   zoo compare {shlex.quote(str(self.path))} --out compared")
        failed = [row for row in rows if row.exit_code]
        if not failed:
            return 0
        again = f"the same command with {shlex.quote(f'{DIRECTORY}={self.path}')} tries them again"
        complain(f"error: {len(failed)} of {len(rows)} jobs failed, see the table; {again}")
        return min(failed, key=attrgetter("number")).exit_code


def job_name(words: Sequence[str]) -> str:
    """Return the name of a job's directory: its overrides, without what a path or a shell would stumble over."""
    text = ",".join(words) or "defaults"
    clean = re.sub(r"[^\w.=,+-]+", "_", text).lstrip(".-")[:LONGEST_NAME]
    return clean if clean == text else f"{clean}-{blake2b(text.encode(errors='replace'), digest_size=4).hexdigest()}"


def earlier_results(config: TrainConfig) -> dict[str, Any] | None:
    """Return the results of a finished run with the same options in the same directory."""
    path = Path(str(config.run_dir))
    try:
        results = json.loads((path / "results.json").read_text(encoding="utf-8"))
        same = comparable(load_config(path / "config.yaml")) == comparable(config)
    except (OSError, ValueError, ConfigError):  # the training says what is wrong there
        return None
    return {**results, "run_dir": str(path), "already_finished": True} if same and isinstance(results, dict) else None


def comparable(config: TrainConfig) -> dict[str, Any]:
    """Return the options that make a run what it is, the paths of its data absolute."""
    config = deepcopy(config)
    make_absolute(config)
    return {**to_dict(config), "run_dir": None, "resume": None}


def row_of(number: int, title: str, config: TrainConfig, results: Any) -> Row:
    """Return the row of a job that finished."""
    found = results if isinstance(results, dict) else {}
    status = "finished before" if found.get("already_finished") else "finished"
    status = found.get("override", status)  # what a range test suggests
    return Row(number, title, status, **figures_of(config, found))


def failed_row(number: int, title: str, config: TrainConfig | None, code: int, error: Exception) -> Row:
    """Return the row of a job that failed."""
    where = str(config.run_dir or "") if config else ""
    return Row(number, title, "failed", exit_code=code, run_dir=where, error=error_line(error))
