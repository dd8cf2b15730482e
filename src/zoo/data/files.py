"""Reading the user's own files: every fault is a DataError that names the file and the line."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from zoo.config import Header, check_header
from zoo.data.lines import LONGEST_LINE, NO_TEXT, is_packed, read_lines
from zoo.data.splits import Row
from zoo.errors import DataError, unknown

Paths = str | list[str]
Record = tuple[int, list[str]]
"""The number of the line where a record begins, and its fields."""


def read_rows(paths: Paths, *, columns: Sequence[int | str] = (0, 1), header: Header = Header.auto) -> Iterator[Row]:
    """Yield two columns: of a `.csv` or `.jsonl` file, of a TSV file (anything else), or of two line-aligned files.

    A name that ends in `.gz` is decompressed. `columns` names the two or numbers them from 0.
    """
    check_header(paths, columns, header)
    where = paths if isinstance(paths, str) else paths[0]
    named = any(isinstance(column, str) for column in columns)
    if isinstance(paths, str) and _suffix(paths) == ".jsonl":
        records: Iterable[Record] = _json_records(paths, columns)
        take = [0, 1]
    else:
        records = _records(paths)
        take = _header(records, where, columns, named or header == Header.true)
    first, second = take
    width = 0
    for line, fields in records:
        if len(fields) != width:
            if width:
                raise DataError(f"{where}:{line}: expected {width} columns, found {len(fields)}")
            width = _width(fields, take, columns, f"{where}:{line}")
        yield fields[first], fields[second]
    if not width:
        raise DataError(f"{where}: holds no rows")


def _header(records: Iterable[Record], where: str, columns: Sequence[int | str], present: bool) -> list[int]:
    """Return the numbers of the two columns; take the first line where it holds names."""
    if not present:
        return [int(column) for column in columns]
    for line, names in records:
        for column in columns:
            if isinstance(column, str) and column not in names:
                raise DataError(f"{where}:{line}: {unknown('column', column, names)}; set `dataset.columns`")
        take = [names.index(column) if isinstance(column, str) else column for column in columns]
        _width(names, take, columns, f"{where}:{line}")
        return take
    raise DataError(f"{where}: holds no rows")


def _width(fields: list[str], take: list[int], columns: Sequence[int | str], where: str) -> int:
    """Return the number of columns, after a check that those asked for are among them."""
    for number in take:
        if not 0 <= number < len(fields):
            wanted = max(*take, 1) + 1
            hint = (
                "" if number == 1 and columns == [0, 1] else f" (`dataset.columns` is {list(columns)}, counted from 0)"
            )
            raise DataError(f"{where}: expected {wanted} columns, found {len(fields)}{hint}")
    return len(fields)


def _records(paths: Paths) -> Iterator[Record]:
    if not isinstance(paths, str):
        return _aligned_records(*paths)
    if _suffix(paths) == ".csv":
        return csv_records(paths)
    return ((number, line.split("\t")) for number, line in read_lines(paths))


def _aligned_records(first: str, second: str) -> Iterator[Record]:
    """Yield the lines of two files side by side; DataError with both counts where one is longer."""
    counts = [0, 0]
    for pair in zip_longest(read_lines(first), read_lines(second)):
        for side, item in enumerate(pair):
            counts[side] += item is not None
        if counts[0] == counts[1]:
            yield counts[0], [item[1] for item in pair]
    if counts[0] != counts[1]:
        line = min(counts) + 1
        raise DataError(
            f"{first if counts[0] > counts[1] else second}:{line}: has no counterpart: {first} has {counts[0]} lines, "
            f"{second} has {counts[1]}"
        )


def csv_records(path: str) -> Iterator[Record]:
    """Yield the records of a CSV file with quoting as in RFC 4180; a quoted field may run over lines."""
    lines = _Counted(path)
    begin, limit = 1, csv.field_size_limit(LONGEST_LINE)
    try:
        for fields in csv.reader(lines, strict=True):
            yield begin, fields or [""]
            begin = lines.number + 1
    except csv.Error as error:
        raise DataError(
            f"{path}:{begin}: malformed CSV: {error}; close every quote, and double those in a text"
        ) from error
    finally:
        csv.field_size_limit(limit)


class _Counted:
    """The lines of a file with their ends, and the number of the last one."""

    def __init__(self, path: str) -> None:
        self.lines, self.number = read_lines(path), 0

    def __iter__(self) -> Iterator[str]:
        for self.number, line in self.lines:  # noqa: B020
            yield line + "\n"


def _json_records(path: str, columns: Sequence[int | str]) -> Iterator[Record]:
    """Yield the two fields of each JSON object or array; numbers count an object's keys as its first line has them."""
    keys: list[int | str] = []
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        value = _json(line, where)
        if not keys:
            keys = _json_keys(value, columns, where)
        yield number, [_json_field(value, key, where) for key in keys]


def _json(line: str, where: str) -> Any:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: malformed JSON: {error}") from error
    if not isinstance(value, dict | list):
        raise DataError(f"{where}: expected a JSON object or array, found {type(value).__name__}")
    return value


def _json_keys(value: Any, columns: Sequence[int | str], where: str) -> list[int | str]:
    names = list(value)
    if isinstance(value, list):
        return list(columns)
    for column in columns:
        if isinstance(column, int) and not 0 <= column < len(names):
            raise DataError(f"{where}: expected {max(column, 1) + 1} columns, found {len(names)}")
    return [names[column] if isinstance(column, int) else column for column in columns]


def _json_field(value: Any, key: int | str, where: str) -> str:
    """Return one field as text."""
    if isinstance(value, list):
        if not isinstance(key, int):
            raise DataError(f"{where}: expected an object with '{key}', found an array")
        if not 0 <= key < len(value):
            raise DataError(f"{where}: expected {max(key, 1) + 1} columns, found {len(value)}")
    elif key not in value:
        raise DataError(f"{where}: {unknown('column', str(key), value)}")
    return text_of(value[key], str(key), where)


def text_of(found: Any, key: str, where: str) -> str:
    """Return a value as text: a string as it is, a number as written in JSON, None as an empty text."""
    if isinstance(found, dict | list):
        raise DataError(
            f"{where}: expected a text in '{key}', found {'an object' if isinstance(found, dict) else 'an array'}"
        )
    text = found if isinstance(found, str) else "" if found is None else json.dumps(found)
    if NO_TEXT.search(text):
        raise DataError(f"{where}: '{key}' holds a character that is no text (NUL or half of a surrogate pair)")
    return text


def _suffix(path: str) -> str:
    return Path(path[:-3] if is_packed(path) else path).suffix.lower()
