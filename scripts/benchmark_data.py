"""Sections of `benchmark.py` about what comes before a step: files, batches and the start of a command."""

import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from comparison import Bench, Row, Task, compare, recipe

from zoo.benchmark import Spread, alternate, loader_seconds
from zoo.config import TrainConfig
from zoo.data import Data, Loader, build_data
from zoo.data.build import read_parts

BATCHES = {"batch_tokens": 2304}


def data(bench: Bench) -> list[Row]:
    """Read CMUdict to the first batch, and cut an epoch of batches, beside torchtext's `BucketIterator`."""
    config = recipe(**BATCHES)
    corpus = build_data(config).train
    loader = Loader(corpus, batch_tokens=config.batch_tokens, seed=1)
    rows = [
        Row(f"raw file to first batch, {len(corpus):,} words", "s", Spread.of(values), "", None, None)
        for values in alternate({"": lambda: first_batch(config)}, repeats=bench.repeats).values()
    ]
    buckets = bucket_iterator(config)
    return rows + compare("all batches of an epoch", "s", lambda: loader_seconds(loader, epoch=loader.epoch + 1),
                          {"torchtext's BucketIterator": lambda: seconds_of(buckets)}, repeats=1)  # fmt: skip


def first_batch(config: TrainConfig) -> float:
    """Return the seconds from the files of a config to its first batch."""
    begun = time.perf_counter()
    next(iter(Loader(build_data(config).train, batch_tokens=config.batch_tokens, seed=1)))
    return time.perf_counter() - begun


def bucket_iterator(config: TrainConfig) -> Any:
    """Return torchtext's iterator over the same words, letter by letter, in batches of 256."""
    from torchtext.data import BucketIterator, Dataset, Example, Field

    ends = {"init_token": "<s>", "eos_token": "</s>", "batch_first": True}
    fields = [("src", Field(include_lengths=True, **ends)), ("trg", Field(**ends))]
    part = read_parts(config).train
    rows = [Example.fromlist([list(source), target.split()], fields) for source, target in part.each()]
    dataset = Dataset(rows, fields)
    for _, field in fields:
        field.build_vocab(dataset)
    return BucketIterator(dataset, 256, sort_key=lambda row: len(row.src), sort_within_batch=True, train=True)


def seconds_of(batches: Any) -> float:
    """Return the seconds that going through all batches takes."""
    begun = time.perf_counter()
    for batch in batches:
        _ = batch.src, batch.trg
    return time.perf_counter() - begun


def lines(bench: Bench) -> list[Row]:
    """Read a file of many lines, as long as Multi30k's, in a process of its own."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "lines.tsv")
        write_lines(file, bench.lines)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            tokens, seconds, megabytes = pool.submit(ingest, str(file)).result()
    work = f"`dataset=pairs`, {bench.lines:,} lines of {tokens / 1e6:.0f} million tokens"
    figures = {"tokens/s on one core": tokens / seconds, "MB of memory at most": megabytes,
               "MB of memory above the ids": megabytes - 4 * tokens / 2**20}  # fmt: skip
    return [Row(work, unit, Spread.of([value]), "", None, None) for unit, value in figures.items()]


def write_lines(file: Path, count: int) -> None:
    """Write pairs of sentences of 13 words and 4 more or less, of 10,000 words with Zipf's frequencies."""
    random = np.random.default_rng(1)
    chances = 1 / np.arange(1, 10_001)
    words = np.array([f"{''.join(random.choice(list('aeiknorst'), 1 + i % 8))}{i}" for i in range(10_000)])
    with file.open("w", encoding="utf-8") as out:
        for start in range(0, count, 50_000):
            sizes = np.clip(np.round(random.normal(13, 4, 2 * min(50_000, count - start))), 3, 40).astype(int)
            drawn = iter(words[random.choice(10_000, sizes.sum(), p=chances / chances.sum())].tolist())
            sides = [" ".join(next(drawn) for _ in range(size)) for size in sizes.tolist()]
            out.writelines(f"{src}\t{tgt}\n" for src, tgt in zip(sides[::2], sides[1::2], strict=True))


def ingest(file: str) -> tuple[int, float, float]:
    """Return the tokens of a file's training part, the CPU's seconds for it, and the memory it took at most, in MB."""
    config = recipe(dataset="pairs", dataset__train=file, dataset__src_tokenizer="word", dataset__tgt_tokenizer="word")
    before, begun = peak_memory(), time.process_time()
    read: Data = build_data(config)
    seconds = time.process_time() - begun
    tokens = sum(len(side.ids) for side in (read.train.src, read.train.tgt))
    return tokens, seconds, peak_memory() - before


def peak_memory() -> float:
    """Return the most memory that this process has held, in MB; of its own, unlike what `resource` gives (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def startup(bench: Bench) -> list[Row]:
    """Start commands, against importing torch."""
    torch_alone = command("-c", "import torch")
    rows = []
    with TemporaryDirectory() as folder:
        step = ["train", "max_steps=1", "valid_limit=1", "test_limit=1", f"hydra.run.dir={folder}"]
        for words in (["train", "--help"], ["models"], ["train", "optimizer.lrr=1"], step):
            shown = " ".join(word for word in words if "dir=" not in word)
            rows += compare(f"`zoo {shown}`", "s", command("-m", "zoo", *words, folder=folder),
                            {"import torch": torch_alone}, repeats=bench.repeats)  # fmt: skip
    return rows


def command(*words: str, folder: str = os.curdir) -> Task:
    """Return a task that runs Python with these words and returns the seconds it took."""

    def run() -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, *words], capture_output=True, check=False, cwd=folder)
        return time.perf_counter() - begun

    return run
