"""Make an installed model of a finished run: half-precision weights, config, vocabularies, results and its entry.

    python scripts/ship.py RUN g2p-en --summary "English words to phones" --license "CMUdict, BSD-2-Clause"

Writes `src/zoo/pretrained/NAME/` and `index.json` there. Scores are those of the rounded weights on the test part.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace

import torch

from zoo.checkpoint import load_checkpoint, save_checkpoint
from zoo.config import load_config, save_config
from zoo.experiment import open_run
from zoo.experiment.directory import RunDirectory, run_path
from zoo.pretrained import HOME, INDEX, digest, list_pretrained

MOST = 6_000_000
"""Bytes that a model may take."""


def ship(source: RunDirectory, target: RunDirectory, *, lowercase: Sequence[str] = ()) -> int:
    """Copy what predicting needs of a run, its weights in half precision; return how many weights there are.

    `lowercase` names the sides whose texts are lower-cased, for data that hold no capitals and users who write some.
    """
    shutil.rmtree(target.path, ignore_errors=True)
    target.create()
    save_config(replace(load_config(source.config), run_dir=None, resume=False), target.config)
    for file in source.vocabulary.iterdir():
        shutil.copyfile(file, target.vocabulary / file.name)
    for side in lowercase:
        file = target.vocabulary / f"{side}.json"
        file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), "lowercase": True}), "utf-8")
    weights = load_checkpoint(source.best).part("model")
    halves = {f"model.{name}": weight.to(torch.float16) for name, weight in weights.items()}
    save_checkpoint(target.best, halves, {})
    run = open_run(target.path)  # what is said of it is what its rounded weights reach
    target.write_results({**source.read_results(), **{part: run.evaluate(part) for part in ("valid", "test")}})
    return sum(weight.numel() for weight in weights.values())


def main() -> None:
    """Write the model's directory and its entry in the index."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--summary", required=True)
    parser.add_argument("--license", required=True, help="of the data")
    parser.add_argument("--lowercase", nargs="*", default=[], metavar="SIDE", help="sides to lower-case: src, text")
    options = parser.parse_args()
    target = RunDirectory(HOME / options.name)
    parameters = ship(RunDirectory(run_path(options.run)), target, lowercase=options.lowercase)
    files = sorted(file for file in target.path.rglob("*") if file.is_file())
    size = sum(file.stat().st_size for file in files)
    if size > MOST:
        raise SystemExit(f"error: {target.path} takes {size:,} bytes, more than {MOST:,}; train a smaller model")
    scores = {name: value for name, value in target.read_results()["test"].items() if isinstance(value, float)}
    entry = {
        "summary": options.summary,
        "license": options.license,
        "scores": scores,
        "parameters": parameters,
        "files": {file.relative_to(target.path).as_posix(): digest(file) for file in files},
    }
    listed = {name: {**found._asdict()} for name, found in list_pretrained().items()} if INDEX.exists() else {}
    for found in listed.values():
        del found["name"]
    INDEX.write_text(json.dumps({**listed, options.name: entry}, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"{target.path}: {parameters:,} parameters, {size:,} bytes")


if __name__ == "__main__":
    main()
