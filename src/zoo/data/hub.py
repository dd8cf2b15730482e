"""Rows of a dataset of the Hugging Face Hub, or of files in its formats, read by the library `datasets`.

Only formats that hold rows of plain values are read: none of them holds code, and code that lies beside a dataset is
not run.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from zoo.config import HUB_FORMATS, HubConfig, Task
from zoo.data.files import text_of
from zoo.data.splits import FileRows, Row, Rows, hashes, normal_rows
from zoo.errors import ConfigError, DataError, is_out_of_memory, unknown

ROWS = 1000
"""Rows that are read at a time."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
BUILDERS = "datasets.packaged_modules."


def hub_rows(dataset: HubConfig, split: str, *, held_out: float = 0.0) -> Rows | FileRows:
    """Return the rows of a part of a dataset; those of a stream, which may be far away, are read once and kept.

    A stream ends once `dataset.limit` rows of train have come beside those that are held out of it, a share `held_out`.
    """
    found = _split(_loaded(dataset, split), dataset, split)
    places = _Places(found, dataset, split)
    labelled = dataset.task == Task.labelled
    rows = FileRows(lambda: normal_rows(places.rows(), lowercase=dataset.lowercase, keep_targets=labelled))
    if not dataset.streaming:
        return rows
    return Rows.of(_enough(rows.each(), dataset.limit if split == "train" else 0, held_out))


def _enough(rows: Iterator[Row], limit: int, held_out: float) -> Iterator[Row]:
    """Yield rows until `limit` of them are not held out; 0: all."""
    left = limit
    for row in rows:
        yield row
        left -= bool(limit and hashes([row[0]])[0] >= held_out)
        if limit and not left:
            return


def _library() -> Any:
    """Return the library `datasets`, told to be quiet; ConfigError where it is not installed."""
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            "dataset=hub needs Hugging Face's datasets, which is not installed: pip install 'zoo[hub]'"
        ) from error
    from huggingface_hub.utils import logging

    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # it would tell the Hub of local files too
    datasets.disable_progress_bars()
    for log in (datasets.logging, logging):
        log.set_verbosity(log.CRITICAL)  # what fails is told in one line
    return datasets


def _loaded(dataset: HubConfig, split: str) -> Any:
    """Return the splits of a dataset by name; DataError where there is none, or it cannot be reached or read."""
    library, path = _library(), dataset.path
    try:
        if os.path.isfile(os.path.join(path, "state.json")) or os.path.isfile(os.path.join(path, "dataset_dict.json")):
            saved = library.load_from_disk(path)
            return saved if isinstance(saved, dict) else {"train": saved}
        options: dict[str, Any] = {"name": dataset.config, "revision": dataset.revision}
        if path in HUB_FORMATS:
            options["data_files"] = {split: getattr(dataset, split)}
        builder = library.load_dataset_builder(path, **options)
        _check_format(builder, dataset.path)
        if dataset.streaming:
            return builder.as_streaming_dataset()
        builder.download_and_prepare()
        return builder.as_dataset()
    except (ConfigError, DataError):
        raise
    except Exception as error:  # of many classes, from the library's own to those of the formats
        if is_out_of_memory(error) or (isinstance(error, OSError) and error.errno in NO_ROOM):
            raise
        raise DataError(_explained(error, dataset, split)) from error


def _check_format(builder: Any, path: str) -> None:
    """Refuse a dataset whose files hold anything else than rows of plain values."""
    homes = [cls.__module__ for cls in type(builder).__mro__ if cls.__module__.startswith(BUILDERS)]
    name = homes[0].removeprefix(BUILDERS).partition(".")[0] if homes else type(builder).__module__
    if name not in HUB_FORMATS:
        raise DataError(f"{path}: is kept as {name}, and dataset=hub reads {', '.join(HUB_FORMATS)} alone; convert it")


def _explained(error: Exception, dataset: HubConfig, split: str) -> str:
    """Say in one line why a dataset could not be loaded, and what to do."""
    cause = error.__cause__ or error.__context__ if type(error).__name__ == "DatasetGenerationError" else None
    why = (str(cause or error).strip().splitlines() or [type(cause or error).__name__])[0]
    if dataset.path in HUB_FORMATS:
        files = getattr(dataset, split)
        named = files if isinstance(files, str) else ", ".join(files)
        return f"{named}: cannot be read as {dataset.path}: {why}; check `dataset.{split}`"
    if isinstance(error, ConnectionError):
        return f"{dataset.path}: the Hub cannot be reached ({why}); check the network, or name a directory or files"
    if "onfig" in why:  # its messages name the configurations
        return f"{dataset.path}: {why}; set `dataset.config`"
    return f"{dataset.path}: cannot be loaded: {why}; check `dataset.path`, as in user/name"


def _split(loaded: Any, dataset: HubConfig, split: str) -> Any:
    """Return the rows of the split that a part names; DataError names those that exist."""
    name = split if dataset.path in HUB_FORMATS else getattr(dataset, split)
    if name not in loaded:
        raise DataError(f"{dataset.path}: {unknown('split', name, map(str, loaded))}; set `dataset.{split}`")
    return loaded[name]


class _Places:
    """Where the two columns of a dataset lie, each a path of names, and what its label numbers stand for."""

    def __init__(self, found: Any, dataset: HubConfig, split: str) -> None:
        part = str(getattr(dataset, split))
        self.where = part if dataset.path in HUB_FORMATS else f"{dataset.path}, split {part}"
        first = next(iter(found), None)
        if first is None:
            raise DataError(f"{self.where}: holds no rows")
        self.columns = _nested(found.features or first)
        self.names = list(_flat(self.columns))
        self.paths = [self._path(column) for column in dataset.columns]
        self.found = found.select_columns(list(dict.fromkeys(path[0] for path in self.paths)))
        self.classes = [getattr((found.features or {}).get(path[0]), "names", None) for path in self.paths]

    def _path(self, column: int | str) -> list[str]:
        top = list(self.columns)
        if isinstance(column, int):
            if column >= len(top):
                raise DataError(
                    f"{self.where}: has {len(top)} columns ({', '.join(top)}), so none has the number {column}; set "
                    "`dataset.columns`"
                )
            return [top[column]]
        if column in top:
            return [column]
        if column not in self.names:
            raise DataError(f"{self.where}: {unknown('column', column, self.names)}; set `dataset.columns`")
        return _parts(self.columns, column)

    def rows(self) -> Iterator[Row]:
        """Yield the texts of both columns, row by row."""
        number = 0
        for batch in _batches(self.found):
            columns = [self._texts(batch, side, number) for side in (0, 1)]
            yield from zip(*columns, strict=True)
            number += len(columns[0])

    def _texts(self, batch: dict[str, list[Any]], side: int, number: int) -> list[str]:
        (top, *inner), classes = self.paths[side], self.classes[side]
        values = batch[top]
        for name in inner:
            values = [value.get(name) if isinstance(value, dict) else None for value in values]
        if classes is not None:
            values = ["" if value is None or value < 0 else classes[value] for value in values]  # -1: no label
        name, rows = ".".join(self.paths[side]), enumerate(values, number + 1)
        return [text_of(_plain(value), name, f"{self.where}, row {row}") for row, value in rows]


def _batches(found: Any) -> Iterable[dict[str, list[Any]]]:
    """Yield some rows at a time, as a list for each column; what fails on the way is a DataError."""
    try:
        yield from found.iter(batch_size=ROWS)
    except Exception as error:
        if is_out_of_memory(error) or isinstance(error, DataError):
            raise
        why = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"reading broke off: {why}; check the files, or the network where they are remote") from error


def _nested(columns: Any) -> dict[str, Any]:
    """Return the names of columns, with those inside of them as dicts; a feature with languages has one for each."""
    inner = {name: value if isinstance(value, dict) else dict.fromkeys(getattr(value, "languages", ()))
             for name, value in columns.items()}  # fmt: skip
    return {name: _nested(value) for name, value in inner.items()}


def _flat(columns: dict[str, Any], above: str = "") -> Iterator[str]:
    """Yield the names of columns, those inside of others with dots between them."""
    for name, inner in columns.items():
        yield from _flat(inner, f"{above}{name}.") if inner else [f"{above}{name}"]


def _parts(columns: dict[str, Any], column: str) -> list[str]:
    """Split a name at the dots that part a column from what lies in it; names may hold dots of their own."""
    for name, inner in columns.items():
        if name == column:
            return [name]
        if inner and column.startswith(f"{name}."):
            return [name, *_parts(inner, column.removeprefix(f"{name}."))]
    raise AssertionError(column)


def _plain(value: Any) -> Any:
    """Return dates and the like as they are written."""
    if value is None or isinstance(value, str | bool | int | float | dict | list):
        return value
    return value.item() if isinstance(value, np.generic) else str(value)
