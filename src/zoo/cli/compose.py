"""What the YAML files under `configs/` come to, found without Hydra so that help and wrong options answer at once.

The files keep to a few of Hydra's forms (tests compare every choice with Hydra's own composition): each is
`# @package _global_`, a title, a schema, `override /group: choice`, values, and in experiments `hydra.sweeper.params`.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from zoo.config import GROUPS, Task, TrainConfig, is_own, options_class, own_model, to_dict
from zoo.errors import ConfigError, unknown

FREE_GROUPS = ("experiment", "debug")
"""Groups that need no choice."""

ALL_GROUPS = (*GROUPS, *FREE_GROUPS)


class Source(NamedTuple):
    """One YAML file: its title, the choices it makes in other groups, its values, and what it sweeps over.

    sweep is `hydra.sweeper.params`, from an option to its values with commas between them.
    """

    title: str
    overrides: dict[str, str]
    values: dict[str, Any]
    sweep: dict[str, str]


def folder() -> Path:
    """Return where the YAML files are installed."""
    return Path(next(iter(import_module("zoo.configs").__path__)))


@cache
def names(group: str) -> tuple[str, ...]:
    """Return a group's choices, in the order of zoo.config or of the alphabet."""
    found = {path.stem for path in (folder() / group).glob("*.yaml")}
    ordered = [name for name in GROUPS.get(group, ()) if name in found]
    return (*ordered, *sorted(found.difference(ordered)))


@cache
def read(group: str, name: str) -> Source:
    """Read one choice of a group; ConfigError names the nearest where there is none."""
    if group == "model" and is_own(name):
        return _own_source(name)
    if name not in names(group):
        raise ConfigError(unknown(group, name, names(group)))
    text = (folder() / group / f"{name}.yaml").read_text(encoding="utf-8")
    comments = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
    values = yaml.safe_load(text) or {}
    entries = [item for item in values.pop("defaults", []) if isinstance(item, dict)]
    pairs = [(str(key), value) for item in entries for key, value in item.items()]
    overrides = {key.removeprefix("override /"): value for key, value in pairs if key.startswith("override /")}
    sweep = values.pop("hydra", {}).get("sweeper", {}).get("params", {})
    return Source(comments[1], overrides, values, {key: str(value) for key, value in sweep.items()})


def _own_source(name: str) -> Source:
    """Return what the file of a model of the user's own would say: the data that it trains on where none are named."""
    own = own_model(name)
    title = (own.options.__doc__ or name).partition("\n")[0]
    return Source(title, {"dataset": "movie_reviews"} if own.task == Task.labelled else {}, {}, {})


@cache
def defaults() -> dict[str, str | None]:
    """Return the choices of `train.yaml`, in the order in which their values are laid over each other."""
    entries = yaml.safe_load((folder() / "train.yaml").read_text(encoding="utf-8"))["defaults"]
    pairs = [pair for item in entries if isinstance(item, dict) for pair in item.items()]
    return {key: value for key, value in pairs if key in ALL_GROUPS}


def select(typed: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the choice of every group: what was typed, else what a later group brings, else the default."""
    chosen = dict(typed)
    for group, default in reversed(defaults().items()):
        name = chosen.setdefault(group, default)
        if name is not None:
            for other, value in read(group, name).overrides.items():
                chosen.setdefault(other, value)
    return {group: chosen[group] for group in defaults()}


def compose(chosen: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the plain values of all choices together, as `zoo.config.from_dict` takes them."""
    data = to_dict(TrainConfig())
    for group in GROUPS:
        data[group] = part(group, str(chosen[group]))
    for group, name in chosen.items():
        if name is not None:
            lay_over(data, read(group, name).values, f"{group}={name}", chosen)
    return dict(data)


def part(group: str, name: str) -> dict[str, Any]:
    """Return the options of one choice with their defaults."""
    return dict(to_dict(options_class(group, name)(name=name)))


def lay_over(data: dict[str, Any], values: dict[str, Any], source: str, chosen: Mapping[str, str | None]) -> None:
    """Put the values of the choice `source` over those in `data`; ConfigError where the choices do not fit."""
    for key, value in values.items():
        if not isinstance(value, dict):
            data[key] = value
            continue
        for name, inner in value.items():
            if name not in data[key]:
                raise ConfigError(
                    f"{source} sets `{key}.{name}`, which {key}={chosen[key]} does not have; choose another"
                )
            data[key][name] = inner
