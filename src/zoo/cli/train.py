"""`zoo train` and `zoo-train`: overrides in, a trained run out."""

import shlex
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from zoo.cli import overrides as checking
from zoo.cli.compose import FREE_GROUPS, names, read
from zoo.cli.diagnose import concerns
from zoo.cli.overrides import Override
from zoo.cli.streams import say
from zoo.cli.sweep import is_multirun
from zoo.config import DATASETS, GROUPS, TrainConfig
from zoo.distributed import is_main, launched
from zoo.errors import ConfigError, unknown

SWITCHES = {"--multirun", "-m", "--resolve", "--run", "-r", "--shell-completion", "-sc", "--hydra-help"}
WITH_VALUE = {"--cfg", "-c", "--package", "-p", "--config-dir", "-cd", "--info", "-i"}
CFG = {"job", "hydra", "all"}
INFO = {"all", "config", "defaults", "defaults-tree", "plugins", "searchpath"}
UNCHECKED = {"--shell-completion", "-sc", "--hydra-help", "--config-dir", "-cd"}
"""With these Hydra is asked at once: it completes half a word, or knows choices from a directory of the user's."""


class Words(NamedTuple):
    """The command line, parted into Hydra's flags and overrides."""

    flags: list[str]
    overrides: list[str]


def train(arguments: list[str]) -> int:
    """Train as the overrides say; return the exit code."""
    words = part(arguments)
    if {"--help", "-h"}.intersection(words.flags):
        from zoo.cli.help import train_help

        print(train_help(words.overrides))
        return 0
    names = {flag.partition("=")[0] for flag in words.flags}
    if {"--shell-completion", "-sc"} & names:
        return _hydra(arguments)  # half a word, as it is
    if UNCHECKED & names:
        return _hydra(words.flags + words.overrides)
    words = _with_sweep(words)
    multirun = is_multirun(words.flags)
    if multirun and launched():
        raise ConfigError("a sweep trains one run after the other, each in one process; start each run by torchrun")
    parsed = [checking.parse(word, multirun=multirun) for word in words.overrides]
    _check_sweep(parsed)
    path = _path_to_resume(parsed, multirun=multirun)
    shown = {"--cfg", "-c", "--info", "-i"}.intersection(words.flags)
    if path and shown:
        raise ConfigError(f"`{min(shown)}` shows options that are composed; those of a run stand in its config.yaml")
    if path:
        _train_one(checking.resumed(path, {item.key: item.texts[0] for item in parsed if item.key != "resume"}))
        return 0
    swept = [item.key for item in parsed if len(item.texts) > 1 or item.raw]
    return _hydra(words.flags + checked(parsed, complete=not shown), swept)


def part(arguments: list[str]) -> Words:
    """Part flags from overrides; ConfigError for a flag that does not exist, with the way to write an option."""
    flags: list[str] = []
    words: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name = word.partition("=")[0]
        if name in WITH_VALUE:
            flags.append(word)
            flags += _value_of(name, rest) if word == name else []
        elif word in SWITCHES or word in ("--help", "-h"):
            flags.append(word)
        elif word.startswith("-"):
            raise ConfigError(_no_flag(word, rest[0] if rest else "VALUE"))
        else:
            words.append(word)
    return Words(flags, words)


def _with_sweep(words: Words) -> Words:
    """Add what an experiment sweeps over; what is typed wins."""
    typed = {word.partition("=")[0]: word.partition("=")[2] for word in words.overrides}
    name = typed.get("experiment", "")
    if "resume" in typed or name not in names("experiment"):
        return words
    added = [f"{key}={values}" for key, values in read("experiment", name).sweep.items() if key not in typed]
    flags = words.flags if is_multirun(words.flags) or not added else [*words.flags, "--multirun"]
    return Words(flags, [*words.overrides, *added])


def _value_of(flag: str, rest: list[str]) -> list[str]:
    if flag in ("--info", "-i") and not (rest and rest[0] in INFO):
        return ["all"]
    if not rest:
        raise ConfigError(f"`{flag}` needs a value; see zoo-train --help")
    if flag in ("--cfg", "-c") and rest[0] not in CFG:
        raise ConfigError(unknown(f"value of {flag}", rest[0], sorted(CFG)))
    return [rest.pop(0)]


def _no_flag(word: str, following: str) -> str:
    name, equals, value = word.lstrip("-").partition("=")
    key = name if "." in name else name.replace("-", "_")
    flags = [flag for flag in (*SWITCHES, *WITH_VALUE, "--help") if flag.startswith("--")]
    try:
        checking.hint_of(key, checking.choices({}))
    except ConfigError as error:
        if "did you mean" not in str(error) or not word.startswith("--"):
            return unknown("flag", word, sorted(flags))
        key = str(error).partition("did you mean '")[2].partition("'")[0]
    value = value if equals else following
    return f"options are written without dashes: write {key}={value}"


def checked(parsed: list[Override], *, complete: bool) -> list[str]:
    """Check every job that the overrides describe; return the overrides in Hydra's grammar."""
    words: dict[str, str] = {}
    for typed in checking.combinations(parsed):
        chosen = checking.choices(typed)
        # A raw value (an interpolation, Hydra's own functions) is known to Hydra alone, which checks its type.
        if any(item.raw for item in parsed):
            checking.compose_typed(typed)
        else:
            checking.config_of(typed if complete else with_file(typed, chosen))
        kept = [item for item in parsed if not (item.key in FREE_GROUPS and item.texts == ["null"])]  # the default
        words = words or {item.key: checking.for_hydra(item, chosen) for item in kept}
    swept = {item.key for item in kept if item.key in GROUPS and len(item.texts) > 1}
    lone = {item.key for item in kept if item.key.partition(".")[0] in swept and len(item.texts) == 1 and not item.raw}
    return [_of_each_job(word) if key in lone else word for key, word in words.items()]


def _of_each_job(word: str) -> str:
    """Write an option of a group whose choice is swept as a sweep of one value: others Hydra sets before it chooses."""
    key, _, value = word.partition("=")
    return f"{key}=choice({value})"


def with_file(typed: dict[str, str], chosen: dict[str, str | None]) -> dict[str, str]:
    """Name a training file where one is needed and none is typed: options may be looked at before there is one."""
    options = checking.hints(DATASETS[str(chosen["dataset"])])
    needed = {f"dataset.{key}": "FILE" for key in ("train", "path") if key in options}
    return {**needed, **typed}


def _check_sweep(parsed: list[Override]) -> None:
    """Refuse one directory for several runs before the first of them begins, and no choice beside others."""
    for item in parsed:
        if item.key in FREE_GROUPS and len(item.texts) > 1 and "null" in item.texts:
            raise ConfigError(f"`{item.key}=null` is no choice to sweep over; run it apart, without `{item.key}`")
    directories = [item for item in parsed if item.key == "run_dir" and len(item.texts) == 1 and not item.raw]
    if directories and any(len(item.texts) > 1 for item in parsed):
        raise ConfigError("`run_dir` is one directory, and these are several runs; leave it out")


def _path_to_resume(parsed: list[Override], *, multirun: bool) -> str:
    texts = [text for item in parsed if item.key == "resume" for text in item.texts]
    paths = [path for path in (checking.read_value(text, Any, "resume") for text in texts) if isinstance(path, str)]
    if not paths:
        return ""
    if multirun:
        raise ConfigError("`resume=PATH` continues one run; leave out --multirun")
    if any(item.raw for item in parsed):
        raise ConfigError("`resume=PATH` takes plain values; leave out ${...}")
    return paths[-1]


def _hydra(arguments: list[str], swept: Collection[str] = ()) -> int:
    from zoo.cli.hydra_app import run

    return run(arguments, partial(_train_one, swept=swept), swept=swept)


def _train_one(config: TrainConfig, swept: Collection[str] = ()) -> dict[str, Any]:
    from zoo.experiment import train as train_run

    results = train_run(config, swept=[f"{key}.name" if key in GROUPS else key for key in swept])
    if is_main():
        say(summary(results))
    return results


def summary(results: dict[str, Any]) -> str:
    """Say in a few lines what a training came to, where it lies and how to look at it."""
    path = Path(results["run_dir"])
    if "override" in results:
        return _found_rate(results, path)
    done = "had already finished" if results.get("already_finished") else f"best epoch {results['best_epoch']}"
    lines = [f"{split:5}  {figures(results[split])}" for split in ("valid", "test") if split in results]
    wrong = concerns(path)
    check = [f"check  {wrong}; see zoo diagnose {shlex.quote(str(path))}"] if wrong else []
    logs = "runs" if path.parts[:1] == ("runs",) else shlex.quote(str(path))
    ran, look = f"run    {path} ({done})", f"look   tensorboard --logdir {logs} --host localhost"
    return "\n".join([*lines, ran, *check, look])


def _found_rate(found: dict[str, Any], path: Path) -> str:
    """Say what a range test has found: the rates, and the override to type."""
    rates = f"loss lowest at {found['lowest']:g}, falls most at {found['steepest']:g}; {found['ended']}"
    lines = [f"rates  {rates}", f"drawn  {path / 'lr_find.png'}"]
    return "\n".join([*lines, f"try    {found['override']}  (a quarter of the lowest loss's)"])


def figures(metrics: dict[str, Any]) -> str:
    """Write metrics in a row."""
    return ", ".join(f"{key} {value:.4f}" for key, value in metrics.items() if isinstance(value, float))
