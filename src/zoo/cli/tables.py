"""Figures as text: a line each, runs side by side, and where a model errs."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.tune.rows import Row

WIDEST = 60
"""Columns of a terminal that a text may take in a table; `--json` has it whole."""
LONGEST_ERROR = 100


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


def leaderboard(rows: Sequence[Row], name: str) -> str:
    """Write what came of several runs, a line each; `name` is what one of them is called."""
    metrics = {row.metric for row in rows if row.metric}
    one = metrics.pop() if len(metrics) == 1 else ""
    table = [
        {
            "rank": str(row.rank or ""),
            name: str(row.number),
            f"valid {one}".rstrip(): _figure(row.valid, row.metric, one),
            f"test {one}".rstrip(): _figure(row.test, row.metric, one),
            "settings": row.overrides,
            "epochs": "" if row.epochs is None else str(row.epochs),
            "seconds": "" if row.seconds is None else f"{row.seconds:.1f}",
            "state": _state(row),
            "directory": Path(row.run_dir).name,
        }
        for row in rows
    ]
    used = [key for key in table[0] if any(line[key] for line in table)] if table else []
    return "\n".join(columns([used, *([line[key] for key in used] for line in table)]))


def _figure(value: float | None, metric: str, shared: str) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if shared else f"{metric} {value:.4f}"


def _state(row: Row) -> str:
    if not row.exit_code:
        return row.status
    cut = row.error if len(row.error) <= LONGEST_ERROR else f"{row.error[:LONGEST_ERROR]}..."
    return f"failed with exit code {row.exit_code}: {cut}"
