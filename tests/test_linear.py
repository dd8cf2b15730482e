"""Logistic regression on runs of tokens: what it adds up, what it ignores, and that it learns."""

import pytest
import torch

from zoo.config import LinearClassifierConfig, NoamConfig, TrainConfig, check
from zoo.config.datasets import MovieReviewsConfig
from zoo.data.sizes import PairSizes, TextSizes
from zoo.errors import ConfigError
from zoo.models import create_model

SIZES = TextSizes(12, 3)


def build(**options):
    torch.manual_seed(0)
    return create_model("linear", sizes=SIZES, **{"buckets": 97, "dropout": 0.0, **options})


def train(model, text, lengths, labels, steps=60):
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(text, lengths), labels)
        loss.backward()
        optimizer.step()
    return loss.item()


TEXT = torch.tensor([[4, 5, 6], [5, 4, 6], [6, 4, 5]])
LENGTHS = torch.tensor([3, 3, 3])
LABELS = torch.tensor([0, 1, 2])


def test_what_was_never_seen_counts_for_nothing():
    model = build()
    train(model, TEXT, LENGTHS, LABELS)
    unseen = torch.tensor([[9, 10, 11]])
    torch.testing.assert_close(model(unseen, torch.tensor([3]))[0], model.bias)


def test_runs_tell_texts_of_the_same_tokens_apart_and_tokens_alone_do_not():
    assert train(build(ngrams=2), TEXT, LENGTHS, LABELS) < 0.1
    assert train(create_model("linear", sizes=SIZES, ngrams=1, dropout=0.0), TEXT, LENGTHS, LABELS) == pytest.approx(
        torch.tensor(3.0).log().item(), abs=1e-3
    )


def test_neither_padding_nor_the_other_texts_change_the_logits():
    model = build()
    train(model, TEXT, LENGTHS, LABELS)
    padded, lengths = torch.cat([TEXT, torch.full_like(TEXT, 7)], 1), torch.tensor([3, 2, 1])
    logits = model(padded, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model(TEXT[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], logits[row])


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"ngrams": 3}, "ngrams=3"), ({"buckets": 5}, "buckets=5"), ({"dropout": 0.3}, "p=0.3")],
)
def test_every_option_is_seen_in_the_model(changes, text):
    assert text in str(build(**changes))
    assert text not in str(build())


def test_what_has_no_effect_or_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"`model.buckets` has no effect with `model.ngrams` 1"):
        build(ngrams=1, buckets=97)
    with pytest.raises(ConfigError, match=r"`model.ngrams` must be at least 1 and at most 16"):
        build(ngrams=0)
    with pytest.raises(ValueError, match="needs `sizes` of texts"):
        create_model("linear", sizes=PairSizes(9, 9))
    config = TrainConfig(model=LinearClassifierConfig(), dataset=MovieReviewsConfig(), scheduler=NoamConfig())
    with pytest.raises(ConfigError, match="scheduler=noam goes by the model's width, and model=linear has none"):
        check(config)
