"""The command line: what it understands, what it answers, and with which exit code it ends."""

import errno
import gc
import gzip
import io
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hydra.core.utils import JobReturn
from hypothesis import given
from hypothesis import strategies as st

import zoo.cli.train
from zoo.cli import VERBS, hydra_app, run
from zoo.cli.exits import guarded
from zoo.cli.help import train_help
from zoo.cli.overrides import parse, read_value, split, write_value
from zoo.cli.runs import answers, as_json, as_text, chunks
from zoo.config import GROUPS, Precision, TrainConfig, load_config, save_config, to_dict
from zoo.errors import BusyError, CheckpointError, ConfigError, DataError, DivergenceError, StorageError
from zoo.experiment import Label, Output

TINY = [
    "dataset=copy", "dataset.train_size=64", "dataset.valid_size=4", "dataset.test_size=4", "dataset.max_length=4",
    "model=seq2seq", "model.hidden_size=8", "model.embedding_size=8", "max_steps=2", "precision=fp32",
]  # fmt: skip


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Collect the configs that would be trained."""
    configs: list[TrainConfig] = []
    monkeypatch.setattr(zoo.cli.train, "_train_one", lambda config, swept=(): configs.append(config))
    return configs


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


def shell(*words: str, text: str | None = None, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `python -m zoo` in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-m", "zoo", *words], input=text, capture_output=True, text=True, cwd=cwd,
                          env=environment, timeout=300, check=False)  # fmt: skip


# ---- what is understood


def test_no_override_gives_the_composed_defaults(trained: list[TrainConfig]) -> None:
    assert run(["train"]) == 0
    assert (trained[0].model.name, trained[0].dataset.name, trained[0].epochs) == ("transformer", "cmudict", 3)


def test_overrides_reach_the_config_with_their_types(trained: list[TrainConfig]) -> None:
    run(["train", "seed=0", "max_steps=1e3", "optimizer.lr=1e-3", "compile=True", "precision=bf16", "+clip=2",
         "++ema=0.5", "optimizer.betas=[0.8,0.9]", "max_seconds=90"])  # fmt: skip
    config = trained[0]
    assert (config.seed, config.max_steps, config.optimizer.lr, config.compile) == (0, 1000, 0.001, True)
    assert (config.precision, config.clip, config.ema) == (Precision.bf16, 2.0, 0.5)
    assert (config.optimizer.betas, config.max_seconds) == ([0.8, 0.9], 90.0)


@pytest.mark.parametrize(
    "path",
    ["데이터.tsv", "my data (1).tsv", "a=b#c~d.tsv", "it's.tsv", "a,b.tsv", "back\\slash\\",
     "quote\\'.tsv", "{x}:[y].tsv", "null", "3"],
)  # fmt: skip
def test_any_path_simply_works(path: str, trained: list[TrainConfig]) -> None:
    run(["train", "dataset=pairs", f"dataset.train={path}", f"run_dir=runs/{path}x"])
    assert (trained[0].dataset.train, trained[0].run_dir) == (path, f"runs/{path}x")


def test_lists_of_paths_and_names_are_quoted_one_by_one(trained: list[TrainConfig]) -> None:
    run(
        [
            "train",
            "dataset=pairs",
            "dataset.train=[가 나.en,b (2).de]",
            "dataset.columns=['제목, 둘',1]",
            "dataset.header=true",
        ]
    )
    assert trained[0].dataset.train == ["가 나.en", "b (2).de"]
    assert trained[0].dataset.columns == ["제목, 둘", 1]
    assert trained[0].dataset.header == "true"


def test_home_and_quotes_typed_by_hand_are_understood(trained: list[TrainConfig]) -> None:
    run(["train", "dataset=pairs", "dataset.train='a b.tsv'", "run_dir=~/r"])
    assert (trained[0].dataset.train, trained[0].run_dir) == ("a b.tsv", str(Path("~/r").expanduser()))


def test_interpolations_are_left_to_hydra(trained: list[TrainConfig]) -> None:
    run(["train", "seed=7", "epochs=${seed}"])
    assert trained[0].epochs == 7


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"])).filter(lambda text: "${" not in text))
def test_hydra_reads_back_every_text_that_is_written_for_it(text: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    override = OverridesParser.create().parse_override(f"key={write_value(text)}")
    assert override.value() == text


def test_commas_inside_of_quotes_and_brackets_do_not_split() -> None:
    assert split("[a,b],'c,d',it's,e") == ["[a,b]", "'c,d'", "it's", "e"]


def test_a_comma_sweeps_only_in_a_multirun() -> None:
    assert parse("dataset.train=a,b").texts == ["a,b"]
    assert parse("dataset.train=a,b", multirun=True).texts == ["a", "b"]
    assert parse("seed=range(1,4)", multirun=True).raw


@pytest.mark.parametrize(("text", "value"), [("null", None), ("", ""), ("~no-such-user/x", "~no-such-user/x")])
def test_an_optional_path_may_be_null(text: str, value: str | None) -> None:
    assert read_value(text, str | None, "run_dir") == value


# ---- what is refused

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


# ---- exit codes


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


# ---- help and listings


def imported_by(*words: str) -> set[str]:
    """Return the modules that a command has imported by its end."""
    program = (
        f"import sys\nfrom zoo.cli import run\nfrom zoo.cli.exits import guarded\n"
        f"guarded(lambda: run({list(words)!r}))\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize(
    "words",
    [["--help"], ["train", "--help"], ["train", "model=classifier", "--help"], ["models"], ["datasets"],
     ["predict", "-h"], ["--version"], ["train", "modle=x"], ["train", "epochs=x"], ["train", "model.nhead=3"]],
    ids=" ".join,
)  # fmt: skip
def test_help_listings_and_wrong_overrides_import_neither_torch_nor_hydra(words: list[str]) -> None:
    assert not imported_by(*words) & {"torch", "hydra", "omegaconf", "numpy"}


@pytest.mark.parametrize("words", [["train", "--help"], ["models"], ["train", "modle=x"]], ids=" ".join)
def test_help_listings_and_wrong_overrides_answer_in_under_a_second(words: list[str]) -> None:
    def seconds() -> float:
        begin = time.perf_counter()
        shell(*words)
        return time.perf_counter() - begin

    assert min(seconds() for _ in range(3)) < 1


def test_help_names_every_group_choice_and_key() -> None:
    text = train_help([])
    for group, classes in GROUPS.items():
        assert f"\n  {group}\n" in text
        for name in classes:
            assert re.search(rf"\n    {name}\b", text)
    for key in TrainConfig.__slots__:  # type: ignore[attr-defined]
        assert key in GROUPS or f"\n  {key}=" in text


def test_help_shows_the_defaults_of_the_composed_config(trained: list[TrainConfig]) -> None:
    for words in ([], ["model=classifier"], ["dataset=copy"], ["scheduler=noam", "optimizer=adam"]):
        run(["train", *words])
        text = train_help(words)
        data = to_dict(trained[-1])
        assert re.search(rf"\n  epochs={data['epochs']} ", text)
        assert re.search(rf"\n  batch_tokens={data['batch_tokens']} ", text)
        assert "optimizer=adam" not in words or f"optimizer.lr={data['optimizer']['lr']} " in text


def test_help_describes_the_options_of_what_was_chosen() -> None:
    assert "model.cell=" not in train_help([])
    text = train_help(["model=seq2seq", "dataset.limit=3"])
    assert re.search(r"model\.cell=lstm +recurrent cell \(lstm \| gru \| rnn\)", text)
    assert "dataset.stress=false" in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: Any = run([verb, "--help"])
    except SystemExit as end:
        code = end.code
    assert code == 0
    assert verb in capsys.readouterr().out


def test_listings_take_a_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "class*"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["classifier", "classifier_functional"]
    with pytest.raises(ConfigError, match="no model matches 'x'"):
        run(["models", "x"])


# ---- Hydra's own


def test_cfg_job_prints_what_would_be_trained(capsys: pytest.CaptureFixture[str], trained: list[TrainConfig]) -> None:
    import yaml

    assert run(["train", "model=classifier", "--cfg", "job"]) == 0
    data = yaml.safe_load(capsys.readouterr().out)
    assert (data["model"]["name"], data["dataset"]["name"]) == ("classifier", "movie_reviews")
    assert not trained


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[TrainConfig]) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, environment = list(sys.argv), os.environ.get("HYDRA_FULL_ERROR")
    run(["train"])
    assert list(tmp_path.iterdir()) == []
    assert (sys.argv, os.environ.get("HYDRA_FULL_ERROR"), Path.cwd()) == (arguments, environment, tmp_path)


def test_a_multirun_trains_every_combination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[TrainConfig]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", "-m", "model=seq2seq,transformer", "seed=1,2", "device=cpu"]) == 0
    assert [(config.model.name, config.seed) for config in trained] == [
        ("seq2seq", 1), ("seq2seq", 2), ("transformer", 1), ("transformer", 2),
    ]  # fmt: skip
    assert [path.name for path in (tmp_path / "runs").rglob("*") if path.suffix == ".yaml"] == ["multirun.yaml"]


def test_options_of_a_model_reach_every_model_of_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                         trained: list[TrainConfig]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    words = ["model=classifier,classifier_functional", "model.encoder=cnn", "model.kernel_sizes=[1,2]"]
    assert run(["train", "-m", *words, "dataset=parity"]) == 0
    found = [(config.model.name, config.model.kernel_sizes) for config in trained]
    assert found == [("classifier", [1, 2]), ("classifier_functional", [1, 2])]


def test_a_sweep_tells_its_runs_which_options_it_varies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoo.experiment.train", lambda config, swept: told.append(swept))
    monkeypatch.setattr(zoo.cli.train, "summary", lambda results: "")
    assert run(["train", "-m", "optimizer=adam,sgd", "seed=1,2", "epochs=1"]) == 0
    assert told == [["optimizer.name", "seed"]] * 4


def test_a_failing_job_of_a_multirun_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = []

    def train(config: TrainConfig, swept: object = ()) -> None:
        seeds.append(config.seed)
        if config.seed == 2:
            raise DivergenceError("the loss is nan")
        if config.seed == 3:
            raise DataError("x.tsv:1: bad")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zoo.cli.train, "_train_one", train)
    assert guarded(lambda: run(["train", "-m", "seed=1,2,3,4", "epochs=2"])) == 5
    assert seeds == [1, 2, 3, 4]
    out, err = capsys.readouterr()
    assert "error: 2 of 4 jobs failed, see the table" in err.splitlines()[-1]
    assert [line.split() for line in out.splitlines()[2:4]] == [["2", "2", "failed"], ["3", "3", "failed"]]
    assert "job 2 failed with exit code 5: the loss is nan\njob 3 failed with exit code 3: x.tsv:1: bad\n" in out


def test_a_users_own_choices_come_from_config_dir(tmp_path: Path, trained: list[TrainConfig]) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nepochs: 3\n")
    assert run(["train", "-cd", str(tmp_path), "experiment=mine"]) == 0
    assert trained[0].epochs == 3


# ---- resuming


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_config(TrainConfig(epochs=3, seed=5), tmp_path / "config.yaml")
    return tmp_path


def test_resume_takes_the_runs_config_with_typed_overrides_on_top(saved: Path, trained: list[TrainConfig]) -> None:
    run(["train", f"resume={saved}", "epochs=9", "optimizer.lr=1e-5", "scheduler=linear"])
    config = trained[0]
    assert (config.seed, config.epochs, config.optimizer.lr, config.scheduler.name) == (5, 9, 1e-5, "linear")
    assert (config.resume, config.run_dir) == (str(saved), str(saved))
    assert load_config(saved / "config.yaml").epochs == 3


def test_another_scheduler_brings_its_values_to_a_run_that_goes_on(saved: Path, trained: list[TrainConfig]) -> None:
    run(["train", f"resume={saved}", "scheduler=noam"])
    run(["train", f"resume={saved}", "scheduler=noam", "optimizer.lr=0.5"])
    assert [config.optimizer.lr for config in trained] == [1.0, 0.5]


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


# ---- predictions as text


class Answer(NamedTuple):
    text: str
    score: float


class Verdict(NamedTuple):
    label: str
    probability: float
    probabilities: dict[str, float]


def test_predictions_of_sequences_as_text_and_json() -> None:
    best = [Answer("a", -0.5), Answer("b", -1.0)]
    assert as_text("x", best[0], 1) == "a"
    assert as_text("x", best, 2) == "a\tb"
    assert json.loads(as_json("가", best[0], 1)) == {"input": "가", "text": "a", "score": -0.5}
    assert json.loads(as_json("x", best, 2))["nbest"][1] == {"text": "b", "score": -1.0}


def test_predictions_of_classifiers_as_text_and_json() -> None:
    verdict = Verdict("pos", 0.75, {"neg": 0.25, "pos": 0.75})
    assert as_text("x", verdict, 1) == "pos\t0.7500"
    assert as_text("x", verdict, 2) == "pos\t0.7500\tneg\t0.2500"
    assert json.loads(as_json("x", verdict, 1)) == {
        "input": "x", "label": "pos", "probability": 0.75, "probabilities": {"pos": 0.75, "neg": 0.25},
    }  # fmt: skip


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


# ---- the whole, in processes of their own


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a tiny model and return where it was trained."""
    path = tmp_path_factory.mktemp("tiny")
    done = shell("train", *TINY, cwd=path)
    assert done.returncode == 0, done.stderr
    assert "tensorboard --logdir runs" in done.stdout
    assert done.stdout.splitlines()[1].startswith("test   loss ")
    return path


@pytest.mark.slow
def test_evaluate_repeats_the_results_of_training(tiny_run: Path) -> None:
    (results,) = (tiny_run / "runs").rglob("results.json")
    for part in ("valid", "test"):
        done = shell("evaluate", "last", "--split", part, "--json", cwd=tiny_run)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found.pop("intervals")
        assert found == json.loads(results.read_text())[part]
    assert "token_error_rate" in shell("evaluate", "last", cwd=tiny_run).stdout


@pytest.mark.slow
def test_predict_gives_a_line_for_each_line_and_draws(tiny_run: Path) -> None:
    done = shell(
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


@pytest.mark.slow
def test_a_device_that_is_not_there_is_named() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done = shell("train", "device=cuda")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "device=cpu" in done.stderr


@pytest.mark.slow
def test_the_shells_completion_knows_choices_and_keys() -> None:
    def complete(line: str) -> list[str]:
        environment = {**os.environ, "COMP_LINE": f"zoo-train {line}", "COMP_POINT": str(10 + len(line))}
        command = [sys.executable, "-m", "zoo", "train", "-sc", "query=bash"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()

    assert complete("model=tr") == ["model=transformer"]
    assert complete("max_st") == ["max_steps="]


def test_an_empty_directory_or_a_second_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="`run_dir` is one directory, and these are several runs"):
        run(["train", "-m", "seed=1,2", "run_dir=one"])
    with pytest.raises(ConfigError, match="`run_dir` is empty; name a directory"):
        run(["train", "run_dir="])
    with pytest.raises(ConfigError, match="`resume=PATH` goes on in PATH; leave out `run_dir`"):
        run(["train", "resume=one", "run_dir=other"])
    assert not any(tmp_path.iterdir())


def test_no_experiment_may_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "experiment=null", "debug=null", "--cfg", "job"]) == 0
    assert "transformer" in capsys.readouterr().out


def test_an_answer_is_one_line_whatever_it_holds() -> None:
    label = Label("la\nbel\t0", 0.75, {"la\nbel\t0": 0.75, "b": 0.25})
    assert as_text("x", label, 1) == "la\\nbel\\t0\t0.7500"
    assert as_text("x", [Output("a\r\nb", -1.0, 0.3), Output("r\\", -2.0, 0.1)], 2) == "a\\r\\nb\tr\\"


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


def test_flags_of_hydra_may_stand_among_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    assert run(["train", "seed=3", "-cd", "own", "epochs=5", "--cfg", "job"]) == 0
    shown = capsys.readouterr().out
    assert "seed: 3" in shown
    assert "epochs: 5" in shown
    assert run(["train", "--info", "model=seq2seq"]) == 0


def test_a_sweep_keeps_no_configuration_of_a_job_that_has_ended(here: Path) -> None:
    held = []

    def train(config: TrainConfig) -> dict[str, Any]:
        jobs = [thing for thing in gc.get_objects() if type(thing) is JobReturn]
        held.append([job for job in jobs if job.cfg is not None])
        return {}

    assert hydra_app.run(["-m", "seed=1,2,3"], train, swept=["seed"]) == 0
    assert list(map(len, held)) == [1, 1, 1], "its own"
