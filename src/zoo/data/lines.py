"""Lines of text from a file of bytes: unpacked, bounded, decoded, and every fault named with its line."""

import gzip
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any, cast

from tqdm import tqdm

from zoo.errors import DataError

LONGEST_LINE = 10_000_000
"""Bytes of a line from which on a file is taken for something other than text in lines."""
BLOCK = 32
"""Lines that are decoded together, which is much faster than one by one."""
READ = 1 << 16
"""Bytes asked for at once; what a person types arrives by the line, a file in pieces worth a batch."""
BOM = b"\xef\xbb\xbf"
NO_TEXT = re.compile("[\0\ud800-\udfff]")
MOST_RATIO, SMALL = 500, 1_000_000
"""Bytes that one packed byte may become, and how many are unpacked before that is asked; text becomes 2 to 20."""


def is_packed(path: str) -> bool:
    """Whether a file's name says that it is compressed by gzip."""
    return path.lower().endswith(".gz")


class Source:
    """The bytes of a file, unpacked where its name ends in `.gz`; `packed` counts those of the file itself."""

    def __init__(self, path: str, raw: BufferedReader) -> None:
        self.path, self.raw, self.packed, self.unpacked = path, raw, 0, 0
        self.number = 0  # of the last line read
        whole = gzip.GzipFile(fileobj=cast(Any, self), mode="rb") if is_packed(path) else None
        self.file = BufferedReader(cast(Any, whole)) if whole else raw

    def read(self, size: int = -1) -> bytes:
        """Return packed bytes, for the unpacking."""
        data = self.raw.read(size)
        self.packed += len(data)
        return data

    def lines(self) -> Iterator[bytes]:
        """Yield lines with their ends; one that is too long comes in pieces of `LONGEST_LINE` bytes."""
        pieces = iter(partial(self.file.readline, LONGEST_LINE), b"")
        return pieces if self.file is self.raw else map(self.admit, pieces)

    def admit(self, data: bytes) -> bytes:
        """Return unpacked data; DataError where they are too many for a text that was packed (a gzip bomb)."""
        self.unpacked += len(data)
        if self.file is not self.raw and self.unpacked > max(SMALL, MOST_RATIO * self.packed):
            raise DataError(
                f"{self.path}: {self.packed:,} packed bytes become more than {self.unpacked:,}, which no text does; "
                "unpack the file by hand if you trust it"
            )
        return data


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """Open a file of lines; DataError where it is missing, a directory, or no whole gzip file in spite of its name."""
    source = None
    try:
        with open(path, "rb") as raw:
            source = Source(path, raw)
            yield source
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a directory; name a file") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}:{source.number + 1 if source else 1}: malformed gzip: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of each line of a UTF-8 file, without its end; a progress bar shows how far it is read.

    Lines end with LF or CRLF and with nothing else. A byte order mark is dropped. DataError where the file is missing,
    empty, no UTF-8, holds NUL or a line of 10 MB, or is no whole gzip file in spite of its name.
    """
    with opened(path) as source, _bar(source.raw, path) as bar:
        lines = source.lines()
        while block := list(islice(lines, BLOCK)):
            yield from enumerate(_texts(block, path, source.number + 1), source.number + 1)
            source.number += len(block)
            bar.update(source.raw.tell() - bar.n if source.raw.seekable() else 0)  # a pipe has no position
    if not source.number:
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
    return (text_of(line, f"{path}:{number}") for number, line in enumerate(block, first))


def text_of(raw: bytes, where: str) -> str:
    """Decode one line, without its end; DataError where it is too long, no UTF-8 or holds NUL."""
    if len(raw) >= LONGEST_LINE:
        raise DataError(f"{where}: a line of {LONGEST_LINE // 1_000_000} MB or more; is this a text file?")
    if b"\0" in raw:
        raise DataError(f"{where}: holds a NUL byte; is this a text file in UTF-8?")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: byte {error.start + 1} is not UTF-8; convert the file to UTF-8") from error
    return text.removesuffix("\n").removesuffix("\r")


def ready_lines(source: Source) -> Iterator[list[str]]:
    """Yield lines as they come, whatever lies ready at once, so that a person who types is answered by the line.

    A file may be empty here; for the rest the rules are those of `read_lines`.
    """
    rest = b""
    for part in _ready_parts(source):
        *lines, rest = (rest + part).split(b"\n")
        if len(rest) >= LONGEST_LINE:
            lines.append(rest)  # to be refused with its number
        if source.number == 0 and lines:
            lines[0] = lines[0].removeprefix(BOM)
        texts = [text_of(line, f"{source.path}:{source.number + i}") for i, line in enumerate(lines, 1)]
        source.number += len(lines)
        if texts:
            yield texts


def _ready_parts(source: Source) -> Iterator[bytes]:
    """Yield what lies ready, and the end of the last line where it has none."""
    last = b"\n"
    while part := source.admit(source.file.read1(READ)):
        yield part
        last = part[-1:]
    if last != b"\n":
        yield b"\n"
