"""`zoo tune`: search for good settings of a model, trial by trial, and say what came of it."""

import argparse
import json
import os
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from random import Random
from textwrap import fill
from typing import TYPE_CHECKING, Any

from zoo.cli import overrides as checking
from zoo.cli.compose import folder
from zoo.cli.runs import Parser
from zoo.cli.streams import complain, say
from zoo.cli.tables import WIDTH, leaderboard
from zoo.config import GROUPS, TrainConfig, monitor_of, title_of, to_dict
from zoo.errors import CheckpointError, ConfigError, StorageError, ZooError
from zoo.storage import alone
from zoo.tune.rows import Row
from zoo.tune.space import Setting, active, read_space, text_of

if TYPE_CHECKING:
    from zoo.tune.search import Search

STUDIES = Path("runs", "tune")
DRAWS = 100
"""Settings that are drawn from a space and checked before the first trial."""

Build = Callable[[Mapping[str, str]], TrainConfig]
"""Makes a trial's config of its settings."""

DESCRIPTION = """\
Search for good settings of a model: each trial is a run of zoo-train with settings that Optuna proposes, judged by the
validation part and ended early where it is hopeless. Typed options stay as typed. The same command goes on with a
search that was stopped. When the seconds are over, a running trial ends after its step; it is resumed with it."""


def tune(arguments: list[str]) -> int:
    """Search, and print the trials, the best first, and what mattered."""
    options = _options(arguments)
    typed = _typed(options.words)
    base = checking.config_of(typed)
    if base.lr_find:
        raise ConfigError("`lr_find` trains no model that could be judged; leave it out, and vary optimizer.lr")
    where, text = _space_file(options.space, base.model.name)
    if options.show_space:
        say(text.rstrip("\n"))
        return 0
    if not options.trials and not options.seconds:
        raise ConfigError("a search needs an end: set --trials N, --seconds S or both")
    space = _space(text, where, typed)
    build = _builder(typed, base)
    given = _texts(base)
    _check_space(space, given, build, where)
    _needs_optuna()
    identity = {"options": sorted(options.words), "space": text, "pruning": not options.no_pruning}
    return _search(options, base, space, given, build, identity)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="zoo tune", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="options of all trials, as zoo-train takes them")
    parser.add_argument("--trials", type=int, default=0, metavar="N", help="end when so many trials have ended")
    parser.add_argument("--seconds", type=float, default=0.0, metavar="S", help="end after so many seconds in all")
    parser.add_argument("--space", metavar="FILE", help="what to vary; default: the model's own, see --show-space")
    parser.add_argument("--show-space", action="store_true", help="print what would be varied, to copy and edit")
    parser.add_argument(
        "--out", metavar="DIR", help="where the search is kept; default: runs/tune/<data>-<model>/<time>"
    )
    parser.add_argument("--no-pruning", action="store_true", help="let hopeless trials train to their end")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_intermixed_args(arguments)
    for name in ("trials", "seconds"):
        if not 0 <= getattr(options, name) < 1e9:
            raise ConfigError(f"`--{name}` must be above 0, but is {getattr(options, name):g}")
    return options


def _typed(words: list[str]) -> dict[str, str]:
    """Return the typed overrides; ConfigError for what is not the same in all trials."""
    parsed = [checking.parse(word) for word in words]
    for item in parsed:
        if item.raw or item.key == "hydra" or item.key.startswith(("hydra.", "hydra/")):
            raise ConfigError(f"`{item.key}`: zoo tune takes plain values of the zoo's own options; leave it out")
        if item.key in ("run_dir", "resume"):
            raise ConfigError(f"`{item.key}` is each trial's own; name the directory of the search with --out DIR")
        text = item.texts[0]
        if len(checking.split(text)) > 1 and not item.key.startswith("dataset."):
            raise ConfigError(f"`{item.key}` has several values; name them in a space: {item.key}: [{text}]")
    return {item.key: item.texts[0] for item in parsed}


def _space_file(name: str | None, model: str) -> tuple[str, str]:
    """Return where the space of a search stands, and its text."""
    path = Path(os.path.expanduser(name)) if name is not None else folder() / "tune" / f"{model}.yaml"
    try:
        return str(path), path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        if name is None:
            raise ConfigError(f"model={model} has no space of its own; write one and name it: --space FILE") from error
        raise ConfigError(f"{name}: cannot be read; copy a space with zoo tune --show-space > {name}") from error


def _space(text: str, where: str, typed: dict[str, str]) -> list[Setting]:
    """Return the settings to vary, without those that are typed."""

    def hint_of(key: str, others: dict[str, str]) -> Any:
        chosen = checking.choices({**typed, **{name: value for name, value in others.items() if "." not in name}})
        return str if key in GROUPS else checking.hint_of(key, chosen)

    space = read_space(text, where, hint_of)
    left = [setting for setting in space if setting.key not in typed]
    if not left:
        raise ConfigError(f"{where}: all of its options are typed, so that nothing is left to vary; leave some out")
    if fixed := [setting.key for setting in space if setting.key in typed]:
        complain(f"not varied, since typed: {', '.join(fixed)}")
    return left


def _builder(typed: dict[str, str], base: TrainConfig) -> Build:
    """Return what makes configs of settings beside what is typed; all must be judged by the data of `base`."""

    def build(settings: Mapping[str, str]) -> TrainConfig:
        config = checking.config_of({**typed, **settings})
        if (monitor_of(config), config.dataset.name) != (monitor_of(base), base.dataset.name):
            raise ConfigError(f"dataset={config.dataset.name} in some trials: all are judged by the same data")
        return config

    return build


def _texts(config: TrainConfig) -> dict[str, str]:
    """Return the text of every option, and of the choice of each group."""
    found: dict[str, str] = {}
    for key, value in to_dict(config).items():
        if isinstance(value, dict):
            found |= {f"{key}.{name}": text_of(inner) for name, inner in value.items()}
            found[key] = value["name"]
        else:
            found[key] = text_of(value)
    return found


def _check_space(space: list[Setting], given: dict[str, str], build: Build, where: str) -> None:
    """Build configs from all over the space, so that no trial meets a wrong one; ConfigError names the settings."""
    random = Random(0)
    for number, setting in enumerate(space):
        for key in setting.when:
            if key in {other.key for other in space[number:]}:
                raise ConfigError(f"{where}: `{setting.key}`: `when` names '{key}', which must stand above it")
            if key not in given and key not in {other.key for other in space}:
                raise ConfigError(f"{where}: `{setting.key}`: `when` names '{key}', which is no option here")
        count = len(setting.choices) or 2
        for share in [(number + 0.5) / count if setting.choices else float(number) for number in range(count)]:
            _build_at(space, given, build, where, {setting.key: share})
    for _ in range(DRAWS):
        _build_at(space, given, build, where, {setting.key: random.random() for setting in space})


def _build_at(space: list[Setting], given: dict[str, str], build: Build, where: str, shares: dict[str, float]) -> None:
    """Build the config at some shares of the ranges and choices, 0 where none is given; ConfigError says what it is."""
    settings = active(space, given, lambda setting: setting.at(shares.get(setting.key, 0.0)))
    try:
        build(settings)
    except ConfigError as error:
        tried = " ".join(f"{key}={text}" for key, text in settings.items())
        raise ConfigError(f"{where}: {error} (tried {tried})") from error


def _needs_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ConfigError("zoo tune needs Optuna, which is not installed: pip install 'zoo[tune]'") from error


def _search(
    options: argparse.Namespace,
    base: TrainConfig,
    space: list[Setting],
    given: dict[str, str],
    build: Build,
    identity: dict[str, Any],
) -> int:
    from zoo.tune.search import Budget, Search

    path = _directory(options.out, base, identity)
    with alone(path, doing="searching", way="name another place with --out"):
        search = Search(path, space, build, base=given, identity=identity, prune=not options.no_pruning, note=complain)
        if search.ended:
            complain(f"going on with the search in {path}, where {search.ended} trials have ended")
        try:
            rows = search.run(Budget(options.trials, options.seconds))
        except BaseException as error:
            with suppress(ZooError, OSError):
                search.conclude()
            if isinstance(error, KeyboardInterrupt | SystemExit):
                complain(f"stopped; the same command goes on with the search in {path}")
            raise
        found = _outcome(search, rows, options.words)
    say(json.dumps(found, ensure_ascii=False) if options.json else _shown(found, rows))
    return _exit_code(rows, path)


def _directory(out: str | None, base: TrainConfig, identity: dict[str, Any]) -> Path:
    """Return the directory of the search: the one named, else the newest of the same command, else a new one."""
    from zoo.tune.search import read_record

    parent = STUDIES / title_of(base)
    if out is not None and not out.strip():
        raise ConfigError("`--out` is empty; name a directory, or leave it out")
    path = Path(os.path.expanduser(out)) if out is not None else None
    if path is None:
        same = [one for one in sorted(parent.glob("*/"), reverse=True) if _is_same(read_record(one), identity)]
        path = same[0] if same else parent / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    record = read_record(path)
    if record and not _is_same(record, identity):
        raise ConfigError(f"{path} holds a search with other options or another space; choose another --out")
    if os.path.isfile(path / "config.yaml"):
        raise ConfigError(f"{path} holds a run; choose another --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot be made ({error.strerror}); choose another --out") from error
    return path


def _is_same(record: dict[str, Any], identity: dict[str, Any]) -> bool:
    return all(record.get(key) == value for key, value in identity.items())


def _outcome(search: "Search", rows: list[Row], words: list[str]) -> dict[str, Any]:
    """Return what there is to say of a search, and draw its pictures."""
    from zoo.record import save_figure
    from zoo.tune.importance import history_figure, importance_figure, importance_of, not_judged
    from zoo.tune.search import written

    best = search.best()
    found: dict[str, Any] = {
        "directory": str(search.path),
        "metric": search.metric,
        "direction": search.direction,
        "seconds": round(search.seconds, 1),
        "trials": [row._asdict() for row in rows],
        "best": shlex.join(["zoo-train", *words, *written(best)]) if best else None,
        "importance": importance_of(search.study, seed=search.config.seed),
        "not_judged": not_judged(search.study),
    }
    if found["importance"]:
        drawn = importance_figure(found["importance"], search.metric, found["not_judged"])
        save_figure(drawn, search.path / "importance.png")
    if best:
        save_figure(history_figure(search.study, search.metric), search.path / "history.png")
    return found


def _shown(found: dict[str, Any], rows: list[Row]) -> str:
    path, shares = found["directory"], found["importance"]
    lines = [leaderboard(rows, "trial", first=list(shares))]
    if shares:
        told = ", ".join(f"{key} {share:.2f}" for key, share in shares.items())
        lines += fill(told, WIDTH, initial_indent="importance  ", subsequent_indent=" " * 12).splitlines()
        if found["not_judged"]:
            lines.append(f"not judged, since some trials lack them: {', '.join(found['not_judged'])}")
    names = [f"{path}/{name}.png" for name, there in (("importance", shares), ("history", found["best"])) if there]
    lines += [f"drawn  {' '.join(names)}"] if names else []
    lines.append(f"table  {path}/tune.csv")
    if found["best"]:
        lines += [f"run    {rows[0].run_dir} (the best)", f"best   {found['best']}"]
    return "\n".join(lines)


def _exit_code(rows: list[Row], path: Path) -> int:
    """Return 0 where a trial has finished, else the code of the first failure."""
    if any(row.status == "finished" for row in rows):
        return 0
    failed = [row for row in rows if row.exit_code]
    if failed:
        complain(f"error: no trial has finished, and {len(failed)} failed, see {path}/tune.csv; change the space")
        return int(failed[0].exit_code)
    raise CheckpointError(f"{path}: no trial has finished yet; the same command with a larger budget goes on")
