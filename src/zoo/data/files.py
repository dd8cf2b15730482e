"""Reading the user's own files: every fault is a DataError that names the file and the line."""

import csv
import gzip
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from io import BufferedReader
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from tqdm import tqdm

from zoo.config import Header
from zoo.data.splits import Row
from zoo.errors import ConfigError, DataError, unknown

LONGEST_LINE = 10_000_000
"""Bytes of a line from which on a file is taken for something other than text in lines."""
BLOCK = 32
"""Lines that are decoded together, which is much faster than one by one."""
BOM = b"\xef\xbb\xbf"
NO_TEXT = re.compile("[\0\ud800-\udfff]")

Paths = str | list[str]
Record = tuple[int, list[str]]
"""The number of the line where a record begins, and its fields."""


def read_rows(paths: Paths, *, columns: Sequence[int | str] = (0, 1), header: Header = Header.auto) -> Iterator[Row]:
    """Yield two columns: of a `.csv` or `.jsonl` file, of a TSV file (anything else), or of two line-aligned files.

    A name that ends in `.gz` is decompressed. `columns` names the two or numbers them from 0.
    """
    where = paths if isinstance(paths, str) else paths[0]
    named = any(isinstance(column, str) for column in columns)
    if isinstance(paths, str) and _suffix(paths) == ".jsonl":
        records: Iterable[Record] = _json_records(paths, columns, header)
        take = [0, 1]
    else:
        _check_header(header, named)
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


def _check_header(header: Header, named: bool) -> None:
    if named and header == Header.false:
        raise ConfigError(
            "`dataset.columns` holds names, which need a first line with names; drop `dataset.header=false`"
        )


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
        return _csv_records(paths)
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


def _csv_records(path: str) -> Iterator[Record]:
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


def _json_records(path: str, columns: Sequence[int | str], header: Header) -> Iterator[Record]:
    """Yield the two fields of each JSON object or array; numbers count an object's keys as its first line has them."""
    if header != Header.auto:
        raise ConfigError(f"`dataset.header` has no meaning for {path}, whose lines hold names; drop it")
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
    """Return one field as text: strings as they are, numbers as written in JSON, null as an empty text."""
    if isinstance(value, list):
        if not isinstance(key, int):
            raise DataError(f"{where}: expected an object with '{key}', found an array")
        if not 0 <= key < len(value):
            raise DataError(f"{where}: expected {max(key, 1) + 1} columns, found {len(value)}")
    elif key not in value:
        raise DataError(f"{where}: {unknown('column', str(key), value)}")
    found = value[key]
    if isinstance(found, dict | list):
        raise DataError(
            f"{where}: expected a text in '{key}', found {'an object' if isinstance(found, dict) else 'an array'}"
        )
    text = found if isinstance(found, str) else "" if found is None else json.dumps(found)
    if NO_TEXT.search(text):
        raise DataError(f"{where}: '{key}' holds a character that is no text (NUL or half of a surrogate pair)")
    return text


def read_lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of each line of a UTF-8 file, without its end; a progress bar shows how far it is read.

    Lines end with LF or CRLF and with nothing else. A byte order mark is dropped. DataError where the file is missing,
    empty, no UTF-8, holds NUL or a line of 10 MB, or is no whole gzip file in spite of its name.
    """
    number = 0
    try:
        with open(path, "rb") as raw, _bar(raw, path) as bar:
            file = BufferedReader(gzip.GzipFile(fileobj=raw)) if path.endswith(".gz") else raw
            lines = iter(partial(file.readline, LONGEST_LINE), b"")
            while block := list(islice(lines, BLOCK)):
                first = number + 1
                for number, line in enumerate(_texts(block, path, first), first):
                    yield number, line
                bar.update(raw.tell() - bar.n if raw.seekable() else 0)  # a pipe has no position
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a directory; name a file") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}:{number + 1}: malformed gzip: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not number:
        raise DataError(f"{path}: is empty")


def _bar(file: BufferedReader, path: str) -> "tqdm[None]":
    """Return a progress bar over the bytes of a file, for a terminal and for what takes longer than a second."""
    options = {"unit": "B", "unit_scale": True, "disable": None, "leave": False, "dynamic_ncols": True, "delay": 1}
    return tqdm(desc=Path(path).name, total=os.fstat(file.fileno()).st_size, **options)


def _texts(block: list[bytes], path: str, first: int) -> Iterable[str]:
    """Decode lines, of which the first has number `first`; DataError where one is no text, after those before it."""
    if first == 1:
        block[0] = block[0].removeprefix(BOM)
    whole = b"".join(block)
    if b"\0" not in whole and max(map(len, block)) < LONGEST_LINE:
        with suppress(UnicodeDecodeError):
            return [line.removesuffix("\r") for line in whole.decode("utf-8").removesuffix("\n").split("\n")]
    return (_text(line, f"{path}:{number}") for number, line in enumerate(block, first))


def _text(raw: bytes, where: str) -> str:
    if len(raw) >= LONGEST_LINE:
        raise DataError(f"{where}: a line of {LONGEST_LINE // 1_000_000} MB or more; is this a text file?")
    if b"\0" in raw:
        raise DataError(f"{where}: holds a NUL byte; is this a text file in UTF-8?")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: byte {error.start + 1} is not UTF-8; convert the file to UTF-8") from error
    return text.removesuffix("\n").removesuffix("\r")


def _suffix(path: str) -> str:
    return Path(path.removesuffix(".gz")).suffix.lower()
