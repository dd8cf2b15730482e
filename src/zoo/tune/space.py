"""Spaces of settings: a YAML file of options, each with a range or with choices."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from zoo.config.reading import read_yaml
from zoo.errors import ConfigError, unknown

FIXED = ("run_dir", "resume", "lr_find", "seed", "monitor", "direction", "dataset", "dataset.train", "dataset.valid",
         "dataset.test", "dataset.path", "dataset.config", "dataset.revision", "dataset.limit", "valid_limit",
         "test_limit", "experiment", "debug")  # fmt: skip
"""Options that a search must not vary, since values of different ones cannot be compared, or luck would win."""
FIELDS = ("low", "high", "log", "step", "choices", "when")
SIGN_DIGITS = 4


class Suggesting(Protocol):
    """What draws a value of an option by its name: a trial of Optuna."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


class Setting(NamedTuple):
    """One option: texts to choose from, or a range, of whole numbers or not, evenly or by its logarithm.

    `when` names other options and the texts that they must have for this one to be there.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    whole: bool = False
    when: Mapping[str, tuple[str, ...]] = {}

    def suggest(self, trial: Suggesting) -> str:
        """Return the text that a trial draws."""
        if self.choices:
            return str(trial.suggest_categorical(self.key, self.choices))
        if self.whole:
            step = 1 if self.step is None else int(self.step)
            return str(trial.suggest_int(self.key, int(self.low), int(self.high), step=step, log=self.log))
        return write_number(trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log))

    def at(self, share: float) -> str:
        """Return the text that lies at a share, 0 to 1, of the range or of the choices."""
        if self.choices:
            return self.choices[min(int(share * len(self.choices)), len(self.choices) - 1)]
        if self.log:
            value = self.low * (self.high / self.low) ** share
        else:
            step = self.step or (1.0 if self.whole else 0.0)
            value = min(self.low + share * (self.high - self.low + step), self.high)
            value = self.low + (value - self.low) // step * step if step else value
        return str(int(value)) if self.whole else write_number(value)

    def value_of(self, text: str) -> Any:
        """Return what Optuna would call a text of the space, None where it lies outside."""
        if self.choices:
            return text if text in self.choices else None
        value = float(text)
        steps = (value - self.low) / self.step if self.step else 0.0
        inside = self.low <= value <= self.high and math.isclose(steps, round(steps), abs_tol=1e-6)
        return (int(value) if self.whole else value) if inside else None


def write_number(value: float) -> str:
    """Write a number with four digits that count, as one types it."""
    return f"{value:.{SIGN_DIGITS}g}"


def active(space: Sequence[Setting], base: Mapping[str, str], pick: Callable[[Setting], str]) -> dict[str, str]:
    """Return the texts that `pick` gives to the settings that are there; `base` has those of all other options."""
    found: dict[str, str] = {}
    for setting in space:
        if all(found.get(key, base.get(key)) in texts for key, texts in setting.when.items()):
            found[setting.key] = pick(setting)
    return found


def read_space(text: str, where: str, hint_of: Callable[[str, dict[str, str]], Any]) -> list[Setting]:
    """Return the settings of a space; ConfigError names the file and the option.

    `hint_of` returns the type of an option, given texts of others on which it depends.
    """
    try:
        data = read_yaml(text)
    except Exception as error:  # PyYAML lets many classes through: ValueError for a date, IndexError for a number
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{where}: cannot be read as YAML: {reason}") from error
    if not isinstance(data, dict) or not data:
        raise ConfigError(f"{where}: expected lines like `optimizer.lr: {{low: 0.001, high: 0.01, log: true}}`")
    return [_setting(str(key), value, f"{where}: `{key}`", hint_of) for key, value in data.items()]


def _setting(key: str, value: Any, where: str, hint_of: Callable[[str, dict[str, str]], Any]) -> Setting:
    if key in FIXED:
        raise ConfigError(f"{where} is the same in all trials of a search; type it on the command line")
    value = {"choices": value} if isinstance(value, list) else value
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a list of choices or {{low: ..., high: ...}}, but is {value!r}")
    for name in value:
        if name not in FIELDS:
            raise ConfigError(f"{where}: {unknown('field', str(name), FIELDS)}")
    when = _when(value.get("when", {}), where)
    try:
        hint = hint_of(key, {name: texts[0] for name, texts in when.items()})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if "choices" in value:
        return Setting(key, choices=_choices(value, where, hint), when=when)
    return _range(key, value, where, hint)._replace(when=when)


def _when(value: Any, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: `when` must name options and their values, as in {{model.encoder: [gru, lstm]}}")
    return {
        str(key): tuple(map(text_of, texts if isinstance(texts, list) else [texts])) for key, texts in value.items()
    }


def _choices(value: dict[str, Any], where: str, hint: Any) -> tuple[str, ...]:
    found = value["choices"]
    if not isinstance(found, list) or not found:
        raise ConfigError(f"{where}: `choices` must be a list of values, but is {found!r}")
    if extra := set(value) - {"choices", "when"}:
        raise ConfigError(f"{where} has choices, so `{min(extra)}` has no meaning; leave it out")
    if hint is float:  # as a config writes it: 0.0 for 0
        found = [_number(item, where, hint) for item in found]
    return tuple(dict.fromkeys(map(text_of, found)))


def text_of(value: Any) -> str:
    """Write a value of YAML, or of a config, as one types it on the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(text_of, value))}]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


def _range(key: str, value: dict[str, Any], where: str, hint: Any) -> Setting:
    if hint not in (int, float):
        raise ConfigError(f"{where} is no number, so it has no range; give a list of choices")
    for name in ("low", "high"):
        if name not in value:
            raise ConfigError(f"{where} has no `{name}`; write {{low: ..., high: ...}}")
    low, high = (_number(value[name], f"{where}: `{name}`", hint) for name in ("low", "high"))
    step = None if value.get("step") is None else _number(value["step"], f"{where}: `step`", hint)
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{where}: `log` must be true or false, but is {log!r}")
    if low >= high:
        raise ConfigError(f"{where}: `low` must be below `high` ({write_number(high)}), but is {write_number(low)}")
    if log and (low <= 0 or step is not None):
        raise ConfigError(f"{where}: a range by logarithm needs a `low` above 0 and no `step`")
    if step is not None and not 0 < step <= high - low:
        raise ConfigError(f"{where}: `step` must be above 0 and fit between `low` and `high`")
    return Setting(key, low=low, high=high, log=log, step=step, whole=hint is int)


def _number(value: Any, where: str, hint: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # YAML takes 1e-3 for a text
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (hint is int and not number.is_integer()):
        raise ConfigError(f"{where} must be a {'whole ' if hint is int else ''}number, but is {value!r}")
    return number
