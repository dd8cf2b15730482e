"""Figures as text: a line each, runs side by side, and where a model errs."""

import re
import shutil
import unicodedata
from collections.abc import Sequence
from typing import Any

from zoo.tune.rows import Row

WIDEST = 60
"""Columns of a terminal that a text may take in a table; `--json` has it whole."""
LONGEST_ERROR = 100
WIDTH = 100
"""Columns of a table of runs where no terminal says how wide it is."""


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


def leaderboard(rows: Sequence[Row], name: str, *, first: Sequence[str] = ()) -> str:
    """Write what came of several runs, a line each, and then why some failed; `name` is what a run is called.

    Settings that differ have a column each, those in `first` before the others, as many as fit a line of the terminal.
    """
    metrics = {row.metric for row in rows if row.metric}
    one = metrics.pop() if len(metrics) == 1 else ""
    settings = [_settings(row.overrides) for row in rows]
    figures = [
        {
            "rank": str(row.rank or ""),
            name: str(row.number),
            f"valid {one}".rstrip(): _figure(row.valid, row.metric, one),
            f"test {one}".rstrip(): _figure(row.test, row.metric, one),
        }
        for row in rows
    ]
    costs = [
        {
            "epochs": "" if row.epochs is None else str(row.epochs),
            "seconds": "" if row.seconds is None else f"{row.seconds:.1f}",
            "state": "failed" if row.exit_code else row.status,
        }
        for row in rows
    ]
    before, after = _cells(figures), _cells(costs)
    varied = _varied(settings, first)
    names = _short(varied)
    cells = [[shortened(one.get(key, "")) for key in varied] for one in settings]
    middle = [*_heads([names[key] for key in varied]), *cells]
    fit = _fitting(middle, max(map(shown_width, columns([[*a, *b] for a, b in zip(before, after, strict=True)]))))
    lines = columns([[*a, *b[:fit], *c] for a, b, c in zip(before, middle, after, strict=True)])
    if fit < len(varied):
        lines.append(f"no room for {', '.join(names[key] for key in varied[fit:])}")
    failures = [_failure(row, name) for row in rows if row.exit_code]
    return "\n".join([*(lines if lines[0] else lines[1:]), *failures])


def _settings(overrides: str) -> dict[str, str]:
    """Return the overrides of a line by their keys; a value may hold spaces."""
    parts = re.split(r" (?=[\w.@/+~:-]+=)", overrides)
    return {key: value for key, _, value in (part.partition("=") for part in parts) if key}


def _varied(settings: Sequence[dict[str, str]], first: Sequence[str]) -> list[str]:
    """Return the keys whose values differ, all of them where none does."""
    keys = list(dict.fromkeys(key for one in settings for key in one))
    keys = [*(key for key in first if key in keys), *(key for key in keys if key not in first)]
    return [key for key in keys if len({one.get(key) for one in settings}) > 1] or keys


def _short(keys: Sequence[str]) -> dict[str, str]:
    """Return each key without its group, `lr` of `optimizer.lr`, where no other key has that name."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)}


def _fitting(cells: Sequence[Sequence[str]], taken: int) -> int:
    """Return how many columns fit beside those that take `taken`, one at least where there is one."""
    room, count = shutil.get_terminal_size((WIDTH, 1)).columns - taken, 0
    for column in zip(*cells, strict=True):
        room -= max(map(shown_width, column)) + 2
        count += room >= 0 or not count
        if room < 0:
            break
    return count


def _cells(lines: Sequence[dict[str, str]]) -> list[list[str]]:
    """Return the two lines of a header and the cells of lines, without columns that are empty."""
    used = [key for key in lines[0] if any(line[key] for line in lines)] if lines else []
    return [*_heads(used), *([line[key] for key in used] for line in lines)]


def _heads(names: Sequence[str]) -> list[list[str]]:
    """Split names that are wider than most values over two lines, at a space, or at the underscore in the middle."""
    upper, lower = [], []
    for name in names:
        places = [place for place, letter in enumerate(name) if letter == "_"]
        place = name.find(" ") if " " in name else min(places, key=lambda place: abs(place - len(name) / 2), default=-1)
        upper.append(name[: place + 1].rstrip())
        lower.append(name[place + 1 :])
    return [upper, lower]


def _figure(value: float | None, metric: str, shared: str) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if shared else f"{metric} {value:.4f}"


def _failure(row: Row, name: str) -> str:
    cut = row.error if len(row.error) <= LONGEST_ERROR else f"{row.error[:LONGEST_ERROR]}..."
    return f"{name} {row.number} failed with exit code {row.exit_code}: {cut}"
