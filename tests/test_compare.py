"""Runs side by side, and scored together, through the command line."""

import csv
import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zoo.bootstrap import Difference
from zoo.cli import run
from zoo.cli.runs import parted
from zoo.cli.tables import columns, shortened
from zoo.compare import row_of, verdict
from zoo.config import AdamConfig, ClassifierConfig, Encoder, PairsConfig, SGDConfig, Tokenizer, ToyConfig, TrainConfig
from zoo.errors import CheckpointError, ConfigError, DataError, StorageError
from zoo.experiment import load, train
from zoo.experiment.comparison import comparison_figure, grouped
from zoo.experiment.curves import Curves, read_curves
from zoo.experiment.naming import names_of

Toy = Callable[..., TrainConfig]
PARITY = ToyConfig(name="parity", symbols=4, max_length=4, train_size=48, valid_size=8, test_size=8)
BAG = ClassifierConfig(encoder=Encoder.bag, embedding_size=8, hidden_size=8)


@pytest.fixture
def two(here: Path, toy: Toy) -> dict[str, dict[str, Any]]:
    """Train two runs and return their results by name."""
    return {name: train(toy(run_dir=name, epochs=epochs, keep=3)) for name, epochs in (("a", 2), ("b", 5))}


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a verb that must succeed and return what it printed."""

    def ask(*words: str) -> str:
        capsys.readouterr()
        assert run(list(words)) == 0
        return capsys.readouterr().out

    return ask


def test_a_row_is_what_results_say_of_the_main_metric(two: dict[str, dict[str, Any]]) -> None:
    row, results = row_of("a"), two["a"]
    best, curves = results["best_epoch"], read_curves(Path("a"))
    assert row == {
        "run": "a", "model": "seq2seq", "dataset": "copy", "part": "test", "metric": "sequence_error_rate",
        "valid": curves.of("valid_sequence_error_rate")[curves.best], "epoch": curves.best + 1, "epochs": 2,
        "value": results["test"]["sequence_error_rate"], "parameters": results["parameters"],
        "seconds": results["seconds"],
    }  # fmt: skip
    assert curves.of("valid_sequence_error_rate")[best - 1] == row["valid"]


def test_more_than_two_runs_are_a_table(two: dict[str, dict[str, Any]], answer: Callable[..., str]) -> None:
    found = json.loads(answer("compare", "a", "b", "a", "--json"))
    assert [row["run"] for row in found["runs"]] == ["a", "b", "a"]
    lines = answer("compare", "a", "b", "a").splitlines()
    assert lines[0] == "model seq2seq, dataset copy, metric sequence_error_rate, part test"
    heads = "run  options  best valid  best epoch  epochs  test  parameters  seconds"
    assert lines[1].split() == heads.split()
    assert len(lines) == 5
    with pytest.raises(ConfigError, match="`--data`, `--split` and `--beam` are for two runs"):
        run(["compare", "a", "b", "a", "--split", "valid"])


def test_two_runs_are_compared_source_by_source(two: dict[str, dict[str, Any]], answer: Callable[..., str]) -> None:
    found = json.loads(answer("compare", "a", "b", "--json"))
    assert found["sources"] == len(load("a").outcome().sources)
    for metric, difference in found["differences"].items():
        assert difference["value"] == pytest.approx(two["b"]["test"][metric] - two["a"]["test"][metric])
        assert difference["low"] <= difference["high"]
    assert [row["value"] for row in found["runs"]] == [two[name]["test"]["sequence_error_rate"] for name in "ab"]
    itself = json.loads(answer("compare", "a", "a", "--split", "valid", "--json"))
    for difference in itself["differences"].values():
        assert difference == {"value": 0, "low": 0, "high": 0, "p": 1, "verdict": "may be chance"}
    text = answer("compare", "a", "b")
    assert "b against a, " in text
    assert " p " in text


def test_a_run_without_results_is_shown_with_what_is_known(
    two: dict[str, dict[str, Any]], answer: Callable[..., str]
) -> None:
    answer("average", "a")
    assert row_of("a-average2")["value"] is None
    found = json.loads(answer("compare", "a", "a-average2", "--json"))["runs"][1]
    assert found["value"] == load("a-average2").evaluate()["sequence_error_rate"]
    assert found["parameters"] == two["a"]["parameters"]
    assert found["seconds"] is None


def test_runs_on_different_sources_are_not_compared(here: Path, toy: Toy) -> None:
    train(toy(run_dir="a"))
    train(toy(run_dir="b", dataset=ToyConfig(symbols=4, max_length=4, train_size=48, valid_size=8, test_size=5)))
    for verb in ("compare", "evaluate"):
        with pytest.raises(
            DataError, match=r"a and b are scored on different sources .* name one file for all with --data"
        ):
            run([verb, "a", "b"])


def test_tokens_of_different_kinds_are_not_compared(here: Path, toy: Toy, answer: Callable[..., str]) -> None:
    (here / "rows.tsv").write_text("".join(f"{a}{b}\t{b}{a}\n" for a in "가나다" for b in "한글"), encoding="utf-8")
    for name, kind in (("a", Tokenizer.char), ("b", Tokenizer.jamo)):
        data = PairsConfig(train="rows.tsv", valid="rows.tsv", test="rows.tsv", tgt_tokenizer=kind)
        train(toy(run_dir=name, dataset=data))
    assert list(json.loads(answer("compare", "a", "b", "--json"))["differences"]) == ["sequence_error_rate"]


def test_verdicts_follow_the_direction_of_the_metric() -> None:
    assert verdict("accuracy", Difference(0.1, 0.05, 0.2, 0.001)) == "better"
    assert verdict("sequence_error_rate", Difference(0.1, 0.05, 0.2, 0.001)) == "worse"
    assert verdict("bleu", Difference(0.1, -0.05, 0.2, 0.2)) == "may be chance"


def named(**changes: Any) -> TrainConfig:
    return TrainConfig(model=ClassifierConfig(), dataset=PARITY, **changes)


def test_runs_are_named_by_what_differs_and_not_by_what_follows_from_it() -> None:
    adam, sgd = named(optimizer=AdamConfig()), named(optimizer=SGDConfig())
    assert names_of([adam, sgd], ["x/a", "x/b"]) == ["optimizer=adam", "optimizer=sgd"]
    slow = named(optimizer=SGDConfig(lr=0.1))
    assert names_of([adam, slow], ["a", "b"]) == ["optimizer=adam", "optimizer=sgd optimizer.lr=0.1"]
    assert names_of([sgd, slow], ["a", "b"]) == ["optimizer.lr=0.5", "optimizer.lr=0.1"]
    assert names_of([named(seed=1), named(seed=2, epochs=3)], ["a", "b"]) == ["epochs=10 seed=1", "epochs=3 seed=2"]
    assert names_of([adam, adam], ["x/a", "x/b"]) == ["a", "b"]
    assert names_of([adam, adam], ["x/a", "y/a"]) == ["x/a", "y/a"]
    files = [TrainConfig(dataset=PairsConfig(train=f"/long/{name}.tsv")) for name in "ab"]
    assert names_of(files, ["a", "b"]) == ["dataset.train=a.tsv", "dataset.train=b.tsv"]
    sequences = TrainConfig(dataset=ToyConfig(), epochs=5)
    labels = TrainConfig(model=ClassifierConfig(), dataset=ToyConfig(name="parity"))
    assert names_of([labels, sequences], ["a", "b"]) == [
        "model=classifier dataset=parity", "model=transformer dataset=copy"]  # fmt: skip


def drawn(config: TrainConfig, *accuracies: float) -> Curves:
    rows = [{"epoch": n, "step": 10 * n, "seconds": 0.5 * n, "train_loss": 1 / n, "valid_loss": 2 / n,
             "train_accuracy": one, "valid_accuracy": one} for n, one in enumerate(accuracies, 1)]  # fmt: skip
    return Curves(config=config, rows=rows)


def test_runs_that_differ_by_their_seed_alone_are_drawn_together() -> None:
    runs = [drawn(named(seed=seed, epochs=epochs), 0.1 * seed, 0.2) for epochs in (2, 3) for seed in (1, 2, 3)]
    assert [(one.name, len(one.runs)) for one in grouped(runs, list("abcdef"))] == [("epochs=2", 3), ("epochs=3", 3)]
    assert [one.name for one in grouped(runs[:3], list("abc"))] == ["seed=1", "seed=2", "seed=3"]
    figure = comparison_figure(runs, list("abcdef"), by="time")
    loss, accuracy = figure.axes
    assert (loss.get_ylabel(), accuracy.get_ylabel(), loss.get_xlabel()) == ("loss", "accuracy", "seconds")
    dashed, solid = accuracy.lines[:2]
    assert (dashed.get_linestyle(), solid.get_linestyle()) == ("--", "-")
    assert list(solid.get_xdata()) == [0.5, 1.0]
    assert list(solid.get_ydata()) == pytest.approx([0.2, 0.2])
    assert len(accuracy.collections) == 2
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["epochs=2 (3 seeds)", "epochs=3 (3 seeds)", "validation", "training"]


def test_each_metric_has_a_panel_and_runs_without_epochs_are_left_out() -> None:
    sequences = Curves(config=TrainConfig(), rows=[{"epoch": 1, "step": 1, "valid_sequence_error_rate": 0.5}])
    empty = Curves(config=named(seed=5), rows=[])
    figure = comparison_figure([drawn(named(), 0.5), sequences, empty], ["a", "b", "c"])
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "sequence_error_rate"]
    with pytest.raises(DataError, match="none of these runs has finished an epoch"):
        comparison_figure([empty], ["c"])


def test_curves_and_table_are_written_for_a_sweep_that_has_not_finished(here: Path, toy: Toy,
                                                                       answer: Callable[..., str]) -> None:  # fmt: skip
    for seed in (1, 2, 3):
        train(toy(run_dir=f"sweep/{seed}", seed=seed))
    Path("sweep/2/results.json").unlink()
    text = answer("compare", "sweep", "--out", "made/here", "--by", "step")
    assert "drawn  made/here/curves.png, made/here/compare.csv" in text
    assert text.splitlines()[0].endswith(", runs in sweep")
    assert text.splitlines()[2].split()[:2] == ["1", "seed=1"]
    assert Path("made/here/curves.png").read_bytes().startswith(b"\x89PNG")
    with open("made/here/compare.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["options"], row["part"]) for row in rows] == [("seed=1", "test"), ("seed=2", ""), ("seed=3", "test")]
    assert len({row["parameters"] for row in rows}) == 1
    assert all(float(row["seconds"]) > 0 for row in rows)


def test_two_runs_of_which_one_has_no_weights_yet_are_a_table(
    two: dict[str, dict[str, Any]], answer: Callable[..., str]
) -> None:
    for path in Path("a/checkpoints").iterdir():
        path.unlink()
    found = json.loads(answer("compare", "a", "b", "--out", "o", "--json"))
    assert set(found) == {"runs", "files"}
    assert answer("compare", "b", "--out", "o")


def test_wrong_ways_to_draw_are_named(two: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="`--by` says how curves are drawn, which goes with `--out DIR`"):
        run(["compare", "a", "b", "--by", "step"])
    with pytest.raises(ConfigError, match="`--out` is empty; name a directory, or leave it out"):
        run(["compare", "a", "b", "--out", ""])
    Path("file").touch()
    with pytest.raises(StorageError, match="file: is no directory"):
        run(["compare", "a", "b", "--out", "file"])
    with pytest.raises(StorageError, match=r"file/in/it: cannot be made \(Not a directory\); name another with --out"):
        run(["compare", "a", "b", "--out", "file/in/it"])
    with pytest.raises(CheckpointError, match="c: no such run"):
        run(["compare", "a", "c", "--out", "o"])


def test_evaluate_gives_each_score_its_interval_beside_the_fixed_keys(
    two: dict[str, dict[str, Any]], answer: Callable[..., str]
) -> None:
    found = json.loads(answer("evaluate", "a", "--json"))
    intervals = found.pop("intervals")
    assert found == two["a"]["test"]
    for metric in ("token_error_rate", "sequence_error_rate"):
        assert intervals[metric]["low"] <= found[metric] <= intervals[metric]["high"]
    assert json.loads(answer("evaluate", "a", "--json", "--bootstrap", "0")) == two["a"]["test"]
    assert json.loads(answer("evaluate", "a", "--json"))["intervals"] == intervals
    assert "sequence_error_rate  " in answer("evaluate", "a")
    for repeats in ("-1", "1000000000"):
        with pytest.raises(ConfigError, match=f"must be at least 0 and at most 1000000, but is {repeats}"):
            run(["evaluate", "a", "--bootstrap", repeats])


def test_evaluate_of_several_gives_each_their_mean_and_the_ensemble(
    two: dict[str, dict[str, Any]], answer: Callable[..., str]
) -> None:
    found = json.loads(answer("evaluate", "a", "b", "--json"))
    values = [two[name]["test"]["sequence_error_rate"] for name in "ab"]
    assert [(row["run"], row["sequence_error_rate"]) for row in found["runs"]] == list(zip("ab", values, strict=True))
    assert found["mean"]["sequence_error_rate"] == pytest.approx(sum(values) / 2)
    assert found["spread"]["sequence_error_rate"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    ensemble = load("a", "b").evaluate()
    assert {key: found["ensemble"][key] for key in ensemble} == ensemble
    first, *lines = answer("evaluate", "a", "b").splitlines()
    assert first == f"test, {len(load('a').outcome('test').sources):,} sources"
    assert lines[0].split() == ["loss", "token_error_rate", "sequence_error_rate"]
    assert [line.split()[0] for line in lines[1:]] == ["a", "b", "mean", "spread", "ensemble"]


def test_figures_that_are_measured_in_other_ways_have_no_mean(here: Path, toy: Toy, answer: Callable[..., str]) -> None:
    (here / "pairs.tsv").write_text("".join(f"{word}\t{' '.join(word)}\n" for word in ("ab", "ba", "aab", "abb")))
    for name, bleu in (("off", "auto"), ("tokens", "none"), ("letters", "char")):
        data = PairsConfig(train="pairs.tsv", valid="pairs.tsv", bleu=bleu)
        train(toy(run_dir=name, dataset=data))
    for one in ("off", "letters"):
        for names in ((one, "tokens"), ("tokens", one)):
            found = json.loads(answer("evaluate", *names, "--json"))
            assert "bleu" not in found["mean"]
            assert "token_error_rate" in found["mean"]
            assert answer("evaluate", *names).count("\n") > 6


def test_a_sweep_s_directory_stands_for_its_runs(here: Path, toy: Toy, answer: Callable[..., str]) -> None:
    for seed in (1, 2):
        train(toy(run_dir=f"sweep/seed={seed}", seed=seed))
    names = ["sweep/seed=1", "sweep/seed=2"]
    (here / "more.tsv").write_text("a b\tb a\n")
    assert answer("evaluate", "sweep", "--data", "more.tsv") == answer("evaluate", *names, "--data", "more.tsv")
    assert answer("predict", "sweep", "more.tsv") == answer("predict", *names, "more.tsv")


def test_details_show_lengths_labels_and_errors(here: Path, toy: Toy, answer: Callable[..., str]) -> None:
    train(toy(run_dir="a"))
    train(toy(run_dir="p", model=BAG, dataset=PARITY))
    text = answer("evaluate", "a", "--details")
    assert "by length of the source in tokens" in text
    assert "the worst errors" in text
    assert "by label" not in text
    assert "by label" in answer("evaluate", "p", "--details")
    found = json.loads(answer("evaluate", "p", "p", "--details", "--json"))["details"]
    assert sum(part["sources"] for part in found["by_label"]) == sum(part["sources"] for part in found["by_length"])


def test_columns_stand_below_each_other_whatever_the_script() -> None:
    accented = unicodedata.normalize("NFD", "é")
    assert columns([["가나", "x"], ["abc", "y"], [accented, "z"]]) == ["가나  x", "abc   y", f"{accented}     z"]
    assert shortened("a\n\tb") == "a b"
    assert shortened("x" * 99) == "x" * 59 + "…"


def test_bleu_is_shown_with_its_signature_and_interval(here: Path, toy: Toy, answer: Callable[..., str]) -> None:
    (here / "rows.tsv").write_text("".join(f"{a} {b} {a}\t{b} {a} {b} {a}\n" for a in "xyz" for b in "uvw"))
    data = PairsConfig(train="rows.tsv", valid="rows.tsv", test="rows.tsv", bleu="none", src_tokenizer=Tokenizer.space)
    train(toy(run_dir="a", dataset=data))
    found = json.loads(answer("evaluate", "a", "--json"))
    assert {"bleu", "chrf"} <= set(found["intervals"])
    assert "tok:none" in found["bleu_signature"]
    for words in (["a"], ["a", "a"]):
        assert re.search("^bleu_signature +nrefs:1.case:mixed", answer("evaluate", *words), re.MULTILINE)
    assert "\nbleu_signature  nrefs:1|case:mixed" in answer("compare", "a", "a")
    train(toy(run_dir="b", dataset=replace(data, bleu="char")))
    found = json.loads(answer("compare", "a", "b", "--json"))["differences"]
    assert "bleu" not in found
    assert found["chrf"]["p"] == 1


def test_several_runs_predict_together_and_the_last_file_is_read(
    two: dict[str, dict[str, Any]], answer: Callable[..., str]
) -> None:
    Path("words.txt").write_text("ab\n\ncd\n")
    expected = [one.text for one in load("a", "b").predict(["ab", "cd"])]
    assert answer("predict", "a", "b", "words.txt").split("\n") == [expected[0], "", expected[1], ""]
    answer("average", "b", "--out", "c")
    assert answer("predict", "a", "b", "c", "words.txt", "--nbest", "2").count("\n") == 3
    with pytest.raises(ConfigError, match="--attention draws what one run attends to; name one of a, b"):
        run(["predict", "a", "b", "words.txt", "--attention", "x.png"])


def test_words_are_parted_as_one_would_guess(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.cli.runs.list_pretrained", lambda: {"speech": None})
    for name in ("a", "b"):
        (here / name).mkdir()
    (here / "words.txt").touch()
    (here / "a/best.safetensors").touch()
    assert parted(["a"]) == (["a"], "-")
    assert parted(["last"]) == (["last"], "-")
    assert parted(["a", "-"]) == (["a"], "-")
    assert parted(["a", "words.txt"]) == (["a"], "words.txt")
    assert parted(["a", "b"]) == (["a", "b"], "-")
    assert parted(["a", "b", "words.txt"]) == (["a", "b"], "words.txt")
    assert parted(["a", "last"]) == (["a", "last"], "-")
    assert parted(["b", "a/best.safetensors"]) == (["b", "a/best.safetensors"], "-")
    assert parted(["a", "speech"]) == (["a", "speech"], "-")
    assert parted(["speech", "words.txt"]) == (["speech"], "words.txt")
    for wrong in (["words.txt", "a"], ["a", "words.txt", "b"], ["a", "-", "b"], ["a", "words.txt", "words.txt"]):
        with pytest.raises(ConfigError, match="is no run's directory, but stands among them; runs come first"):
            parted(wrong)


def test_what_is_neither_a_run_nor_a_file_is_named(two: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="c: no such run or file; name runs' directories, then a file"):
        run(["predict", "a", "c"])
    with pytest.raises(CheckpointError, match="c: no such run"):
        run(["predict", "c", "a"])
    Path("empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty: no run, it holds no config\.yaml"):
        run(["predict", "a", "empty"])


def test_average_says_what_it_averaged(two: dict[str, dict[str, Any]], answer: Callable[..., str]) -> None:
    text = answer("average", "a")
    assert text.startswith("averaged 2 checkpoints of a (steps ")
    assert text.endswith("run    a-average2\n")
    with pytest.raises(ConfigError, match="`--last` must be at least 2, but is 1"):
        run(["average", "a", "--last", "1"])
