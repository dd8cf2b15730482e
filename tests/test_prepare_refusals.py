"""Mistakes, damage and what does not fit are told in one line, before anything is overwritten."""

from pathlib import Path
from typing import Any

import pytest
from commands import inside, one_error
from preparing import config_of, train_of, write_pairs

from zoo.config import PairsConfig, PreparedConfig
from zoo.data import build_data
from zoo.data.prepare import prepare
from zoo.errors import DataError


def test_where_nothing_is_done_yet_a_file_can_be_mended(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.tsv").write_text("a\tb\nc\n")
    words = ["prepare", "made", "dataset=pairs", "dataset.train=a.tsv", "--workers", "1"]
    assert inside(*words) == 3
    assert "a.tsv:2: expected 2 columns, found 1" in one_error(capsys.readouterr().err)
    write_pairs(here / "a.tsv")
    assert inside(*words) == 0


def prepare_quietly(directory: Path) -> Path:
    prepare(PairsConfig(train=write_pairs(directory / "a.tsv")), directory / "made")
    return directory / "made"


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def test_missing_cut_and_damaged_shards_are_named(here: Path, small_shards: None) -> None:
    made = prepare_quietly(here)
    config = config_of(PreparedConfig(path=str(made)))
    shard = made / "shards/000002.safetensors"
    content = shard.read_bytes()
    spoil(shard)
    data = build_data(config)
    with pytest.raises(DataError, match=r"000002.safetensors: is damaged, its checksum is another one; copy it again"):
        train_of(data)
    assert inside("prepare", "made", "--check") == 3
    shard.write_bytes(content[:-9])
    with pytest.raises(DataError, match=r"000002.safetensors: has [\d,]+ bytes in place of"):
        build_data(config)
    shard.unlink()
    assert inside("prepare", "made", "dataset=pairs", f"dataset.train={here / 'a.tsv'}") == 3
    with pytest.raises(DataError, match=r"000002.safetensors: is missing; copy it again, or prepare"):
        build_data(config)


@pytest.mark.parametrize(("words", "code", "message"), [
    (["dataset=pairs", "dataset.train=no.tsv"], 3, "no.tsv: no such file or directory; name a file"),
    (["dataset=cmudict"], 2, "name the data: dataset=pairs dataset.train=FILE, or dataset=labelled, not cmudict"),
    (["dataset=pairs"], 2, "`dataset.train` is empty"),
    (["dataset=pairs", "dataset.train=a.tsv", "epochs=3"], 2, "`epochs` has no effect on what is prepared"),
    (["dataset=pairs", "dataset.train=a.tsv", "dataset.valid=-"], 2, "only `dataset.train` can be standard input"),
    (["dataset=pairs", "dataset.train=a.tsv", "dataset.limit=3"], 2, "`dataset.limit` has no place in prepared data"),
    (["dataset=pairs", "dataset.train=a.tsv", "--workers", "0"], 2, "`--workers` must be at least 1"),
    (["dataset=pairs", "dataset.train=a.tsv", "dataset.src_tokeniser=bpe"], 2, "did you mean 'src_tokenizer'"),
    (["dataset=pairs", "dataset.train=broken.tsv"], 3, "broken.tsv:2: expected 2 columns, found 1"),
], ids=str)  # fmt: skip
def test_a_mistake_is_one_line(words: list[str], code: int, message: str, here: Path, capsys: Any) -> None:
    write_pairs(here / "a.tsv")
    (here / "broken.tsv").write_text("a\tb\nc\n")
    assert inside("prepare", "made", *([] if "--workers" in words else ["--workers", "1"]), *words) == code
    assert message in one_error(capsys.readouterr().err)


def test_a_directory_of_something_else_is_left_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs(here / "a.tsv")
    for words in (["."], [".", "--anew"]):
        assert inside("prepare", *words, "dataset=pairs", "dataset.train=a.tsv", "--workers", "1") == 2
        assert "holds other files (a.tsv); name a new directory" in one_error(capsys.readouterr().err)
    assert [path.name for path in here.iterdir()] == ["a.tsv"]


def test_what_is_prepared_and_a_model_must_fit(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = prepare_quietly(here)
    assert inside("train", "model=classifier", "dataset=prepared", f"dataset.path={made}") == 2
    assert "model=classifier learns from texts and labels, and dataset=prepared holds source" in capsys.readouterr().err
    assert inside("train", "dataset=prepared") == 2
    assert "`dataset.path` is empty; name the directory that zoo prepare wrote" in capsys.readouterr().err
    assert inside("train", "dataset=prepared", "dataset.path=nowhere") == 3
    assert "nowhere: holds no prepared data; write them by zoo prepare" in one_error(capsys.readouterr().err)
    assert inside("explore", "prepared", f"dataset.path={made}") == 3
    assert "prepared data hold ids and no texts" in one_error(capsys.readouterr().err)
