"""`zoo prepare DIR KEY=VALUE ...`: data of any size, tokenized once."""

import os
import shlex
from pathlib import Path
from typing import Any

from zoo.cli import overrides as checking
from zoo.cli.runs import Parser, positive
from zoo.cli.streams import complain
from zoo.errors import ConfigError

DESCRIPTION = """\
Tokenize pairs or labelled texts once, in parallel, into files that a training reads a part at a time, so that they may
be larger than memory. The options are those of zoo-train: zoo prepare DIR dataset=pairs dataset.train=FILE, where `-`
is standard input. A preparation that was ended goes on when it is typed again."""
KINDS = ("pairs", "labelled")


def prepare(arguments: list[str]) -> int:
    """Prepare a dataset, or check what was prepared; say what is there and how to train on it."""
    parser = Parser(prog="zoo prepare", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("directory", metavar="DIR", help="where the prepared data are written")
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="dataset=pairs or labelled, and its options")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that tokenize; default: one for each core")
    parser.add_argument("--anew", action="store_true", help="start again where DIR holds another preparation")
    parser.add_argument("--check", action="store_true", help="compare every file of DIR with its checksum, and end")
    options = parser.parse_intermixed_args(arguments)
    positive(options.workers, "--workers")
    if "=" in options.directory:
        raise ConfigError(f"the directory comes first: zoo prepare DIR {options.directory} ...")
    directory = Path(os.path.expanduser(options.directory))
    if options.check:
        return _check(directory, options.words)
    dataset = chosen(options.words)
    from zoo.data.prepare import prepare

    try:
        done = prepare(dataset, directory, workers=options.workers or cores(), anew=options.anew, note=complain)
    except (KeyboardInterrupt, SystemExit):
        complain("stopped; the same command goes on from there")
        raise
    print(summary(done, options.directory))
    return 0


def chosen(words: list[str]) -> Any:
    """Return the dataset that the words describe; ConfigError for what has no part in it."""
    typed = {item.key: item.texts[0] for item in map(checking.parse, words)}
    if typed.get("dataset") not in KINDS:
        found = f", not {typed['dataset']}" if "dataset" in typed else ""
        raise ConfigError(f"name the data: dataset=pairs dataset.train=FILE, or dataset=labelled{found}")
    for key in typed:
        if key.partition(".")[0] != "dataset":
            raise ConfigError(f"`{key}` has no effect on what is prepared; leave it out, and give it to zoo-train")
    model = {"model": "classifier"} if typed["dataset"] == "labelled" else {}
    return checking.config_of({**model, **typed}).dataset


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def summary(done: Any, name: str) -> str:
    """Say what was prepared, how fast, and the command to train with."""
    index = done.index
    speed = f", {done.tokens / done.seconds:,.0f} tokens/s" if done.tokens else ""
    size = f"{index.rows:,} training rows, {index.tokens:,} tokens, {index.bytes / 1e6:,.1f} MB"
    model = " model=classifier" if index.task == "labelled" else ""
    return f"{name}: {size}{speed}\ntrain  zoo-train{model} dataset=prepared {shlex.quote(f'dataset.path={name}')}"


def _check(directory: Path, words: list[str]) -> int:
    if words:
        raise ConfigError(f"`--check` takes a directory alone; leave out {words[0]}")
    from zoo.data.prepared import Index

    index = Index.load(directory)
    index.check_sizes()
    for file in index.all_files():
        index.check(file)
    print(f"{directory}: {len(index.all_files())} files, {index.bytes / 1e6:,.1f} MB, all as they were written")
    return 0
