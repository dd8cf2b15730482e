"""What the command line refuses, in one line, and with which exit code it ends."""

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import zoo as zoo_run

from zoo.cli import run
from zoo.cli.exits import guarded
from zoo.config import TrainConfig, save_config
from zoo.errors import BusyError, CheckpointError, ConfigError, DataError, DivergenceError, StorageError


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run zoo-train with overrides that must be refused; return the one line that says why."""

    def refuse(*words: str) -> str:
        assert guarded(lambda: run(["train", *words])) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err.strip()

    return refuse


REFUSED = [
    (["modle=transformer"], "unknown option 'modle'; did you mean 'model'?"),
    (["model=transfomer"], "unknown model 'transfomer'; did you mean 'transformer'? (choices: seq2seq, transformer, "),
    (["dropout=0.3"], "unknown option 'dropout'; did you mean 'model.dropout'?"),
    (["model.droput=0.3"], "unknown option of model=transformer 'droput'; did you mean 'dropout'?"),
    (["+model.typo=3"], "unknown option of model=transformer 'typo'"),
    (["+typo=3"], "unknown option 'typo'"),
    (["model.cell=gru"], "'model.cell' belongs to model=seq2seq"),
    (["model.hiden_size=3"], "'model.hidden_size' belongs to model=seq2seq, classifier, classifier_functional"),
    (["hidden_size=3"], "'model.hidden_size' belongs to model=seq2seq, classifier, classifier_functional"),
    (["learning_rate=1"], "unknown option 'learning_rate'; did you mean 'optimizer.lr'?"),
    (["model=lstm"], "; write model=seq2seq model.cell=lstm or model=classifier model.encoder=lstm"),
    (["dataset=imdb"], "; write dataset=movie_reviews dataset.source=imdb"),
    (["model.name=x"], "`model.name` follows from the choice: write model=NAME"),
    (["epochs"], "`epochs` needs a value: write epochs=VALUE"),
    (["model"], "`model` needs a choice: write model=NAME (choices: seq2seq, "),
    (["what"], "expected KEY=VALUE, but found 'what'"),
    (["epochs="], "`epochs` must be a whole number, but is ''"),
    (["epochs=1.5"], "`epochs` must be a whole number, but is '1.5'"),
    (["epochs=1,2"], "add --multirun to train with each of 1,2"),
    (["epochs=0"], "`epochs` must be at least 1, but is 0"),
    (["clip=nan"], "`clip` must be a number, but is 'nan'"),
    (["clip=inf"], "`clip` must be at least 0, but is inf"),
    (["compile=maybe"], "`compile` must be true or false, but is 'maybe'"),
    (["optimizer.betas=0.9"], "`optimizer.betas` must be a list, as in optimizer.betas=[a,b], but is '0.9'"),
    (["precision=fp15"], "unknown value of `precision` 'fp15'; did you mean 'fp16'?"),
    (["~dataset"], "`~dataset`: options are not removed here; write dataset=VALUE"),
    (["--epochs", "3"], "options are written without dashes: write epochs=3"),
    (["--epochs=3"], "write epochs=3"),
    (["--max-steps", "3"], "write max_steps=3"),
    (["--model", "seq2seq"], "write model=seq2seq"),
    (["--lr", "3"], "write optimizer.lr=3"),
    (["--multrun"], "unknown flag '--multrun'; did you mean '--multirun'?"),
    (["-c"], "`-c` needs a value"),
    (["model.nhead=3"], "`model.nhead` must divide `model.d_model` (128), but is 3"),
    (["model=classifier", "dataset=cmudict"], "datasets that fit: movie_reviews, parity, labelled, torchtext"),
    (["dataset=pairs"], "name your training file: dataset=pairs dataset.train=FILE"),
    (["experiment=trec"], "unknown experiment 'trec'; did you mean 'trec6'?"),
    (["-m", "seed=1,x"], "`seed` must be a whole number, but is 'x'"),
    (["-m", "model=seq2seq,transformer", "model.cell=gru"], "unknown option of model=transformer 'cell'"),
    (["-m", "model=seq2seq,classifier", "dataset=copy"], "model=classifier learns from texts and labels"),
    (["seed=${nothing}"], "Interpolation key 'nothing' not found"),
    (["hydra.nothing=1"], "Could not override 'hydra.nothing'"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_a_wrong_override_is_one_line_that_names_the_way_out(
    words: list[str], message: str, refusal: Callable[..., str], trained: list[TrainConfig]
) -> None:
    assert message in refusal(*words)
    assert not trained


@pytest.mark.parametrize("words", [["zoo", "predic"], ["zoo", "evaluate"], ["zoo", "predict", "r", "--beam", "0"],
                                   ["zoo", "evaluate", "r", "--split", "x"]])  # fmt: skip
def test_a_wrong_verb_or_flag_is_one_line_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: run(words[1:])) == 2
    assert re.fullmatch(r"error: .*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("c"), 2, "error: c"),
        (DataError("a.tsv:3: d\nmore"), 3, "error: a.tsv:3: d more"),
        (CheckpointError("p"), 4, "error: p"),
        (DivergenceError("v"), 5, "error: v"),
        (StorageError("s"), 6, "error: s"),
        (BusyError("b"), 8, "error: b"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 6, "error: runs/x: No space left on device; free"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 6, "error: /x: Permission denied"),
        (MemoryError(), 7, "error: memory ran out; lower `batch_tokens` (and raise `accumulate`"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 7, "error: memory ran out"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), 7, "error: memory ran out"),
        (BrokenPipeError(), 0, ""),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_each_failure_has_its_exit_code_and_one_line(
    error: BaseException, code: int, line: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise error

    monkeypatch.delenv("ZOO_DEBUG", raising=False)
    saved = os.dup(1)
    try:
        assert guarded(fail) == code
    finally:
        os.dup2(saved, 1)
    err = capfd.readouterr().err
    assert err.startswith(line)
    assert "Traceback" not in err


def test_a_defect_of_ours_shows_its_traceback_and_so_does_zoo_debug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert guarded(lambda: 1 // 0) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    monkeypatch.setenv("ZOO_DEBUG", "1")
    assert guarded(lambda: run(["train", "epochs=x"])) == 2
    assert "Traceback" in capsys.readouterr().err


def test_sigterm_ends_with_143() -> None:
    wait = "print(1, flush=True) or time.sleep(60)"
    program = f"from zoo.cli.exits import guarded; import time, sys; sys.exit(guarded(lambda: {wait}))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_config(TrainConfig(epochs=3, seed=5), tmp_path / "config.yaml")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=seq2seq"], "`model=seq2seq` cannot change a run that is resumed"),
        (["debug=fast"], "`debug=fast` cannot change a run that is resumed"),
        (["epoch=3"], "unknown option 'epoch'; did you mean 'epochs'?"),
        (["epochs=0"], "`epochs` must be at least 1"),
        (["-m", "seed=1,2"], "`resume=PATH` continues one run; leave out --multirun"),
    ],
)
def test_resume_refuses_what_cannot_be(
    words: list[str], message: str, saved: Path, refusal: Callable[..., str]
) -> None:
    assert message in refusal(f"resume={saved}", *words)


def test_resuming_where_no_run_is_ends_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: run(["train", f"resume={tmp_path / 'none'}"])) == 4
    assert "none: no such run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done = zoo_run("train", "device=cuda", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "device=cpu" in done.stderr


def test_an_empty_directory_or_a_second_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="`run_dir` is one directory, and these are several runs"):
        run(["train", "-m", "seed=1,2", "run_dir=one"])
    with pytest.raises(ConfigError, match="`run_dir` is empty; name a directory"):
        run(["train", "run_dir="])
    with pytest.raises(ConfigError, match="`resume=PATH` goes on in PATH; leave out `run_dir`"):
        run(["train", "resume=one", "run_dir=other"])
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [["hydra=1"], ["-m", "experiment=null,null"], ["--cfg", "foo"], ["-cd", "own", "experiment=mine", "--cfg", "job"]],
    ids=" ".join,
)
def test_what_hydra_cannot_read_is_an_error_of_configuration(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own", "experiment").mkdir(parents=True)
    Path("own", "experiment", "mine.yaml").write_text("a: [")
    with pytest.raises(ConfigError):
        run(["train", *words])
