"""The report as one HTML page that needs no other file and no network."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from zoo.explore.pictures import Picture

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem; color: #1a1a1a;
       background: #fff; }
img { max-width: 100%; height: auto; }
figure { margin: 1.5rem 0; }
figcaption { color: #444; max-width: 46rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; white-space: nowrap; }
th, td { border: 1px solid #ccc; padding: .25rem .6rem; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
th { background: #f3f3f3; }
"""
TOP = 20
"""Rows of a table of features."""
COLUMNS = 10
"""Columns of a table, beside its first: components, or labels."""

INSIDE = {
    "silhouette": "-1 to 1; how much nearer points are to their own cluster than to the next",
    "dunn": "from 0; the least distance between clusters over the largest within one: higher is better",
    "davies_bouldin": "from 0; how much the most alike clusters overlap: lower is better",
    "calinski_harabasz": "from 0; spread between over spread within clusters: higher is better",
    "sse": "from 0; summed squared distance to the means: lower is better, and always lower with more clusters",
}
OUTSIDE = {
    "rand": "share of pairs of points that labels and clusters treat alike; high by chance already",
    "adjusted_rand": "the same, less what chance gives: 0 by chance, 1 where all agree",
    "jaccard": "of pairs that either puts together, the share that both do",
    "nmi": "information that clusters and labels share, from 0 to 1",
    "purity": "share of points whose cluster mostly has their label; grows with the number of clusters",
}
LETTERS = 300
"""Letters of a text that are shown; `report.json` has it whole."""
Cell = str | int | float | None


def page(report: Mapping[str, Any], pictures: Sequence[Picture], images: Mapping[str, bytes]) -> str:
    """Write the page of a report; `images` holds the PNG files of the pictures by name."""
    drawn = {picture.name: _figure(picture, images[picture.name]) for picture in pictures}
    title = f"Exploring {report['source']}"
    sections = [_overview(report), _reduction(report, drawn), _clusters(report, drawn)]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            f"<main>\n<h1>{_text(title)}</h1>",
            *filter(None, sections),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _text(value: Any) -> str:
    return escape(str(value), quote=True)


def _figure(picture: Picture, image: bytes) -> str:
    data = base64.b64encode(image).decode()
    return (
        f"<figure>\n<h3>{_text(picture.title)}</h3>\n"
        f'<img src="data:image/png;base64,{data}" alt="{_text(picture.alt)}">\n'
        f"<figcaption>{_text(picture.reading)}</figcaption>\n</figure>"
    )


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Write a table whose first column names its rows; empty where there are no rows."""
    lines = [f"<tr>{_row_head(row[0])}{''.join(map(_cell, row[1:]))}</tr>" for row in rows]
    if not lines:
        return ""
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heads)
    return (
        f'<div class="wide">\n<table>\n<caption>{_text(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody>\n</table>\n</div>"
    )


def _row_head(value: Cell) -> str:
    return f'<th scope="row">{_text(value)}</th>'


def _cell(value: Cell) -> str:
    if value is None:
        return "<td>not defined</td>"
    if isinstance(value, str):
        return f"<td>{_text(value)}</td>"
    return f'<td class="number">{_text(number(value))}</td>'


def number(value: int | float) -> str:
    """Write a count with commas, any other number with four digits that count."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _overview(report: Mapping[str, Any]) -> str:
    keys = ("what", "points", "features", "targets", "scale", "reduce", "components", "cluster", "clusters", "seed")
    rows: list[list[Cell]] = [[key, report[key]] for key in keys if key in report]
    labels = report.get("labels", {})
    parts = ["<section>\n<h2>What was explored</h2>", table("The source and what was done", ["key", "value"], rows)]
    some = sorted(labels.items(), key=lambda pair: -pair[1])[:TOP]
    parts.append(table(_of("Labels", len(some), len(labels)), ["label", "points"], some))
    if report["notes"]:
        parts.append("<h3>To keep in mind</h3>\n<ul>")
        parts += [f"<li>{_text(note)}</li>" for note in report["notes"]]
        parts.append("</ul>")
    return "\n".join([*filter(None, parts), "</section>"])


def _of(what: str, shown: int, all_: int) -> str:
    return what if shown == all_ else f"{what} ({shown} of {all_:,})"


def _reduction(report: Mapping[str, Any], drawn: Mapping[str, str]) -> str:
    parts = ["<section>\n<h2>Fewer dimensions</h2>"]
    if "components_rule" in report:
        parts.append(f"<p>{_text(report['reduce'])}: {report['components']} ({_text(report['components_rule'])}).</p>")
    parts += [drawn.get(name, "") for name in ("reductions", "explained", "probe", "components")]
    parts += [_explained(report), _probe(report), _selected(report), drawn.get("vip", ""), _vip(report)]
    parts += [_loadings(report), "</section>"]
    return "\n".join(filter(None, parts))


def _explained(report: Mapping[str, Any]) -> str:
    shares, of_y = report.get("explained_x", []), report.get("explained_y")
    if len(shares) < 2:
        return ""
    heads = ["component", "share of x", "together"] + (["share of y", "together"] if of_y else [])
    rows: list[list[Cell]] = []
    for place in range(len(shares)):
        row: list[Cell] = [place + 1, shares[place], sum(shares[: place + 1])]
        rows.append(row + ([of_y[place], sum(of_y[: place + 1])] if of_y else []))
    return table(f"Variance explained by {report['reduce']}", heads, rows)


def _probe(report: Mapping[str, Any]) -> str:
    found = {key.removesuffix("probe_accuracy").rstrip("_") or report["reduce"]: values
             for key, values in report.items() if key.endswith("probe_accuracy")}  # fmt: skip
    counts = sorted({count for values in found.values() for count in values}, key=int)
    rows: list[list[Cell]] = [[count, *(_known(values, count) for values in found.values())] for count in counts]
    return table("Accuracy of a linear probe on held-out points", ["components", *found], rows)


def _known(values: Mapping[str, float], count: str) -> Cell:
    return values.get(count, "")


def _selected(report: Mapping[str, Any]) -> str:
    chosen, scores = report.get("selected", []), report.get("selection_scores", {})
    heads = ["feature", "place"] + (["score"] if scores else [])
    rows = [[name, place + 1, *([scores[name]] if scores else [])] for place, name in enumerate(chosen)]
    return table(f"Features that {report.get('reduce', '')} has chosen", heads, rows)


def _vip(report: Mapping[str, Any]) -> str:
    vip = report.get("vip", {})
    best = sorted(vip.items(), key=lambda pair: -pair[1])[:TOP]
    return table(_of("VIP scores of PLS", len(best), len(vip)), ["feature", "VIP"], best)


def _loadings(report: Mapping[str, Any]) -> str:
    loadings: Mapping[str, list[float]] = report.get("loadings", {})
    best = sorted(loadings.items(), key=lambda pair: -max(map(abs, pair[1])))[:TOP]
    count = min(COLUMNS, len(next(iter(loadings.values()), [])))
    rows: list[list[Cell]] = [[name, *values[:count]] for name, values in best]
    heads = ["feature", *(f"component {place + 1}" for place in range(count))]
    return table(_of(f"Loadings of {report.get('reduce', '')}", len(best), len(loadings)), heads, rows)


def _clusters(report: Mapping[str, Any], drawn: Mapping[str, str]) -> str:
    if "cluster" not in report:
        return ""
    parts = [
        "<section>\n<h2>Clusters</h2>",
        f"<p>{_text(report['cluster'])}: {report['clusters']} clusters "
        f"({_text(report['clusters_rule'])}: {_text(report['clusters_why'])}).</p>",
    ]
    parts += [drawn.get(name, "") for name in ("choice", "k_distance", "dendrogram", "clusters", "silhouette")]
    parts += [_sizes(report), _figures(report, "Validity inside, by the points' own distances", INSIDE)]
    parts += [_figures(report, "Validity outside, against the labels", OUTSIDE), _members(report), "</section>"]
    return "\n".join(filter(None, parts))


def _sizes(report: Mapping[str, Any]) -> str:
    by_label = report.get("labels_by_cluster", {})
    labels = sorted(report.get("labels", {}), key=lambda label: -report["labels"][label])
    shown = labels[:COLUMNS] if by_label else []
    rows: list[list[Cell]] = [
        [name, size, *(by_label[name].get(label, 0) for label in shown)] for name, size in report["sizes"].items()
    ]
    caption = _of("Points of each cluster, by label" if shown else "Points of each cluster", len(shown), len(labels))
    return table(caption, ["cluster", "points", *shown], rows)


def _figures(report: Mapping[str, Any], caption: str, meanings: Mapping[str, str]) -> str:
    rows: list[list[Cell]] = [[key, report[key], text] for key, text in meanings.items() if key in report]
    return table(caption, ["figure", "value", "meaning"], rows)


def _members(report: Mapping[str, Any]) -> str:
    parts = ["<h3>What clusters are made of</h3>"]
    for where, caption in (("nearest", "nearest to the center"), ("farthest", "farthest from it")):
        for name, points in report[where].items():
            title = f"Noise: points {caption}" if name == "noise" else f"Cluster {name}: points {caption}"
            heads = [key for key in ("row", "label", "text", "distance") if all(key in one for one in points)]
            rows = [[_short(one[key]) if key == "text" else one[key] for key in heads] for one in points]
            parts.append(table(title, heads, rows))
    return "\n".join(parts)


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[:LETTERS]}…"
