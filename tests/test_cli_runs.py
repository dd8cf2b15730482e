"""Predictions as text and JSON, and the verbs that use a finished run in processes of their own."""

import gzip
import io
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from commands import TOY
from commands import zoo as zoo_run

from zoo.cli.runs import answers, as_json, as_text, chunks
from zoo.errors import DataError
from zoo.experiment import Label, Output


class Answer(NamedTuple):
    text: str
    score: float
    probability: float = 0.5


class Verdict(NamedTuple):
    label: str
    probability: float
    probabilities: dict[str, float]


def test_predictions_of_sequences_as_text_and_json() -> None:
    best = [Answer("a", -0.5), Answer("b", -1.0)]
    assert as_text("x", best[0], 1) == "a"
    assert as_text("x", best, 2) == "a\tb"
    assert json.loads(as_json("가", best[0], 1)) == {
        "input": "가", "text": "a", "score": -0.5, "probability": 0.5,
    }  # fmt: skip
    assert json.loads(as_json("x", best, 2))["nbest"][1] == {"text": "b", "score": -1.0, "probability": 0.5}


def test_predictions_of_classifiers_as_text_and_json() -> None:
    verdict = Verdict("pos", 0.75, {"neg": 0.25, "pos": 0.75})
    assert as_text("x", verdict, 1) == "pos\t0.7500"
    assert as_text("x", verdict, 2) == "pos\t0.7500\tneg\t0.2500"
    assert json.loads(as_json("x", verdict, 1)) == {
        "input": "x", "label": "pos", "probability": 0.75, "probabilities": {"pos": 0.75, "neg": 0.25},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("prediction", "nbest"),
    [(Answer("a", -0.5), 1), ([Answer("a", -0.5), Answer("b", -1.0)], 2), (Verdict("a", 0.75, {"a": 0.75}), 1)],
)
def test_the_object_of_an_empty_line_has_the_keys_of_the_others(prediction: Any, nbest: int) -> None:
    labelled = isinstance(prediction, Verdict)
    found = json.loads(as_json(" ", None, nbest, labelled=labelled))
    assert list(found) == list(json.loads(as_json("x", prediction, nbest, labelled=labelled)))
    assert found["input"] == " "
    assert found["label" if labelled else "score"] is None


def test_an_empty_line_gives_an_empty_line_and_is_not_asked_about() -> None:
    class Echo:
        def predict(self, lines: list[str], **_: Any) -> Iterator[Answer]:
            assert all(lines)
            return (Answer(line.upper(), 0.0) for line in lines)

    found = [as_text(line, answer, 1) for line, answer in answers(Echo(), ["a", "", "b", " "], None, 1)]
    assert found == ["A", "", "B", ""]


@pytest.mark.parametrize("name", ["lines.txt", "lines.gz"])
def test_lines_are_read_as_they_are(name: str, tmp_path: Path) -> None:
    text = "\ufeffa\r\n\n가\u2028나\x85\nlast".encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    lines = [line for part in chunks(str(tmp_path / name)) for line in part]
    assert lines == ["a", "", "가\u2028나\x85", "last"]


def test_long_input_comes_in_pieces_and_whole(tmp_path: Path) -> None:
    lines = [str(number) * 7 for number in range(20000)]
    (tmp_path / "x").write_text("\n".join(lines) + "\n")
    parts = list(chunks(str(tmp_path / "x")))
    assert len(parts) > 3
    assert [line for part in parts for line in part] == lines


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\n\xff\n")
    with pytest.raises(DataError, match=r"x:2: byte 1 is not UTF-8"):
        list(chunks(str(tmp_path / "x")))


def test_a_line_from_stdin_is_handed_on_before_the_next_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    found: queue.Queue[list[str]] = queue.Queue()

    def collect() -> None:
        for part in chunks("-"):
            found.put(part)

    with os.fdopen(read, "rb") as source:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source))
        reader = threading.Thread(target=collect)
        reader.start()
        try:  # a reader that waits for more than a line fails here by the timeout, and ends as the pipe closes
            os.write(write, b"one\n")
            assert found.get(timeout=10) == ["one"]
            os.write(write, b"two\nthree\nfo")
            assert found.get(timeout=10) == ["two", "three"]
        finally:
            os.close(write)
            reader.join()
        assert found.get(timeout=10) == ["fo"]


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a tiny model and return where it was trained."""
    path = tmp_path_factory.mktemp("tiny")
    done = zoo_run("train", *TOY, cwd=path)
    assert done.returncode == 0, done.stderr
    assert "tensorboard --logdir runs" in done.stdout
    assert done.stdout.splitlines()[1].startswith("test   loss ")
    return path


@pytest.mark.slow
def test_evaluate_repeats_the_results_of_training(tiny_run: Path) -> None:
    (results,) = (tiny_run / "runs").rglob("results.json")
    for part in ("valid", "test"):
        done = zoo_run("evaluate", "last", "--split", part, "--json", cwd=tiny_run)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found.pop("intervals")
        assert found == json.loads(results.read_text())[part]
    assert "token_error_rate" in zoo_run("evaluate", "last", cwd=tiny_run).stdout


@pytest.mark.slow
def test_predict_gives_a_line_for_each_line_and_draws(tiny_run: Path) -> None:
    done = zoo_run(
        "predict", "last", "--nbest", "2", "--format", "jsonl", "--attention", "a.png", text="a b\n\nb c", cwd=tiny_run
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["input"] for line in found] == ["a b", "", "b c"]
    assert [len(line.get("nbest", [])) for line in found] == [2, 0, 2]
    assert (tiny_run / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_predict_quietly(tiny_run: Path) -> None:
    command = [sys.executable, "-m", "zoo", "predict", "last", "-"]
    with subprocess.Popen(
        command, cwd=tiny_run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"a\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"b\n")
        process.stdin.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


def test_an_answer_is_one_line_whatever_it_holds() -> None:
    label = Label("la\nbel\t0", 0.75, {"la\nbel\t0": 0.75, "b": 0.25})
    assert as_text("x", label, 1) == "la\\nbel\\t0\t0.7500"
    assert as_text("x", [Output("a\r\nb", -1.0, 0.3), Output("r\\", -2.0, 0.1)], 2) == "a\\r\\nb\tr\\"
