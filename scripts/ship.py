"""Make an installed model of a finished run: half-precision weights, config, vocabularies, results and its entry.

    python scripts/ship.py RUN g2p-en --summary "English words to phones" --license "CMUdict, BSD-2-Clause"

Writes `src/zoo/pretrained/NAME/` and `index.json` there. Scores are those of the rounded weights on the test part.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from zoo.checkpoint import load_checkpoint, save_checkpoint
from zoo.cli.exits import guarded
from zoo.cli.runs import Parser
from zoo.cli.streams import say
from zoo.config import load_config, save_config
from zoo.errors import ConfigError
from zoo.experiment import open_run
from zoo.experiment.directory import RunDirectory, run_path
from zoo.pretrained import HOME, INDEX, digest, list_pretrained
from zoo.storage import write_durably

MOST = 6_000_000
"""Bytes that a model may take."""


def ship(source: RunDirectory, target: RunDirectory, *, lowercase: Sequence[str] = ()) -> int:
    """Copy what predicting needs of a run, its weights in half precision; return how many weights there are.

    `lowercase` names the sides whose texts are lower-cased, for data that hold no capitals and users who write some.
    """
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


def main() -> int:
    """Write the model's directory and its entry in the index, once it is whole; an earlier one stays until then."""
    parser = Parser(prog="ship.py", description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--summary", required=True)
    parser.add_argument("--license", required=True, help="of the data")
    parser.add_argument("--lowercase", nargs="*", default=[], metavar="SIDE", help="sides to lower-case: src, text")
    options = parser.parse_args()
    listed = {name: found._asdict() for name, found in list_pretrained().items()} if INDEX.exists() else {}
    with tempfile.TemporaryDirectory(prefix=".", dir=HOME) as folder:
        made, target = RunDirectory(Path(folder) / options.name), HOME / options.name
        parameters = ship(RunDirectory(run_path(options.run)), made, lowercase=options.lowercase)
        found = [file for file in sorted(made.path.rglob("*")) if file.is_file()]
        files = {file.relative_to(made.path).as_posix(): file for file in found}
        size = sum(file.stat().st_size for file in files.values())
        if size > MOST:
            raise ConfigError(f"{options.name} takes {size:,} bytes, more than {MOST:,}; train a smaller model")
        listed[options.name] = {
            "summary": options.summary,
            "license": options.license,
            "scores": {name: value for name, value in made.read_results()["test"].items() if isinstance(value, float)},
            "parameters": parameters,
            "files": {name: digest(file) for name, file in files.items()},
        }
        shutil.rmtree(target, ignore_errors=True)
        made.path.rename(target)
    for entry in listed.values():
        entry.pop("name", None)
    write_durably(INDEX, (json.dumps(listed, indent=2, ensure_ascii=False) + "\n").encode())
    say(f"{target}: {parameters:,} parameters, {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
