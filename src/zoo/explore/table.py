"""A table of numbers, read from `.csv` or `.npy`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.data.files import Record, csv_records
from zoo.data.lines import read_lines
from zoo.errors import ConfigError, DataError, MemoryLimitError, unknown
from zoo.metrics import Array

LABEL, TEXT = "label", "text"
"""Columns that are never features, where a table has them."""
LARGEST = 1e100
"""Numbers whose squares can be summed."""


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


def read_table(path: str, *, label: str | None = None, targets: Sequence[str] = ()) -> Table:
    """Read a `.csv` file with a header, or the two-dimensional array of a `.npy` file.

    `label` names a column of the `.csv`, by default `label` if there is one; for `.npy` a file with a row for each
    point, by default NAME.labels.npy or NAME.labels.txt if there is one. Its values are classes, unless they are
    numbers of which one has a fraction: then they are targets. `targets` names columns of the `.csv` that are targets
    whatever they hold, and then a column `label` is left out. A column `text` holds the points' texts. ConfigError for
    a column that is not there, DataError, with the line, for what is no number or missing.
    """
    suffix = Path(path).suffix.lower()
    if label is not None and targets:
        raise ConfigError(f"{path}: a table has labels or targets; name one of the two")
    if suffix == ".csv":
        return _read_csv(path, label, targets)
    if suffix == ".npy" and not targets:
        return _read_npy(path, label)
    if suffix == ".npy":
        raise ConfigError(f"{path}: has no names of columns; save the targets as (points, targets) in a file of labels")
    raise ConfigError(f"{path}: a table is a .csv or a .npy file; rename it, or convert it to one of these")


def _read_csv(path: str, label: str | None, targets: Sequence[str]) -> Table:
    records = csv_records(path)
    _, names = next(records, (1, [""]))
    rows = list(records)
    _check_header(path, names)
    label = LABEL if label is None and LABEL in names else label
    option = "--targets" if targets else "--label"
    asked = [_column(path, names, name, option) for name in targets or ([] if label is None else [label])]
    never = (TEXT, LABEL) if targets else (TEXT,)
    features = [number for number, name in enumerate(names) if number not in asked and name not in never]
    if not rows or not features:
        raise DataError(f"{path}:1: holds no {'features' if rows else 'rows'} below a header; add some")
    _check_widths(path, names, rows)
    texts = None
    if TEXT in names and names.index(TEXT) not in asked:
        texts = tuple(fields[names.index(TEXT)] for _, fields in rows)
    table = Table(_matrix(path, names, features, rows), tuple(names[number] for number in features), texts=texts)
    if targets:
        return table._replace(targets=_matrix(path, names, asked, rows))
    return table._replace(**_csv_labels(path, names[asked[0]], asked[0], rows)) if asked else table


def _check_header(path: str, names: list[str]) -> None:
    """Raise DataError where the first line is empty, holds numbers or a name twice."""
    if names == [""]:
        raise DataError(f"{path}:1: expected a header, found an empty line; put the features' names in the first line")
    if all(_number(name) is not None for name in names):
        raise DataError(f"{path}:1: expected a header, found numbers; put the features' names in the first line")
    for number, name in enumerate(names):
        if name in names[:number]:
            raise DataError(f"{path}:1: two columns are named '{name}'; rename one")


def _check_widths(path: str, names: list[str], rows: list[Record]) -> None:
    for line, fields in rows:
        if len(fields) != len(names):
            raise DataError(f"{path}:{line}: expected {len(names)} columns, found {len(fields)}")


def _column(path: str, names: list[str], name: str, option: str) -> int:
    if name not in names:
        raise ConfigError(f"{path}:1: {unknown('column', name, names)}; name one of these with {option}")
    return names.index(name)


def _matrix(path: str, names: list[str], columns: list[int], rows: list[Record]) -> Array:
    """Return columns as numbers (points, columns); DataError at the first field that is no finite number."""
    x = np.full((len(rows), len(columns)), np.nan)
    for values, (line, fields) in zip(x, rows, strict=True):
        try:
            values[:] = [float(fields[number]) for number in columns]
        except ValueError:
            raise _no_number(path, line, names, columns, fields) from None
    bad = np.flatnonzero(~(np.abs(x) <= LARGEST).all(1))
    if len(bad):
        raise _no_number(path, rows[bad[0]][0], names, columns, rows[bad[0]][1])
    return x


def _no_number(path: str, line: int, names: list[str], columns: list[int], fields: list[str]) -> DataError:
    """Return what is wrong with a row of which one field is no number that can be computed with."""
    name, field = next((names[number], fields[number]) for number in columns if not _is_usable(fields[number]))
    if _number(field) is not None:
        return DataError(
            f"{path}:{line}: {field.strip()} in column '{name}' is above {LARGEST:g}; write it in a larger unit, or "
            "remove the row or the column"
        )
    if field.strip().lower() in ("", "na", "nan", "null", "none", "?"):
        return DataError(
            f"{path}:{line}: the value of '{name}' is missing; fill it in, or remove the row or the column"
        )
    return DataError(
        f"{path}:{line}: '{field.strip()}' in column '{name}' is no finite number; remove the column, write its values "
        "as numbers, or name it with --label"
    )


def _csv_labels(path: str, name: str, column: int, rows: list[Record]) -> dict[str, Any]:
    values = [fields[column].strip() for _, fields in rows]
    for (line, _), value in zip(rows, values, strict=True):
        if not value:
            raise DataError(f"{path}:{line}: has no value in '{name}'; label the row or remove it")
    return _classes_or_targets(np.array(values))


def _classes_or_targets(values: Array) -> dict[str, Any]:
    """Tell classes from numbers, of values (points) that are texts or numbers."""
    found = [_number(str(value)) for value in values.tolist()]
    numbers = [number for number in found if number is not None]
    if len(numbers) == len(values) and any(not number.is_integer() for number in numbers):
        return {"targets": np.array(numbers)[:, None]}
    return {"labels": values.astype(str)}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _is_usable(text: str) -> bool:
    value = _number(text)
    return value is not None and abs(value) <= LARGEST


def _read_npy(path: str, label: str | None) -> Table:
    x = _load(path)
    if x.ndim != 2 or x.dtype.kind not in "fiub" or not x.size:
        raise DataError(f"{path}: expected numbers (points, features), found {x.dtype} {x.shape}; save such an array")
    small = np.abs(x) <= np.float64(LARGEST)  # a plain number would become one of x's type
    if not small.all():
        row, column = np.argwhere(~small)[0].tolist()
        what = f"is above {LARGEST:g}" if np.isfinite(x[row, column]) else "is no finite number"
        raise DataError(f"{path}: {x[row, column]} at [{row}, {column}] {what}; fill it in or remove it")
    table = Table(x.astype(np.float64), tuple(f"x{number}" for number in range(x.shape[1])))
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
    empty = [row for row, value in enumerate(values.tolist()) if not str(value).strip()]
    if empty:
        raise DataError(f"{where}: has no label in row {empty[0]}, from 0; label the point or remove it")
    return _classes_or_targets(values)


def _load(path: str) -> Array:
    """Return the array of a `.npy` file; nothing in it is unpickled."""
    try:
        found = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: is no array of numbers or texts: {error}; save it with numpy.save") from error
    except MemoryError as error:
        raise MemoryLimitError(f"{path}: does not fit into memory; save fewer points or features") from error
    if not isinstance(found, np.ndarray) or not found.ndim:
        raise DataError(f"{path}: holds no array with a row for each point; save one with numpy.save")
    return found
