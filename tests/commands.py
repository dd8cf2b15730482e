"""Real commands in processes of their own, and tiny runs for them to work on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.cli import run
from zoo.cli.exits import guarded

PATIENCE = 600
"""Seconds after which a process is taken for hung; far more than any needs, since a machine may be busy."""
SMALL = ["model.hidden_size=8", "model.embedding_size=8", "max_steps=2", "precision=fp32", "device=cpu"]
TOY = ["dataset=copy", "dataset.train_size=40", "dataset.valid_size=4", "dataset.test_size=4", "dataset.max_length=4",
       "model=seq2seq", *SMALL]  # fmt: skip
WORDS = ["ab", "ba", "aab", "bba", "abab", "baba", "a", "b", "aa", "bb", "abb", "baa"]
PAIRS = "".join(f"{word}\t{' '.join(word.upper())}\n" for word in WORDS)
LABELLED = "".join(f"{word} {word}\t{'even' if len(word) % 2 == 0 else 'odd'}\n" for word in WORDS)


def command(*words: str) -> list[str]:
    """Return the command line of a verb."""
    return [sys.executable, "-m", "zoo", *words]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process, with one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def zoo(*words: str, cwd: Path, text: str | None = None, env: Mapping[str, str] | None = None,
        **options: Any) -> "subprocess.CompletedProcess[str]":  # fmt: skip
    """Run a verb to its end."""
    return subprocess.run(command(*words), cwd=cwd, input=text, text=True, capture_output=True, timeout=PATIENCE,
                          env=environment(**(env or {})), check=False, **options)  # fmt: skip


def kill_when_saved(run: Path, *words: str, cwd: Path) -> None:
    """Run a verb, and kill it once there is a checkpoint of a step in `run`."""
    with subprocess.Popen(command(*words), cwd=cwd, env=environment(), stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        end = time.monotonic() + PATIENCE
        while not list(run.glob("checkpoints/step-*")) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def shell(line: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a line of bash in which `zoo` is the command."""
    prelude = f'zoo() {{ "{sys.executable}" -m zoo "$@"; }}\n'
    return subprocess.run(["bash", "-c", prelude + line], cwd=cwd, text=True, capture_output=True, timeout=PATIENCE,
                          env=environment(), check=False)  # fmt: skip


def inside(*words: str) -> int:
    """Run a verb in this process; return its exit code."""
    return guarded(lambda: run(list(words)))


def one_error(err: str) -> str:
    """Return the one line of an error, without its beginning."""
    assert "Traceback" not in err, err
    assert err.startswith("error: "), err
    assert err.count("\n") == 1, err
    return err.removeprefix("error: ").rstrip("\n")


def train_pairs(directory: Path, *words: str) -> int:
    """Train sequences of the letters a and b in `directory`/pairs."""
    (directory / "pairs.tsv").write_text(PAIRS)
    return inside("train", "model=seq2seq", "dataset=pairs", f"dataset.train={directory / 'pairs.tsv'}", *SMALL,
                  f"run_dir={directory / 'pairs'}", *words)  # fmt: skip


def train_labels(directory: Path, *words: str) -> int:
    """Train labels of such texts in `directory`/labels."""
    (directory / "labelled.tsv").write_text(LABELLED)
    return inside("train", "model=classifier", "dataset=labelled", f"dataset.train={directory / 'labelled.tsv'}",
                  *SMALL, f"run_dir={directory / 'labels'}", *words)  # fmt: skip
