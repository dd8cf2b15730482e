"""Swapped neighbors: nothing is lost, no token crosses into another text, and epochs differ but can be repeated."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.config import ClassifierConfig, LabelledConfig, LinearClassifierConfig, MovieReviewsConfig, TrainConfig, check
from zoo.data import build_data
from zoo.data.augment import swap_neighbors
from zoo.data.corpus import Sequences
from zoo.errors import ConfigError

ROWS = st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=8)


@given(ROWS, st.floats(0, 1), st.integers(0, 5))
def test_each_text_keeps_its_tokens_and_none_moves_by_more_than_one(
    rows: list[list[int]], share: float, seed: int
) -> None:
    numbers = [list(range(len(row))) for row in rows]
    swapped = swap_neighbors(Sequences.from_lists(numbers), share, seed=seed, epoch=1)
    for index, row in enumerate(numbers):
        found = swapped.row(index)
        assert sorted(found.tolist()) == row
        assert np.abs(found - np.arange(len(row))).max(initial=0) <= 1


def test_the_share_of_swaps_is_what_was_asked_for_and_nothing_at_zero() -> None:
    sequences = Sequences.from_lists([range(1000)] * 50)
    found = swap_neighbors(sequences, 0.1, seed=1, epoch=1)
    moved = (found.ids != sequences.ids).mean() / 2
    assert 0.08 < moved < 0.1  # a little less, since no token is swapped twice
    assert np.array_equal(swap_neighbors(sequences, 0.0, seed=1, epoch=1).ids, sequences.ids)


def test_epochs_differ_and_equal_seeds_give_equal_texts() -> None:
    sequences = Sequences.from_lists([range(100)])
    one, same, other = (swap_neighbors(sequences, 0.3, seed=1, epoch=epoch).ids for epoch in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_only_the_training_texts_are_swapped(tmp_path: Any) -> None:
    path = tmp_path / "data.tsv"
    path.write_text("".join(f"{' '.join(f'w{i + j}' for j in range(9))}\t{i % 2}\n" for i in range(60)))
    config = TrainConfig(
        model=LinearClassifierConfig(), dataset=LabelledConfig(train=str(path), swap=0.5), label_smoothing=0.0
    )
    check(config)
    data = build_data(config)
    before, held = data.train.text.ids.copy(), data.valid.text.ids.copy()  # type: ignore[union-attr]
    data.train.set_epoch(1, 1)
    assert not np.array_equal(data.train.text.ids, before)  # type: ignore[union-attr]
    data.valid.set_epoch(1, 1)
    assert np.array_equal(data.valid.text.ids, held)  # type: ignore[union-attr]
    data.train.set_epoch(1, 2)
    assert sorted(data.train.text.row(3)) == sorted(before[27:36])  # type: ignore[union-attr]


@pytest.mark.parametrize("model", [ClassifierConfig(encoder="bag"), LinearClassifierConfig(ngrams=1)])
def test_swaps_that_a_model_does_not_see_are_refused(model: Any) -> None:
    with pytest.raises(ConfigError, match=r"`dataset.swap` has no effect on a model that does not see the order"):
        check(TrainConfig(model=model, dataset=MovieReviewsConfig(swap=0.1)))
