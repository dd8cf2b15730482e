"""How training gains from several processes: 1 process against 2 threads, and against 2, 4, ... processes.

    python scripts/scaling.py --runs 5 [OVERRIDES]

The ways take turns, so that what else the machine does meets all of them; figures are medians of target tokens a second
of training, and of their ratio to the first way within the same turn. The last line tells what exchanging the gradients
costs alone.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from hardware import processor
from torch import distributed, multiprocessing

from zoo.record import progress

WORDS = ["model=transformer", "max_steps=150", "valid_limit=64", "log_every=1000000"]


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
    words = [*WORDS, *options.overrides]
    turns = [[trained(way, words) for way in ways] for _ in progress(range(options.runs), desc="turns")]
    print(f"{processor()}, torch {torch.__version__}; zoo-train {' '.join(words)}; medians of {options.runs} turns")
    for number, way in enumerate(ways):
        tokens = statistics.median(turn[number].speed for turn in turns)
        ratio = statistics.median(turn[number].speed / turn[0].speed for turn in turns)
        print(f"{way!s:32} {tokens:10,.0f} tokens/s  {ratio:5.2f}")
    size, seconds = exchange(turns[0][0].parameters)
    print(f"exchange of {size / 1e6:.1f} MB between 2 processes: {1000 * seconds:.1f} ms")


class Trained(NamedTuple):
    """What a training tells: its target tokens a second, without validation, and the model's parameters."""

    speed: float
    parameters: int


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
    return Trained(lines[-1]["tokens_per_second"], results["parameters"])


def exchange(count: int) -> tuple[int, float]:
    """Return the bytes of the gradients and the median seconds that 2 processes take to add them up."""
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_exchange, args=(count, folder), nprocs=2)  # type: ignore[no-untyped-call]
        return 4 * count, float(Path(folder, "seconds").read_text())


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
