"""Declaring an option: a field of a dataclass with its help and its range."""

import dataclasses
from dataclasses import field
from enum import Enum
from typing import Any


def option(default: Any, help: str, *, above: float | None = None, at_least: float | None = None,
           below: float | None = None, at_most: float | None = None) -> Any:  # fmt: skip
    """Declare a field with its help and the range that `check` enforces; a list becomes a fresh copy each time."""
    limits = {"above": above, "at_least": at_least, "below": below, "at_most": at_most}
    metadata = {"help": help, **{key: value for key, value in limits.items() if value is not None}}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def help_of(item: "dataclasses.Field[Any]") -> str:
    """Return a field's help text."""
    return str(item.metadata.get("help", ""))


def to_dict(config: Any) -> Any:
    """Return a config as plain dicts, lists, strings and numbers, in the order of its fields."""
    if dataclasses.is_dataclass(config):
        return {item.name: to_dict(getattr(config, item.name)) for item in dataclasses.fields(config)}
    if isinstance(config, list | tuple):
        return [to_dict(item) for item in config]
    return str(config) if isinstance(config, Enum) else config
