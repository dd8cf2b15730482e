"""Datasets of the Hub and files in its formats: columns and splits by name, read as the zoo's own files are."""

import gc
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import PAIRS, SMALL, inside, one_error

import zoo
from zoo.config import HubConfig, LabelledConfig, PairsConfig, TrainConfig, check, model_config
from zoo.data import hub
from zoo.data.build import build_data, read_parts
from zoo.data.splits import hashes
from zoo.errors import ConfigError, DataError
from zoo.experiment import train
from zoo.experiment.directory import make_absolute
from zoo.experiment.identity import digests_of

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # a stream that is not read to its end
TEXTS = [f"{word} {other}" for word in "abcdefgh" for other in "stuvwxyz"]
ROWS = [(text, "good" if number % 2 else "bad") for number, text in enumerate(TEXTS)]
CLASSIFIER, SEQ2SEQ = model_config("classifier", {}), model_config("seq2seq", {})
Toy = Callable[..., TrainConfig]


@pytest.fixture
def library(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give Hugging Face's library with a cache of its own; skip where it is not installed."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", here / "cache")
    yield datasets
    gc.collect()


@pytest.fixture
def files(library: Any) -> Any:
    """Write the rows in each format, texts and labels, the labels as classes where the format knows them."""
    rows = {"label": [label for _, label in ROWS], "text": TEXTS}
    made = library.Dataset.from_dict(rows).cast_column("label", library.ClassLabel(names=["good", "bad"]))
    made.to_parquet("rows.parquet")
    made.save_to_disk("saved")
    plain = library.Dataset.from_dict(rows)
    plain.to_csv("rows.csv")
    plain.to_json("rows.json")
    Path("rows.tsv").write_text("".join(f"{label}\t{text}\n" for text, label in ROWS))
    return made


FORMATS = {"csv": "rows.csv", "json": "rows.json", "parquet": "rows.parquet",
           "arrow": "saved/data-00000-of-00001.arrow"}  # fmt: skip
COLUMNS: list[Any] = ["text", "label"]


def config_of(model: Any = CLASSIFIER, **options: Any) -> TrainConfig:
    config = TrainConfig(model=model, dataset=HubConfig(**{"columns": list(COLUMNS), **options}))
    check(config)
    return config


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_gives_the_rows_splits_and_ids_of_a_file_of_the_zoo(kind: str, streaming: bool, files: Any) -> None:
    own = TrainConfig(model=CLASSIFIER, dataset=LabelledConfig(train="rows.tsv", columns=[1, 0]))
    config = config_of(path=kind, train=FORMATS[kind], streaming=streaming)
    parts, expected = read_parts(config), read_parts(own)
    assert list(parts.train.each()) == list(expected.train.each())
    assert parts.valid == expected.valid
    assert len(parts.valid.sources) > 1
    data = build_data(config)
    assert digests_of(data) == digests_of(build_data(own))
    assert data.labels == ["bad", "good"]


def test_columns_are_named_or_numbered_and_lie_within_others(library: Any) -> None:
    both = [{"en": text, "de": text.upper()} for text in TEXTS]
    kinds = {
        "id": library.Value("int64"),
        "translation": library.Translation(["en", "de"]),
        "a.b": library.Value("string"),
    }
    rows = {"id": list(range(len(both))), "translation": both, "a.b": TEXTS}
    library.Dataset.from_dict(rows, features=library.Features(kinds)).to_parquet("rows.parquet")
    library.Dataset.from_dict({"meta": [{"deep": {"x": text}} for text in TEXTS], "n": rows["id"]}).to_json("rows.json")

    def rows_of(path: str, file: str, columns: list[Any]) -> Any:
        parts = read_parts(config_of(SEQ2SEQ, task="pairs", path=path, train=file, columns=columns))
        return sorted([*parts.train.each(), *parts.valid.each()])

    assert rows_of("parquet", "rows.parquet", ["translation.en", "translation.de"]) == [(t, t.upper()) for t in TEXTS]
    assert rows_of("parquet", "rows.parquet", [2, "translation.en"]) == [(text, text) for text in TEXTS]
    assert rows_of("parquet", "rows.parquet", ["a.b", 0])[1] == (TEXTS[1], "1")
    assert rows_of("json", "rows.json", ["meta.deep.x", "n"])[2] == (TEXTS[2], "2")


def test_splits_are_named_in_a_directory_in_one_that_was_saved_and_in_several_files(files: Any) -> None:
    Path("folder").mkdir()
    files.select(range(40)).to_parquet("folder/train-0.parquet")
    files.select(range(40, 64)).to_parquet("folder/test-0.parquet")
    found = read_parts(config_of(path="folder", valid="test"))
    assert (len(list(found.train.each())), len(found.valid.sources), found.test) == (40, 24, None)
    files.train_test_split(0.25, seed=1).save_to_disk("both")
    found = read_parts(config_of(path="both", valid="test"))
    assert (len(list(found.train.each())), len(found.valid.sources)) == (48, 16)
    found = read_parts(config_of(path="saved"))
    assert len(list(found.train.each())) + len(found.valid.sources) == 64
    found = read_parts(config_of(path="parquet", train=["folder/train-0.parquet", "folder/test-0.parquet"]))
    assert len(list(found.train.each())) + len(found.valid.sources) == 64
    found = read_parts(config_of(path="parquet", train="folder/*.parquet", valid="rows.parquet"))
    assert len(list(found.train.each())) == 64


def test_a_stream_ends_once_the_rows_that_train_are_there(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ROWS", 4)
    asked = []
    batches = hub._batches
    monkeypatch.setattr(hub, "_batches", lambda found: (asked.append(1) or batch for batch in batches(found)))
    parts = read_parts(config_of(path="json", train="rows.json", streaming=True, limit=10))
    kept = [text for text in TEXTS if hashes([text])[0] >= 0.1][:10]
    assert [text for text, _ in parts.train.each()] == kept
    assert len(asked) <= 4


def test_what_is_empty_or_unlabeled_is_dropped_and_counted(library: Any) -> None:
    labels = [None, *([0, 1] * 32)[1:]]
    made = library.Dataset.from_dict({"text": [*TEXTS[:-1], None], "label": labels})
    made.cast_column("label", library.ClassLabel(names=["bad", "good"])).to_parquet("rows.parquet")
    made = library.Dataset.from_dict({"text": TEXTS[:4], "label": [0, -1, 1, 1]})
    made.cast_column("label", library.ClassLabel(names=["bad", "good"])).to_parquet("test.parquet")
    data = build_data(config_of(path="parquet", train="rows.parquet", valid="test.parquet", leakage="ignore"))
    assert data.notes["train_empty"] == 2
    assert data.notes["valid_empty"] == 1
    assert data.labels == ["bad", "good"]


def test_sources_on_both_sides_are_found(files: Any) -> None:
    with pytest.raises(DataError, match="64 sources of the valid part are in the training part too"):
        read_parts(config_of(path="csv", train="rows.csv", valid="rows.csv", leakage="error"))


def test_a_run_resumes_to_the_same_bits_is_evaluated_and_predicts(library: Any, toy: Toy) -> None:
    rows = [line.split("\t") for line in PAIRS.splitlines()]
    library.Dataset.from_dict({"word": [word for word, _ in rows], "upper": [upper for _, upper in rows]}).to_json(
        "p.json"
    )
    Path("p.tsv").write_text(PAIRS)

    def config(**more: Any) -> TrainConfig:
        dataset = HubConfig(path="json", task="pairs", train="p.json", columns=["word", "upper"])  # type: ignore[arg-type]
        return toy(dataset=dataset, **more)

    whole = train(config(run_dir="whole"))
    assert train(toy(dataset=PairsConfig(train="p.tsv"), run_dir="own"))["valid"] == whole["valid"]
    train(config(run_dir="run", max_steps=1))
    assert train(config(run_dir="run", resume=True))["valid"] == whole["valid"]
    run = zoo.load("whole")
    assert run.evaluate("valid") == whole["valid"]
    assert len(run.predict(["ab"])) == 1
    Path("more.jsonl").write_text(json.dumps({"upper": "A B", "word": "ab"}) + "\n")
    assert run.evaluate(files=["more.jsonl"])["loss"] > 0
    assert Path(run.config.dataset.train) == Path("p.json").resolve()


def test_paths_become_absolute_and_names_of_splits_do_not(here: Path) -> None:
    config = config_of(path="csv", train=["a.csv", "https://host/b.csv"], test="t.csv")
    make_absolute(config)
    assert config.dataset.train == [str(here / "a.csv"), "https://host/b.csv"]
    assert (config.dataset.valid, config.dataset.test) == ("", str(here / "t.csv"))
    config = config_of(path="user/name", valid="validation")
    make_absolute(config)
    assert (config.dataset.path, config.dataset.train, config.dataset.valid) == ("user/name", "train", "validation")


def test_without_the_library_one_line_says_what_to_install(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert inside("train", "model=classifier", "dataset=hub", "dataset.path=csv", "dataset.train=a.csv") == 2
    assert one_error(capfd.readouterr().err) == (
        "dataset=hub needs Hugging Face's datasets, which is not installed: pip install 'zoo[hub]'"
    )


@pytest.mark.parametrize(("options", "message"), [
    ({}, "`dataset.path` is empty; name a dataset of the Hub, as in dataset.path=user/name, or the format"),
    ({"path": "csv"}, "`dataset.train` must name your training file: dataset=hub dataset.path=csv dataset.train=NAME"),
    ({"path": "u/n", "train": ""}, "`dataset.train` must name the split to train on"),
    ({"path": "u/n", "test": ["a", "b"]}, "`dataset.test` must be one split, but is ['a', 'b']; only files may be"),
    ({"path": "csv", "train": "a", "revision": "x"}, "`dataset.revision` has no effect on files of your own"),
    ({"path": "u/n", "columns": ["a"]}, "`dataset.columns` must be two names or numbers from 0"),
    ({"path": "u/n", "src_tokenizer": "bpe"}, "`dataset.src_tokenizer` has no effect on dataset.task=labelled"),
    ({"path": "u/n", "bleu": "13a"}, "`dataset.bleu` has no effect on dataset.task=labelled"),
    ({"path": "u/n", "task": "pairs"}, "holds source and target sequences; set dataset.task=labelled"),
])  # fmt: skip
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize(("options", "message"), [
    ({"path": "csv", "train": "none.csv"}, "none.csv: cannot be read as csv: Unable to find"),
    ({"path": "parquet", "train": "rows.csv"}, "rows.csv: cannot be read as parquet: "),
    ({"path": "saved", "train": "trian"}, "saved: unknown split 'trian'; did you mean 'train'? (choices: train); set "
                                          "`dataset.train`"),
    ({"path": "csv", "train": "rows.csv", "columns": ["txt", 0]}, "rows.csv: unknown column 'txt'; did you mean 'text'"
                                                                  "? (choices: label, text); set `dataset.columns`"),
    ({"path": "csv", "train": "rows.csv", "columns": [0, 2]}, "rows.csv: has 2 columns (label, text), so none has the "
                                                              "number 2"),
    ({"path": "json", "train": "list.json", "columns": ["a", "b"]}, "list.json, row 2: expected a text in "),
])  # fmt: skip
def test_faults_of_the_data_are_told_in_one_line(options: dict[str, Any], message: str, files: Any) -> None:
    Path("list.json").write_text('{"a": "x", "b": null}\n{"a": "x", "b": ["y"]}\n')
    with pytest.raises(DataError) as caught:
        read_parts(config_of(**options))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("error", "message"), [
    (ConnectionError("Couldn't reach 'u/n'"), "u/n: the Hub cannot be reached (Couldn't reach 'u/n'); check the"),
    (FileNotFoundError("Dataset 'u/n' doesn't exist on the Hub"), "u/n: cannot be loaded: Dataset 'u/n' doesn't exist"),
    (ValueError("Config name is missing.\nPick one"), "u/n: Config name is missing.; set `dataset.config`"),
])  # fmt: skip
def test_a_hub_that_does_not_answer_or_lacks_the_set_is_told(
    error: Exception, message: str, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*names: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(library, "load_dataset_builder", fail)
    with pytest.raises(DataError) as caught:
        read_parts(config_of(path="u/n"))
    assert message in str(caught.value)


def test_other_formats_and_code_beside_the_data_are_not_read(library: Any) -> None:
    Path("folder/images").mkdir(parents=True)
    Path("folder/page.xml").write_text("<a/>")
    with pytest.raises(
        DataError, match="folder: is kept as xml, and dataset=hub reads csv, json, parquet, arrow alone"
    ):
        read_parts(config_of(path="folder"))
    Path("script").mkdir()
    Path("script/script.py").write_text("open('harmed', 'w')")
    with pytest.raises(DataError, match="script: cannot be loaded"):
        read_parts(config_of(path="script"))
    assert not Path("harmed").exists()


def test_the_command_line_trains_on_a_file_of_the_hub_s_formats(files: Any, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["dataset.path=parquet", "dataset.train=rows.parquet", "dataset.columns=[text,label]", "run_dir=run"]
    assert inside("train", "model=classifier", "dataset=hub", *words, *SMALL) == 0
    capfd.readouterr()
    assert inside("evaluate", "run") == 0
    assert inside("explore", "hub", *words[:3], "--reduce", "pca", "--out", "out") == 0
    assert "accuracy" in capfd.readouterr().out
