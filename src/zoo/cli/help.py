"""What the command line says about itself, without importing torch or Hydra."""

from dataclasses import fields
from fnmatch import fnmatch
from typing import Any

from zoo.cli import overrides as checking
from zoo.cli.compose import ALL_GROUPS, compose, names, read
from zoo.config import GROUPS, TrainConfig, help_of, options_class
from zoo.errors import ConfigError
from zoo.pretrained import list_pretrained

USAGE = """\
zoo-train [KEY=VALUE ...] [FLAGS]    train a model; every default can be overridden

  zoo-train                                            pronunciation of English words, a Transformer
  zoo-train model=classifier optimizer.lr=1e-3         another model, another rate
  zoo-train dataset=pairs dataset.train=my.tsv         your own data
  zoo-train -m model=seq2seq,transformer seed=1,2,3    every combination, one after the other"""

FLAGS = """\
Flags
  --help, -h              this help; with model=X dataset=Y ... also the options of these choices
  --multirun, -m          train every combination of values separated by commas
  --cfg job, -c job       print the composed options and end
  --info defaults         print where the options come from and end
  --config-dir, -cd DIR   look for choices in DIR too
  -sc install=bash        completion in the shell; also zsh, fish (put it in eval "$(...)")"""


def train_help(words: list[str]) -> str:
    """Describe the groups and options, with the defaults that the overrides in `words` lead to."""
    typed = {item.key: item.texts[0] for item in (checking.parse(word) for word in words)}
    chosen = checking.choices(typed)
    data = compose(chosen)
    described = [group for group in GROUPS if group in typed]
    for key, text in typed.items():
        if key not in ALL_GROUPS:
            checking.read_value(text, checking.hint_of(key, chosen), key)
            described += [group for group in GROUPS if key.startswith(f"{group}.") and group not in described]
    parts = [USAGE, _groups(chosen), _options(TrainConfig, data, "Options")]
    for group in described:
        name = str(chosen[group])
        parts.append(_options(options_class(group, name), data[group], f"Options of {group}={name}", f"{group}."))
    others = [f"{group}={chosen[group]}" for group in GROUPS if group not in described]
    more = f"For the options of a choice: zoo-train {' '.join(others)} --help" if others else ""
    return "\n\n".join(filter(None, [*parts, more, FLAGS]))


def _groups(chosen: dict[str, str | None]) -> str:
    lines = ["Groups (GROUP=CHOICE; * is chosen)"]
    for group in ALL_GROUPS:
        lines += [f"  {group}", *_choices(group, chosen[group])]
    return "\n".join(lines)


def _choices(group: str, chosen: str | None) -> list[str]:
    width = max(len(name) for name in names(group)) + 2
    return [
        f"    {name + (' *' if name == chosen else ''):{width}}  {read(group, name).title}" for name in names(group)
    ]


def _options(cls: Any, data: dict[str, Any], title: str, prefix: str = "") -> str:
    rows = [
        (f"{prefix}{item.name}={show(data[item.name])}", help_of(item), _values(cls, item.name))
        for item in fields(cls)
        if item.name not in GROUPS and item.name != "name"
    ]
    width = max(len(row[0]) for row in rows)
    return "\n".join(
        [f"{title} (KEY=DEFAULT)", *(f"  {key:{width}}  {text}{values}".rstrip() for key, text, values in rows)]
    )


def _values(cls: Any, name: str) -> str:
    members = getattr(checking.hints(cls)[name], "__members__", None)
    return f" ({' | '.join(members)})" if members else ""


def show(value: Any) -> str:
    """Write a value as one would type it."""
    if isinstance(value, list):
        return f"[{','.join(map(show, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def listing(group: str, pattern: str = "*") -> str:
    """Name each choice of a group with a line; ConfigError where none matches."""
    found = [name for name in names(group) if fnmatch(name, pattern)]
    if not found:
        raise ConfigError(f"no {group} matches '{pattern}' (choices: {', '.join(names(group))})")
    width = max(map(len, found))
    return "\n".join(f"{name:{width}}  {read(group, name).title}" for name in found)


def pretrained() -> str:
    """Name each installed model with its task, size and scores on held-out data."""
    found = list_pretrained().values()
    width = max((len(model.name) for model in found), default=0)
    return "\n".join(
        f"{model.name:{width}}  {model.summary}; {model.parameters:,} parameters; "
        + ", ".join(f"{name} {value:.3f}" for name, value in model.scores.items() if name != "loss")
        for model in found
    )
