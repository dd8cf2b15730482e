"""Runs of tokens: where they lie, which bucket they find, and what a sum of their vectors is."""

from collections import Counter

import pytest
import torch

from zoo.nn.ngrams import RunSum, hash_runs

LENGTHS = torch.tensor([2, 7, 1, 4, 0])


def build(**options):
    torch.manual_seed(0)
    return RunSum(20, 3, **{"ngrams": 3, "buckets": 64, **options}).double().eval()


def a_batch(lengths=LENGTHS):
    generator = torch.Generator().manual_seed(1)
    time = int(lengths.max())
    text = torch.randint(4, 20, (len(lengths), time), generator=generator)
    return text.masked_fill(torch.arange(time) >= lengths[:, None], 0), lengths


def reference(model, ids):
    """Return the sum of one text's vectors over the root of their number, run by run."""
    found = [model.tokens.weight[index] for index in ids]
    for width in range(2, model.ngrams + 1):
        for start in range(len(ids) - width + 1):
            run = torch.tensor([ids[start : start + width]])
            found.append(model.runs.weight[list(hash_runs(run, width, model.buckets))[-1].item()])
    return torch.stack(found).sum(0) / len(found) ** 0.5 if found else torch.zeros(3, dtype=torch.float64)


def test_equals_a_sum_over_runs_one_by_one():
    model = build()
    text, lengths = a_batch()
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(model(text, lengths)[row], reference(model, text[row, :length].tolist()))


@pytest.mark.parametrize("ngrams", [1, 2, 3, 9])
def test_neither_padding_nor_the_other_texts_change_a_sum(ngrams):
    model = build(ngrams=ngrams)
    text, lengths = a_batch()
    together = model(text, lengths)
    padded = torch.arange(7) >= lengths[:, None]
    torch.testing.assert_close(model(text.masked_fill(padded, 9), lengths), together)
    torch.testing.assert_close(model(torch.cat([text, torch.full_like(text, 5)], 1), lengths), together)
    for row, length in enumerate(lengths.tolist()):
        alone = model(text[row : row + 1, : max(1, length)], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], together[row])


def test_equal_runs_find_equal_buckets_wherever_they_are():
    first, second = torch.tensor([[4, 5, 6, 7]]), torch.tensor([[9, 4, 5, 6]])
    for width, (left, right) in enumerate(zip(hash_runs(first, 3, 999), hash_runs(second, 3, 999), strict=True), 2):
        assert left.shape == (1, 5 - width)
        assert torch.equal(left[:, : 4 - width], right[:, 1 : 5 - width])


def test_buckets_are_the_same_on_every_machine():
    found = [runs.tolist() for runs in hash_runs(torch.tensor([[4, 5, 6]]), 3, 2**18)]
    assert found == [[[154687, 27905]], [[78457]]]


def test_order_counts_and_buckets_are_filled_evenly():
    pairs = torch.cartesian_prod(torch.arange(4, 104), torch.arange(4, 104))
    (found,) = hash_runs(pairs, 2, 1000)
    counts = Counter(found.flatten().tolist())
    assert set(counts) <= set(range(1000))
    assert len(counts) == 1000  # of 10,000 runs, 10 a bucket
    assert max(counts.values()) < 30
    assert (hash_runs_of(pairs) != hash_runs_of(pairs.flip(1)))[pairs[:, 0] != pairs[:, 1]].double().mean() > 0.99


def hash_runs_of(pairs):
    return next(hash_runs(pairs, 2, 1000)).flatten()


def test_the_gradient_reaches_the_tokens_and_buckets_of_the_text_alone():
    model = build(buckets=1000)
    text, lengths = a_batch(torch.tensor([3, 2]))
    model(text, lengths).sum().backward()
    used = [set(runs[0].tolist()) | ({runs[1, 0].item()} if width == 2 else set())
            for width, runs in enumerate(hash_runs(text, 3, 1000), 2)]  # fmt: skip
    assert set(model.runs.weight.grad.abs().sum(1).nonzero().flatten().tolist()) == set.union(*used)
    touched = set(model.tokens.weight.grad.abs().sum(1).nonzero().flatten().tolist())
    assert touched == set(text.flatten().tolist()) - {0}


def test_dropout_leaves_out_tokens_and_runs_in_training_alone_and_keeps_the_mean():
    model = build(dropout=0.5)
    batch = a_batch()
    exact = model(*batch)
    assert torch.equal(model(*batch), exact)
    torch.manual_seed(3)
    drawn = torch.stack([model.train()(*batch) for _ in range(2000)])
    assert not torch.allclose(drawn[0], exact)
    torch.testing.assert_close(drawn.mean(0), exact, atol=0.15, rtol=0.05)


def test_without_runs_there_is_no_table_for_them():
    assert build(ngrams=1).runs is None
