import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.corpus import PairCorpus, Sequences, TextCorpus
from zoo.data.loader import Loader


def pairs(lengths: list[tuple[int, int]]) -> PairCorpus:
    src, tgt = zip(*lengths, strict=True)
    return PairCorpus(
        src=Sequences.from_lists([[4] * n for n in src]), tgt=Sequences.from_lists([[5] * n for n in tgt])
    )


def texts(lengths: list[int]) -> TextCorpus:
    return TextCorpus(text=Sequences.from_lists([[4] * n for n in lengths]), labels=np.zeros(len(lengths), np.int64))


def random_pairs(count: int, longest: int = 20) -> PairCorpus:
    rng = np.random.default_rng(0)
    return pairs([tuple(row) for row in rng.integers(1, longest, (count, 2)).tolist()])


sizes = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60)


@given(lengths=sizes, budget=st.integers(1, 60), seed=st.integers(0, 3), shuffle=st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_row_comes_once_and_within_the_budget(lengths, budget, seed, shuffle) -> None:  # type: ignore[no-untyped-def]
    loader = Loader(pairs(lengths), batch_tokens=budget, seed=seed, shuffle=shuffle)
    rows = loader.plan()
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(lengths)))
    for numbers in rows:
        longest = max(max(lengths[i]) + 1 for i in numbers.tolist())
        assert len(numbers) == 1 or len(numbers) * longest <= budget
    assert len(loader) == len(rows) == len(list(loader))


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=60), budget=st.integers(1, 90))
@settings(max_examples=80, deadline=None)
def test_texts_too_come_once_and_within_the_budget(lengths, budget) -> None:  # type: ignore[no-untyped-def]
    loader = Loader(texts(lengths), batch_tokens=budget)
    assert sorted(np.concatenate(loader.plan()).tolist()) == list(range(len(lengths)))
    for batch in loader:
        assert len(batch.lengths) == 1 or batch.text.numel() <= budget


def order(loader: Loader, epoch: int) -> list[list[int]]:
    loader.set_epoch(epoch)
    return [rows.tolist() for rows in loader.plan()]


def test_order_follows_from_seed_and_epoch_alone() -> None:
    one, two = (Loader(random_pairs(300), batch_tokens=100, seed=1) for _ in range(2))
    first = [order(one, epoch) for epoch in (0, 1, 2)]
    assert [order(two, epoch) for epoch in (2, 0, 1)] == [first[2], first[0], first[1]]
    assert first[0] != first[1]
    assert order(Loader(random_pairs(300), batch_tokens=100, seed=2), 0) != first[0]


def test_rows_meet_other_rows_in_each_epoch() -> None:
    loader = Loader(random_pairs(2000, 6), batch_tokens=100, seed=1)
    assert {frozenset(rows) for rows in order(loader, 0)}.isdisjoint(
        frozenset(r) for r in order(loader, 1) if len(r) > 3
    )


def test_unshuffled_batches_go_from_short_to_long_and_never_change() -> None:
    loader = Loader(random_pairs(300), batch_tokens=100, shuffle=False)
    longest = [int(batch.src_lengths.max()) for batch in loader]
    assert longest == sorted(longest)
    assert order(loader, 0) == order(loader, 5)


@pytest.mark.parametrize("start", [0, 1, 7])
def test_an_epoch_resumes_at_any_batch(start: int) -> None:
    loader = Loader(random_pairs(300), batch_tokens=100, seed=1)
    loader.set_epoch(3)
    whole = list(loader)
    again = Loader(random_pairs(300), batch_tokens=100, seed=1)
    again.set_epoch(3)
    rest = list(again.iterate(start=start))
    assert len(rest) == len(whole) - start
    assert all(
        torch.equal(a, b) for one, two in zip(whole[start:], rest, strict=True) for a, b in zip(one, two, strict=True)
    )


def test_most_batches_have_sources_of_one_length() -> None:
    loader = Loader(random_pairs(5000), batch_tokens=500)
    alike = [bool((batch.src_lengths == batch.src_lengths[0]).all()) for batch in loader]
    assert sum(alike) / len(alike) > 0.9


def test_rare_lengths_share_a_batch() -> None:
    loader = Loader(texts(list(range(1, 40))), batch_tokens=400)
    assert len(loader) < 8


def test_an_epoch_of_120_000_pairs_is_planned_and_cut_fast() -> None:
    corpus = random_pairs(120_000)
    loader = Loader(corpus, batch_tokens=4096)
    start = time.perf_counter()
    count = len(loader)
    planned = time.perf_counter()
    for _ in loader.iterate():
        pass
    assert planned - start < 0.3
    assert (time.perf_counter() - planned) / count < 2e-3
