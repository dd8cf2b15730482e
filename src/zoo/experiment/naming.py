"""What tells runs apart, in the words of the command line: `optimizer=adam seed=2` and no long paths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.config import GROUPS, TrainConfig, options_class, to_dict

LEFT_OUT = ("run_dir", "resume", "lr_find")


def names_of(configs: Sequence[TrainConfig], paths: Sequence[str], *, without: Sequence[str] = ()) -> list[str]:
    """Return for each run the options that it does not share with the others, else the end of its path.

    What follows from a choice is left out: the rate of Adam beside that of SGD, where each is its optimizer's default.
    `without` names options that do not count.
    """
    told = [_flat(config) for config in configs]
    differing = [key for key in dict.fromkeys(key for one in told for key in one) if key not in without]
    words = [" ".join(f"{key.removesuffix('.name')}={_text(one[key])}" for key in differing if _tells(key, one, told))
             for one in told]  # fmt: skip
    ends = _ends(paths)
    return [name or end for name, end in zip(words, ends, strict=True)]


def _flat(config: TrainConfig) -> dict[str, Any]:
    values = to_dict(config)
    flat = {f"{group}.{key}": value for group in GROUPS for key, value in values[group].items()}
    return {**flat, **{key: value for key, value in values.items() if key not in (*GROUPS, *LEFT_OUT)}}


def _tells(key: str, one: dict[str, Any], told: Sequence[dict[str, Any]]) -> bool:
    """Whether an option of a run differs from that of another with the same choice, or from the choice's default."""
    if key not in one:
        return False
    group, dot, name = key.partition(".")
    others = [other for other in told if key in other and other[key] != one[key]]
    if name == "name":
        return bool(others)
    choices = [f"{group}.name"] if dot else ["model.name", "dataset.name"]
    alike = [other for other in others if all(other[choice] == one[choice] for choice in choices)]
    if alike or not (others and dot):
        return bool(alike)
    choice = one[f"{group}.name"]
    default = to_dict(options_class(group, choice)(name=choice)).get(name)
    return bool(one[key] != default)


def _text(value: Any) -> str:
    """Write a value as on the command line, of a path its end."""
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return Path(value).name if isinstance(value, str) and "/" in value else str(value)


def _ends(paths: Sequence[str]) -> list[str]:
    """Return the last parts of paths, where they tell them apart."""
    ends = [Path(path).name or path for path in paths]
    return ends if len(set(ends)) == len(set(paths)) else list(paths)
