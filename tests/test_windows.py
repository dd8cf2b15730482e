"""Batches of data in shards: every row once, shuffled over windows, counted before they are read, and resumed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import inside
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import outcome

import zoo.data.blocks
from zoo.config import (
    Cell,
    ClassifierConfig,
    ConstantConfig,
    LabelledConfig,
    PairsConfig,
    PreparedConfig,
    Seq2SeqConfig,
    TrainConfig,
)
from zoo.data.loader import Loader, Shares, count_batches, draw
from zoo.data.prepare import prepare
from zoo.data.prepared import Index, ShardedCorpus
from zoo.data.windows import WindowLoader
from zoo.experiment import train

ROWS = 500


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare 500 pairs, each with a number of its own as a target, in shards of 40."""
    directory = tmp_path_factory.mktemp("made")
    with (directory / "a.tsv").open("w") as file:
        for i in range(ROWS):
            file.write(f"{'abcdefgh'[: 1 + i * 7 % 8]}\t{' '.join(['x'] * (i % 3))} {i}\n")
    (directory / "v.tsv").write_text("ab\tx\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo.data.blocks, "ROWS", 40)
        prepare(PairsConfig(train=str(directory / "a.tsv"), valid=str(directory / "v.tsv")), directory / "made")
    return directory / "made"


def corpus_of(made: Path, *, longest: int = 512) -> ShardedCorpus:
    return ShardedCorpus(Index.load(made), longest=longest)


def loader_of(made: Path, *, window: int = 700, seed: int = 1, longest: int = 512) -> WindowLoader:
    return WindowLoader(corpus_of(made, longest=longest), batch_tokens=60, seed=seed, window=window)


def targets(batch: Any) -> list[tuple[int, ...]]:
    return sorted(tuple(row[row >= 0].tolist()) for row in batch.tgt_out)


def order(loader: Any, epoch: int) -> list[list[tuple[int, ...]]]:
    loader.set_epoch(epoch)
    return [targets(batch) for batch in loader]


def test_every_row_comes_once_in_as_many_batches_as_were_counted(made: Path) -> None:
    loader = loader_of(made)
    for epoch in (1, 2, 3):
        batches = order(loader, epoch)
        assert len({row for batch in batches for row in batch}) == sum(map(len, batches)) == ROWS
        assert len(batches) == len(loader)
    assert len(loader.windows()) > 4


def test_rows_that_are_too_long_are_left_out_of_batches_and_counts(made: Path) -> None:
    loader = loader_of(made, longest=4)
    batches = order(loader, 1)
    assert sum(map(len, batches)) == len(loader.corpus) == sum(i * 7 % 8 < 4 for i in range(ROWS))
    assert len(batches) == len(loader)


def test_order_follows_from_seed_and_epoch_alone(made: Path) -> None:
    one, two = loader_of(made), loader_of(made)
    first = [order(one, epoch) for epoch in (1, 2)]
    assert [order(two, epoch) for epoch in (2, 1)] == first[::-1]
    assert first[0] != first[1]
    assert order(loader_of(made, seed=2), 1) != first[0]


def test_windows_hold_other_shards_in_each_epoch_and_at_most_their_tokens(made: Path) -> None:
    loader, sizes = loader_of(made), corpus_of(made).sizes
    seen = []
    for epoch in (1, 2):
        loader.set_epoch(epoch)
        windows = loader.windows()
        assert sorted(shard for shards in windows for shard in shards) == list(range(len(sizes)))
        assert all(sum(sizes[i] for i in shards) <= 700 for shards in windows)
        seen.append(windows)
    assert seen[0] != seen[1]
    loader.window = 1
    assert len(loader.windows()) == len(sizes), "a shard that is larger than a window has one of its own"


def test_one_window_gives_the_batches_of_the_loader_in_memory_to_the_bit(made: Path) -> None:
    corpus = corpus_of(made)
    whole = Loader(corpus.read(range(len(corpus.sizes))), batch_tokens=60, seed=1)
    loader = loader_of(made, window=10**9)
    for epoch in (1, 7):
        whole.set_epoch(epoch)
        loader.set_epoch(epoch)
        for one, other in zip(whole, loader, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("start", [0, 1, 30, 63])
def test_an_epoch_resumes_at_any_batch_without_reading_what_lies_before(made: Path, start: int) -> None:
    whole = order(loader_of(made), 3)
    again = loader_of(made)
    again.set_epoch(3)
    assert [targets(batch) for batch in again.iterate(start)] == whole[start:]
    ends = np.cumsum(again.counts())
    before = int(np.searchsorted(ends, start, side="right"))
    read = {shard for shards in again.windows()[before:] for shard in shards}
    assert again.corpus.index._checked == read


@pytest.mark.parametrize("processes", [2, 3])
def test_shares_of_several_processes_are_all_rows_once(made: Path, processes: int) -> None:
    shares = [Shares(loader_of(made), rank=rank, world_size=processes) for rank in range(processes)]
    found = []
    for share in shares:
        share.set_epoch(2)
        found += [row for batch in share for row in targets(batch) if row]
    assert len(found) == len(set(found)) == ROWS
    assert len({len(share) for share in shares}) == 1


@given(lengths=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=80),
       budget=st.integers(1, 90), sides=st.integers(1, 2))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_batches_are_counted_as_they_are_drawn(lengths: list[tuple[int, int]], budget: int, sides: int) -> None:
    arrays = [np.array(side) for side in zip(*lengths, strict=True)][:sides]
    drawn = draw(arrays, batch_tokens=budget, rng=np.random.default_rng(1))
    assert count_batches(arrays, batch_tokens=budget) == len(drawn)


def config_of(dataset: Any, run: Path, **changes: Any) -> TrainConfig:
    model = Seq2SeqConfig(cell=Cell.gru, hidden_size=8, embedding_size=8, dropout=0.2)
    options: dict[str, Any] = {
        "model": model,
        "epochs": 2,
        "batch_tokens": 120,
        "device": "cpu",
        "precision": "fp32",
        "scheduler": ConstantConfig(),
    }
    return TrainConfig(**{**options, "dataset": dataset, "run_dir": str(run), **changes})


def learned(run: Path) -> Any:
    found = outcome(run)
    return found["tensors"], found["metrics"]


def test_a_training_on_one_window_is_that_in_memory_to_the_bit(made: Path, tmp_path: Path) -> None:
    files = {"train": str(made.parent / "a.tsv"), "valid": str(made.parent / "v.tsv")}
    train(config_of(PairsConfig(**files), tmp_path / "memory"))
    train(config_of(PreparedConfig(path=str(made)), tmp_path / "shards"))
    one, other = learned(tmp_path / "memory"), learned(tmp_path / "shards")
    assert one == other


def test_a_training_over_windows_goes_on_to_the_same_bits(made: Path, tmp_path: Path) -> None:
    dataset = PreparedConfig(path=str(made), window=700)
    train(config_of(dataset, tmp_path / "whole"))
    for step in (9, 20, 0):
        train(config_of(dataset, tmp_path / "parts", max_steps=step, resume=True))
    one, other = outcome(tmp_path / "whole"), outcome(tmp_path / "parts")
    assert one["tensors"] == other["tensors"]
    assert one["best"] == other["best"]


def test_another_window_within_an_epoch_is_refused(made: Path, tmp_path: Path, capsys: Any) -> None:
    train(config_of(PreparedConfig(path=str(made), window=700), tmp_path / "run", max_steps=5))
    assert inside("train", f"resume={tmp_path / 'run'}", "max_steps=9", "dataset.window=900") == 4
    assert "`dataset.window` is 900, but the checkpoint was made with 700" in capsys.readouterr().err


def test_a_run_on_prepared_texts_works_like_any_other(tmp_path: Path, capsys: Any) -> None:
    rows = [f"{'good fine nice' if i % 2 else 'bad dull poor'} {i}\t{'yes' if i % 2 else 'no'}\n" for i in range(80)]
    (tmp_path / "a.tsv").write_text("".join(rows))
    (tmp_path / "other.tsv").write_text("good one\tyes\n")
    prepare(LabelledConfig(train=str(tmp_path / "a.tsv")), tmp_path / "made")
    run = tmp_path / "run"
    dataset = PreparedConfig(path=str(tmp_path / "made"))
    words = {"model": ClassifierConfig(hidden_size=8, embedding_size=8), "projector_points": 10}
    results = train(config_of(dataset, run, **words))
    assert results["sizes"]["train"] == sum(results["labels"].values())
    capsys.readouterr()
    assert inside("evaluate", str(run), "--bootstrap", "0", "--json") == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == results["valid"]["accuracy"]
    (tmp_path / "made").rename(tmp_path / "away")
    assert inside("evaluate", str(run), "--data", str(tmp_path / "other.tsv")) == 0
    assert inside("predict", str(run), str(tmp_path / "other.tsv")) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(("yes\t", "no\t"))
    assert inside("evaluate", str(run), "--split", "valid") == 3
    assert "holds no prepared data; write them by zoo prepare" in capsys.readouterr().err
