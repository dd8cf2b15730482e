"""The trainings of a recipe, each a `zoo-train` of its own that goes on where it was interrupted."""

import hashlib
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hardware import commit, machine
from recipes import Files, Member, Model, Recipe, each_model

from zoo.cli.overrides import config_of, parse, write_value
from zoo.cli.streams import complain
from zoo.cli.sweep import comparable, earlier_results, job_name
from zoo.config import TrainConfig
from zoo.errors import CheckpointError, ConfigError, ZooError
from zoo.experiment.directory import RunDirectory
from zoo.record import flat_options
from zoo.storage import write_durably

NOTE = "reproduced.json"
"""Beside a run's own files: what it was trained on, and by which code."""
ELSEWHERE = ("seed", "dataset.train", "dataset.valid", "dataset.test")
"""Options that are no part of a recipe."""
OFF = (None, 0, "", "none", "auto", [])
"""Values of what a run does without, so that an option which is added later changes no digest."""
CHOSEN = (("dataset.bleu", "none"),)
"""What has such a value and yet does something: this scores the tokens as they are."""


class Job(NamedTuple):
    """A model to train: whose it is, its options as they are typed, and the config that they come to."""

    recipe: Recipe
    member: Member
    seed: int
    words: list[str]
    config: TrainConfig

    @property
    def run(self) -> RunDirectory:
        return RunDirectory(Path(str(self.config.run_dir)))

    @property
    def title(self) -> str:
        return f"{self.recipe.title} {self.member.name} seed {self.seed}"


class FailedError(ZooError):
    """A training ended with an exit code of its own."""

    def __init__(self, job: Job, code: int) -> None:
        super().__init__(f"{job.title}: the training ended with exit code {code}, see above; run it again to go on")
        self.exit_code = code if code > 0 else 128 - code


def jobs_of(recipe: Recipe, files: Files, out: Path, changes: Sequence[str] = (), *,
            models: Sequence[Model] = ()) -> list[Job]:  # fmt: skip
    """Return the trainings of a recipe's models, or some; ConfigError where options do not fit, before any training."""
    found = []
    for member, seed in models or each_model(recipe):
        folder = out / recipe.title / job_name([member.name, str(seed), *changes])
        words = [*words_of(recipe, files), *member.overrides, *changes, f"seed={seed}"]
        words = merged([*words, f"run_dir={folder.absolute()}"])
        found.append(Job(recipe, member, seed, words, composed(words)))
    return found


def words_of(recipe: Recipe, files: Files) -> list[str]:
    """Return the options that all members have: the experiment and the files to train with."""
    parts = {"train": files.train, "valid": files.dev}
    named = [file_word(part, paths) for part, paths in parts.items() if paths]
    return [f"experiment={recipe.experiment}", *named, *recipe.overrides]


def file_word(part: str, paths: list[str]) -> str:
    """Return the option that names the files of a part."""
    return f"dataset.{part}={write_value(paths) if len(paths) > 1 else paths[0]}"


def merged(words: Sequence[str]) -> list[str]:
    """Return options, of those with the same key the last."""
    return list({parse(word).key: word for word in words}.values())


def composed(words: Sequence[str]) -> TrainConfig:
    """Return what options come to."""
    parsed = [parse(word) for word in words]
    return config_of({item.key: item.texts[0] for item in parsed})


def train(job: Job) -> dict[str, Any]:
    """Train, unless that is done, and return the results of the run."""
    if earlier_results(job.config):
        complain(f"{job.title}: finished before")
        return job.run.read_results()
    check_same(job)  # another process may have begun it meanwhile
    complain(f"{job.title}: zoo-train {shlex.join(job.words)} resume=true")
    begun = time.monotonic()
    _note(job)
    code = run_to_end([sys.executable, "-m", "zoo", "train", *job.words, "resume=true"])
    if code:
        raise FailedError(job, code)
    complain(f"{job.title}: done in {time.monotonic() - begun:.0f} s")
    return job.run.read_results()


def check_same(job: Job) -> None:
    """Refuse a run that was begun with other options, as of a recipe that has changed since: it would be a mixture."""
    if not job.run.begun:
        return
    saved, asked = flat(comparable(job.run.read_config())), flat(comparable(job.config))
    changed = {key: f"{key} was {saved.get(key)!r} and is {value!r}" for key, value in asked.items()
               if saved.get(key) != value}  # fmt: skip
    if changed:
        moved = changed.keys() <= set(ELSEWHERE)
        way = "let the data lie there again, as by a link" if moved else "remove it, or set --out"
        told = ", ".join(list(changed.values())[:3])
        raise ConfigError(f"{job.run.path} was begun with other options ({told}); {way}")


def digest(config: TrainConfig) -> str:
    """Return what stands for the options of a run, apart from its seed and where its files lie."""
    options = {key: value for key, value in flat_options(config).items()
               if key not in ELSEWHERE and (value not in OFF or (key, value) in CHOSEN)}  # fmt: skip
    text = json.dumps(options, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def flat(options: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested options by their dotted keys."""
    found: dict[str, Any] = {}
    for key, value in options.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found


def run_to_end(command: Sequence[str]) -> int:
    """Run a command whose results go to our stderr, and pass on each signal that asks us to end: it saves first.

    It has a session of its own, so that a terminal's Ctrl-C reaches it once, through us.
    """
    process = subprocess.Popen(command, stdout=2, start_new_session=True)
    ending: BaseException | None = None
    while process.poll() is None:
        try:
            process.wait()
        except (KeyboardInterrupt, SystemExit) as asked:
            ending = asked
            process.send_signal(signal.SIGINT if isinstance(asked, KeyboardInterrupt) else signal.SIGTERM)
    if ending:
        raise ending
    return process.returncode


def _note(job: Job) -> None:
    """Add this machine and commit to what is known of a run, before it trains: so a crash leaves no gap."""
    known = note_of(job)
    for key, value in (("hardware", machine(job.config)), ("commit", commit())):
        known[key] = [*(one for one in known.get(key, []) if one != value), value]
    write_durably(job.run.path / NOTE, (json.dumps(known, ensure_ascii=False) + "\n").encode())


def note_of(job: Job) -> dict[str, list[str]]:
    """Return the machines and commits that a run was trained on, the last one last; CheckpointError where damaged."""
    path = job.run.path / NOTE
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        found = None
    lists = [found.get(key) for key in ("hardware", "commit")] if isinstance(found, dict) else [None]
    if not all(isinstance(one, list) and all(isinstance(text, str) for text in one) for one in lists):
        raise CheckpointError(f"{path}: does not say any more what has trained here; remove the run and train again")
    return dict(found)
