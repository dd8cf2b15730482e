"""Plain values to a checked config and back; nothing that is read is interpolated, imported or called."""

import types
from enum import StrEnum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from zoo.config.checks import check, check_ranges
from zoo.config.field import to_dict
from zoo.config.model_checks import check_model
from zoo.config.models import MODELS
from zoo.config.whole import GROUPS, TrainConfig, is_choice, options_class
from zoo.errors import CheckpointError, ConfigError, unknown
from zoo.migration import CONFIG, migrated, newest
from zoo.storage import write_durably

LARGEST_FILE = 1_000_000
"""Bytes of a config; the zoo's own have about 2,000."""
DEEPEST = 20
OPENING = (
    yaml.BlockMappingStartToken, yaml.BlockSequenceStartToken, yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken,
)  # fmt: skip
CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


def from_dict(data: Any, *, where: str = "config") -> TrainConfig:
    """Build a checked TrainConfig from plain values, as `to_dict` gives them; ConfigError names what is wrong."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping of options, found {type(data).__name__}")
    data = dict(data)
    parts = {}
    for group, classes in GROUPS.items():
        part = data.pop(group, None)
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str) or not is_choice(group, name):
            raise ConfigError(f"{where}: `{group}.name`: {unknown(group, str(name), classes)}")
        parts[group] = _build(options_class(group, name), part, f"{where}: `{group}.")
    config: TrainConfig = _build(TrainConfig, {**data, **parts}, f"{where}: `")
    check(config)
    return config


def model_config(name: str, options: dict[str, Any]) -> Any:
    """Build a checked model config from its name and options; ConfigError names what is wrong."""
    if not is_choice("model", name):
        raise ConfigError(unknown("model", name, MODELS))
    config = _build(options_class("model", name), {**options, "name": name}, "`model.")
    check_ranges(config, "model.")
    check_model(config)
    return config


def _build(cls: type, data: dict[Any, Any], prefix: str) -> Any:
    hints = get_type_hints(cls)
    for key in data:
        if key not in hints:
            raise ConfigError(f"{prefix}{key}`: {unknown('option', str(key), hints)}")
    return cls(**{key: _convert(value, hints[key], f"{prefix}{key}`") for key, value in data.items()})


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Return `value` as the annotated type, or raise ConfigError; whole numbers serve as floats."""
    if hint is Any:
        return value
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(value, get_args(hint)[0], where)
    if origin is list and isinstance(value, list):
        return [_convert(item, get_args(hint)[0], where) for item in value]
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if isinstance(value, str | bool) and str(value) in hint.__members__:
            return hint[str(value)]
        raise ConfigError(f"{where}: {unknown('value', str(value), hint.__members__)}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise ConfigError(f"{where} must be of type {getattr(hint, '__name__', hint)}, but is {value!r}")


def load_config(path: Path) -> TrainConfig:
    """Read a run's `config.yaml` without Hydra: nothing in it is interpolated, imported or called."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ConfigError(f"{path}: is larger than {LARGEST_FILE:,} bytes, so it is no config of the zoo")
        data = read_yaml(path.read_text(encoding="utf-8"))
    except ConfigError:
        raise
    except Exception as error:  # PyYAML lets many classes through: ValueError for a date, IndexError for a number
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{path}: cannot be read as YAML: {reason}") from error
    return from_dict(_of_this_format(data, str(path)), where=str(path))


def _of_this_format(data: Any, where: str) -> Any:
    """Return what a file holds as options of today; files of the first zoo do not tell their format, which is 1."""
    if not isinstance(data, dict):
        return data
    data = dict(data)
    found, known = data.pop("format", 1), newest(CONFIG)
    if type(found) is not int or found < 1:
        raise ConfigError(f"{where}: `format` must be a whole number from 1 on, but is {found!r}")
    if found > known:
        raise CheckpointError(f"{where}: format {found} is newer than this zoo reads ({known}); upgrade zoo")
    return migrated(data, found, CONFIG)


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which would take the last of two equal keys, and refuses them here."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping as a dict; ValueError where a key stands in it twice."""
        names: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in names:
                raise ValueError(f"line {key.start_mark.line + 1}: `{key.value}` stands there twice; leave one out")
            names.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """Parse YAML without aliases, with which a few lines say a great many, and without deep nesting, which is slow."""
    depth = 0
    for token in yaml.scan(text):
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
            raise ValueError("it holds anchors or aliases, and the zoo writes none")
        depth += isinstance(token, OPENING) - isinstance(token, CLOSING)
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
    return yaml.load(text, Loader)


def save_config(config: TrainConfig, path: Path) -> None:
    """Write a config as YAML that `load_config` reads back equal."""
    content = {"format": newest(CONFIG), **to_dict(config)}
    write_durably(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())
