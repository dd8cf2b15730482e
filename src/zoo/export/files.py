"""What lies beside an exported model, so that it can be used without this package."""

import json
import re
from pathlib import Path
from typing import Any

import zoo
from zoo.data import BOS, EOS, PAD, UNK, Codec, Coding
from zoo.data.subword import Subword
from zoo.experiment import Run
from zoo.export.programs import Part
from zoo.storage import write_durably

DESCRIPTION = "export.json"
VERSION = 1
"""Version of the layout of `export.json`."""


def tokens_of(coding: Coding, side: str) -> list[str]:
    """Return the tokens of all ids of a side, of which the reserved ones are spelled as no token is."""
    return [*special_tokens(coding).values(), *coding.codecs[side].vocab.tokens]


def special_tokens(coding: Coding) -> dict[str, str]:
    """Return the spelling of each reserved id, in order; a literal `<s>` among the tokens makes ours `<<s>>`."""
    names = {"pad": "<pad>", "unk": "<unk>", "bos": "<s>", "eos": "</s>"}
    while any(name in codec.vocab.ids for codec in coding.codecs.values() for name in names.values()):
        names = {key: f"<{name}>" for key, name in names.items()}
    return names


def describe(run: Run, parts: list[Part], *, kind: str, suffix: str, quantize: str, packages: dict[str, str],
             proof: dict[str, Any]) -> dict[str, Any]:  # fmt: skip
    """Return what `export.json` holds."""
    coding, config = run.coding, run.config
    search = {"max_output": coding.max_output, "beam": config.beam, "length_penalty": config.length_penalty}
    return {
        "zoo_export": VERSION,
        "format": kind,
        "quantization": quantize or "none",
        "model": config.model.name,
        "versions": {"zoo": zoo.__version__, **packages},
        "programs": {part.name: _program(part, suffix) for part in parts},
        "special_ids": {"pad": PAD, "unk": UNK, "bos": BOS, "eos": EOS},
        "special_tokens": special_tokens(coding),
        "vocabularies": {side: describe_codec(codec, side) for side, codec in coding.codecs.items()},
        "max_length": config.model.max_length,
        **(search if "src" in coding.codecs else {"labels": coding.labels}),
        "proof": proof,
    }


def _program(part: Part, suffix: str) -> dict[str, Any]:
    values = {key: [value._asdict() for value in getattr(part, key)] for key in ("inputs", "outputs")}
    return {"file": f"{part.name}{suffix}", **values, "largest": {k: v for k, v in part.varying.items() if v}}


def describe_codec(codec: Codec, side: str) -> dict[str, Any]:
    """Return how the texts of a side become ids: lower case where asked, normalize, split, look up."""
    name = str(codec.tokenizer.name)
    found: dict[str, Any] = {
        "file": f"{side}.vocab.json",
        "tokenizer": name,
        "lowercase": codec.lowercase,
        "normalization": "NFD" if name == "jamo" else "NFC",
        "direction": str(codec.direction),
    }
    if isinstance(codec.tokenizer, Subword):
        found["sentencepiece"] = f"{side}.model"
    if name in ("word", "char_word"):
        found["word"] = {"lowercase": True, "replacements": word_replacements()}
    return found


def word_replacements() -> list[tuple[str, str]]:
    """Return the regular expressions of torchtext's `basic_english` and what each becomes, in order."""
    from torchtext.data.utils import _patterns_dict

    return [(pattern.pattern if isinstance(pattern, re.Pattern) else pattern, new) for pattern, new in _patterns_dict]


def save_vocabularies(run: Run, directory: Path) -> None:
    """Write the tokens of each side, in the order of their ids, and sentencepiece's models."""
    for side, codec in run.coding.codecs.items():
        write_durably(directory / f"{side}.vocab.json", to_json(tokens_of(run.coding, side), indent=0))
        if isinstance(codec.tokenizer, Subword):
            codec.tokenizer.save(directory / f"{side}.model")


def to_json(value: Any, *, indent: int = 2) -> bytes:
    """Write a value as JSON."""
    return (json.dumps(value, ensure_ascii=False, indent=indent) + "\n").encode()


def is_export(directory: Path) -> bool:
    """Whether a directory holds what `zoo export` wrote."""
    try:
        found = json.loads((directory / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and "zoo_export" in found
