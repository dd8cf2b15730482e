"""Data that `zoo prepare` writes are those that a training would hold in memory, whoever wrote them and whenever."""

import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import command, environment, inside, one_error

import zoo.data.blocks
import zoo.data.prepare
from zoo.config import ClassifierConfig, LabelledConfig, PairsConfig, PreparedConfig, Tokenizer, TrainConfig, check
from zoo.data import Data, build_data, read_split
from zoo.data.blocks import Sample, bound_of
from zoo.data.corpus import Corpus, PairCorpus, Sequences, TextCorpus
from zoo.data.files import read_rows
from zoo.data.prepare import prepare
from zoo.data.prepared import Index, ShardedCorpus
from zoo.data.splits import hashes, some_held_out
from zoo.data.windows import WindowLoader
from zoo.errors import ConfigError, DataError

LETTERS = "abcdefghij"


def write_pairs(path: Path, rows: int = 600, *, seed: int = 1) -> str:
    drawn = random.Random(seed)
    with path.open("w") as file:
        for _ in range(rows):
            word = "".join(drawn.choices(LETTERS, k=drawn.randint(0, 9)))
            file.write(f"{word}\t{' '.join(word.upper())}\n")
    return str(path)


def write_texts(path: Path, rows: int = 400) -> str:
    drawn = random.Random(2)
    with path.open("w") as file:
        for _ in range(rows):
            text = " ".join("".join(drawn.choices("abc", k=2)) for _ in range(drawn.randint(0, 8)))
            file.write(f"{text}\t{drawn.choice(['good', 'bad', '', 'so so'])}\n")
    return str(path)


def config_of(dataset: Any, **changes: Any) -> TrainConfig:
    labelled = isinstance(dataset, LabelledConfig) or getattr(dataset, "task", "") == "labelled"
    config = TrainConfig(**{"dataset": dataset, **({"model": ClassifierConfig()} if labelled else {}), **changes})
    check(config)
    return config


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo.data.blocks, "ROWS", 64)


def train_of(data: Data) -> Corpus:
    """Return the training part of prepared data as one that is in memory."""
    assert isinstance(data.train, ShardedCorpus)
    return data.train.read(range(len(data.train.index.shards)))


def both(dataset: Any, directory: Path, *, max_length: int = 512) -> tuple[Data, Data]:
    """Return the data in memory, and prepared."""
    config = config_of(dataset)
    config.model.max_length = max_length
    done = prepare(dataset, directory)
    made = PreparedConfig(path=str(directory))
    again = config_of(made, model=config.model)
    assert done.index.rows
    return build_data(config), build_data(again)


def alike(one: Sequences, other: Sequences) -> bool:
    return np.array_equal(one.ids, other.ids) and np.array_equal(one.offsets, other.offsets)


def check_alike(one: Data, other: Data) -> None:
    train = train_of(other)
    for before, now in ((one.train, train), (one.valid, other.valid), (one.test, other.test)):
        if isinstance(before, PairCorpus):
            assert isinstance(now, PairCorpus)
            assert alike(before.src, now.src)
            assert alike(before.tgt, now.tgt)
            assert (before.source_texts, before.references) == (now.source_texts, now.references)
        elif isinstance(before, TextCorpus):
            assert isinstance(now, TextCorpus)
            assert alike(before.text, now.text)
            assert before.labels.tolist() == now.labels.tolist()
    assert {side: codec.vocab.tokens for side, codec in one.codecs.items()} == {
        side: codec.vocab.tokens for side, codec in other.codecs.items()
    }
    assert (one.labels, one.max_output, one.notes) == (other.labels, other.max_output, other.notes)
    assert len(one.train) == len(other.train)
    assert one.label_counts() == other.label_counts()


@pytest.mark.parametrize("options", [
    {},
    {"src_tokenizer": "jamo", "lowercase": True, "min_count": 20, "tgt_direction": "right_to_left"},
    {"src_tokenizer": "bpe", "tgt_tokenizer": "unigram", "vocab_size": 20},
    {"src_tokenizer": "bpe", "tgt_tokenizer": "bpe", "shared_vocabulary": True, "vocab_size": 30},
    {"tgt_tokenizer": "char", "shared_vocabulary": True},
], ids=str)  # fmt: skip
def test_prepared_pairs_are_those_in_memory(options: dict[str, Any], tmp_path: Path, small_blocks: None) -> None:
    hints: dict[str, Any] = PairsConfig.__annotations__
    typed = {key: hints[key][value] if isinstance(value, str) else value for key, value in options.items()}
    dataset = PairsConfig(train=write_pairs(tmp_path / "a.tsv"), **typed)
    one, other = both(dataset, tmp_path / "made")
    check_alike(one, other)
    assert len(Index.load(tmp_path / "made").shards) > 5


def test_rows_beyond_max_length_are_left_out_or_cut_as_in_memory(tmp_path: Path, small_blocks: None) -> None:
    one, other = both(PairsConfig(train=write_pairs(tmp_path / "a.tsv")), tmp_path / "pairs", max_length=5)
    assert one.notes["train_too_long"]
    check_alike(one, other)
    one, other = both(LabelledConfig(train=write_texts(tmp_path / "b.tsv")), tmp_path / "texts", max_length=3)
    assert one.notes["train_cut"]
    check_alike(one, other)


def test_prepared_texts_and_files_for_the_other_parts_are_those_in_memory(tmp_path: Path, small_blocks: None) -> None:
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


# ---- pure parts


@pytest.mark.parametrize("rows", [2, 3, 10, 40, 1000])
def test_the_bound_holds_out_what_is_held_out_in_memory(rows: int) -> None:
    for start in range(30):
        drawn = hashes(f"{start} {i}" for i in range(rows))
        bound = bound_of(rows, least=drawn.min(), most=drawn.max(), where="x")
        assert np.array_equal(drawn < bound, some_held_out(drawn, valid=0.1, where="x"))


def test_of_many_rows_no_more_are_held_out_than_stay_in_memory() -> None:
    assert bound_of(10_000_000, least=0.0, most=0.9, where="x") == 0.005
    with pytest.raises(DataError, match="one source only"):
        bound_of(5, least=0.3, most=0.3, where="x")


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


# ---- from the shell


def files_of(directory: Path) -> dict[str, bytes]:
    kept = [path for path in directory.rglob("*") if path.is_file() and path.name != "index.json"]
    return {str(path.relative_to(directory)): path.read_bytes() for path in kept}


def digests(directory: Path) -> list[str]:
    return [shard.file.sha256 for shard in Index.load(directory).shards]


@pytest.mark.slow
def test_one_worker_and_two_write_equal_bytes(here: Path, small_blocks: None) -> None:
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


def test_standard_input_is_as_good_as_a_file(here: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
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
    kind: str, here: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch
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


def test_a_damaged_part_is_written_again(here: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = PairsConfig(train=write_pairs(here / "a.tsv"))
    prepare(dataset, here / "whole")
    killed_after(3, dataset, here / "made", monkeypatch, "part")
    (here / "made/parts/000001.safetensors").write_bytes(b"x")
    prepare(dataset, here / "made")
    assert files_of(here / "made") == files_of(here / "whole")


def test_other_options_and_changed_input_are_refused_until_asked_to_start_anew(
    here: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch
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


def test_where_nothing_is_done_yet_a_file_can_be_mended(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.tsv").write_text("a\tb\nc\n")
    words = ["prepare", "made", "dataset=pairs", "dataset.train=a.tsv", "--workers", "1"]
    assert inside(*words) == 3
    assert "a.tsv:2: expected 2 columns, found 1" in one_error(capsys.readouterr().err)
    write_pairs(here / "a.tsv")
    assert inside(*words) == 0


def test_other_rows_from_a_pipe_are_refused(here: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"{i}", "x") for i in range(400)]
    monkeypatch.setattr(zoo.data.prepare, "read_rows", lambda *paths, **given: iter(rows))
    killed_after(3, PairsConfig(train="-"), here / "made", monkeypatch, "part")
    rows[70] = ("other", "x")
    with pytest.raises(DataError, match=r"-: holds other rows than when .* was begun \(block 1\); add --anew"):
        prepare(PairsConfig(train="-"), here / "made")
    rows[70:] = []
    with pytest.raises(DataError, match="holds other rows"):
        prepare(PairsConfig(train="-"), here / "made")


def prepare_quietly(directory: Path) -> Path:
    prepare(PairsConfig(train=write_pairs(directory / "a.tsv")), directory / "made")
    return directory / "made"


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def test_missing_cut_and_damaged_shards_are_named(here: Path, small_blocks: None) -> None:
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


@pytest.mark.parametrize("dataset", [PairsConfig, LabelledConfig])
def test_blocks_of_empty_rows_are_shards_without_rows(dataset: Any, here: Path, small_blocks: None) -> None:
    rows = [f"word {i}\t{'xy'[i % 2]}\n" for i in range(80)]
    (here / "a.tsv").write_text("".join([*rows[:64], *["\t\n"] * 130, *rows[64:]]))
    one, other = both(dataset(train=str(here / "a.tsv")), here / "made")
    check_alike(one, other)
    assert 0 in [shard.rows for shard in Index.load(here / "made").shards]
    loader = WindowLoader(other.train, batch_tokens=20, seed=1, window=1)  # type: ignore[arg-type]
    assert sum(len(batch.targets) for batch in loader) == len(one.train)
    assert len(list(loader)) == len(loader)


def test_who_stops_a_preparation_is_told_how_to_go_on(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(here / "a.tsv")
    monkeypatch.setattr(zoo.data.prepare.Journal, "add", lambda *entry: (_ for _ in ()).throw(KeyboardInterrupt))
    assert inside("prepare", "made", "dataset=pairs", "dataset.train=a.tsv", "--workers", "1") == 130
    assert capsys.readouterr().err == "stopped; the same command goes on from there\ninterrupted\n"
