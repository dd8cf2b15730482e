import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.batch import IGNORE
from zoo.data.corpus import GrowingSequences, PairCorpus, Sequences, TextCorpus, renumber
from zoo.data.vocab import BOS, EOS, PAD, UNK

lists = st.lists(st.lists(st.integers(4, 30), max_size=6), min_size=1, max_size=8)
maybe = st.none() | st.integers(0, 3)


def padded(rows: list[list[int]], value: int, prepend: int | None, append: int | None) -> list[list[int]]:
    full = [[*([] if prepend is None else [prepend]), *row, *([] if append is None else [append])] for row in rows]
    width = max((len(row) for row in full), default=0)
    return [row + [value] * (width - len(row)) for row in full]


@given(rows=lists, value=st.sampled_from([PAD, IGNORE]), prepend=maybe, append=maybe, data=st.data())
@settings(max_examples=150, deadline=None)
def test_pad_equals_a_plain_loop(rows, value, prepend, append, data) -> None:  # type: ignore[no-untyped-def]
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6))
    out = Sequences.from_lists(rows).pad(np.array(chosen), value=value, prepend=prepend, append=append)
    assert out.dtype == torch.int64
    assert out.tolist() == padded([rows[i] for i in chosen], value, prepend, append)


@given(rows=lists, longest=st.integers(0, 7), data=st.data())
@settings(max_examples=100, deadline=None)
def test_take_and_cut_equal_plain_lists(rows, longest, data) -> None:  # type: ignore[no-untyped-def]
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6))
    made = Sequences.from_lists(rows)
    taken, cut = made.take(np.array(chosen, dtype=int)), made.cut(longest)
    assert [taken.row(i).tolist() for i in range(len(taken))] == [rows[i] for i in chosen]
    assert [cut.row(i).tolist() for i in range(len(cut))] == [row[:longest] for row in rows]
    assert taken.lengths.tolist() == made.lengths_of(np.array(chosen, dtype=int)).tolist()


@given(rows=lists, parts=st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_growing_sequences_are_those_that_were_added(rows, parts) -> None:  # type: ignore[no-untyped-def]
    growing = GrowingSequences()
    for start in range(0, len(rows), parts):
        growing.append(Sequences.from_lists(rows[start : start + parts]))
    whole, made = growing.whole(), Sequences.from_lists(rows)
    assert whole.ids.tolist() == made.ids.tolist()
    assert whole.offsets.tolist() == made.offsets.tolist()


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_working_in_pieces_changes_nothing(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.data.corpus.PIECE", piece)
    made = Sequences.from_lists([[4, 5], [], [6, 7, 8], [9]])
    taken = made.take(np.array([3, 2, 0, 1]))
    assert [taken.row(i).tolist() for i in range(4)] == [[9], [6, 7, 8], [4, 5], []]
    renumber(made.ids, np.arange(10) * 2)
    assert made.ids.tolist() == [8, 10, 12, 14, 16, 18]


def test_ids_lie_flat_and_small() -> None:
    made = Sequences.from_lists([[4, 5], [], [6]])
    assert made.ids.dtype == np.int32
    assert made.offsets.tolist() == [0, 2, 2, 3]
    assert made.lengths.tolist() == [2, 0, 1]


def test_a_pair_batch_shifts_the_target_by_one_symbol() -> None:
    corpus = PairCorpus(src=Sequences.from_lists([[4, 5], [6]]), tgt=Sequences.from_lists([[7], [8, 9]]))
    batch = corpus.batch(np.array([0, 1]))
    assert batch.src.tolist() == [[4, 5, EOS], [6, EOS, PAD]]
    assert batch.src_lengths.tolist() == [3, 2]
    assert batch.tgt_in.tolist() == [[BOS, 7, PAD], [BOS, 8, 9]]
    assert batch.tgt_out.tolist() == [[7, EOS, IGNORE], [8, 9, EOS]]
    assert batch.tokens == 2 + 3


def test_a_text_batch_has_neither_start_nor_end_and_no_empty_row() -> None:
    corpus = TextCorpus(text=Sequences.from_lists([[], [4, 5], []]), labels=np.array([IGNORE, 1, 0]))
    batch = corpus.batch(np.array([1, 0, 2]))
    assert batch.text.tolist() == [[4, 5], [UNK, PAD], [UNK, PAD]]
    assert batch.lengths.tolist() == [2, 1, 1]
    assert batch.label.tolist() == [1, IGNORE, 0]


@given(rows=lists, budget=st.integers(1, 20), limit=st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_sources_come_once_each_by_length_within_the_budget(rows, budget, limit) -> None:  # type: ignore[no-untyped-def]
    sources = Sequences.from_lists(rows)
    corpus = PairCorpus(src=sources, tgt=sources, sources=sources)
    seen, lengths = [], []
    for numbers, src, src_lengths in corpus.source_loader(budget, limit=limit):
        assert len(numbers) == 1 or src.numel() <= budget
        for number, row, length in zip(numbers.tolist(), src.tolist(), src_lengths.tolist(), strict=True):
            assert row[:length] == [*rows[number], EOS]
            seen.append(number)
            lengths.append(length)
    assert len(set(seen)) == len(seen) == min(limit or len(rows), len(rows))
    assert lengths == sorted(lengths)


def test_a_limited_source_loader_takes_sources_from_all_over_the_corpus() -> None:
    sources = Sequences.from_lists([[4]] * 100)
    corpus = PairCorpus(src=sources, tgt=sources, sources=sources)
    ((rows, _, _),) = corpus.source_loader(100, limit=4)
    assert rows.tolist() == [0, 25, 50, 75]
