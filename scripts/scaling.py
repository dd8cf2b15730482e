"""How training gains from several processes: 1 process against 2 threads, and against 2, 4, ... processes.

    python scripts/scaling.py --runs 5 [OVERRIDES]

The ways take turns, so that what else the machine does meets all of them. Figures are medians of target tokens a second
of training, and of their ratio to the first way within the same turn.
What bounds more devices is reckoned from how long one takes for its share of a batch, and from what exchanging the
gradients of 2 processes costs alone: a ring of n passes 2 (n - 1) / n of them through each link (Patarasu and Yuan,
2009).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from hardware import processor
from torch import distributed, multiprocessing
from training_jobs import merged

from zoo.benchmark import measure
from zoo.config import TrainConfig, load_config
from zoo.data import build_data
from zoo.data.loader import Loader
from zoo.record import progress

WORDS = ["model=transformer", "max_steps=150", "valid_limit=64", "test_limit=64", "log_every=1000000"]


class Way(NamedTuple):
    """How many processes train, with how many threads each."""

    processes: int
    threads: int

    def __str__(self) -> str:
        plural = "es" if self.processes > 1 else ""
        return f"{self.processes} process{plural}, {self.threads} thread{'s' if self.threads > 1 else ''} each"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="turns; default: 3")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="cores to use; default: all")
    parser.add_argument("overrides", nargs="*", help="options of zoo-train")
    options = parser.parse_args()
    counts = [n for n in (2, 4, 8) if n <= options.cores]
    ways = list(dict.fromkeys([Way(1, 1), Way(1, options.cores), *(Way(n, 1) for n in counts)]))
    words = merged([*WORDS, *options.overrides])
    turns = [[trained(way, words) for way in ways] for _ in progress(range(options.runs), desc="turns")]
    print(f"{processor()}, torch {torch.__version__}; zoo-train {' '.join(words)}; medians of {options.runs} turns")
    for number, way in enumerate(ways):
        tokens = statistics.median(turn[number].speed for turn in turns)
        ratio = statistics.median(turn[number].speed / turn[0].speed for turn in turns)
        print(f"{way!s:32} {tokens:10,.0f} tokens/s  {ratio:5.2f}")
    first = turns[0][0]
    seconds = exchange(first.parameters)
    print(f"exchange of {4 * first.parameters / 1e6:.1f} MB between 2 processes: {1000 * seconds:.1f} ms")
    torch.set_num_threads(1)
    for devices in (8, 64):
        bound(first.config, devices, exchange_seconds=seconds * 2 * (devices - 1) / devices)


def bound(config: TrainConfig, devices: int, *, exchange_seconds: float) -> None:
    """Print how many times as fast so many devices could train at most."""
    share = replace(config, batch_tokens=max(1, config.batch_tokens // devices))
    whole, part = (tokens_in_a_step(one) / measure(one)["tokens_per_second"][0] for one in (config, share))
    times = whole / (part + exchange_seconds)
    print(
        f"{devices} devices: a step of {1000 * whole:.0f} ms becomes {1000 * part:.0f} ms for {share.batch_tokens} "
        f"tokens, and {1000 * exchange_seconds:.0f} ms for the exchange: {times:.1f} times as fast"
    )


class Trained(NamedTuple):
    """What a training tells: its target tokens a second, without validation, the parameters, and its config."""

    speed: float
    parameters: int
    config: TrainConfig


def trained(way: Way, words: list[str]) -> Trained:
    """Train in a directory that is removed again."""
    with tempfile.TemporaryDirectory() as folder:
        launcher = [sys.executable, "-m"]
        if way.processes > 1:
            launcher += ["torch.distributed.run", f"--nproc-per-node={way.processes}", "-m"]
        command = [*launcher, "zoo", "train", *words, f"run_dir={folder}/run"]
        done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": str(way.threads)}, capture_output=True,
                              text=True, check=False)  # fmt: skip
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
        lines = [json.loads(line) for line in Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
        results = json.loads(Path(folder, "run", "results.json").read_text())
        config = load_config(Path(folder, "run", "config.yaml"))
    return Trained(lines[-1]["tokens_per_second"], results["parameters"], config)


def tokens_in_a_step(config: TrainConfig) -> float:
    """Return the mean number of target tokens of a batch."""
    corpus = build_data(config).train
    return float(corpus.lengths[-1].sum()) / len(Loader(corpus, batch_tokens=config.batch_tokens))


def exchange(count: int) -> float:
    """Return the median seconds that 2 processes take to add up the gradients of so many parameters."""
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_exchange, args=(count, folder), nprocs=2)  # type: ignore[no-untyped-call]
        return float(Path(folder, "seconds").read_text())


def _exchange(rank: int, count: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    gradients, taken = torch.ones(count), []
    for _ in range(30):
        begun = time.perf_counter()
        distributed.all_reduce(gradients)
        taken.append(time.perf_counter() - begun)
    if rank == 0:
        Path(folder, "seconds").write_text(str(statistics.median(taken[5:])))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
