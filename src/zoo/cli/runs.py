"""`zoo predict RUN ... [FILE]`: answers of a finished run, or of several together."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn, cast

from zoo.cli.streams import complain
from zoo.errors import ConfigError, DataError, StorageError
from zoo.pretrained import list_pretrained

RUN = "a run's directory, `last` (the newest under runs/), or an installed model, as g2p-en"
MOST = 1000
"""Largest beam width, and largest count in general; a beam of 1,000 needs 1,000 times the memory of a greedy search."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line of ours."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")


def positive(value: int | None, flag: str) -> None:
    """Refuse a number below 1, or larger than any use."""
    if value is not None and not 1 <= value <= MOST:
        raise ConfigError(f"`{flag}` must be at least 1 and at most {MOST}, but is {value}")


def open_runs(options: argparse.Namespace) -> Any:
    """Open the run, or several to answer together; a sweep's directory stands for its runs."""
    from zoo.experiment import load
    from zoo.experiment.directory import expanded

    options.runs = expanded(options.runs)
    return load(*options.runs, device=options.device)


def predict(arguments: list[str]) -> int:
    """Print one prediction for each line."""
    parser = Parser(
        prog="zoo predict",
        usage="zoo predict [OPTION ...] RUN [RUN ...] [FILE]",
        description="Apply a run to lines of text; one line out for each line in, in order. Several runs answer "
        "together: by the mean of their probabilities; where vocabularies or directions differ, by scoring each "
        "other's outputs, or by votes.",
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="+", metavar="RUN ... [FILE]", help=f"{RUN}, or several; then the file "
                        "with the lines, .gz too; -: stdin (default)")  # fmt: skip
    parser.add_argument("--beam", type=int, metavar="N", help="beam width; 1: greedy; default: the run's own")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    parser.add_argument("--nbest", type=int, default=1, metavar="K", help="print the K best, TAB between them")
    parser.add_argument("--format", choices=["text", "jsonl"], default="text", help="default: text")
    parser.add_argument("--attention", metavar="PNG", help="draw what the first line's prediction attends to")
    options = parser.parse_intermixed_args(arguments)
    positive(options.beam, "--beam")
    positive(options.nbest, "--nbest")
    options.runs, options.file = parted(options.words)
    _has_file(options.file)
    if options.attention is not None:
        _is_drawable(Path(options.attention), options.runs)
    run = open_runs(options)
    write = partial(as_json, labelled=bool(run.coding.labels)) if options.format == "jsonl" else as_text
    drawn = options.attention is None
    for lines in chunks(options.file):
        for line, prediction in answers(run, lines, options.beam, options.nbest):
            if not drawn and prediction is not None:
                run.draw_attention(line, Path(options.attention))
                drawn = True
            sys.stdout.write(write(line, prediction, options.nbest) + "\n")
        sys.stdout.flush()
    for warning in run.warnings():
        complain(f"warning: {warning}")
    return 0


def parted(words: list[str]) -> tuple[list[str], str]:
    """Return the runs among the words, and the file: the last word, unless it is the only one or names a run."""
    *runs, last = words
    if not runs or _names_run(last):
        runs, last = words, "-"
    for name in runs:
        if name == "-" or (os.path.isfile(name) and not _names_run(name) and len(runs) > 1):
            raise ConfigError(f"{name} is no run's directory, but stands among them; runs come first, then one FILE")
    return runs, last


def _names_run(word: str) -> bool:
    if os.path.exists(word):
        return os.path.isdir(word) or word.endswith(".safetensors")
    return word == "last" or word.endswith(".safetensors") or word in list_pretrained()


def _has_file(name: str) -> None:
    if name != "-" and (not os.path.exists(name) or os.path.isdir(name)):
        raise DataError(
            f"{name}: no such run or file; name runs' directories, then a file with a line for each prediction"
        )


def _is_drawable(path: Path, runs: list[str]) -> None:
    if len(runs) > 1:
        raise ConfigError(f"--attention draws what one run attends to; name one of {', '.join(runs)}")
    if os.path.isdir(path):
        raise StorageError(f"{path}: is a directory; name a picture in it, as in {path / 'attention.png'}")
    if path.suffix != ".png":
        raise ConfigError(f"--attention writes a PNG picture; name it {path}.png")
    if not os.path.isdir(path.parent):
        raise StorageError(f"{path.parent}: no such directory; make it first")


def answers(run: Any, lines: list[str], beam: int | None, nbest: int) -> Iterator[tuple[str, Any]]:
    """Yield each line and its prediction, None for an empty line."""
    predictions = iter(run.predict([line for line in lines if line.strip()], beam=beam, nbest=nbest))
    for line in lines:
        yield line, next(predictions) if line.strip() else None


def chunks(name: str) -> Iterator[list[str]]:
    """Yield the lines of a file or of stdin (-) as they come: whatever lies ready at once."""
    from zoo.data.lines import Source, opened, ready_lines  # imports torch

    if name == "-":
        yield from ready_lines(Source("stdin", cast(BufferedReader, sys.stdin.buffer)))
        return
    with opened(name) as source:
        yield from ready_lines(source)


def as_text(line: str, prediction: Any, nbest: int) -> str:
    """Write a prediction as one line; TAB between hypotheses, or between a label and its probability."""
    if prediction is None:
        return ""
    if hasattr(prediction, "label"):
        ranked = ranking(prediction)[:nbest]
        return "\t".join(f"{in_line(label)}\t{probability:.4f}" for label, probability in ranked)
    return "\t".join(in_line(item.text) for item in hypotheses(prediction))


def in_line(text: str) -> str:
    """Show line ends and tabs as in JSON, since an answer is one line and its parts stand between tabs."""
    return text.translate({ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"})


def as_json(line: str, prediction: Any, nbest: int, *, labelled: bool = False) -> str:
    """Write a line and its prediction as one JSON object; of an empty line with the keys of the others, and nulls."""
    values = _blank(nbest, labelled=labelled) if prediction is None else _values(prediction, nbest)
    ascii_only = not sys.stdout.encoding.lower().startswith("utf")
    return json.dumps({"input": line, **values}, ensure_ascii=ascii_only)


def _values(prediction: Any, nbest: int) -> dict[str, Any]:
    if hasattr(prediction, "label"):
        return {**prediction._asdict(), "probabilities": dict(ranking(prediction))}
    best = hypotheses(prediction)
    return {**best[0]._asdict(), **({"nbest": [item._asdict() for item in best]} if nbest > 1 else {})}


def _blank(nbest: int, *, labelled: bool) -> dict[str, Any]:
    if labelled:
        return {"label": None, "probability": None, "probabilities": {}}
    return {"text": "", "score": None, "probability": None, **({"nbest": []} if nbest > 1 else {})}


def ranking(prediction: Any) -> list[tuple[str, float]]:
    """Return labels and their probabilities, the likeliest first."""
    return sorted(prediction.probabilities.items(), key=lambda pair: -pair[1])


def hypotheses(prediction: Any) -> list[Any]:
    """Return the hypotheses for one line, the best first."""
    return prediction if isinstance(prediction, list) else [prediction]
