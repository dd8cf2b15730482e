"""What a model's ids mean, kept beside its weights."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from zoo.data.sizes import PairSizes, Sizes, TextSizes
from zoo.data.tokenize import Codec
from zoo.data.vocab import read_json
from zoo.errors import DataError
from zoo.storage import write_durably

FILE = "coding.json"
SIDES = (["src", "tgt"], ["text"])

LONGEST_OUTPUT = 1_000_000
"""Tokens that no output is longer than."""


class Coding(NamedTuple):
    """What a model's inputs and outputs mean: all that predicting needs beside the weights.

    codecs are those of `src` and `tgt`, or of `text`; labels are the class names, none for pairs; max_output is the
    most tokens to decode.
    """

    codecs: dict[str, Codec]
    labels: list[str]
    max_output: int

    @property
    def sizes(self) -> Sizes:
        """Return what a model is built from."""
        if "text" in self.codecs:
            return TextSizes(len(self.codecs["text"].vocab), len(self.labels))
        src, tgt = self.codecs["src"].vocab, self.codecs["tgt"].vocab
        return PairSizes(len(src), len(tgt), src is tgt)

    def save(self, directory: Path) -> None:
        """Write `coding.json` and the files of each codec."""
        shared = "src" in self.codecs and self.codecs["src"].vocab is self.codecs["tgt"].vocab
        meta = {"sides": list(self.codecs), "shared": shared, "labels": self.labels, "max_output": self.max_output}
        write_durably(directory / FILE, (json.dumps(meta, ensure_ascii=False) + "\n").encode())
        for side, codec in self.codecs.items():
            codec.save(directory, side)

    @classmethod
    def load(cls, directory: Path) -> "Coding":
        """Read what `save` wrote; DataError names the file that is missing or malformed."""
        path = directory / FILE
        meta: Any = read_json(path)
        wanted = {"sides": list, "shared": bool, "labels": list, "max_output": int}
        if not isinstance(meta, dict) or any(not isinstance(meta.get(key), kind) for key, kind in wanted.items()):
            raise DataError(f"{path}: expected {', '.join(wanted)}; copy the file from the run again")
        if meta["sides"] not in SIDES or (meta["shared"] and meta["sides"] != SIDES[0]):
            raise DataError(f"{path}: `sides` must be src and tgt, or text; copy the file from the run again")
        labels, longest = meta["labels"], meta["max_output"]
        if not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
            raise DataError(f"{path}: `labels` must be texts, each once; copy the file from the run again")
        if (meta["sides"] == ["text"]) != (len(labels) > 1) or not 0 <= longest <= LONGEST_OUTPUT:
            raise DataError(f"{path}: `labels` or `max_output` fit no model; copy the file from the run again")
        codecs = {side: Codec.load(directory, side) for side in meta["sides"]}
        if meta["shared"]:
            codecs["tgt"] = codecs["src"].towards(codecs["tgt"].direction)
        return cls(codecs, labels, longest)
