"""The order of the work, and what of it goes to the Projector, the page and the report."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo.explore import board
from zoo.explore.board import projector_files, scalars
from zoo.explore.exploring import Findings, explore, steps
from zoo.explore.options import plan_of
from zoo.explore.page import number, table
from zoo.explore.pictures import pictures_of
from zoo.explore.report import report_of
from zoo.explore.sources import Source
from zoo.explore.table import Table
from zoo.record.drawing import figure_pixels


def source(*, points: int = 40, labels: bool = True) -> Source:
    rng = np.random.default_rng(0)
    numbers = np.arange(points) % 2
    x = rng.normal(size=(points, 4)) + 4 * numbers[:, None]
    names = np.array(["low", "high"])[numbers] if labels else None
    texts = tuple(f"text\t{row}\nof $x$" for row in range(points))
    return Source("made", "table", "rows", "/made", Path("made"), Table(x, tuple("abcd"), names, None, texts),
                  10 * np.arange(points))  # fmt: skip


def found(given: Source | None = None, **options: Any) -> Findings:
    return explore(given or source(), plan_of(**options))


@pytest.mark.parametrize(("options", "labels"), [
    ({}, True), ({}, False), ({"reduce": "pls"}, True), ({"cluster": "dbscan"}, True), ({"cluster": "dbscan"}, False),
    ({"reduce": "variance"}, False),
])  # fmt: skip
def test_no_more_steps_are_told_than_were_announced(options: dict[str, str], labels: bool) -> None:
    given = source(labels=labels)
    told: list[str] = []
    explore(given, plan_of(**options), step=told.append)
    assert 0 < len(told) <= steps(given, plan_of(**options))


def test_what_is_clustered_are_the_reduced_points() -> None:
    one = found(reduce="pca", components=2, cluster="kmeans", clusters="2")
    assert one.clustered is not None
    assert one.main is not None
    np.testing.assert_array_equal(one.clustered.points, one.main.scores)
    alone = found(cluster="kmeans", clusters="2")
    assert alone.clustered is not None
    np.testing.assert_allclose(alone.clustered.points.std(0), 1)


def test_rows_are_those_of_the_whole_source() -> None:
    report = report_of(found(clusters="2"))
    rows = [one["row"] for group in report["nearest"].values() for one in group]
    assert rows
    assert all(row % 10 == 0 for row in rows)
    labels = source().table.labels
    assert labels is not None
    assert all(one["label"] == labels[one["row"] // 10] for group in report["farthest"].values() for one in group)
    assert report["nearest"]["0"][0]["text"] == f"text\t{report['nearest']['0'][0]['row'] // 10}\nof $x$"


def test_the_projector_has_a_line_for_each_point_and_three_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "POINTS", 7)
    files = projector_files(found(reduce="pca", components=1, cluster="dbscan"))
    points = [line.split("\t") for line in files["points.tsv"].decode().splitlines()]
    metadata = [line.split("\t") for line in files["metadata.tsv"].decode().splitlines()]
    assert [len(line) for line in points] == [3] * 7
    assert [len(line) for line in metadata] == [4] * 8
    assert metadata[1] == ["0", "low", metadata[1][2], "text 0 of $x$"]


def test_curves_have_a_step_for_each_number_of_components() -> None:
    report = report_of(found(reduce="pls", components=2))
    told = {(tag, step): value for tag, value, step in scalars(report)}
    assert told["components/explained_y", 2] == pytest.approx(report["explained_y_total"])
    assert told["components/probe_accuracy", 1] == report["probe_accuracy"]["1"]


def test_a_supervised_reduction_flatters_its_clusters_and_says_so() -> None:
    notes = found(reduce="pls", components=1, cluster="kmeans", clusters="2").notes
    assert "pls has seen the labels, so that clusters agree with them more than they should" in notes
    assert not found(reduce="pca", components=1, cluster="kmeans", clusters="2").notes


def test_every_picture_says_in_words_what_it_shows() -> None:
    pictures = pictures_of(found())
    assert len({picture.name for picture in pictures}) == len(pictures)
    for picture in pictures:
        assert picture.alt.endswith(".")
        assert picture.reading.endswith(".")
        assert any(letter.isdigit() for letter in picture.alt), picture.name


@pytest.mark.parametrize("options", [{}, {"reduce": "variance", "components": 2}])
def test_names_of_features_at_the_axes_are_no_formulas(options: dict[str, Any]) -> None:
    given = source()
    table = Table(given.table.x[:, :2], ("$\\frac$", "키"), given.table.labels)
    one = found(given._replace(table=table), cluster="kmeans", clusters="2", **options)
    (picture,) = (picture for picture in pictures_of(one) if picture.name == "clusters")
    assert {picture.figure.axes[0].get_xlabel(), picture.figure.axes[0].get_ylabel()} == {"$\\frac$", "키"}
    assert figure_pixels(picture.figure).std() > 1


def test_tables_have_heads_and_what_is_not_defined_is_said() -> None:
    html = table("A <b>", ["x", "y"], [["r", None], ["s", 0.123456], ["t", 12345]])
    assert "A &lt;b&gt;" in html
    assert html.count('scope="row"') == 3
    assert "<td>not defined</td>" in html
    assert ">0.1235<" in html
    assert ">12,345<" in html
    assert table("empty", ["x"], []) == ""
    assert number(1234567.8) == "1,234,568"
