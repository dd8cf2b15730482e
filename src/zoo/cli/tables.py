"""Figures as text: a line each, runs side by side, and where a model errs."""

import unicodedata
from collections.abc import Sequence
from typing import Any

WIDEST = 60
"""Columns of a terminal that a text may take in a table; `--json` has it whole."""


def table(metrics: dict[str, Any]) -> str:
    """Write metrics a line each, with their intervals."""
    return "\n".join(columns([[key, cell(metrics, key)] for key in metrics if key != "intervals"]))


def cell(metrics: dict[str, Any], key: str) -> str:
    """Write a figure with its interval, where it has one."""
    value, interval = metrics.get(key), metrics.get("intervals", {}).get(key)
    text = "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
    return f"{text} [{interval['low']:.4f}, {interval['high']:.4f}]" if interval else text


def side_by_side(found: dict[str, Any]) -> str:
    """Write the figures of several runs, their mean and spread, and those of the ensemble, a line each."""
    rows = [(one["run"], one) for one in found["runs"]]
    rows += [(name, found[name]) for name in ("mean", "spread", "ensemble")]
    keys = list(found["mean"])
    lines = columns([["", *keys], *([name, *(cell(one, key) for key in keys)] for name, one in rows)])
    lines += [f"{key}  {value}" for key, value in found["ensemble"].items() if isinstance(value, str)]
    return "\n".join(lines)


def details_text(found: dict[str, Any]) -> str:
    """Write what `zoo.breakdown.details` found, an empty line before each part."""
    titles = {"by_length": "by length of the source in tokens", "by_label": "by label"}
    lines = []
    for part, title in titles.items():
        if rows := found[part]:
            cells = [[shortened(cell(row, key)) for key in row] for row in rows]
            lines += ["", title, *columns([list(rows[0]), *cells])]
    if found["worst"]:
        heads = ["error", "source", "output", "references"]
        lines += ["", "the worst errors", *columns([heads, *map(_error, found["worst"])])]
    return "\n".join(lines)


def _error(row: dict[str, Any]) -> list[str]:
    texts = [row["source"], row["output"], " | ".join(row["references"])]
    return [f"{row['error']:.2f}", *map(shortened, texts)]


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write rows of cells in columns, two spaces apart."""
    widths = [max(map(shown_width, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(_filled, row, widths)).rstrip() for row in rows]


def _filled(text: str, width: int) -> str:
    return text + " " * (width - shown_width(text))


def shown_width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a wide letter, none for a mark above another."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def shortened(text: str) -> str:
    """Return a text in one line of at most `WIDEST` letters."""
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…"
