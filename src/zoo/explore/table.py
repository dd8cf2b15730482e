"""A table of numbers, read from `.csv` or `.npy`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.data.files import Record, csv_records
from zoo.data.lines import read_lines
from zoo.errors import ConfigError, DataError, unknown
from zoo.metrics import Array

LABEL, TEXT = "label", "text"
"""Columns that are never features, where a table has them."""


class Table(NamedTuple):
    """Points in rows: x (points, features) float64, and what is known of each point.

    labels (points) are classes. targets (points, targets) are numbers to be explained by x; a table has labels, targets
    or neither. texts (points) say what a point is.
    """

    x: Array
    names: tuple[str, ...]
    labels: Array | None = None
    targets: Array | None = None
    texts: tuple[str, ...] | None = None

    @property
    def y(self) -> Array | None:
        """What a supervised method is given: the labels, or else the targets."""
        return self.labels if self.labels is not None else self.targets


def read_table(path: str, *, label: str | Sequence[str] | None = None) -> Table:
    """Read a `.csv` file with a header, or the two-dimensional array of a `.npy` file.

    `label` names a column of the `.csv`, by default `label` if there is one, or several columns of numbers; for `.npy`
    a file with a row for each point, by default NAME.labels.npy or NAME.labels.txt if there is one. A column `text`
    holds the points' texts. Labels are classes, unless they are numbers of which one has a fraction, or several
    columns: then they are targets. DataError, with the line, for what is no number or missing.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".csv":
        return _read_csv(path, label)
    if suffix == ".npy":
        return _read_npy(path, label)
    raise ConfigError(f"{path}: a table is a .csv or a .npy file; rename it, or convert it to one of these")


def _read_csv(path: str, label: str | Sequence[str] | None) -> Table:
    records = csv_records(path)
    _, names = next(records, (1, [""]))
    rows = list(records)
    _check_header(path, names)
    asked = _asked_columns(path, names, label)
    features = [number for number, name in enumerate(names) if number not in asked and name != TEXT]
    if not rows or not features:
        raise DataError(f"{path}:1: holds no {'features' if rows else 'rows'} below a header; add some")
    _check_widths(path, names, rows)
    x = np.column_stack([_numbers(path, names[number], number, rows) for number in features])
    texts = (
        tuple(fields[names.index(TEXT)] for _, fields in rows) if TEXT in names and not _named(TEXT, label) else None
    )
    found = tuple(names[number] for number in features)
    return Table(x, found, texts=texts)._replace(**_csv_labels(path, names, asked, rows))


def _named(name: str, label: str | Sequence[str] | None) -> bool:
    return label == name or (not isinstance(label, str) and name in (label or ()))


def _check_header(path: str, names: list[str]) -> None:
    """Raise DataError where the first line holds numbers or a name twice."""
    if all(_number(name) is not None for name in names):
        raise DataError(f"{path}:1: expected a header, found numbers; put the features' names in the first line")
    for number, name in enumerate(names):
        if name in names[:number]:
            raise DataError(f"{path}:1: two columns are named '{name}'; rename one")


def _check_widths(path: str, names: list[str], rows: list[Record]) -> None:
    for line, fields in rows:
        if len(fields) != len(names):
            raise DataError(f"{path}:{line}: expected {len(names)} columns, found {len(fields)}")


def _asked_columns(path: str, names: list[str], label: str | Sequence[str] | None) -> list[int]:
    """Return the numbers of the columns that hold labels or targets."""
    wanted = [LABEL] if label is None and LABEL in names else [label] if isinstance(label, str) else list(label or [])
    for name in wanted:
        if name not in names:
            raise DataError(f"{path}:1: {unknown('column', name, names)}; name the column of labels with --label")
    return [names.index(name) for name in wanted]


def _csv_labels(path: str, names: list[str], asked: list[int], rows: list[Record]) -> dict[str, Any]:
    if not asked:
        return {}
    if len(asked) > 1:
        return {"targets": np.column_stack([_numbers(path, names[number], number, rows) for number in asked])}
    values = [fields[asked[0]].strip() for _, fields in rows]
    for (line, _), value in zip(rows, values, strict=True):
        if not value:
            raise DataError(f"{path}:{line}: has no value in '{names[asked[0]]}'; label the row or remove it")
    return _classes_or_targets(np.array(values))


def _classes_or_targets(values: Array) -> dict[str, Any]:
    """Tell classes from numbers, of values (points) that are texts or numbers."""
    found = [_number(str(value)) for value in values.tolist()]
    numbers = [number for number in found if number is not None]
    if len(numbers) == len(values) and any(not number.is_integer() for number in numbers):
        return {"targets": np.array(numbers)[:, None]}
    return {"labels": values.astype(str)}


def _numbers(path: str, name: str, number: int, rows: list[Record]) -> Array:
    """Return one column as float64; DataError at the first field that is no finite number."""
    try:
        values = np.array([float(fields[number]) for _, fields in rows])
        if np.isfinite(values).all():
            return values
    except ValueError:
        pass
    line, field = next((line, fields[number]) for line, fields in rows if _number(fields[number]) is None)
    if field.strip().lower() in ("", "na", "nan", "null", "none", "?"):
        raise DataError(f"{path}:{line}: the value of '{name}' is missing; fill it in, or remove the row or the column")
    raise DataError(
        f"{path}:{line}: '{field.strip()}' in column '{name}' is no finite number; remove the column, write its values "
        "as numbers, or name it with --label"
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _read_npy(path: str, label: str | Sequence[str] | None) -> Table:
    if not isinstance(label, str | None):
        raise ConfigError(f"{path}: the labels of a .npy file are one file with a row for each point; name that alone")
    x = _load(path)
    if x.ndim != 2 or x.dtype.kind not in "fiub" or not x.size:
        raise DataError(f"{path}: expected numbers (points, features), found {x.dtype} {x.shape}; save such an array")
    x = x.astype(np.float64)
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        row, column = bad[0].tolist()
        raise DataError(f"{path}: {x[row, column]} at [{row}, {column}] is no finite number; fill it in or remove it")
    table = Table(x, tuple(f"x{number}" for number in range(x.shape[1])))
    beside = [str(Path(path).with_suffix(ending)) for ending in (".labels.npy", ".labels.txt")]
    where = label or next((one for one in beside if Path(one).exists()), None)
    return table if where is None else table._replace(**_npy_labels(where, path, len(x)))


def _npy_labels(where: str, path: str, points: int) -> dict[str, Any]:
    values = _load(where) if where.lower().endswith(".npy") else np.array([line for _, line in read_lines(where)])
    if len(values) != points:
        raise DataError(f"{where}: holds {len(values):,} rows, but {path} {points:,}; write one for each point")
    if values.ndim == 2 and values.dtype.kind in "fiu" and np.isfinite(values).all():
        return {"targets": values.astype(np.float64)}
    if values.ndim != 1 or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise DataError(f"{where}: expected labels (points) or numbers (points, targets), found {values.shape}")
    return _classes_or_targets(values)


def _load(path: str) -> Array:
    """Return the array of a `.npy` file; nothing in it is unpickled."""
    try:
        found = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: is no array of numbers or texts: {error}; save it with numpy.save") from error
    if not isinstance(found, np.ndarray) or not found.ndim:
        raise DataError(f"{path}: holds no array with a row for each point; save one with numpy.save")
    return found
