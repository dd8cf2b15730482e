"""A preparation that was stopped or killed goes on to the same bytes, and never with other rows or options."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from commands import command, environment, inside
from preparing import digests, files_of, write_pairs

import zoo.data.prepare
from zoo.config import PairsConfig
from zoo.data.prepare import prepare
from zoo.data.prepared import Index
from zoo.errors import ConfigError, DataError


def killed_after(parts: int, dataset: Any, directory: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Prepare until so many entries of a kind are in the journal, and end as a kill would."""
    add = zoo.data.prepare.Journal.add

    def dying(journal: Any, entry: dict[str, Any]) -> None:
        add(journal, entry)
        if entry["kind"] == kind and len(journal.of(kind)) == parts:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zoo.data.prepare.Journal, "add", dying)
        with pytest.raises(KeyboardInterrupt):
            prepare(dataset, directory)


@pytest.mark.parametrize("kind", ["part", "read", "shard"])
def test_a_preparation_that_was_ended_goes_on_and_comes_to_the_same(
    kind: str, here: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = PairsConfig(train=write_pairs(here / "a.tsv"))
    whole = prepare(dataset, here / "whole")
    killed_after(1 if kind == "read" else 3, dataset, here / "made", monkeypatch, kind)
    with (here / "made/journal.jsonl").open("a") as file:
        file.write('{"kind": "part", "num')  # as a kill may leave it
    with pytest.raises(DataError, match="its preparation was not finished: type the same"):
        Index.load(here / "made")
    done = prepare(dataset, here / "made")
    assert done.tokens < whole.tokens
    assert files_of(here / "made") == files_of(here / "whole")


def test_a_damaged_part_is_written_again(here: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = PairsConfig(train=write_pairs(here / "a.tsv"))
    prepare(dataset, here / "whole")
    killed_after(3, dataset, here / "made", monkeypatch, "part")
    (here / "made/parts/000001.safetensors").write_bytes(b"x")
    prepare(dataset, here / "made")
    assert files_of(here / "made") == files_of(here / "whole")


def test_other_options_and_changed_input_are_refused_until_asked_to_start_anew(
    here: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pairs(here / "a.tsv")
    killed_after(3, PairsConfig(train=path), here / "made", monkeypatch, "part")
    with pytest.raises(ConfigError, match=r"begun with dataset.min_count=1, not 2; add --anew to start again"):
        prepare(PairsConfig(train=path, min_count=2), here / "made")
    write_pairs(here / "a.tsv", seed=5)
    with pytest.raises(DataError, match=r"a.tsv: has changed since .*made was begun; add --anew"):
        prepare(PairsConfig(train=path), here / "made")
    prepare(PairsConfig(train=path), here / "made", anew=True)
    prepare(PairsConfig(train=path), here / "fresh")
    assert files_of(here / "made") == files_of(here / "fresh")
    with pytest.raises(ConfigError, match=r"begun with dataset\.lowercase=False, not True"):
        prepare(PairsConfig(train=path, lowercase=True), here / "made")


def test_an_option_that_an_older_version_lacked_had_its_default(here: Path, small_shards: None) -> None:
    path = write_pairs(here / "a.tsv")
    prepare(PairsConfig(train=path), here / "made")
    index = json.loads((here / "made/index.json").read_text())
    del index["dataset"]["valid_fraction"]
    (here / "made/index.json").write_text(json.dumps(index))
    assert prepare(PairsConfig(train=path), here / "made").tokens == 0
    with pytest.raises(ConfigError, match=r"begun with dataset\.valid_fraction=0\.1, not 0\.2"):
        prepare(PairsConfig(train=path, valid_fraction=0.2), here / "made")


def test_other_rows_from_a_pipe_are_refused(here: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"{i}", "x") for i in range(400)]
    monkeypatch.setattr(zoo.data.prepare, "read_rows", lambda *paths, **given: iter(rows))
    killed_after(3, PairsConfig(train="-"), here / "made", monkeypatch, "part")
    rows[70] = ("other", "x")
    with pytest.raises(DataError, match=r"-: holds other rows than when .* was begun \(block 1\); add --anew"):
        prepare(PairsConfig(train="-"), here / "made")
    rows[70:] = []
    with pytest.raises(DataError, match="holds other rows"):
        prepare(PairsConfig(train="-"), here / "made")


@pytest.mark.slow
def test_a_kill_leaves_no_worker_and_nothing_that_is_lost(here: Path) -> None:
    write_pairs(here / "a.tsv", 300_000)
    words = command("prepare", "made", "dataset=pairs", "dataset.train=a.tsv", "--workers", "2")
    process = subprocess.Popen(words, cwd=here, env=environment(), stderr=subprocess.PIPE, text=True)
    journal = here / "made/journal.jsonl"
    deadline = time.monotonic() + 240
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()  # the workers have its stderr too, so this waits for their end
    before = journal.read_bytes().count(b"\n")
    done = subprocess.run(words, cwd=here, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    prepare(PairsConfig(train=str(here / "a.tsv")), here / "whole")
    assert before >= 2
    assert digests(here / "made") == digests(here / "whole")
    assert not (here / "made/parts").exists()


def test_who_stops_a_preparation_is_told_how_to_go_on(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(here / "a.tsv")
    monkeypatch.setattr(zoo.data.prepare.Journal, "add", lambda *entry: (_ for _ in ()).throw(KeyboardInterrupt))
    assert inside("prepare", "made", "dataset=pairs", "dataset.train=a.tsv", "--workers", "1") == 130
    assert capsys.readouterr().err == "stopped; the same command goes on from there\ninterrupted\n"
