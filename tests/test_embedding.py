"""Padding has a zero vector and a mask, and positions follow their formulas."""

import math

import pytest
import torch

from zoo.nn.embedding import (
    LearnedPositions,
    Rotary,
    SinusoidalPositions,
    TokenEmbedding,
    build_positions,
    padding_mask,
)

CPU = torch.device("cpu")


def test_padding_mask_is_true_where_padded_and_none_where_nothing_is():
    mask = padding_mask(torch.tensor([3, 1]), 3, CPU)
    assert mask.tolist() == [[False, False, False], [False, True, True]]
    assert padding_mask(torch.tensor([3, 3]), 3, CPU) is None


def test_the_vector_of_the_padding_stays_zero():
    embedding = TokenEmbedding(7, 4)
    optimizer = torch.optim.SGD(embedding.parameters(), lr=1.0)
    embedding(torch.tensor([[5, 0, 6]])).sum().backward()
    optimizer.step()
    assert (embedding(torch.tensor([0])) == 0).all()


def test_scaled_embeddings_are_times_the_root_of_the_width():
    scaled, plain = TokenEmbedding(7, 16, scaled=True), TokenEmbedding(7, 16)
    plain.load_state_dict(scaled.state_dict())
    tokens = torch.tensor([[5, 6]])
    torch.testing.assert_close(scaled(tokens), 4 * plain(tokens))


def test_autocast_looks_up_in_its_own_dtype():
    with torch.autocast("cpu", torch.bfloat16):
        assert TokenEmbedding(7, 4)(torch.tensor([[5]])).dtype == torch.bfloat16


@pytest.mark.parametrize("dim", [6, 7])
def test_sinusoids_follow_the_formula_at_any_position(dim):
    vectors = SinusoidalPositions(dim)(torch.zeros(1, 500, dim, dtype=torch.double))
    for position, feature in ((0, 0), (3, 1), (70, 2), (499, dim - 1)):
        angle = position / 10000 ** ((feature - feature % 2) / dim)
        expected = math.cos(angle) if feature % 2 else math.sin(angle)
        assert vectors[0, position, feature].item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["sinusoidal", "learned", "rotary"])
def test_positions_start_anywhere(kind):
    positions = build_positions(kind, dim=4, max_length=200)
    vectors = torch.randn(1, 150, 4)
    torch.testing.assert_close(positions(vectors[:, 100:], 100), positions(vectors)[:, 100:])


def test_positions_tell_equal_tokens_apart():
    for positions in (SinusoidalPositions(4), LearnedPositions(8, 4)):
        first, second = positions(torch.ones(1, 2, 4))[0]
        assert not torch.allclose(first, second)


def test_rotary_keeps_lengths_and_turns_the_first_position_by_nothing():
    rotary = Rotary(6)
    x = torch.randn(2, 90, 6, dtype=torch.double)
    torch.testing.assert_close(rotary(x).norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(rotary(x)[:, 0], x[:, 0])
    assert not torch.allclose(rotary(x)[:, 1], x[:, 1])


def test_rotary_products_depend_on_the_distance_alone():
    rotary = Rotary(6)
    query, key = torch.randn(2, 1, 6, dtype=torch.double)
    near, far = (rotary(query, start + 3) @ rotary(key, start).T for start in (0, 777))
    torch.testing.assert_close(near, far)
    assert not torch.allclose(near, rotary(query, 4) @ rotary(key, 0).T)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`positions` must be one of sinusoidal, learned, rotary, but is 'absolute'"):
        build_positions("absolute", dim=4, max_length=8)
    with pytest.raises(ValueError, match="must be even for rotary positions, but is 3"):
        Rotary(3)
    with pytest.raises(ValueError, match=r"learned positions end at 8, .* raise `model.max_length`"):
        LearnedPositions(8, 4)(torch.zeros(1, 2, 4), 7)
