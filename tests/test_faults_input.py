"""Closed and broken pipes end quietly; faults of data are named by file and line, or have a defined result."""

import gzip
import json
import os
import signal
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import (
    LABELLED,
    PAIRS,
    TOY,
    command,
    environment,
    inside,
    one_error,
    shell,
    train_labels,
    train_pairs,
    zoo,
)
from torch import Tensor

from zoo.checkpoint import load_checkpoint
from zoo.config import load_config
from zoo.data import load_codecs

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run of pairs and one of labels; return where they lie."""
    path = tmp_path_factory.mktemp("runs")
    assert train_pairs(path) == train_labels(path) == 0
    return path


def test_streams_that_are_closed_full_or_ascii_end_a_command_quietly(runs: Path) -> None:
    (runs / "in.txt").write_text("ab\nba\n" * 20_000)
    quiet = [
        "zoo predict pairs in.txt | head -1 >/dev/null; exit ${PIPESTATUS[0]}",
        "zoo predict labels in.txt | head -1 >/dev/null; exit ${PIPESTATUS[0]}",
        "head -2 in.txt | zoo predict pairs >&-",
        "zoo predict labels - <&-",
        "zoo models >&-",
        "zoo train --help | true; exit ${PIPESTATUS[0]}",
    ]
    for line in quiet:
        done = shell(line, runs)
        assert (done.returncode, done.stderr) == (0, ""), line
    done = shell("zoo train modle=x 2>&-", runs)
    assert (done.returncode, done.stdout) == (2, "")
    done = shell("zoo models > /dev/full", runs)
    assert done.returncode == 6
    assert "No space left on device" in one_error(done.stderr)
    done = shell("echo '가나' | PYTHONIOENCODING=ascii zoo predict labels --format jsonl", runs)
    assert (done.returncode, json.loads(done.stdout)["input"]) == (0, "가나")


@pytest.mark.parametrize("redirection", [">&- 2>&-", "2>&1 | true", "| true", "2>/dev/full"])
def test_a_training_that_nobody_listens_to_finishes(tmp_path: Path, redirection: str) -> None:
    done = shell(f"zoo train {' '.join(TOY)} run_dir=run {redirection}; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert done.returncode == 0
    assert "Traceback" not in done.stdout + done.stderr
    assert json.loads((tmp_path / "run" / "results.json").read_text())["steps"] == 2
    assert "tfevents" in " ".join(path.name for path in (tmp_path / "run").iterdir())


def test_no_process_is_left_when_the_reader_of_predictions_goes(runs: Path) -> None:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    predict = command("predict", "pairs", "-")
    with subprocess.Popen(predict, cwd=runs, env=environment(), start_new_session=True, **pipes) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"ab\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"ba\n")
        process.stdin.flush()
        assert (process.wait(), process.stderr.read()) == (0, b"")
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


FAULTS = {
    "utf8.tsv": (b"ab\tA B\na\xff\tA\n", ":2: byte 2 is not UTF-8"),
    "nul.tsv": (b"ab\tA B\na\0\tA\n", ":2: holds a NUL byte"),
    "ragged.tsv": (b"ab\tA B\nab\tA\tB\n", ":2: expected 2 columns, found 3"),
    "long.tsv": (b"ab\tA B\n" + b"a" * 50_000_000, ":2: a line of 10 MB or more"),
    "empty.tsv": (b"", ": is empty"),
    "packed.tsv.gz": (b"no gzip", ":1: malformed gzip"),
    "cut.tsv.GZ": (gzip.compress(PAIRS.encode() * 9)[:-9], "malformed gzip"),
    "flipped.tsv.gz": (gzip.compress(os.urandom(999))[:20] + b"\xff" * 40, "malformed gzip"),
    "bomb.tsv.gz": (gzip.compress((b"ab\t" + b"A " * 2000 + b"\n") * 3000), "which no text does"),
    "zip.tsv": (b"PK\x03\x04\0\0" + b"../../evil", ":1: holds a NUL byte"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_file_is_named_in_training_evaluation_and_prediction(
    here: Path, runs: Path, name: str, capfd: Capture
) -> None:
    content, message = FAULTS[name]
    (here / name).write_bytes(content)
    verbs: list[tuple[str, ...]] = [("train", "dataset=pairs", f"dataset.train={name}"),
                                    ("evaluate", str(runs / "pairs"), "--data", name)]  # fmt: skip
    if name not in ("ragged.tsv", "empty.tsv"):  # where lines have no columns, and may be none
        verbs.append(("predict", str(runs / "labels"), name))
    for words in verbs:
        assert inside(*words) == 3
        line = one_error(capfd.readouterr().err.replace("\r", ""))
        assert name in line
        assert message in line
    assert [path.name for path in here.iterdir()] == [name]


@pytest.mark.slow
def test_the_real_command_ends_with_3_and_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_bytes(FAULTS["utf8.tsv"][0])
    done = zoo("train", "dataset=pairs", "dataset.train=x.tsv", cwd=tmp_path)
    assert done.returncode == 3
    assert one_error(done.stderr) == "x.tsv:2: byte 2 is not UTF-8; convert the file to UTF-8"


def test_files_that_are_not_aligned_are_refused_with_both_counts(here: Path, capfd: Capture) -> None:
    (here / "a").write_text("ab\nba\naa\n")
    (here / "b").write_text("A B\nB A\n")
    assert inside("train", "dataset=pairs", "dataset.train=[a,b]") == 3
    assert "a:3: has no counterpart: a has 3 lines, b has 2" in one_error(capfd.readouterr().err)


def weights(run: Path) -> dict[str, Tensor]:
    return load_checkpoint(run / "checkpoints" / "best.safetensors").tensors


def test_marks_line_ends_and_separators_that_are_text_give_the_clean_files_weights(tmp_path: Path) -> None:
    clean = PAIRS.replace("aab", "a\u2028b\x85").encode()
    ways = {
        "clean": clean,
        "mark": b"\xef\xbb\xbf" + clean,
        "crlf": clean.replace(b"\n", b"\r\n"),
        "end": clean.removesuffix(b"\n"),
        "nfd": unicodedata.normalize("NFD", clean.decode()).encode(),
    }
    found = {}
    for name, content in ways.items():
        (tmp_path / f"{name}.tsv").write_bytes(content)
        assert train_pairs(tmp_path, f"dataset.train={tmp_path / f'{name}.tsv'}", f"run_dir={tmp_path / name}") == 0
        found[name] = weights(tmp_path / name)
    assert "\u2028" in load_codecs(tmp_path / "clean" / "vocabulary").codecs["src"].vocab.tokens
    for name in ways:
        assert found[name].keys() == found["clean"].keys()
        assert all(torch.equal(found[name][key], found["clean"][key]) for key in found["clean"]), name


LITTLE: list[tuple[dict[str, str], str]] = [
    ({"train": ""}, "train.tsv: is empty"),
    ({"valid": ""}, "valid.tsv: is empty"),
    ({"test": ""}, "test.tsv: is empty"),
    ({"train": "a\t\n\tx\n"}, "holds no row with text and label"),
    ({"train": "a\tx\nb\tx\n"}, "holds only the label 'x'"),
    ({"train": "a\tx\n", "valid": "-"}, "holds one source only"),
    ({"valid": "a\t\n"}, "no row of the valid part has a text and one of the training labels (even, odd)"),
    ({"test": "a\tnew\nb\tnewer\n"}, "no row of the test part has a text and one of the training labels (even, odd)"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "message"), LITTLE, ids=[message[:30] for _, message in LITTLE])
def test_parts_without_what_they_need_are_refused(
    here: Path, files: dict[str, str], message: str, capfd: Capture
) -> None:
    parts = {"train": LABELLED, "valid": LABELLED, "test": LABELLED, **files}
    words = []
    for part, content in parts.items():
        if content != "-":
            (here / f"{part}.tsv").write_text(content)
            words.append(f"dataset.{part}={part}.tsv")
    assert inside("train", "model=classifier", "dataset=labelled", "run_dir=run", *words) == 3
    assert message in one_error(capfd.readouterr().err)
    assert not (here / "run").exists()


def test_a_label_that_the_test_part_alone_has_counts_as_an_error(tmp_path: Path) -> None:
    (tmp_path / "test.tsv").write_text("ab ab\teven\nab\tnew\n")
    assert train_labels(tmp_path, f"dataset.test={tmp_path / 'test.tsv'}") == 0
    results = json.loads((tmp_path / "labels" / "results.json").read_text())
    assert results["notes"]["test_unknown_labels"] == 1
    assert results["test"]["accuracy"] <= 0.5
    assert all(value == value and 0 <= value < 99 for value in results["test"].values())


def test_what_is_too_long_is_counted_in_training_and_in_prediction(tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "test.tsv").write_text("a\tA\n" + "b" * 9 + "\tB\n")
    assert train_pairs(tmp_path, "model.max_length=4", f"dataset.test={tmp_path / 'test.tsv'}") == 0
    notes = json.loads((tmp_path / "pairs" / "results.json").read_text())["notes"]
    assert notes["test_cut"] == 1
    capfd.readouterr()
    (tmp_path / "in").write_text("ab\nababab\n")
    assert inside("predict", str(tmp_path / "pairs"), str(tmp_path / "in")) == 0
    out, err = capfd.readouterr()
    assert out.count("\n") == 2
    assert err == "warning: 1 texts were cut to `model.max_length` (4) tokens\n"


def test_a_spelling_of_a_reserved_symbol_is_text(tmp_path: Path) -> None:
    symbols = ["<pad>", "<eos>", "<unk>", "<bos>", "</s>"]
    rows = "".join(f"{a} {b}\t{b} {a}\n" for a in symbols for b in symbols)
    (tmp_path / "symbols.tsv").write_text(rows)
    words = ("dataset.src_tokenizer=space", f"dataset.train={tmp_path / 'symbols.tsv'}")
    assert train_pairs(tmp_path, *words) == 0
    coding = load_codecs(tmp_path / "pairs" / "vocabulary")
    for codec in coding.codecs.values():
        ids = codec.encode(" ".join(symbols))
        assert min(ids) >= 4
        assert codec.decode(ids) == " ".join(symbols)


def test_characters_that_training_lacks_are_reported_by_predict(runs: Path, capfd: Capture) -> None:
    (runs / "unseen").write_text("az가\n\x1b[\nab\n")
    for run in ("pairs", "labels"):
        assert inside("predict", str(runs / run), str(runs / "unseen")) == 0
        out, err = capfd.readouterr()
        assert out.count("\n") == 3
        assert "tokens are unknown to the run: " in err
        assert "\x1b" not in err
    assert inside("predict", str(runs / "pairs"), str(runs / "pairs.tsv")) == 0
    assert "'\\t', 'A', 'B'" not in capfd.readouterr().out


@pytest.mark.parametrize("task", ["pairs", "labelled"])
def test_twins_in_train_and_test_are_counted_warned_of_and_refused_on_demand(
    tmp_path: Path, task: str, capfd: Capture
) -> None:
    train, content, run = (train_pairs, PAIRS, "pairs") if task == "pairs" else (train_labels, LABELLED, "labels")
    target = content.split("\n")[0].partition("\t")[2]
    (tmp_path / "train.tsv").write_text(f"{content}\u00e9\t{target}\n")
    (tmp_path / "test.tsv").write_text(f"e\u0301\t{target}\n{content.splitlines()[0]}\nbbbb\t{target}\n")
    files = [f"dataset.{part}={tmp_path / f'{part}.tsv'}" for part in ("train", "test")]
    files.append(f"dataset.valid={tmp_path / 'test.tsv'}")  # so that none is held out of train
    assert train(tmp_path, *files) == 0
    notes = json.loads((tmp_path / run / "results.json").read_text())["notes"]
    assert notes["test_sources_in_train"] == 2
    assert "warning: 2 test sources are in the training part too" in capfd.readouterr().err
    assert train(tmp_path, *files, "dataset.leakage=ignore", f"run_dir={tmp_path / 'ignored'}") == 0
    assert "training part too" not in capfd.readouterr().err
    assert train(tmp_path, *files, "dataset.leakage=error", f"run_dir={tmp_path / 'refused'}") == 3
    assert "2 sources of the test part are in the training part too" in one_error(capfd.readouterr().err)
    assert not (tmp_path / "refused").exists()


def test_pipes_and_packed_files_of_any_spelling_are_read(runs: Path) -> None:
    (runs / "LINES.GZ").write_bytes(gzip.compress(b"ab\nba\n"))
    (runs / "lines").write_text("ab\nba")
    expected = shell("zoo predict pairs lines", runs).stdout
    assert expected.count("\n") == 2
    assert shell("zoo predict pairs LINES.GZ", runs).stdout == expected
    assert shell("mkfifo fifo; cat lines > fifo & zoo predict pairs fifo", runs).stdout == expected
    assert shell("zoo predict pairs <(cat lines)", runs).stdout == expected


def test_a_picture_has_a_name_that_can_be_written(runs: Path, capfd: Capture, here: Path) -> None:
    (here / "d.png").mkdir()
    for code, name in ((6, "."), (6, "d.png"), (2, "x.jpg"), (6, "gone/x.png"), (6, "x" * 300 + ".png")):
        assert inside("predict", str(runs / "pairs"), str(runs / "pairs.tsv"), "--attention", name) == code
        one_error(capfd.readouterr().err)


def test_a_config_keeps_the_paths_of_its_data(runs: Path) -> None:
    dataset: Any = load_config(runs / "pairs" / "config.yaml").dataset
    assert dataset.train == str(runs / "pairs.tsv")
