"""Data that `zoo prepare` writes are those that a training would hold in memory, whoever wrote them and whenever."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import command, environment, inside
from preparing import both, check_alike, config_of, digests, files_of, write_pairs, write_texts

import zoo.data.prepare
from zoo.config import LabelledConfig, PairsConfig, PreparedConfig, Tokenizer
from zoo.data import build_data, read_split
from zoo.data.blocks import Sample, bound_of
from zoo.data.corpus import PairCorpus
from zoo.data.files import read_rows
from zoo.data.prepare import prepare
from zoo.data.prepared import Index
from zoo.data.splits import hashes, some_held_out
from zoo.data.windows import WindowLoader
from zoo.errors import DataError


@pytest.mark.parametrize("options", [
    {},
    {"src_tokenizer": "jamo", "lowercase": True, "min_count": 20, "tgt_direction": "right_to_left"},
    {"src_tokenizer": "bpe", "tgt_tokenizer": "unigram", "vocab_size": 20},
    {"src_tokenizer": "bpe", "tgt_tokenizer": "bpe", "shared_vocabulary": True, "vocab_size": 30},
    {"tgt_tokenizer": "char", "shared_vocabulary": True},
    {"valid_fraction": 0.3},
], ids=str)  # fmt: skip
def test_prepared_pairs_are_those_in_memory(options: dict[str, Any], tmp_path: Path, small_shards: None) -> None:
    hints: dict[str, Any] = PairsConfig.__annotations__
    typed = {key: hints[key][value] if isinstance(value, str) else value for key, value in options.items()}
    dataset = PairsConfig(train=write_pairs(tmp_path / "a.tsv"), **typed)
    one, other = both(dataset, tmp_path / "made")
    check_alike(one, other)
    assert len(Index.load(tmp_path / "made").shards) > 5


def test_rows_beyond_max_length_are_left_out_or_cut_as_in_memory(tmp_path: Path, small_shards: None) -> None:
    one, other = both(PairsConfig(train=write_pairs(tmp_path / "a.tsv")), tmp_path / "pairs", max_length=5)
    assert one.notes["train_too_long"]
    check_alike(one, other)
    one, other = both(LabelledConfig(train=write_texts(tmp_path / "b.tsv")), tmp_path / "texts", max_length=3)
    assert one.notes["train_cut"]
    check_alike(one, other)


def test_prepared_texts_and_files_for_the_other_parts_are_those_in_memory(tmp_path: Path, small_shards: None) -> None:
    check_alike(*both(LabelledConfig(train=write_texts(tmp_path / "a.tsv")), tmp_path / "one"))
    files = {"valid": write_texts(tmp_path / "v.tsv", 30), "test": write_texts(tmp_path / "t.tsv", 20)}
    one, other = both(LabelledConfig(train=write_texts(tmp_path / "a.tsv"), **files), tmp_path / "two")
    check_alike(one, other)
    assert one.notes["valid_sources_in_train"]
    assert other.test is not None


def test_a_finished_run_reads_its_parts_and_files_of_the_form_that_was_prepared(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,a,b\n" + "".join(f"{i},{'AB'[i % 2] * (i + 1)},x y\n" for i in range(30)))
    dataset = PairsConfig(train=str(tmp_path / "a.csv"), columns=["a", "b"], lowercase=True)
    one, other = both(dataset, tmp_path / "made")
    config = config_of(PreparedConfig(path=str(tmp_path / "made")))
    assert (config.dataset.columns, str(config.dataset.task), str(config.dataset.bleu)) == (
        ["a", "b"],
        "pairs",
        "never",
    )
    for split, files in (("valid", None), ("test", str(tmp_path / "a.csv"))):
        found = read_split(config, other.codecs, [], split, files=files)
        wanted = read_split(config_of(dataset), one.codecs, [], split, files=files)
        assert isinstance(found, PairCorpus)
        assert isinstance(wanted, PairCorpus)
        assert found.source_texts == wanted.source_texts
        assert found.raw_references == wanted.raw_references
    with pytest.raises(DataError, match="has no test part"):
        read_split(config, other.codecs, [])
    with pytest.raises(DataError, match="no texts of the train part; name its file"):
        read_split(config, other.codecs, [], "train")


@pytest.mark.parametrize("rows", [2, 3, 10, 40, 1000])
def test_the_bound_holds_out_what_is_held_out_in_memory(rows: int) -> None:
    for start in range(30):
        drawn = hashes(f"{start} {i}" for i in range(rows))
        bound = bound_of(rows, 0.1, least=drawn.min(), most=drawn.max(), where="x")
        assert np.array_equal(drawn < bound, some_held_out(drawn, valid=0.1, where="x"))


def test_of_many_rows_no_more_are_held_out_than_stay_in_memory() -> None:
    assert bound_of(10_000_000, 0.1, least=0.0, most=0.9, where="x") == 0.005
    with pytest.raises(DataError, match="one source only"):
        bound_of(5, 0.1, least=0.3, most=0.3, where="x")


def test_a_sample_is_a_share_of_all_rows_in_their_order_and_bounded() -> None:
    rows = [(f"word {i}", "x") for i in range(5000)]
    sample = Sample(5000)
    sample.add(rows[:2000])
    sample.add(rows[2000:])
    chosen = sample.chosen(0.1)
    assert 2500 < sum(len(source) + 1 for source, _ in chosen) <= 5000
    assert chosen == [row for row in rows if row in set(chosen)]
    assert {int(source[5:]) // 1000 for source, _ in chosen} == {0, 1, 2, 3, 4}
    assert sample.rows == 5000


@pytest.mark.slow
def test_one_worker_and_two_write_equal_bytes(here: Path, small_shards: None) -> None:
    path = write_pairs(here / "a.tsv")
    dataset = PairsConfig(train=path)
    for workers in (1, 2):
        prepare(dataset, here / str(workers), workers=workers)
    assert files_of(here / "1") == files_of(here / "2")
    assert (here / "1/index.json").read_text() == (here / "2/index.json").read_text()


def test_the_verb_says_what_is_there_and_how_to_train(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pairs(here / "a.tsv")
    words = ["prepare", "made", "dataset=pairs", "dataset.train=a.tsv", "--workers", "1"]
    assert inside(*words) == 0
    first = capsys.readouterr().out
    assert "training rows" in first
    assert "tokens/s" in first
    assert first.endswith("train  zoo-train dataset=prepared dataset.path=made\n")
    assert sorted(path.name for path in (here / "made").iterdir()) == [
        "coding.json", "index.json", "shards", "src.json", "src.vocab.json", "tgt.json", "tgt.vocab.json",
        "valid.jsonl",
    ]  # fmt: skip
    assert inside(*words) == 0
    assert capsys.readouterr().out == first.partition(" MB")[0] + " MB\n" + first.splitlines()[1] + "\n"
    assert inside("prepare", "made", "--check") == 0
    assert "all as they were written" in capsys.readouterr().out


def test_standard_input_is_as_good_as_a_file(here: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pairs(here / "a.tsv")
    monkeypatch.setattr(zoo.data.prepare, "read_rows", lambda paths, **given: read_rows(path, **given))
    for tokenizer in (Tokenizer.char, Tokenizer.bpe):
        for name, train in (("file", path), ("piped", "-")):
            prepare(PairsConfig(train=train, src_tokenizer=tokenizer, vocab_size=20), here / f"{name}-{tokenizer}")
        assert files_of(here / f"file-{tokenizer}") == files_of(here / f"piped-{tokenizer}")


def test_a_pipe_ends_in_data(here: Path) -> None:
    rows = Path(write_pairs(here / "a.tsv")).read_text()
    done = subprocess.run(command("prepare", "made", "dataset=pairs", "dataset.train=-", "--workers", "1"), input=rows,
                          text=True, capture_output=True, env=environment(), cwd=here, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    prepare(PairsConfig(train=str(here / "a.tsv")), here / "file")
    assert digests(here / "made") == digests(here / "file")


def test_a_process_that_prepares_again_learns_again(here: Path) -> None:
    for tokenizer in (Tokenizer.char, Tokenizer.bpe):
        (here / "a.tsv").write_text("".join(f"ab{i}\tx\n" for i in range(40)))
        prepare(
            PairsConfig(train=str(here / "a.tsv"), src_tokenizer=tokenizer, vocab_size=30), here / "made", anew=True
        )
        (here / "a.tsv").write_text("".join(f"{i}cde\ty z\n" for i in range(40)))
        dataset = PairsConfig(train=str(here / "a.tsv"), src_tokenizer=tokenizer, vocab_size=30)
        prepare(dataset, here / "made", anew=True)
        check_alike(build_data(config_of(dataset)), build_data(config_of(PreparedConfig(path=str(here / "made")))))


@pytest.mark.parametrize("dataset", [PairsConfig, LabelledConfig])
def test_blocks_of_empty_rows_are_shards_without_rows(dataset: Any, here: Path, small_shards: None) -> None:
    rows = [f"word {i}\t{'xy'[i % 2]}\n" for i in range(80)]
    (here / "a.tsv").write_text("".join([*rows[:64], *["\t\n"] * 130, *rows[64:]]))
    one, other = both(dataset(train=str(here / "a.tsv")), here / "made")
    check_alike(one, other)
    assert 0 in [shard.rows for shard in Index.load(here / "made").shards]
    loader = WindowLoader(other.train, batch_tokens=20, seed=1, window=1)  # type: ignore[arg-type]
    assert sum(len(batch.targets) for batch in loader) == len(one.train)
    assert len(list(loader)) == len(loader)
