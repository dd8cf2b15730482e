"""Attention sums to one, never looks at padding or the future, and equals PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F

from zoo.nn.attention import (
    AdditiveAttention,
    CrossAttention,
    DotAttention,
    GeneralAttention,
    SelfAttention,
    additive_mask,
    attention_weights,
    build_attention,
    causal_mask,
    dot_product_attention,
    split_heads,
)
from zoo.nn.embedding import padding_mask

CPU = torch.device("cpu")
LENGTHS = torch.tensor([5, 2, 1])
SCORES = ["dot", "general", "additive"]


def seeded(seed: int = 0) -> None:
    torch.manual_seed(seed)
    torch.set_num_threads(1)


def build(score):
    seeded()
    return build_attention(score, query_size=6, key_size=6).double()


def queries_and_keys():
    return torch.randn(3, 4, 6, dtype=torch.double), torch.randn(3, 5, 6, dtype=torch.double)


@pytest.mark.parametrize("score", SCORES)
def test_weights_sum_to_one_and_are_zero_on_padding(score):
    attention = build(score)
    queries, keys = queries_and_keys()
    mask = padding_mask(LENGTHS, 5, CPU)
    _, weights = attention(queries, keys, mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4, dtype=torch.double))
    assert (weights.masked_select(mask[:, None].expand_as(weights)) == 0).all()


@pytest.mark.parametrize("score", SCORES)
def test_what_lies_in_the_padding_does_not_change_the_context(score):
    attention = build(score)
    queries, keys = queries_and_keys()
    mask = padding_mask(LENGTHS, 5, CPU)
    other = keys.masked_fill(mask[..., None], 1e3)
    torch.testing.assert_close(attention(queries, other, mask)[0], attention(queries, keys, mask)[0])


@pytest.mark.parametrize("score", SCORES)
def test_whole_sequences_equal_single_queries_and_projected_keys(score):
    attention = build(score)
    queries, keys = queries_and_keys()
    mask = padding_mask(LENGTHS, 5, CPU)
    context, weights = attention(queries, keys, mask)
    for time in range(4):
        one, looked_at = attention(queries[:, time : time + 1], keys, mask, projected=attention.project(keys))
        torch.testing.assert_close(one[:, 0], context[:, time])
        torch.testing.assert_close(looked_at[:, 0], weights[:, time])


def test_scores_are_those_of_the_papers():
    seeded()
    query, key = torch.randn(6, dtype=torch.double), torch.randn(2, 6, dtype=torch.double)
    general, additive = GeneralAttention(6, 6).double(), AdditiveAttention(6, 6, 4).double()
    expected = {
        DotAttention(): key @ query,
        general: key @ general.key.weight.T @ query,
        additive: torch.tanh(additive.query.weight @ query + key @ additive.key.weight.T) @ additive.energy.weight[0],
    }
    for attention, scores in expected.items():
        weights = attention(query.view(1, 1, 6), key[None])[1]
        torch.testing.assert_close(weights[0, 0], scores.softmax(0))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_two_products_equal_the_fused_call(masked, causal):
    seeded()
    queries, keys, values = torch.randn(3, 3, 2, 5, 4, dtype=torch.double).unbind(0)
    mask = torch.zeros(3, 1, 5, 5, dtype=torch.bool)
    if masked:
        mask |= padding_mask(LENGTHS, 5, CPU)[:, None, None]
    if causal:
        mask |= causal_mask(5, CPU)
    ours = dot_product_attention(queries, keys, values, additive_mask(mask, torch.double))
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(queries, keys, values, attn_mask=~mask))


def test_a_row_without_any_key_gives_no_nan():
    bias = additive_mask(torch.ones(1, 1, 1, 3, dtype=torch.bool), torch.float)
    assert attention_weights(torch.randn(1, 1, 2, 4), torch.randn(1, 1, 3, 4), bias).isfinite().all()


@pytest.mark.parametrize("rotary", [False, True])
def test_the_future_has_no_gradient(rotary):
    seeded()
    attention = SelfAttention(8, 2, rotary=rotary)
    x = torch.randn(1, 6, 8, requires_grad=True)
    attention(x, additive_mask(causal_mask(6, CPU), x.dtype))[0, 2].sum().backward()
    assert (x.grad[0, 3:] == 0).all()
    assert (x.grad[0, :3] != 0).any(-1).all()


def test_self_and_cross_attention_equal_torch_multihead_attention():
    seeded()
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    torch.nn.init.normal_(theirs.in_proj_bias)
    ours, cross = SelfAttention(8, 2).double(), CrossAttention(8, 2).double()
    weight, bias = theirs.in_proj_weight.data, theirs.in_proj_bias.data
    ours.qkv.load_state_dict({"weight": weight, "bias": bias})
    cross.query.load_state_dict({"weight": weight[:8], "bias": bias[:8]})
    cross.key_value.load_state_dict({"weight": weight[8:], "bias": bias[8:]})
    for module in (ours, cross):
        module.output.load_state_dict(theirs.out_proj.state_dict())
    x, memory = torch.randn(3, 4, 8, dtype=torch.double), torch.randn(3, 5, 8, dtype=torch.double)
    mask = padding_mask(LENGTHS, 5, CPU)
    bias = additive_mask(mask[:, None, None], torch.double)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0])
    expected, weights = theirs(x, memory, memory, key_padding_mask=mask)
    keys, values = cross.project(memory)
    torch.testing.assert_close(cross(x, keys, values, bias), expected)
    torch.testing.assert_close(cross.weights(x, keys, bias), weights)


def test_rotary_scores_depend_on_the_distance_alone():
    seeded()
    attention = SelfAttention(8, 2, rotary=True).double()
    x = torch.randn(1, 4, 8, dtype=torch.double)
    scores = [queries @ keys.mT for queries, keys, _ in (attention.project(x, start) for start in (0, 9, 1000))]
    torch.testing.assert_close(scores[1], scores[0])
    torch.testing.assert_close(scores[2], scores[0])
    (plain,) = split_heads(attention.qkv(x).chunk(3, -1)[0], 2)
    assert not torch.allclose(attention.project(x, 1)[0], plain)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SelfAttention(8, 3), "`nhead` must divide `d_model` (8), but is 3"),
        (lambda: SelfAttention(6, 2, rotary=True), "must be even for rotary positions, but is 3"),
        (lambda: build_attention("dott", query_size=4, key_size=4), "must be one of none, dot, general, additive"),
        (lambda: build_attention("dot", query_size=4, key_size=6), "queries as wide as keys (6), but they have 4"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    assert message in str(error.value)
