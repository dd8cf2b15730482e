"""Intervals and paired differences, against resampling written out and against what is known of them."""

import time

import numpy as np
import pytest

from zoo.bootstrap import differences, intervals, resamples
from zoo.metrics import LabelScores, SequenceScores


def scores_of(right: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> SequenceScores:
    """Return scores of one-token sources, right or wrong."""
    return SequenceScores(distances=(~right).astype(np.int64), lengths=np.ones(len(right), np.int64))


def test_intervals_equal_a_loop_over_drawn_sources() -> None:
    rng = np.random.default_rng(3)
    distances, lengths = rng.integers(0, 3, 20), rng.integers(1, 9, 20)
    found = intervals(SequenceScores(distances=distances, lengths=lengths), repeats=50, seed=7)
    again = np.random.default_rng(7)
    drawn = [again.integers(0, 20, 20) for _ in range(50)]
    rates = [distances[rows].sum() / lengths[rows].sum() for rows in drawn]
    assert found["token_error_rate"] == pytest.approx(np.quantile(rates, [0.025, 0.975]))
    shares = [(distances[rows] > 0).mean() for rows in drawn]
    assert found["sequence_error_rate"] == pytest.approx(np.quantile(shares, [0.025, 0.975]))


def test_the_interval_of_a_share_is_that_of_the_binomial_law() -> None:
    right = np.arange(1000) % 10 < 7
    low, high = intervals(scores_of(right), repeats=4000)["sequence_error_rate"]
    half = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.003)


def test_the_same_seed_gives_the_same_interval_and_the_sources_once_each_on_average() -> None:
    scores = scores_of(np.arange(50) % 3 > 0)
    assert intervals(scores, repeats=20) == intervals(scores, repeats=20)
    assert intervals(scores, repeats=20) != intervals(scores, repeats=20, seed=2)
    drawn = np.stack(list(resamples(50, repeats=400)))
    assert (drawn.sum(1) == 50).all()
    assert drawn.mean(0) == pytest.approx(np.ones(50), abs=0.3)


def test_a_model_does_not_differ_from_itself() -> None:
    scores = scores_of(np.arange(100) % 3 > 0)
    found = differences(scores, scores, repeats=100)["sequence_error_rate"]
    assert found == (0, 0, 0, 1)


def test_a_difference_on_every_tenth_source_is_real_and_one_that_goes_both_ways_is_not() -> None:
    right = np.arange(500) % 2 == 0
    better = right | (np.arange(500) % 10 == 1)
    found = differences(scores_of(right), scores_of(better))["sequence_error_rate"]
    assert found.value == pytest.approx(-0.1)
    assert found.low < -0.1 < found.high < 0
    assert found.p < 0.01
    other = right.copy()
    other[:40] = ~other[:40]  # twenty sources better, twenty worse
    assert differences(scores_of(right), scores_of(other))["sequence_error_rate"].p > 0.5


def test_p_is_evenly_spread_where_models_are_equally_good() -> None:
    rng = np.random.default_rng(0)
    found = [
        differences(scores_of(rng.random(200) < 0.6), scores_of(rng.random(200) < 0.6), repeats=200, seed=seed)
        for seed in range(200)
    ]
    small = np.mean([one["sequence_error_rate"].p < 0.1 for one in found])
    assert small == pytest.approx(0.1, abs=0.07)


def test_models_that_answered_other_sources_are_refused() -> None:
    with pytest.raises(ValueError, match="the same sources, but there are 3, 4"):
        differences(scores_of(np.ones(3, bool)), scores_of(np.ones(4, bool)))


def test_a_thousand_resamples_of_ten_thousand_texts_take_seconds() -> None:
    rng = np.random.default_rng(0)
    scores = LabelScores.of(rng.dirichlet(np.ones(8), 10_000), rng.integers(0, 8, 10_000))
    begun = time.process_time()
    found = intervals(scores)
    assert time.process_time() - begun < 10
    assert set(found) == {"loss", "accuracy", "macro_f1", "ece"}
