"""Text that TensorBoard, logs and people read: tables of samples, lines of an epoch, options as a flat dict."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from zoo.config import GROUPS, TrainConfig, to_dict

Sample = tuple[str, str, str | Sequence[str]]

CURVES_ALONE = ("grad_norm", "tokens_per_second", "waited", "skipped_steps", "valid_dead_units")
"""Figures of an epoch that the line to read leaves out."""


def sample_table(rows: Sequence[Sample]) -> str:
    """Return sources, predictions and references as a Markdown table in which any text stays what it is.

    Several references are parted by line breaks. Line ends and other control characters become visible pictures.
    """
    lines = ["| source | prediction | reference |", "| --- | --- | --- |"]
    for source, prediction, references in rows:
        texts = [references] if isinstance(references, str) else references
        lines.append(f"| {escape(source)} | {escape(prediction)} | {'<br>'.join(map(escape, texts))} |")
    return "\n".join(lines)


def escape(text: str) -> str:
    """Return Markdown that shows exactly `text`: letters, digits and single spaces stay, the rest becomes entities."""
    shown = "".join(map(visible, text))
    return "".join(
        char if char.isalnum() or (char == " " and shown[i - 1 : i].strip() and shown[i + 1 :]) else f"&#{ord(char)};"
        for i, char in enumerate(shown)
    )


def visible(char: str) -> str:
    """Return the picture of a control character, the replacement character for what no text may hold, else `char`."""
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    nothing = 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE  # Unicode's noncharacters, which HTML drops
    return "\ufffd" if nothing or 0x80 <= code < 0xA0 or 0xD800 <= code < 0xE000 else char


def tag_of(name: str) -> str:
    """Return TensorBoard's tag of an epoch's value; training and validation loss stand in one group, accuracies too."""
    part, _, metric = name.partition("_")
    if part not in ("train", "valid"):
        return f"epoch/{name}"
    return f"{metric}/{part}" if metric in ("loss", "accuracy") else f"{part}/{metric}"


def epoch_line(epoch: int, total: int, values: Mapping[str, Any]) -> str:
    """Return an epoch's numbers as a line to read; a training value has its validation value in brackets."""
    numbers = {
        name: value for name, value in values.items() if isinstance(value, int | float) and name not in CURVES_ALONE
    }
    parts = []
    for name, value in numbers.items():
        part, _, metric = name.partition("_")
        if part == "train":
            valid = numbers.get(f"valid_{metric}")
            parts.append(f"{metric} {value:.4g}" + ("" if valid is None else f" (valid {valid:.4g})"))
        elif part != "valid":
            parts.append(f"{value:.1f} s" if name == "seconds" else f"{name} {value:.4g}")
        elif f"train_{metric}" not in numbers:
            parts.append(f"{metric} {value:.4g}")
    return f"epoch {epoch}{f'/{total}' if total else ''}: " + ", ".join(parts)


def flat_options(config: TrainConfig) -> dict[str, Any]:
    """Return every option that any run can have as one flat dict, None where this run's choices lack it.

    The keys are the same for all runs, since TensorBoard compares only what all runs have. Where a run is kept,
    what it resumes and `lr_find` are left out.
    """
    top = {item.name for item in fields(config)} - {*GROUPS, "run_dir", "resume", "lr_find"}
    own = to_dict(config)
    flat = {name: own[name] for name in sorted(top)}
    for group, classes in GROUPS.items():
        names = {item.name: None for cls in classes.values() for item in fields(cls)}
        flat |= {f"{group}.{name}": own[group].get(name) for name in {**names, **own[group]}}
    return flat
