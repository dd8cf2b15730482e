"""`zoo explore`: what it writes, on published examples and through the command line."""

import csv
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import LABELLED, inside, zoo
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from zoo.errors import ConfigError
from zoo.explore.options import REDUCE
from zoo.explore.saving import prepared
from zoo.explore.sources import Source
from zoo.explore.table import Table
from zoo.explore.validity import INSIDE, OUTSIDE
from zoo.metrics import Array
from zoo.storage import alone


def write_table(path: Path, data: Any, *, texts: bool = False) -> tuple[Array, Array]:
    """Write one of scikit-learn's data sets; return its features, and the names of its labels."""
    labels = np.array(data.target_names)[data.target]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*data.feature_names, "label", *(["text"] if texts else [])])
        for number, (row, label) in enumerate(zip(data.data.tolist(), labels, strict=True)):
            writer.writerow([*row, label, *([f"<b>{label}</b> & {number}"] if texts else [])])
    return np.asarray(data.data), labels


def explored(*words: str) -> dict[str, Any]:
    """Explore through the command line, and return the report that was written."""
    assert inside("explore", *words, "--out", "out") == 0
    found: dict[str, Any] = json.loads(Path("out/report.json").read_text(encoding="utf-8"))
    return found


def test_wine_has_the_figures_that_scikit_learn_gives(here: Path) -> None:
    x, labels = write_table(here / "wine.csv", load_wine())
    report = explored("wine.csv", "--reduce", "pca", "--components", "2", "--cluster", "kmeans", "--clusters", "3")
    scaled = StandardScaler().fit_transform(x)
    pca = PCA(2).fit(scaled)
    scores = pca.transform(scaled)
    truth = KMeans(3, n_init=5, random_state=1).fit(scores)
    np.testing.assert_allclose(report["explained_x"], pca.explained_variance_ratio_)
    loadings = np.array(list(report["loadings"].values()))
    np.testing.assert_allclose(np.abs(loadings), np.abs(pca.components_.T))
    assert report["sse"] == pytest.approx(truth.inertia_)
    assert report["silhouette"] == pytest.approx(metrics.silhouette_score(scores, truth.labels_))
    assert report["davies_bouldin"] == pytest.approx(metrics.davies_bouldin_score(scores, truth.labels_))
    assert report["calinski_harabasz"] == pytest.approx(metrics.calinski_harabasz_score(scores, truth.labels_))
    assert report["adjusted_rand"] == pytest.approx(metrics.adjusted_rand_score(labels, truth.labels_))
    assert report["nmi"] == pytest.approx(metrics.normalized_mutual_info_score(labels, truth.labels_))
    assert sorted(report["sizes"].values()) == sorted(np.bincount(truth.labels_).tolist())


def test_vip_of_iris_is_that_of_scikit_learns_weights(here: Path) -> None:
    x, labels = write_table(here / "iris.csv", load_iris())
    report = explored("iris.csv", "--reduce", "pls", "--components", "2")
    y = (labels[:, None] == np.unique(labels)).astype(float)
    model = PLSRegression(2, scale=False, tol=1e-12, max_iter=2000).fit(
        StandardScaler().fit_transform(x), y - y.mean(0)
    )
    explained = (model.x_scores_**2).sum(0) * (model.y_loadings_**2).sum(0)
    vip = np.sqrt(x.shape[1] * (model.x_weights_**2 @ explained) / explained.sum())
    np.testing.assert_allclose(list(report["vip"].values()), vip, rtol=1e-4)
    assert list(report["vip"]) == load_iris().feature_names
    assert not set(report) & {*INSIDE, *OUTSIDE}


def test_without_options_the_report_has_all_and_pls_beside_pca(here: Path) -> None:
    write_table(here / "iris.csv", load_iris())
    report = explored("iris.csv")
    assert (report["reduce"], report["cluster"]) == ("pca", "kmeans")
    assert {*INSIDE, *OUTSIDE, "vip", "pls_explained_y", "probe_accuracy", "pls_probe_accuracy"} <= set(report)
    assert report["probe_baseline"] == pytest.approx(1 / 3)
    assert report["clusters_by_rule"]["silhouette"] == report["clusters"]
    assert report["labels"] == {"setosa": 50, "versicolor": 50, "virginica": 50}
    names = {"reductions", "explained", "vip", "probe", "components", "clusters", "silhouette", "choice"}
    assert {name.removesuffix(".png") for name in report["figures"]} == names
    assert all((here / "out" / name).read_bytes().startswith(b"\x89PNG") for name in report["figures"])


def test_the_label_is_no_feature_whatever_its_name(here: Path) -> None:
    (here / "t.csv").write_text(
        "kind,a,b\n" + "".join(f"{i % 2},{i},{i * i % 7}\n" for i in range(40)), encoding="utf-8"
    )
    assert list(explored("t.csv", "--label", "kind", "--reduce", "pls")["vip"]) == ["a", "b"]


@pytest.mark.slow
@pytest.mark.parametrize("reduce", REDUCE)
def test_each_reduction_is_clustered(here: Path, reduce: str) -> None:
    write_table(here / "iris.csv", load_iris())
    report = explored("iris.csv", "--reduce", reduce, "--components", "2", "--cluster", "kmeans", "--clusters", "3")
    assert report["reduce"] == reduce
    assert 1 <= report["components"] <= 2
    assert report["adjusted_rand"] > 0.3
    assert len(report["explained_x"]) in (1, 2)
    assert 0 < report["explained_x_total"] <= 1
    assert report.get("selected") is None or set(report["selected"]) <= set(load_iris().feature_names)


@pytest.mark.slow
@pytest.mark.parametrize(("words", "figure"), [
    (("--cluster", "kmedoids", "--distance", "manhattan"), "choice.png"),
    (("--cluster", "hierarchical", "--linkage", "average"), "dendrogram.png"),
    (("--cluster", "dbscan"), "k_distance.png"),
])  # fmt: skip
def test_each_clustering_has_its_figures_without_a_reduction_too(
    here: Path, words: tuple[str, ...], figure: str
) -> None:
    write_table(here / "iris.csv", load_iris())
    report = explored("iris.csv", *words)
    assert "reduce" not in report
    assert figure in report["figures"]
    assert sum(report["sizes"].values()) == 150
    assert sum(sum(counts.values()) for counts in report["labels_by_cluster"].values()) == 150


def test_numbers_to_explain_have_no_labels_and_no_probe(here: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    rows = np.column_stack([x, x[:, 0] + 0.1 * rng.normal(size=60), x[:, 1]])
    np.savetxt(here / "t.csv", rows, delimiter=",", header="a,b,c,p,q", comments="")
    report = explored("t.csv", "--targets", "p,q", "--reduce", "pls")
    assert report["targets"] == 2
    assert report["explained_y_total"] > 0.9
    assert report["vip"]["c"] < report["vip"]["a"]
    assert not {"labels", "probe_accuracy", "probe_baseline"} & set(report)


def test_very_many_clusters_are_drawn_and_a_legend_names_the_largest(here: Path) -> None:
    np.save(here / "z.npy", np.random.default_rng(0).normal(size=(60, 3)))
    assert explored("z.npy", "--cluster", "kmedoids", "--clusters", "60")["clusters"] == 60


def test_a_label_with_few_points_leaves_out_cross_validation_and_says_so(here: Path) -> None:
    rows = "".join(f"{i},{i * 7 % 11},{'rare' if i == 3 else 'often'}\n" for i in range(20))
    (here / "t.csv").write_text("a,b,label\n" + rows, encoding="utf-8")
    report = explored("t.csv")
    assert "no cross-validation: label 'rare' has 1 points, fewer than the 5 folds" in report["notes"]
    assert report["purity"] > 0.9


@pytest.mark.slow
def test_two_equal_calls_give_equal_reports(here: Path) -> None:
    write_table(here / "iris.csv", load_iris())
    first = explored("iris.csv", "--reduce", "autoencoder", "--components", "2", "--cluster", "kmeans")
    events = list((here / "out").glob("*.tfevents.*"))
    assert explored("iris.csv", "--reduce", "autoencoder", "--components", "2", "--cluster", "kmeans") == first
    assert len(list((here / "out").glob("*.tfevents.*"))) == len(events) == 1


def test_what_an_earlier_report_has_drawn_does_not_stay(here: Path) -> None:
    write_table(here / "iris.csv", load_iris())
    explored("iris.csv", "--cluster", "dbscan")
    (here / "out/mine.txt").write_text("mine", encoding="utf-8")
    report = explored("iris.csv", "--reduce", "pca")
    names = {path.name for path in (here / "out").iterdir() if "tfevents" not in path.name}
    own = {"report.json", "report.html", "points.tsv", "metadata.tsv", "projector_config.pbtxt"}
    assert names == {*report["figures"], *own, "mine.txt"}


def test_the_report_of_another_source_is_not_lost(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(here / "iris.csv", load_iris())
    write_table(here / "wine.csv", load_wine())
    explored("iris.csv", "--reduce", "pca")
    before = (here / "out/report.json").read_bytes()
    assert inside("explore", "wine.csv", "--out", "out") == 2
    assert "out holds the report of table " in capsys.readouterr().err
    assert (here / "out/report.json").read_bytes() == before


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": "table"}', '{"kind": "run", "path": "elsewhere"}'])
def test_a_report_that_is_not_ours_is_left_alone(here: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    (here / "out").mkdir()
    (here / "out/report.json").write_text(content, encoding="utf-8")
    write_table(here / "iris.csv", load_iris())
    assert inside("explore", "iris.csv", "--out", "out") == 2
    assert "is another source; name another place with --out" in capsys.readouterr().err
    assert [path.name for path in (here / "out").iterdir()] == ["report.json"]


def test_two_reports_are_not_written_into_one_place_at_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(here / "iris.csv", load_iris())
    (here / "out").mkdir()
    with alone(here / "out"):
        assert inside("explore", "iris.csv", "--out", "out") == 8
    told = f"out: process {os.getpid()} is exploring here; wait for it or name another place with --out"
    assert told in capsys.readouterr().err
    assert list((here / "out").iterdir()) == []


def test_a_run_that_was_moved_still_owns_the_report_in_it(tmp_path: Path) -> None:
    table = Table(np.zeros((3, 1)), ("a",))
    home = tmp_path / "run/explore"
    run = Source("run", "run", "states", str(tmp_path / "run"), home, table, np.arange(3))
    home.mkdir(parents=True)
    (home / "report.json").write_text('{"kind": "run", "path": "/before"}', encoding="utf-8")
    with prepared(home, run):
        pass
    with (
        pytest.raises(ConfigError, match="holds the report of run /before"),
        prepared(home, run._replace(home=tmp_path)),
    ):
        pass


def test_a_link_that_a_stranger_has_put_is_not_followed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine").mkdir()
    (here / "explore").mkdir()
    (here / "explore/iris").symlink_to(here / "mine")
    write_table(here / "iris.csv", load_iris())
    assert inside("explore", "iris.csv") == 6
    assert "explore/iris: is a link" in capsys.readouterr().err
    assert not list((here / "mine").iterdir())


@pytest.mark.slow
def test_reports_lie_under_explore_and_those_of_a_run_in_it(here: Path) -> None:
    Path("texts.tsv").write_text(LABELLED * 3, encoding="utf-8")
    words = ("model=classifier", "model.hidden_size=8", "model.embedding_size=8", "dataset=labelled")
    files = ("dataset.train=texts.tsv", "dataset.valid=texts.tsv")
    assert zoo("train", *words, *files, "max_steps=2", "run_dir=runs/one", "device=cpu", cwd=here).returncode == 0
    assert inside("explore", "last", "--reduce", "pls", "--components", "2") == 0
    report = json.loads(Path("runs/one/explore/report.json").read_text(encoding="utf-8"))
    assert (report["kind"], report["points"], len(report["labels"])) == ("run", 36, 2)
    assert inside("explore", "runs/one", "--tokens", "--reduce", "pca", "--components", "2") == 0
    assert Path("runs/one/explore-tokens/report.json").exists()
    assert inside("explore", "labelled", *files, "--cluster", "kmeans", "--clusters", "2") == 0
    assert Path("explore/labelled-texts/report.json").exists()


class Page(HTMLParser):
    """Counts what a screen reader needs, and collects what a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.alts: list[str] = []
        self.addresses: list[str] = []
        self.counts: dict[str, int] = {}
        self.bold = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag == "img":
            self.alts.append(given.get("alt") or "")
        if tag == "th":
            assert given["scope"] in ("row", "col")
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href")]


def test_the_page_stands_alone_and_can_be_read_aloud(here: Path) -> None:
    write_table(here / "iris.csv", load_iris(), texts=True)
    report = explored("iris.csv")
    text = (here / "out/report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.alts) == len(report["figures"])
    assert all(len(alt) > 20 for alt in page.alts)
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not re.search(r"@import|url\(|<script|<link", text)
    assert page.counts["h1"] == 1
    assert page.counts["table"] == page.counts["caption"] == page.counts["thead"]
    assert '<html lang="en">' in text
    assert "b" not in page.counts
    assert "&lt;b&gt;setosa&lt;/b&gt; &amp; " in text


def test_nothing_in_a_table_becomes_markup(here: Path) -> None:
    names = '"<script>alert(1)</script>","a""onload=""x",label'
    rows = "".join(f'{i},{i * 7 % 5},"<img src=x>{"ab"[i % 2]}"\n' for i in range(30))
    (here / "<i>.csv").write_text(f"{names}\n{rows}", encoding="utf-8")
    explored("<i>.csv", "--reduce", "pls")
    text = (here / "out/report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "i"} & set(page.counts)
    assert all(address.startswith("data:") for address in page.addresses)


def test_tensorboard_finds_scalars_images_and_the_points(here: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_table(here / "iris.csv", load_iris(), texts=True)
    report = explored("iris.csv")
    events = EventAccumulator(str(here / "out"))
    events.Reload()
    tags = events.Tags()
    assert {name.removesuffix(".png") for name in report["figures"]} == set(tags["images"])
    assert events.Scalars("explore/silhouette")[0].value == pytest.approx(report["silhouette"])
    curve = [point.value for point in events.Scalars("components/probe_accuracy")]
    assert curve == pytest.approx(list(report["probe_accuracy"].values()))
    points = (here / "out/points.tsv").read_text(encoding="utf-8").splitlines()
    metadata = [line.split("\t") for line in (here / "out/metadata.tsv").read_text(encoding="utf-8").splitlines()]
    assert metadata[0] == ["row", "label", "cluster", "text"]
    assert len(metadata) == len(points) + 1 == 151
    assert all(len(line.split("\t")) >= 3 for line in points)
    assert 'metadata_path: "metadata.tsv"' in (here / "out/projector_config.pbtxt").read_text(encoding="utf-8")


def test_the_summary_says_what_was_found_and_where(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(here / "iris.csv", load_iris())
    assert inside("explore", "iris.csv", "--reduce", "pls", "--components", "2", "--cluster", "kmeans") == 0
    shown = capsys.readouterr().out
    parts = ("150 points of 4 features, 3 labels", "2 components (given)", "vip ", "inside ", "outside ")
    for text in (*parts, "pls has seen the labels", "explore/iris/report.html", "--logdir explore/iris"):
        assert text in shown
    assert re.search(r"kmeans +\d clusters \(silhouette; elbow \d, gap \d\): ", shown)
    assert inside("explore", "iris.csv", "--cluster", "kmeans", "--clusters", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["clusters"] == 2


@pytest.mark.parametrize(("words", "code", "message"), [
    (("movie_review",), 2, "unknown source 'movie_review'; did you mean 'movie_reviews'?"),
    (("none.csv",), 3, "none.csv: no such file"),
    (("t.csv", "--label", "kid"), 2, "unknown column 'kid'; did you mean 'kind'?"),
    (("t.csv",), 3, "t.csv:2: 'x' in column 'kind' is no finite number"),
    (("t.csv", "--label", "kind"), 3, "2 points (rows of a table) are too few to explore"),
    (("t.csv", "u.csv"), 2, "one source at a time, but got t.csv and u.csv"),
    (("t.csv", "--split", "test"), 2, "`--split` is of a run or dataset, but t.csv is a table; leave it out"),
    (("t.csv", "--tokens"), 2, "`--tokens` is of a run, but t.csv is a table"),
    (("cmudict", "--targets", "a"), 2, "`--targets` is of a table, but cmudict is a dataset"),
    (("cmudict", "model.dropout=0.5"), 2, "`model.dropout` has no effect on a dataset that is explored"),
    (("cmudict", "dataset.sorce=imdb"), 2, "unknown option of dataset=cmudict 'sorce'"),
    (("movie_reviews", "dataset.source=imbd"), 2, "unknown value of `dataset.source` 'imbd'; did you mean 'imdb'?"),
    (("movie_reviews", "--split", "trian"), 2, "unknown split 'trian'; did you mean 'train'?"),
    (("z.csv", "--cluster", "kmeans", "--clusters", "9"), 2, "`--clusters` must be from 1 to 4"),
    (("c.csv",), 3, "all features are constant"),
    (("g2p-en", "--side", "tgt"), 2, "`--side` has no effect without `--tokens`"),
    (("g2p-en", "--tokens", "--split", "test"), 2, "`--split` has no effect beside `--tokens`"),
    (("copy", "--limit", "-1"), 2, "`--limit` must be at least 0, but is -1"),
    (("t.csv", "--out", ""), 2, "`--out` is empty; give it a value, or leave it out"),
    (("runs/none",), 4, "runs/none: no such run or table"),
    (("--reduce", "pca"), 2, "the following arguments are required: SOURCE; see zoo explore --help"),
])  # fmt: skip
def test_what_is_wrong_is_one_line_and_a_code(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, message: str
) -> None:
    (here / "t.csv").write_text("a,kind\n1,x\n2,y\n", encoding="utf-8")
    (here / "z.csv").write_text("a,b\n1,2\n2,3\n4,8\n5,7\n", encoding="utf-8")
    (here / "c.csv").write_text("a,b\n1,2\n1,2\n1,2\n", encoding="utf-8")
    assert inside("explore", *words) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (here / "explore").exists()


def test_more_components_than_there_can_be_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(here / "iris.csv", load_iris())
    assert inside("explore", "iris.csv", "--reduce", "pca", "--components", "5") == 2
    assert "`--components` must be at most 4 for 150 points of 4 features, but is 5" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_known_before_the_work(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(here / "iris.csv", load_iris())
    (here / "file").write_text("", encoding="utf-8")
    assert inside("explore", "iris.csv", "--out", "file/below") == 6
    assert "file/below: cannot be written" in capsys.readouterr().err
