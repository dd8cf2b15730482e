"""A search finds the better settings, goes on where it was killed, ends what is hopeless, and keeps to its budget."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import PATIENCE, command, environment, inside, one_error
from commands import zoo as zoo_run

import zoo.tune.search
from zoo.cli.compose import folder
from zoo.config import MODELS, TrainConfig
from zoo.errors import DataError, DivergenceError, MemoryLimitError
from zoo.experiment import Ended, Watch, train
from zoo.tune.rows import Row, ranked

TOY = ["model=classifier", "dataset=parity", "dataset.train_size=64", "dataset.valid_size=32", "dataset.test_size=16",
       "dataset.max_length=8", "dataset.symbols=2", "model.hidden_size=8", "model.embedding_size=8", "model.dropout=0",
       "model.word_dropout=0", "epochs=4", "label_smoothing=0", "device=cpu", "precision=fp32"]  # fmt: skip
RATES = "optimizer.lr: [0.00001, 0.03]\n"


@pytest.fixture
def rates(here: Path) -> list[str]:
    """Return the arguments of a search for one of two rates."""
    (here / "rates.yaml").write_text(RATES)
    return ["tune", *TOY, "--space", "rates.yaml", "--out", "found"]


@pytest.fixture
def scripted(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Train nothing: the value is 0.5 + dropout, and epochs come close to it; some dropouts fail. Return the trials."""
    (here / "space.yaml").write_text("model.dropout: {low: 0.0, high: 0.9, step: 0.1}\n")
    trained: list[TrainConfig] = []

    def pretend(config: TrainConfig, *, watch: Watch) -> dict[str, Any]:
        trained.append(config)
        value = 0.5 + config.model.dropout / 2
        for epoch in range(1, config.epochs + 1):
            if watch.late:
                raise Ended
            watch.after_epoch(epoch, {"valid_accuracy": value}, epoch == config.epochs)
        valid = {"accuracy": value}
        return {"valid": valid, "best_epoch": 1, "epochs": config.epochs, "seconds": 1.0, "run_dir": config.run_dir}

    monkeypatch.setattr(zoo.tune.search, "train", pretend)
    return trained


SCRIPTED = ["tune", *[word for word in TOY if not word.startswith("model.dropout")], "--space", "space.yaml", "--out",
            "found"]  # fmt: skip


def table(path: Path = Path("found/tune.csv")) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_search_finds_the_better_of_two_settings(rates: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert inside(*rates, "--trials", "5") == 0
    out = capfd.readouterr().out.splitlines()
    assert out[1].split()[:4] == ["rank", "trial", "accuracy", "lr"]
    assert out[2].split()[3] == "0.03"
    assert f"run    found/trial-{int(out[2].split()[1]):04d} (the best)" in out
    assert out[-1].startswith("best   zoo-train model=classifier dataset=parity ")
    assert out[-1].endswith(" optimizer.lr=0.03")
    rows = table()
    assert rows[0]["overrides"] == "optimizer.lr=0.03"
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5"]


def test_a_trial_is_a_run_that_its_line_repeats_to_the_bit_and_that_is_not_scored_on_test(
    rates: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert inside(*rates, "--trials", "1") == 0
    line = capfd.readouterr().out.splitlines()[-1].removeprefix("best   zoo-train ")
    assert inside("train", *line.split(), "run_dir=again") == 0
    one, other = (json.loads(Path(name, "results.json").read_text()) for name in ("found/trial-0001", "again"))
    assert one["valid"] == other["valid"]
    assert "test" not in one
    assert "test" in other


def test_the_first_trial_has_the_defaults_where_they_lie_in_the_space(
    scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str]
) -> None:
    assert inside(*SCRIPTED, "--trials", "1") == 0
    assert scripted[0].model.dropout == 0.5


def test_the_columns_of_both_tables_are_the_same(rates: list[str]) -> None:
    assert inside(*rates, "--trials", "1") == 0
    assert inside("train", "-m", *TOY, "max_steps=1", "seed=1,2", "hydra.sweep.dir=sweep") == 0
    assert list(table()[0]) == list(table(Path("sweep/sweep.csv"))[0]) == list(Row._fields)
    assert Path("found/tune.csv").read_text().startswith("number,overrides,status,rank,exit_code,metric,valid,test,")


def test_typing_the_command_again_goes_on_and_reruns_no_trial(
    scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str]
) -> None:
    assert inside(*SCRIPTED, "--trials", "4") == 0
    first = table()
    capfd.readouterr()
    assert inside(*SCRIPTED, "--trials", "4") == 0
    assert "going on with the search in found, where 4 trials have ended" in capfd.readouterr().err
    assert table() == first
    before = len(scripted)
    assert before <= 4
    assert inside(*SCRIPTED, "--trials", "6") == 0
    assert {str(config.run_dir) for config in scripted[before:]} <= {"found/trial-0005", "found/trial-0006"}


def test_without_out_the_search_of_the_same_command_goes_on_and_another_gets_a_directory(
    scripted: list[TrainConfig], here: Path
) -> None:
    words = SCRIPTED[:-2]
    assert inside(*words, "--trials", "1") == 0
    assert inside(*words, "--trials", "2") == 0
    time.sleep(1.1)  # directories are named by the second
    assert inside(*words, "seed=2", "--trials", "1") == 0
    found = sorted(here.glob("runs/tune/parity-classifier/*/tune.csv"))
    assert [len(table(path)) for path in found] == [2, 1]


def test_a_search_that_stopped_and_goes_on_proposes_what_one_that_did_not_stop_proposes(
    scripted: list[TrainConfig],
) -> None:
    for trials in ("3", "9", "14"):
        assert inside(*SCRIPTED, "--trials", trials) == 0
    assert inside(*SCRIPTED[:-1], "whole", "--trials", "14") == 0
    pieces, whole = table(), table(Path("whole/tune.csv"))
    assert [(row["number"], row["overrides"]) for row in pieces] == [(row["number"], row["overrides"]) for row in whole]


def test_equal_settings_are_not_trained_twice_and_a_small_space_ends_the_search(
    here: Path, scripted: list[TrainConfig]
) -> None:
    (here / "space.yaml").write_text("model.dropout: [0.0, 0.1]\n")
    assert inside(*SCRIPTED, "--seconds", "60", "--no-pruning") == 0
    assert sorted(config.model.dropout for config in scripted) == [0.0, 0.1]


def test_a_hopeless_trial_is_pruned_and_says_so(scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str]) -> None:
    assert inside(*SCRIPTED, "--trials", "16") == 0
    rows = table()
    pruned = [row for row in rows if row["status"] == "pruned"]
    assert pruned
    assert all(int(row["epochs"]) < 4 and row["rank"] == "0" for row in pruned)
    best = max(float(row["valid"]) for row in rows)
    assert float(rows[0]["valid"]) == best
    assert inside(*SCRIPTED[:-1], "whole", "--trials", "16", "--no-pruning") == 0
    assert not [row for row in table(Path("whole/tune.csv")) if row["status"] == "pruned"]


def test_a_run_that_is_watched_ends_after_an_epoch_and_can_go_on(here: Path, toy: Any) -> None:
    def end(epoch: int, values: dict[str, float], over: bool) -> None:
        if epoch == 1:
            raise Ended("enough")

    with pytest.raises(Ended):
        train(toy(run_dir="run", epochs=3), watch=Watch(after_epoch=end))
    assert "enough" in Path("run/train.log").read_text()
    assert "error:" not in Path("run/train.log").read_text()
    results = train(toy(run_dir="run", epochs=3, resume=True))
    assert results["valid"] == train(toy(run_dir="other", epochs=3))["valid"]


def test_a_run_whose_deadline_has_passed_ends_after_a_step_and_goes_on_to_the_same_bits(here: Path, toy: Any) -> None:
    with pytest.raises(Ended, match="stopped after step 1"):
        train(toy(run_dir="run"), watch=Watch(deadline=time.monotonic()))
    results = train(toy(run_dir="run", resume=True))
    assert results["valid"] == train(toy(run_dir="other"))["valid"]


def test_seconds_end_the_search_and_the_running_trial_which_goes_on_later(
    rates: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert inside(*rates, "epochs=100000", "--seconds", "2") == 4
    assert "no trial has finished yet" in capfd.readouterr().err
    rows = table()
    assert [row["status"] for row in rows] == ["stopped"]
    assert float(json.loads(Path("found/search.json").read_text())["seconds"]) < 60
    assert inside(*rates, "epochs=100000", "--seconds", "2", "--trials", "1") == 4  # nothing of the budget is left
    assert len(table()) == 1


@pytest.mark.parametrize(("error", "code"), [(DivergenceError("nan"), 5), (MemoryLimitError("full"), 7),
                                             (RuntimeError("CUDA error: out of memory"), 7)])  # fmt: skip
def test_a_trial_that_diverges_or_has_no_memory_counts_as_failed_and_the_search_goes_on(
    error: Exception, code: int, here: Path, scripted: list[TrainConfig], monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    pretend = zoo.tune.search.train

    def fail(config: TrainConfig, *, watch: Watch) -> dict[str, Any]:
        if str(config.run_dir).endswith("2"):
            raise error
        return pretend(config, watch=watch)

    monkeypatch.setattr(zoo.tune.search, "train", fail)
    assert inside(*SCRIPTED, "--trials", "3") == 0
    failed = next(row for row in table() if row["number"] == "2")
    assert (failed["status"], failed["exit_code"]) == ("failed", str(code))
    assert failed["error"] == str(error)
    assert f"failed with exit code {code}: {error}" in capfd.readouterr().out


def test_settings_that_diverged_are_not_trained_again(
    here: Path, scripted: list[TrainConfig], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "space.yaml").write_text("model.dropout: [0.2, 0.5]\n")
    tried: list[float] = []

    def fail(config: TrainConfig, *, watch: Watch) -> None:
        tried.append(config.model.dropout)
        raise DivergenceError("nan")

    monkeypatch.setattr(zoo.tune.search, "train", fail)
    assert inside(*SCRIPTED, "--trials", "100") == 5
    assert sorted(tried) == [0.2, 0.5]
    assert len(table()) < 100, "a space in which nothing is left ends the search"
    assert {(row["status"], row["error"]) for row in table()} == {("failed", "nan")}


def test_wrong_data_ends_the_search(
    here: Path, scripted: list[TrainConfig], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(config: TrainConfig, *, watch: Watch) -> None:
        raise DataError("no rows")

    monkeypatch.setattr(zoo.tune.search, "train", fail)
    assert inside(*SCRIPTED, "--trials", "3") == 3
    assert [row["status"] for row in table()] == ["stopped"]


def test_where_all_trials_fail_the_exit_code_is_that_of_the_first(
    here: Path, scripted: list[TrainConfig], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(config: TrainConfig, *, watch: Watch) -> None:
        raise DivergenceError("nan")

    monkeypatch.setattr(zoo.tune.search, "train", fail)
    assert inside(*SCRIPTED, "--trials", "2") == 5
    assert "error: no trial has finished, and 2 failed" in capfd.readouterr().err


def test_settings_that_some_trials_lack_are_named_beside_their_importance(
    here: Path, scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "space.yaml").write_text(
        "model.dropout: {low: 0.0, high: 0.9, step: 0.1}\nmodel.encoder: [bag, gru]\n"
        "model.num_layers: {low: 1, high: 2, when: {model.encoder: gru}}\n"
    )
    assert inside(*SCRIPTED, "--trials", "10", "--no-pruning") == 0
    assert "not judged, since some trials lack them: model.num_layers" in capfd.readouterr().out
    assert inside(*SCRIPTED, "--trials", "10", "--no-pruning", "--json") == 0
    found = json.loads(capfd.readouterr().out)
    assert found["not_judged"] == ["model.num_layers"]
    assert set(found["importance"]) == {"model.dropout", "model.encoder"}


def test_importance_is_in_the_output_and_drawn(scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str]) -> None:
    assert inside(*SCRIPTED, "--trials", "8", "--no-pruning", "--json") == 0
    found = json.loads(capfd.readouterr().out)
    assert found["importance"] == {"model.dropout": pytest.approx(1.0)}
    assert found["best"].endswith(found["trials"][0]["overrides"])
    for name in ("importance.png", "history.png"):
        assert Path("found", name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("line", [b"garbage\n", b"[1, 2]\n", b"\xe4\n"])
def test_a_damaged_journal_is_one_line(
    scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str], line: bytes
) -> None:
    assert inside(*SCRIPTED, "--trials", "1") == 0
    capfd.readouterr()
    journal = Path("found/journal.log")
    journal.write_bytes(line + journal.read_bytes())
    assert inside(*SCRIPTED, "--trials", "2") == 6
    assert "journal.log: is damaged" in capfd.readouterr().err.splitlines()[-1]


def test_a_half_written_last_line_of_the_journal_is_no_harm(scripted: list[TrainConfig]) -> None:
    assert inside(*SCRIPTED, "--trials", "2") == 0
    with Path("found/journal.log").open("ab") as journal:
        journal.write(b'{"op_code":4,"wor')
    assert inside(*SCRIPTED, "--trials", "3") == 0
    assert len(table()) == 3


# ---- mistakes


def test_without_optuna_one_line_says_how_to_install_it(
    rates: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert inside(*rates, "--trials", "1") == 2
    assert "pip install 'zoo[tune]'" in one_error(capfd.readouterr().err)
    assert inside("tune", "model=linear", "--show-space") == 0
    assert capfd.readouterr().out == (folder() / "tune" / "linear.yaml").read_text()


WRONG_SPACES = [
    ("optimizer.lrr: [1]", "space.yaml: `optimizer.lrr`: unknown option of optimizer=adam 'lrr'; did you mean 'lr'?"),
    ("epoch: [1]", "space.yaml: `epoch`: unknown option 'epoch'; did you mean 'epochs'?"),
    ("optimizer.lr: 3", "`optimizer.lr` must be a list of choices or {low: ..., high: ...}, but is 3"),
    ("optimizer.lr: {low: 1, hihg: 2}", "unknown field 'hihg'; did you mean 'high'?"),
    ("optimizer.lr: {low: 1}", "`optimizer.lr` has no `high`; write {low: ..., high: ...}"),
    ("optimizer.lr: {low: 2, high: 1}", "`low` must be below `high` (1), but is 2"),
    ("optimizer.lr: {low: 0, high: 1, log: true}", "a range by logarithm needs a `low` above 0"),
    ("optimizer.lr: {low: a, high: 1}", "`low` must be a number, but is 'a'"),
    ("model.hidden_size: {low: 1.5, high: 8}", "`low` must be a whole number, but is 1.5"),
    ("model.encoder: {low: 1, high: 8}", "is no number, so it has no range; give a list of choices"),
    ("model.encoder: [bag, cn]", "unknown value of `model.encoder` 'cn'"),
    ("model.dropout: {low: 0, high: 1}", "`model.dropout` must be at least 0 and below 1, but is 1"),
    ("model.num_layers: [1, 2]", "`model.num_layers` has no effect on the encoder bag; it goes with rnn"),
    ("seed: [1, 2]", "`seed` is the same in all trials of a search"),
    ("dataset.train: [a, b]", "`dataset.train` is the same in all trials of a search"),
    ("optimizer.lr: {choices: [1], log: true}", "has choices, so `log` has no meaning"),
    ("[1, 2]", "expected lines like `optimizer.lr: {low: 0.001"),
    ("a: [1", "cannot be read as YAML"),
    ("a: &x [1]\nb: *x", "it holds anchors or aliases"),
    ("optimizer.lr: [1]\nmodel.dropout: [0]\noptimizer.lr: [2]", "line 3: `optimizer.lr` stands there twice"),
    ("optimizer.lr: !!int ''", "space.yaml: cannot be read as YAML"),
    ("lr_find: [true, false]", "`lr_find` is the same in all trials of a search"),
    ("model.dropout: {low: 0.1, high: 0.2, when: {model.encodr: [bag]}}", "`when` names 'model.encodr'"),
    ("model.dropout: {low: 0.1, high: 0.2, when: {optimizer: adam}}\noptimizer: [adam, sgd]",
     "`model.dropout`: `when` names 'optimizer', which must stand above it"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG_SPACES, ids=[text for text, _ in WRONG_SPACES])
def test_a_wrong_space_is_one_line(text: str, message: str, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "space.yaml").write_text(text)
    assert inside("tune", "model=classifier", "--space", "space.yaml", "--trials", "2") == 2
    assert message in one_error(capfd.readouterr().err)
    assert [path.name for path in here.iterdir()] == ["space.yaml"]


@pytest.mark.parametrize(("words", "code", "message"), [
    ([], 2, "a search needs an end: set --trials N, --seconds S or both"),
    (["--trials", "-1"], 2, "`--trials` must be above 0, but is -1"),
    (["--trials", "2", "run_dir=a"], 2, "`run_dir` is each trial's own; name the directory of the search with --out"),
    (["--trials", "2", "hydra.sweep.dir=a"], 2, "`hydra.sweep.dir`: zoo tune takes plain values"),
    (["--trials", "2", "--space", "none.yaml"], 2, "none.yaml: cannot be read; copy a space with zoo tune --show-sp"),
    (["--trials", "2", "--out", ""], 2, "`--out` is empty"),
    (["--trials", "2", "--out", "/proc/x"], 6, "/proc/x: cannot be made"),
    (["--trials", "2", "optimizer.lr=1,2"], 2, "`optimizer.lr` has several values; name them in a space: optimizer.lr"),
    (["--trials", "2", "lr_find=true"], 2, "`lr_find` trains no model that could be judged; leave it out"),
    (["--trials", "2", "optimizer.lr=a"], 2, "`optimizer.lr` must be a number, but is 'a'"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")  # fmt: skip
def test_wrong_arguments_are_one_line(
    words: list[str], code: int, message: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert inside("tune", "model=linear", *words) == code
    assert message in one_error(capfd.readouterr().err)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_space_that_passes_the_checks(
    model: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.cli.tune._search", lambda *words: 0)
    assert inside("tune", f"model={model}", "--trials", "1") == 0


def test_an_option_may_go_with_some_choices_of_another_alone(scripted: list[TrainConfig], here: Path) -> None:
    (here / "space.yaml").write_text(
        "model.encoder: [bag, lstm]\nmodel.num_layers: {low: 1, high: 3, when: {model.encoder: [lstm]}}\n"
        "optimizer: [adam, momentum]\noptimizer.momentum: {low: 0.5, high: 0.9, when: {optimizer: momentum}}\n"
    )
    assert inside(*SCRIPTED, "model.hidden_size=8", "--trials", "12", "--no-pruning") == 0
    assert {config.model.num_layers > 1 for config in scripted if config.model.encoder == "bag"} == {False}
    assert {config.model.num_layers > 1 for config in scripted if config.model.encoder == "lstm"} == {True, False}
    assert {config.optimizer.name for config in scripted} == {"adam", "momentum"}


def test_a_directory_of_another_search_is_refused(
    scripted: list[TrainConfig], capfd: pytest.CaptureFixture[str]
) -> None:
    assert inside(*SCRIPTED, "--trials", "1") == 0
    capfd.readouterr()
    assert inside(*SCRIPTED, "epochs=5", "--trials", "1") == 2
    assert "found holds a search with other options or another space" in one_error(capfd.readouterr().err)


def test_rows_are_ranked_by_what_is_good_of_their_metric_and_the_unfinished_come_last() -> None:
    rows = [
        Row(1, "a", "failed", exit_code=5),
        Row(2, "b", "finished", metric="loss", valid=0.5),
        Row(3, "c", "pruned", metric="loss", valid=0.1),
        Row(4, "d", "finished before", metric="loss", valid=0.2),
    ]
    assert [(row.number, row.rank) for row in ranked(rows)] == [(4, 1), (2, 2), (3, 0), (1, 0)]
    mixed = [*rows, Row(5, "e", "finished", metric="accuracy", valid=0.9)]
    assert ranked(mixed) == mixed


@pytest.mark.slow
def test_a_search_killed_in_a_trial_goes_on_there(tmp_path: Path) -> None:
    (tmp_path / "rates.yaml").write_text("optimizer.lr: {low: 0.001, high: 0.1, log: true}\n")
    words = ["tune", *TOY, "epochs=12", "save_every=1", "--space", "rates.yaml", "--out", "found", "--trials", "3",
             "--no-pruning"]  # fmt: skip
    second = tmp_path / "found" / "trial-0002"
    with subprocess.Popen(command(*words), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        end = time.monotonic() + PATIENCE
        while not list(second.glob("checkpoints/step-*")) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    first = tmp_path / "found" / "trial-0001" / "results.json"
    written = first.stat().st_mtime_ns
    done = zoo_run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert first.stat().st_mtime_ns == written
    assert "resumed found/trial-0002 at step" in done.stderr
    assert [row["status"] for row in table(tmp_path / "found" / "tune.csv")] == ["finished"] * 3
    whole = zoo_run(*words, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0
    values = [[(row["overrides"], row["valid"]) for row in table(tmp_path / name / "tune.csv")]
              for name in ("found", "whole")]  # fmt: skip
    assert values[0] == values[1]


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "rates.yaml").write_text(RATES)
    words = ["tune", *TOY, "epochs=100000", "--space", "rates.yaml", "--out", "found", "--trials", "3"]
    with subprocess.Popen(command(*words), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as process:  # fmt: skip
        assert process.stderr is not None
        while "epoch" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "stopped; the same command goes on with the search in found" in rest
    assert [row["status"] for row in table(tmp_path / "found" / "tune.csv")] == ["stopped"]
