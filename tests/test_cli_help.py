"""Help, listings and the shell's completion: quick, whole, and of what was chosen."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import zoo as zoo_run

from zoo.cli import VERBS, run
from zoo.cli.help import train_help
from zoo.config import GROUPS, TrainConfig, to_dict
from zoo.errors import ConfigError


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
        zoo_run(*words, cwd=Path())
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


@pytest.mark.slow
def test_the_shells_completion_knows_choices_and_keys() -> None:
    def complete(line: str) -> list[str]:
        environment = {**os.environ, "COMP_LINE": f"zoo-train {line}", "COMP_POINT": str(10 + len(line))}
        command = [sys.executable, "-m", "zoo", "train", "-sc", "query=bash"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()

    assert complete("model=tr") == ["model=transformer"]
    assert complete("max_st") == ["max_steps="]
