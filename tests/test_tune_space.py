"""Spaces and arguments of a search: every model has a space, and each mistake is one line."""

import sys
from pathlib import Path

import pytest
from commands import inside, one_error
from tuning import SCRIPTED

from zoo.cli.compose import folder
from zoo.config import MODELS, TrainConfig


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
