"""Files of every format that a version has written are read, and those of a newer one are refused."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from commands import inside, one_error

import zoo
from zoo.checkpoint import load_checkpoint
from zoo.config import load_config, save_config
from zoo.errors import ConfigError
from zoo.migration import CHECKPOINT, CONFIG, migrated, newest

FORMATS = Path(__file__).parent / "formats"
KEPT = sorted(path.parent.relative_to(FORMATS) for path in FORMATS.glob("*/*/config.yaml"))
TEXTS = {"classifier": "good poor", "seq2seq": "abba", "transformer": "abba"}


@pytest.fixture
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of a run that an earlier version has written, with its data where its config says."""
    shutil.copytree(FORMATS / request.param.parent, tmp_path / "kept")
    run = tmp_path / "kept" / request.param.name
    text = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(text.replace("HERE", str(run.parent)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return run


def test_there_are_runs_of_every_format_but_one_that_no_version_has_written_yet() -> None:
    assert {int(path.parent.name) for path in KEPT} >= set(range(1, max(newest(CONFIG), newest(CHECKPOINT))))
    assert {path.name for path in KEPT} == set(TEXTS)


@pytest.mark.parametrize("kept", KEPT, ids=str, indirect=True)
def test_a_kept_run_predicts_and_is_evaluated_as_before(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.loads((kept / "results.json").read_text())
    assert str(zoo.load(str(kept)).predict([TEXTS[kept.name]])[0])
    assert inside("evaluate", str(kept), "--split", "valid", "--json", "--bootstrap", "0") == 0
    assert json.loads(capsys.readouterr().out) == pytest.approx(before["valid"], abs=1e-4)


@pytest.mark.parametrize("kept", KEPT, ids=str, indirect=True)
def test_a_kept_run_goes_on(kept: Path) -> None:
    assert inside("train", f"resume={kept}", "epochs=3") == 0
    results = json.loads((kept / "results.json").read_text())
    assert (results["epochs"], results["steps"]) == (3, 3)
    lines = [json.loads(line) for line in (kept / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if "epoch" in line] == [1, 2, 3]
    assert yaml.safe_load((kept / "config.yaml").read_text(encoding="utf-8"))["format"] == newest(CONFIG)


def test_steps_are_taken_one_after_the_other() -> None:
    steps = {1: lambda text: f"{text} two", 2: lambda text: f"{text} three"}
    assert newest(steps) == 3
    assert [migrated("one", found, steps) for found in (1, 2, 3)] == ["one two three", "one three", "one"]


def rename(options: dict[str, object]) -> dict[str, object]:
    """Do what a step does whose version has renamed an option."""
    return {("seed" if key == "luck" else key): value for key, value in options.items()}


def test_a_config_whose_option_was_renamed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, config = tmp_path / "config.yaml", load_config(FORMATS / "1" / "classifier" / "config.yaml")
    save_config(config, path)
    old = path.read_text(encoding="utf-8").replace("seed:", "luck:")
    path.write_text(old, encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown option 'luck'"):
        load_config(path)
    monkeypatch.setitem(CONFIG, 1, rename)
    assert load_config(path) == config
    path.write_text(old.replace("format: 1\n", ""), encoding="utf-8")  # as the first versions wrote it
    assert load_config(path) == config


def test_a_checkpoint_whose_tensor_was_renamed_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKPOINT, 1, lambda pair: ({f"new.{name}": one for name, one in pair[0].items()}, pair[1]))
    path = FORMATS / "1" / "classifier" / "checkpoints" / "best.safetensors"
    assert all(name.startswith("new.") for name in load_checkpoint(path).tensors)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("2", "format 2 is newer than this zoo reads (1); upgrade zoo"),
        ("0", "`format` must be a whole number from 1 on, but is 0"),
        ("new", "`format` must be a whole number from 1 on, but is 'new'"),
    ],
)
@pytest.mark.parametrize("kept", KEPT[:1], ids=str, indirect=True)
def test_a_config_of_a_format_that_is_unknown_is_refused(
    kept: Path, written: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (kept / "config.yaml").read_text(encoding="utf-8")
    (kept / "config.yaml").write_text(text.replace("format: 1\n", f"format: {written}\n"), encoding="utf-8")
    assert inside("evaluate", str(kept)) == 4
    assert message in one_error(capsys.readouterr().err)
