"""Installed models are small, whole, and found by name where no path has it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ship
import torch

import zoo.pretrained
from zoo.checkpoint import load_checkpoint
from zoo.cli import run as command
from zoo.errors import CheckpointError, ConfigError
from zoo.experiment import load, open_run, train
from zoo.experiment.directory import RunDirectory, run_path
from zoo.pretrained import list_pretrained, pretrained_path


@pytest.fixture
def shipped(here: Path, toy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Train a toy and install it as `toy` in a home of its own; return the run that it was made of."""
    home = here / "home"
    home.mkdir()
    for module in (zoo.pretrained, ship):
        monkeypatch.setattr(module, "HOME", home)
        monkeypatch.setattr(module, "INDEX", home / "index.json")
    run = here / "run"
    train(toy(run_dir=str(run)))
    words = ["ship.py", str(run), "toy", "--summary", "Letters to letters", "--license", "none"]
    monkeypatch.setattr("sys.argv", words)
    ship.main()
    return run


def test_an_installed_model_predicts_as_its_run_does(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = ["abcd", "dd", "a"]
    assert [one.text for one in open_run("toy").predict(sources)] == [
        one.text for one in open_run(shipped).predict(sources)
    ]
    capsys.readouterr()
    assert command(["models", "--pretrained"]) == 0
    assert capsys.readouterr().out.startswith("toy  Letters to letters; ")


def test_an_installed_model_holds_no_more_than_predicting_needs(shipped: Path) -> None:
    whole, installed = RunDirectory(shipped), RunDirectory(run_path("toy"))
    weights = load_checkpoint(installed.best).tensors
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert installed.best.stat().st_size < whole.best.stat().st_size
    assert not installed.resumable
    names = {file.name for file in installed.path.rglob("*") if file.is_file()}
    assert names >= {"config.yaml", "results.json", "best.safetensors"}
    assert "metrics.jsonl" not in names


def test_a_path_comes_before_an_installed_model(shipped: Path) -> None:
    shipped.rename(shipped.parent / "toy")
    assert run_path("toy") == Path("toy")


def test_a_changed_file_is_refused(shipped: Path) -> None:
    path = pretrained_path("toy")
    assert path is not None
    (path / "config.yaml").write_text("model: {}\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.yaml: not the file that was installed; install zoo again"):
        run_path("toy")


@pytest.mark.parametrize("content", [None, b"{", b"3", b'{"toy": 3}', b'{"toy": {}}', b"\xff"], ids=str)
def test_a_damaged_list_of_models_is_refused(content: bytes | None, shipped: Path) -> None:
    zoo.pretrained.INDEX.unlink() if content is None else zoo.pretrained.INDEX.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"index\.json: not the file that was installed; install zoo again"):
        run_path("toy")


def test_an_unknown_name_lists_the_installed_ones(shipped: Path) -> None:
    with pytest.raises(CheckpointError, match=r"toi: no such run; .* did you mean 'toy'"):
        run_path("toi")


def test_a_model_that_is_too_large_is_not_shipped(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "MOST", 100)
    with pytest.raises(ConfigError, match="more than 100; train a smaller model"):
        ship.main()
    assert pretrained_path("toy")  # that of before is whole
    assert sorted(file.name for file in zoo.pretrained.HOME.iterdir()) == ["index.json", "toy"]


def test_an_installed_model_can_be_made_anew_of_itself(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_run("toy").predict(["abcd"])
    monkeypatch.setattr("sys.argv", ["ship.py", "toy", "toy", "--summary", "again", "--license", "none",
                                     "--lowercase", "src"])  # fmt: skip
    ship.main()
    assert list_pretrained()["toy"].summary == "again"
    assert open_run("toy").predict(["ABCD"]) == open_run("toy").predict(["abcd"]) == before


def test_g2p_en_is_scored_on_a_file_of_words_and_phones(here: Path) -> None:
    model = load("g2p-en")
    phones = model.predict(["neuroscience"])[0].text
    (here / "mine.tsv").write_text(f"Neuroscience\t{phones}\nthe\t{phones}\n")
    assert model.evaluate(files=["mine.tsv"])["sequence_error_rate"] == 1 / 2


def test_g2p_en_reads_capitals() -> None:
    model = open_run("g2p-en")
    assert model.predict(["Zebra"])[0].text == model.predict(["zebra"])[0].text == "Z IY B R AH"
    assert model.warnings() == []


@pytest.mark.parametrize("name", list_pretrained())
def test_each_installed_model_is_whole_small_and_described(name: str) -> None:
    model = list_pretrained()[name]
    model.verify()
    assert {file.relative_to(model.path).as_posix() for file in model.path.rglob("*") if file.is_file()} == set(
        model.files
    )
    assert sum(file.stat().st_size for file in model.path.rglob("*") if file.is_file()) <= 6_000_000
    results = json.loads((model.path / "results.json").read_text(encoding="utf-8"))
    assert all(results["test"][key] == value for key, value in model.scores.items())
    card = (Path(__file__).parents[1] / "docs" / "models" / f"{name}.md").read_text(encoding="utf-8")
    assert f"{model.parameters:,} parameters" in card
    assert all(f" {value:.3f}" in card for key, value in model.scores.items() if key != "loss")


def test_the_installed_models_together_are_small() -> None:
    assert sum(file.stat().st_size for file in zoo.pretrained.HOME.rglob("*") if file.is_file()) <= 15_000_000
