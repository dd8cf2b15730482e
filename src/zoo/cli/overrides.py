"""Reading `key=value` before Hydra does: values become what their option's type says, and are quoted for Hydra.

Hydra's grammar refuses Hangul, `~ ( ) = #` and spaces in bare values; here any text serves where text is wanted.
"""

import itertools
import math
import os
import re
import types
from collections.abc import Iterator
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from zoo.cli.compose import ALL_GROUPS, FREE_GROUPS, compose, lay_over, names, part, read, select
from zoo.config import GROUPS, TrainConfig, from_dict, is_choice, options_class, to_dict
from zoo.errors import ConfigError, unknown
from zoo.experiment.directory import RunDirectory, run_path

PATHS = {"dataset.train", "dataset.valid", "dataset.test", "dataset.path", "run_dir", "resume"}
MOST_COMBINATIONS = 1000
"""A larger sweep is checked by its first combinations alone."""

OTHERS_NAMES = {"learning_rate": "lr"}
"""What other tools call an option that is spelled too differently to be found by its letters."""

SECRET = re.compile(
    "secret|passw|pwd|passphrase|credential|(api|access|private)_?key|(^|[._-])(token|auth|key)s?($|[._-])",
    re.IGNORECASE,
)
"""What the names of secrets look like."""


class Override(NamedTuple):
    """A key and its text; `raw` text is an interpolation or one of Hydra's functions and left to Hydra."""

    key: str
    texts: list[str]
    raw: bool


def parse(word: str, *, multirun: bool = False) -> Override:
    """Split `key=value`; in a multirun, commas outside of quotes and brackets separate the values of a sweep."""
    key, equals, text = word.partition("=")
    if not equals:
        raise ConfigError(_no_value(key))
    key = key.lstrip("+").strip()  # nothing can be added, so that + says no more than the plain key
    if key.startswith("~"):
        raise ConfigError(_no_value(key))
    if _is_hydras(key) and SECRET.search(key):
        raise ConfigError(f"`{key}` looks like a secret, and Hydra would write it to a file; set it in the environment")
    raw = "${" in text or (multirun and re.fullmatch(r"(choice|range|interval|glob|shuffle|sort|tag)\(.*\)", text))
    return Override(key, split(text) if multirun and not raw else [text], bool(raw))


def _no_value(word: str) -> str:
    if word.startswith("~"):
        return f"`{word}`: options are not removed here; write {word[1:]}=VALUE"
    if word in GROUPS:
        return f"`{word}` needs a choice: write {word}=NAME (choices: {', '.join(names(word))})"
    if word in hints(TrainConfig):
        return f"`{word}` needs a value: write {word}=VALUE"
    return f"expected KEY=VALUE, but found '{word}'; see zoo-train --help"


def split(text: str) -> list[str]:
    """Split at the commas outside of quotes and brackets: `[a,b],c` gives `[a,b]` and `c`."""
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"" and not parts[-1].strip(" ["):
            quote = sign
        elif sign in "[]":
            depth += 1 if sign == "[" else -1
        if sign == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


@cache
def hints(cls: type) -> dict[str, Any]:
    """Return the types of the options that can be set."""
    return {key: hint for key, hint in get_type_hints(cls).items() if key != "name"}


def read_value(text: str, hint: Any, key: str) -> Any:
    """Return what `text` means for an option of this type, or raise ConfigError."""
    text = text.strip()
    if get_origin(hint) in (Union, types.UnionType):
        return None if text == "null" else read_value(text, get_args(hint)[0], key)
    if get_origin(hint) is list:
        return _read_list(text, get_args(hint)[0], key)
    if hint is Any and key != "resume" and text.startswith("["):
        return _read_list(text, str, key)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _read_choice(_unquote(text), hint, key)
    if hint in (bool, int, float):
        return _read_number(_unquote(text), hint, key)
    return _read_text(text, key)


def _read_list(text: str, hint: Any, key: str) -> list[Any]:
    if not (text.startswith("[") and text.endswith("]")):
        raise ConfigError(f"`{key}` must be a list, as in {key}=[a,b], but is {text!r}")
    items = split(text[1:-1]) if text[1:-1].strip() else []
    # An item is named by its place, but for texts, which are read by the option's name.
    return [read_value(item, hint, key if hint in (Any, str) else f"{key}[{i}]") for i, item in enumerate(items)]


def _read_choice(text: str, hint: type[StrEnum], key: str) -> str:
    if text not in hint.__members__:
        raise ConfigError(unknown(f"value of `{key}`", text, hint.__members__))
    return text


def _read_number(text: str, hint: type, key: str) -> Any:
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise ConfigError(f"`{key}` must be true or false, but is {text!r}")
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if hint is float and not math.isnan(number):
        return number
    if hint is int and math.isfinite(number) and number.is_integer():
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,99}", text) else int(number)
    hint_at_sweep = ""
    if "," in text and not key.endswith("]"):
        values = text.strip("[]() ")
        each = f"add --multirun to train with each of {text}" if values == text else f"for each write -m {key}={values}"
        hint_at_sweep = f"; {each}"
    raise ConfigError(f"`{key}` must be a {'whole ' if hint is int else ''}number, but is {text!r}{hint_at_sweep}")


def _read_text(text: str, key: str) -> Any:
    plain = _unquote(text)
    if key == "resume" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if key == "dataset.columns" and re.fullmatch(r"-?\d{1,9}", text):
        return int(text)
    return os.path.expanduser(plain) if key in PATHS else plain


def _unquote(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0] else text


def write_value(value: Any) -> str:
    """Write a value in Hydra's grammar; text is always quoted, so that any letter may stand in it."""
    if isinstance(value, list):
        return f"[{','.join(map(write_value, value))}]"
    if isinstance(value, str):
        escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
        return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"
    return "null" if value is None else str(value).lower()


def hint_of(key: str, chosen: dict[str, str | None]) -> Any:
    """Return the type of an option among the chosen parts; ConfigError names the nearest where there is none."""
    group, dot, name = key.partition(".")
    if not dot and key in hints(TrainConfig):
        return hints(TrainConfig)[key]
    if dot and group in GROUPS and name == "name":
        raise ConfigError(f"`{key}` follows from the choice: write {group}=NAME")
    if dot and group in GROUPS:
        return _hint_of_part(group, name, chosen)
    raise ConfigError(_unknown_key(key, chosen))


def _hint_of_part(group: str, name: str, chosen: dict[str, str | None]) -> Any:
    choice = str(chosen[group])
    own = hints(options_class(group, choice))
    if name in own:
        return own[name]
    if not _owners(group, name) and (meant := _homes(chosen).get(name)):
        raise ConfigError(f"unknown option '{group}.{name}'; did you mean '{meant}'?")
    where = "" if get_close_matches(name, own, n=1, cutoff=0.6) else _of_another_choice(group, name)
    raise ConfigError(unknown(f"option of {group}={choice}", name, own) + where)


def _owners(group: str, name: str) -> list[str]:
    """Return the choices of a group that have an option of this name."""
    return [choice for choice, cls in GROUPS[group].items() if name in hints(cls)]


def _of_another_choice(group: str, name: str) -> str:
    """Say which choices of a group have the option that is meant, empty where none has one like it."""
    known = dict.fromkeys(key for cls in GROUPS[group].values() for key in hints(cls))
    near = get_close_matches(name, known, n=1, cutoff=0.75)
    if not near:
        return ""
    return f"; '{group}.{near[0]}' belongs to {group}={', '.join(_owners(group, near[0]))}"


def _unknown_key(key: str, chosen: dict[str, str | None]) -> str:
    homes, top = _homes(chosen), [*ALL_GROUPS, *(name for name in hints(TrainConfig) if name not in GROUPS)]
    if "." in key:
        return unknown("option", key, [*top, *homes.values()])
    near = get_close_matches(OTHERS_NAMES.get(key, key), homes, n=1, cutoff=0.6)
    if near and near[0] not in top:
        return f"unknown option '{key}'; did you mean '{homes[near[0]]}'?"
    elsewhere = "" if near else "".join(_of_another_choice(group, key) for group in GROUPS)
    return unknown("option", key, top) + elsewhere


def _homes(chosen: dict[str, str | None]) -> dict[str, str]:
    """Return from the last part of each option's name to the whole; where several end alike, the first group's."""
    classes = {group: options_class(group, str(chosen[group])) for group in reversed(GROUPS)}
    inner = {name: f"{group}.{name}" for group, cls in classes.items() for name in hints(cls)}
    return {**inner, **{name: name for name in hints(TrainConfig)}, **{name: name for name in FREE_GROUPS}}


def for_hydra(override: Override, chosen: dict[str, str | None]) -> str:
    """Write an override as Hydra reads it, with every value checked against its option's type."""
    key = override.key
    if key == "hydra.sweep.dir" and not override.raw:
        if not _unquote(override.texts[0].strip()):
            raise ConfigError(f"`{key}` is empty; name a directory, or leave it out")
        return f"{key}={write_value(os.path.expanduser(_unquote(override.texts[0])))}"
    if key in ALL_GROUPS or _is_hydras(key):
        return f"{key}={','.join(override.texts)}"
    hint = hint_of(key, chosen)
    texts = override.texts if override.raw else [write_value(read_value(t, hint, key)) for t in override.texts]
    return f"{key}={','.join(texts)}"


def _is_hydras(key: str) -> bool:
    return key == "hydra" or key.startswith(("hydra.", "hydra/"))


def combinations(overrides: list[Override]) -> Iterator[dict[str, str]]:
    """Yield from key to text for every job of a sweep (one where nothing is swept); what is raw is left out."""
    plain = [item for item in overrides if not item.raw and not _is_hydras(item.key)]
    for texts in itertools.islice(itertools.product(*(item.texts for item in plain)), MOST_COMBINATIONS):
        yield {item.key: text for item, text in zip(plain, texts, strict=True)}


def choices(typed: dict[str, str]) -> dict[str, str | None]:
    """Return the choice of every group for typed overrides; ConfigError where there is no such choice."""
    groups: dict[str, str | None] = {}
    for group in ALL_GROUPS:
        if group in typed:
            name = _unquote(typed[group].strip())
            groups[group] = None if name == "null" and group in FREE_GROUPS else name
            if groups[group] is not None:
                _refuse_several(group, name)
                _check_choice(group, name)
    return select(groups)


def _refuse_several(group: str, name: str) -> None:
    several = split(name.strip("[]() "))
    if len(several) > 1 and all(is_choice(group, one) for one in several):
        text = ",".join(several)
        raise ConfigError(f"`{group}` is one choice, but is '{name}'; for a training with each write -m {group}={text}")


def _check_choice(group: str, name: str) -> None:
    """Raise ConfigError for a choice that does not exist, with where to write it if it is an option's value."""
    if group not in GROUPS or is_choice(group, name):
        read(group, name)
        return
    homes = [
        f"{group}={choice} {group}.{key}={name}"
        for choice, cls in GROUPS[group].items()
        for key, hint in hints(cls).items()
        if isinstance(hint, type) and issubclass(hint, StrEnum) and name in hint.__members__
    ]
    meant = f"; write {' or '.join(homes[:3])}" if homes else ""
    if group == "model" and "." in name:
        meant = f"; a class of your own is model={':'.join(name.removesuffix('.py').rsplit('.', 1))}"
    raise ConfigError(unknown(group, name, names(group)) + meant)


def config_of(typed: dict[str, str]) -> TrainConfig:
    """Return the checked config of one job, composed without Hydra."""
    return from_dict(compose_typed(typed), where="options")


def compose_typed(typed: dict[str, str]) -> dict[str, Any]:
    """Return the options of one job, composed without Hydra; names and types are checked, values are not."""
    chosen = choices(typed)
    data = compose(chosen)
    for key, text in typed.items():
        if key not in ALL_GROUPS:
            _assign(data, key, read_value(text, hint_of(key, chosen), key))
    return data


def _assign(data: dict[str, Any], key: str, value: Any) -> None:
    group, dot, name = key.partition(".")
    if dot:
        data[group][name] = value
    else:
        data[key] = value


def resumed(name: str, typed: dict[str, str]) -> TrainConfig:
    """Return the config of the run that `name` means, with the typed overrides laid over it."""
    if "run_dir" in typed:
        raise ConfigError(
            "`resume=PATH` goes on in PATH; leave out `run_dir`, or copy the run there and resume the copy"
        )
    path = Path(name) if os.path.isfile(Path(name) / "config.yaml") else run_path(name)
    data = to_dict(RunDirectory(path).read_config())
    for group in ALL_GROUPS:
        if group in typed:
            _keep_or_replace(data, group, _unquote(typed[group]))
    chosen: dict[str, str | None] = {group: data[group]["name"] for group in GROUPS}
    for key, text in typed.items():
        if key not in ALL_GROUPS:
            _assign(data, key, read_value(text, hint_of(key, chosen), key))
    return from_dict({**data, "run_dir": str(path), "resume": str(path)}, where=str(path / "config.yaml"))


def _keep_or_replace(data: dict[str, Any], group: str, name: str) -> None:
    if data.get(group, {}).get("name") == name:
        return
    if group != "scheduler":
        raise ConfigError(f"`{group}={name}` cannot change a run that is resumed; start a new one without `resume`")
    values = read(group, name).values
    data[group] = part(group, name)
    lay_over(data, values, f"{group}={name}", {key: data[key]["name"] for key in GROUPS})
