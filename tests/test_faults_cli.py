"""Mistakes on the command line get one clear line; a sweep goes on where it stopped; no secret is in a file."""

import csv
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from commands import TOY, inside, kill_when_saved, one_error
from commands import zoo as zoo_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zoo.cli.train
from zoo.cli.exits import guarded
from zoo.cli.overrides import config_of, parse
from zoo.cli.sweep import job_name
from zoo.config import TrainConfig
from zoo.errors import ConfigError, DivergenceError
from zoo.experiment.directory import alone
from zoo.experiment.signals import ENDING

Refusal = Callable[..., str]


@pytest.fixture
def refusal(here: Path, capfd: pytest.CaptureFixture[str]) -> Refusal:
    """Run zoo-train with words that must be refused; return the one line, after a check that nothing was left."""

    def refuse(*words: str) -> str:
        before = set(here.rglob("*"))
        assert inside("train", *words) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert set(here.rglob("*")) == before
        return one_error(err)

    return refuse


WRONG = [
    (["modle=transformer"], "did you mean 'model'?"),
    (["lrr=0.1"], "did you mean 'optimizer.lr'?"),
    (["optimizer.lr=abc"], "`optimizer.lr` must be a number, but is 'abc'"),
    (["optimizer.lr=-1"], "`optimizer.lr` must be above 0"),
    (["optimizer.lr=.nan"], "`optimizer.lr` must be a number, but is '.nan'"),
    (["+model.foo=1"], "unknown option of model=transformer 'foo' (choices: d_model"),
    (["batch_tokens=0"], "`batch_tokens` must be at least 1, but is 0"),
    (["model=transformr"], "did you mean 'transformer'?"),
    (["optimizer.betas=[0.9,x]"], "`optimizer.betas[1]` must be a number, but is 'x'"),
    (["optimizer.betas=[0.9"], "must be a list, as in optimizer.betas=[a,b]"),
    (["scheduler=cosin"], "did you mean 'warmup_cosine'?"),
    (["optimizer=adam,sgd"], "for a training with each write -m optimizer=adam,sgd"),
    (["-m", "model=[seq2seq,transformer]"], "write -m model=seq2seq,transformer"),
    (["-m", "seed=1,2", "hydra.sweep.dir="], "`hydra.sweep.dir` is empty; name a directory, or leave it out"),
    (["dropuot=0.1"], "did you mean 'model.dropout'?"),
    (["model.lr=1"], "did you mean 'optimizer.lr'?"),
    (["model.ema=0.9"], "did you mean 'ema'?"),
    (["ema=true"], "`ema` must be a number, but is 'true'"),
    (["epochs=[1,2]"], "for each write -m epochs=1,2"),
    (["model.kernel_sizes=[1,2.5]", "model=classifier"], "`model.kernel_sizes[1]` must be a whole number"),
    (["epochs=99999999999999999999"], "`epochs` must be at most 9223372036854775807, but is 99999999999999999999"),
    (["model.d_model=99999999999999999999"], "`model.d_model` must be at most 9223372036854775807, but is"),
    (["batch_tokens=1e30"], "`batch_tokens` must be at most 9223372036854775807, but is 1"),
    (["monitor=blue"], "unknown metric 'blue'"),
    (["precision=fp16", "device=cpu"], "precision=fp16 needs a GPU"),
    (["beam=99999"], "`beam` must be at least 1 and at most 1000"),
    (["dataset=pairs", "dataset.train=x", "dataset.columns=[0,-1]"], "numbers from 0, as in [0,1], but is [0, -1]"),
    (["dataset=pairs", "dataset.train=x", "dataset.columns=[a,b]", "dataset.header=false"], "need a first line"),
    (["dataset=pairs", "dataset.train=x.jsonl", "dataset.header=true"], "has no meaning for x.jsonl"),
    (["run_dir=a\nb"], "`run_dir` holds a control character, 'a\\nb'; choose another name"),
    (["run_dir=\x1b[31mred"], "`run_dir` holds a control character"),
    (["run_dir=a\udcffb"], "`run_dir` is not UTF-8"),
    (["dataset=pairs", "dataset.train=a\udcffb"], "`dataset.train` is not UTF-8"),
    (["hydra=1"], "Config group override must be a string"),
    (["-m", "experiment=null,null"], "`experiment=null` is no choice to sweep over"),
    (["--resolve"], "--resolve flag can only be used in conjunction with --cfg"),
    (["-sc"], "Expecting one subcommand"),
    (["--cfg", "foo"], "unknown value of --cfg 'foo' (choices: all, hydra, job)"),
    (["--cfg", "job", "epochs=-3"], "`epochs` must be at least 1, but is -3"),
    (["--cfg", "job", "dataset=pairs", "model.nhead=3"], "`model.nhead` must divide"),
    (["-cd", "/nowhere"], "Additional config directory '/nowhere' not found"),
    (["seed=${oc.env:HF_TOKEN}"], "`oc.env:HF_TOKEN` looks like a secret"),
    (["hydra.job.env_set.API_KEY=abc123"], "`hydra.job.env_set.API_KEY` looks like a secret"),
    (["+api_key=abc123"], "unknown option 'api_key'"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[ascii(" ".join(words)) for words, _ in WRONG])
def test_a_mistake_is_one_line_with_the_way_out_and_leaves_nothing(
    words: list[str], message: str, refusal: Refusal
) -> None:
    assert message in refusal(*words)


@pytest.mark.parametrize("name", ["mine", "min"])
def test_choices_of_ones_own_that_cannot_be_read_are_one_line(here: Path, refusal: Refusal, name: str) -> None:
    (here / "own" / "experiment").mkdir(parents=True)
    (here / "own" / "experiment" / "mine.yaml").write_text("a: [")
    line = refusal("-cd", "own", f"experiment={name}")
    assert ("mine.yaml" in line) if name == "mine" else ("Could not find 'experiment/min'" in line and "mine" in line)
    assert "Config search path" not in line
    assert "could not be converted to Float" in refusal("-cd", "own", "optimizer.lr=abc")
    assert "`epochs` must be at least 1" in refusal("--config-dir=own", "epochs=0")


@pytest.mark.slow
def test_the_real_command_answers_like_this(tmp_path: Path) -> None:
    cases = [WRONG[number] for number in (0, 1, 2, 5, 7)]
    for words, message in cases:
        done = zoo_run("train", *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in one_error(done.stderr)
    if not torch.cuda.is_available():
        done = zoo_run("train", "device=cuda", cwd=tmp_path)
        assert done.returncode == 2
        assert "device=cpu" in one_error(done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_name_is_not_the_present_directory(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "config.yaml").touch()
    for words in (("evaluate", ""), ("predict", "", "-"), ("compare", "")):
        assert inside(*words) == 4
        assert one_error(capfd.readouterr().err).startswith("the name of a run is empty; name its directory")


def test_names_that_no_file_can_have_are_storage_or_data_errors(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    for code, words in [
        (6, ("train", *TOY, f"run_dir={long}")),
        (3, ("train", "dataset=pairs", f"dataset.train={long}")),
        (4, ("predict", long)),
        (4, ("predict", "~nobody-of-that-name/run")),
        (3, ("predict", ".", long)),
        (4, ("evaluate", long)),
    ]:
        assert inside(*words) == code
        assert "no" in one_error(capfd.readouterr().err)
    assert list(here.iterdir()) == []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(["epochs", "optimizer.lr", "dataset.train", "dataset.columns", "model", "run_dir", "resume",
                         "optimizer.betas", "monitor", "ema", "seed", "compile"]) | st.text(max_size=12),
    text=st.text(max_size=12) | st.sampled_from(["[", "[[1,2],3]", "1e400", "-0", "\uff11", "0x1", "null", "[null]"]),
)  # fmt: skip
def test_any_override_gives_a_config_or_a_config_error(key: str, text: str) -> None:
    with suppress(ConfigError):
        item = parse(f"{key}={text}")
        assert isinstance(config_of({"dataset": "pairs", "dataset.train": "x", item.key: item.texts[0]}), TrainConfig)


def files_under(directory: Path) -> Iterator[tuple[Path, bytes]]:
    return ((path, path.read_bytes()) for path in directory.rglob("*") if path.is_file())


@pytest.mark.slow
def test_no_secret_of_the_environment_is_in_a_file_of_a_run_or_a_sweep(tmp_path: Path) -> None:
    secret = "hf_Zq81PleaseDoNotWriteMe"
    names = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "PGPASSWORD", "ZOO_ANYTHING")
    done = zoo_run("train", "-m", *TOY, "seed=1", cwd=tmp_path, env=dict.fromkeys(names, secret))
    assert done.returncode == 0, done.stderr
    found = dict(files_under(tmp_path))
    assert {"config.yaml", "train.log", "sweep.csv", "sweep.json", "multirun.yaml"} <= {path.name for path in found}
    assert not [path for path, content in found.items() if secret.encode() in content]
    assert secret not in done.stdout + done.stderr


def signalled(number: int, lost: type[Exception] | None) -> int:
    """Run a command that a signal reaches amid a library, which turns it into another error or swallows it."""

    def command() -> int:
        try:
            os.kill(os.getpid(), number)
        except BaseException as error:
            if lost is not None:
                raise lost("'NoneType' object has no attribute 'x'") from error
        return 0

    try:
        return guarded(command)
    except SystemExit as error:
        return int(str(error.code))


@pytest.mark.parametrize("lost", [None, AttributeError, ConfigError])
def test_a_signal_that_a_library_swallows_or_turns_into_an_error_ends_the_command_all_the_same(
    lost: type[Exception] | None, capfd: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(number) for number in ENDING]
    assert signalled(signal.SIGTERM, lost) == 143
    assert capfd.readouterr().err == ""
    assert signalled(signal.SIGINT, lost) == 130
    assert capfd.readouterr().err == "interrupted\n"
    assert [signal.getsignal(number) for number in ENDING] == before


def test_a_training_does_not_begin_after_a_signal_that_was_swallowed(here: Path) -> None:
    def command() -> int:
        with suppress(BaseException):
            os.kill(os.getpid(), signal.SIGINT)
        return inside("train", *TOY, "run_dir=run")

    assert guarded(command) == 130
    assert list(here.iterdir()) == []


def test_a_signal_that_comes_as_an_error_stops_a_sweep(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def train(config: TrainConfig, swept: object = ()) -> None:
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        raise AttributeError("'NoneType' object has no attribute 'x'")

    monkeypatch.setattr(zoo.cli.train, "_train_one", train)
    assert inside("train", "-m", *TOY, "seed=1,2", "hydra.sweep.dir=s") == 130
    assert "stopped in job 1; the same command goes on with the sweep in s\n" in capfd.readouterr().err
    assert not (here / "s" / "sweep.csv").exists()


@pytest.fixture
def jobs(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Collect the jobs that are trained; seed 2 fails, seed 4 is killed at its first try."""
    trained: list[TrainConfig] = []

    def train(config: TrainConfig, swept: object = ()) -> dict[str, object]:
        trained.append(config)
        if config.seed == 2:
            raise DivergenceError("the loss is nan")
        if config.seed == 4 and sum(job.seed == 4 for job in trained) == 1:
            raise KeyboardInterrupt
        return {"run_dir": config.run_dir, "valid": {"sequence_error_rate": config.seed / 10}}

    monkeypatch.setattr(zoo.cli.train, "_train_one", train)
    return trained


def test_the_same_command_goes_on_with_a_sweep_that_was_stopped_and_starts_anew_after_one_that_ended(
    here: Path, jobs: list[TrainConfig], capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("train", "-m", *TOY, "seed=1,4,5")
    assert inside(*words) == 130
    assert "stopped in job 2; the same command goes on" in capfd.readouterr().err
    assert inside(*words) == 0
    assert "going on with the sweep in runs/multirun/" in capfd.readouterr().err
    directories = [str(Path(str(job.run_dir)).parent) for job in jobs]
    assert len(set(directories)) == 1
    time.sleep(1.1)  # directories are named by the second
    assert inside(*words) == 0
    assert str(Path(str(jobs[-1].run_dir)).parent) not in directories
    assert inside("train", "-m", *TOY, "seed=1,3", f"hydra.sweep.dir={directories[0]}") == 0
    assert str(Path(str(jobs[-1].run_dir)).parent) == directories[0]


def test_every_failure_is_in_the_table_and_the_file_and_the_exit_code_is_the_first_ones(
    here: Path, jobs: list[TrainConfig], capfd: pytest.CaptureFixture[str]
) -> None:
    assert inside("train", "-m", *TOY, "seed=1,2,3", "hydra.sweep.dir=my sweep") == 5
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert (lines[0].split(), lines[1].split()) == (["valid"], ["rank", "job", "sequence_error_rate", "seed", "state"])
    assert re.fullmatch(r"1 +1 +0\.1000 +1 +finished", lines[2])
    assert re.fullmatch(r" +2 +2 +failed", lines[4])
    assert lines[5] == "job 2 failed with exit code 5: the loss is nan"
    assert lines[6:] == ["sweep  my sweep/sweep.csv", "run    my sweep/seed=1 (the best)",
                         "look   zoo compare 'my sweep' --out compared"]  # fmt: skip
    assert "error: 1 of 3 jobs failed" in err.splitlines()[-1]
    with (here / "my sweep" / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["exit_code"] for row in rows] == ["0", "5", "0"]
    assert (rows[1]["status"], rows[1]["error"], rows[2]["valid"]) == ("failed", "the loss is nan", "0.3")


def test_a_sweep_that_another_process_works_on_is_busy(
    here: Path, jobs: list[TrainConfig], capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "s").mkdir()
    with alone(here / "s"):
        assert inside("train", "-m", *TOY, "seed=1,3", "hydra.sweep.dir=s") == 8
    assert f"process {os.getpid()} is training here" in one_error(capfd.readouterr().err)
    assert jobs == []


def test_names_of_jobs_are_clean_and_tell_jobs_apart() -> None:
    jobs = [["seed=1", "model=seq2seq"], ["dataset.train=/a b/c"], ["dataset.train=/a/c"], ["x=../../etc/passwd"],
            ["x=" + "\uac00" * 300], [], ["x=\n\x1b[31m"]]  # fmt: skip
    names = [job_name(words) for words in jobs]
    assert names[0] == "seed=1,model=seq2seq"
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[\w=,+][\w.=,+-]*", name)
        assert len(name.encode()) < 255


@pytest.mark.slow
def test_a_sweep_killed_in_its_fourth_job_goes_on_there(tmp_path: Path) -> None:
    words = ["train", "-m", *TOY, "max_steps=0", "epochs=20", "save_every=1", "seed=1,2,3,4,5", "optimizer.lr=0.001",
             "hydra.sweep.dir=sweep"]  # fmt: skip
    fourth = tmp_path / "sweep" / "seed=4"
    kill_when_saved(fourth, *words, cwd=tmp_path)
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep").glob("seed=[123]/*") if path.is_file()}
    assert len([path for path in finished if path.name == "results.json"]) == 3
    assert not (fourth / "results.json").exists()
    done = zoo_run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert re.search(r"resumed sweep/seed=4 at step \d+", done.stderr)
    with (tmp_path / "sweep" / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["finished before"] * 3 + ["finished"] * 2
    first = json.loads((tmp_path / "sweep" / "seed=1" / "results.json").read_text())
    assert float(rows[0]["valid"]) == first["valid"]["sequence_error_rate"]
