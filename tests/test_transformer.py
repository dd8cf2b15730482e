"""The Transformer's layers equal torch's, see neither padding nor future, and decode as they train."""

import itertools

import pytest
import torch

from zoo.models.transformer import Transformer
from zoo.nn.attention import additive_mask, causal_mask
from zoo.nn.transformer import DecoderLayer, EncoderLayer, LayerOptions, SwiGLU, TransformerEncoder

CPU = torch.device("cpu")
LENGTHS = torch.tensor([2, 5, 1])
VARIANTS = list(
    itertools.product(["pre", "post"], ["sinusoidal", "learned", "rotary"], ["relu", "gelu", "swiglu"])
)  # fmt: skip


def build(**options):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    sizes = {"d_model": 8, "nhead": 2, "num_encoder_layers": 2, "num_decoder_layers": 2, "dim_feedforward": 12}
    return Transformer(11, 13, **{**sizes, **options}).double().eval()


def a_batch(time=6):
    src = torch.randint(4, 11, (3, 5)).masked_fill(torch.arange(5) >= LENGTHS[:, None], 0)
    return src, LENGTHS, torch.randint(4, 13, (3, time))


def copy_attention(theirs, ours):
    ours.qkv.load_state_dict({"weight": theirs.in_proj_weight, "bias": theirs.in_proj_bias})
    ours.output.load_state_dict(theirs.out_proj.state_dict())


def copy_cross(theirs, ours):
    weight, bias = theirs.in_proj_weight, theirs.in_proj_bias
    ours.query.load_state_dict({"weight": weight[:8], "bias": bias[:8]})
    ours.key_value.load_state_dict({"weight": weight[8:], "bias": bias[8:]})
    ours.output.load_state_dict(theirs.out_proj.state_dict())


def copy_layer(theirs, ours):
    copy_attention(theirs.self_attn, ours.attention)
    ours.feedforward.inner.load_state_dict(theirs.linear1.state_dict())
    ours.feedforward.outer.load_state_dict(theirs.linear2.state_dict())
    residuals = [ours.attention_residual, ours.feedforward_residual]
    if isinstance(ours, DecoderLayer):
        copy_cross(theirs.multihead_attn, ours.cross)
        residuals.insert(1, ours.cross_residual)
    for number, residual in enumerate(residuals, start=1):
        residual.norm.load_state_dict(getattr(theirs, f"norm{number}").state_dict())


def scramble(module):
    """Make norms and biases matter in a comparison."""
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.5)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_encoder_layer_equals_torch(norm, activation):
    torch.manual_seed(0)
    options = {"dim_feedforward": 12, "activation": activation}
    theirs = torch.nn.TransformerEncoderLayer(8, 2, norm_first=norm == "pre", batch_first=True, **options).double()
    scramble(theirs.eval())
    ours = EncoderLayer(LayerOptions(8, 2, norm=norm, **options)).double().eval()
    copy_layer(theirs, ours)
    x, mask = torch.randn(3, 5, 8, dtype=torch.double, requires_grad=True), torch.arange(5) >= LENGTHS[:, None]
    result = ours(x, additive_mask(mask[:, None, None], x.dtype))
    expected = theirs(x, src_key_padding_mask=mask)
    torch.testing.assert_close(result[~mask], expected[~mask])


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_decoder_layer_equals_torch(norm, activation):
    torch.manual_seed(0)
    options = {"dim_feedforward": 12, "activation": activation}
    theirs = torch.nn.TransformerDecoderLayer(8, 2, norm_first=norm == "pre", batch_first=True, **options).double()
    scramble(theirs.eval())
    ours = DecoderLayer(LayerOptions(8, 2, norm=norm, **options)).double().eval()
    copy_layer(theirs, ours)
    x, memory = torch.randn(3, 4, 8, dtype=torch.double), torch.randn(3, 5, 8, dtype=torch.double)
    mask, causal = torch.arange(5) >= LENGTHS[:, None], causal_mask(4, CPU)
    result = ours(x, memory, additive_mask(causal, x.dtype), additive_mask(mask[:, None, None], x.dtype))
    expected = theirs(x, memory, tgt_mask=causal, memory_key_padding_mask=mask)
    torch.testing.assert_close(result, expected)


def test_swiglu_is_the_product_of_a_swish_and_a_linear_map():
    torch.manual_seed(0)
    block = SwiGLU(8, 12).double()
    x = torch.randn(3, 8, dtype=torch.double)
    gate, value = x @ block.gate_value.weight[:12].T, x @ block.gate_value.weight[12:].T
    block.gate_value.bias.data.zero_()
    expected = (gate * gate.sigmoid() * value) @ block.outer.weight.T + block.outer.bias
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_decode_step_equals_forward_and_select_reorders(variant):
    model = build(**dict(zip(("norm", "positions", "activation"), variant, strict=True)))
    src, lengths, tgt_in = a_batch(time=20)  # longer than the first buffer
    logits = model(src, lengths, tgt_in)
    state = model.encode(src, lengths)
    rows = torch.arange(3)
    for time in range(20):
        step, state = model.decode_step(tgt_in[rows, time], state)
        torch.testing.assert_close(step, logits[rows, time], atol=1e-10, rtol=0)
        if time in (3, 7, 16):
            pick = {3: torch.tensor([2, 0, 1, 0]), 7: torch.tensor([1, 0, 3]), 16: torch.tensor([0, 1])}[time]
            rows, state = rows[pick], state.select(pick)


def test_beams_of_a_source_keep_its_keys_in_place():
    model = build()
    src, lengths, _ = a_batch()
    state = model.encode(src, lengths).select(torch.tensor([0, 0, 1, 1, 2, 2]))
    _, state = model.decode_step(torch.full((6,), 5), state)
    assert state.memory.size(1) == 3  # once for each source
    assert state.select(torch.tensor([1, 0, 2, 2, 5, 4])).memory is state.memory
    assert state.select(torch.tensor([5, 4, 0, 0])).owners.tolist() == [2, 0]
    uneven = state.select(torch.tensor([2, 0, 2, 2, 5, 4]))
    assert uneven.owners.tolist() == [1, 0, 1, 1, 2, 2]
    torch.testing.assert_close(uneven.memory, state.memory[:, [1, 0, 1, 1, 2, 2]])


def test_a_selected_state_is_a_copy():
    model = build()
    src, lengths, _ = a_batch()
    _, state = model.decode_step(torch.tensor([5, 6, 7]), model.encode(src, lengths))
    branches = [state.select(torch.arange(3)) for _ in range(2)]
    for token, branch in zip((8, 9), branches, strict=True):
        branches[token - 8] = model.decode_step(torch.full((3,), token), branch)[1]
    again, _ = model.decode_step(torch.full((3,), 5), branches[0])
    expected = model(src, lengths, torch.tensor([[5, 8, 5], [6, 8, 5], [7, 8, 5]]))[:, 2]
    torch.testing.assert_close(again, expected)


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_padding_does_not_change_the_logits(variant):
    model = build(**dict(zip(("norm", "positions", "activation"), variant, strict=True)))
    src, lengths, tgt_in = a_batch()
    logits = model(src, lengths, tgt_in)
    garbage = src.masked_fill(torch.arange(5) >= LENGTHS[:, None], 7)
    torch.testing.assert_close(model(garbage, lengths, tgt_in), logits)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(src[row : row + 1, :length], LENGTHS[row : row + 1], tgt_in[row : row + 1])
        torch.testing.assert_close(alone[0], logits[row])


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_future_has_no_gradient(norm, positions):
    model = build(norm=norm, positions=positions)
    vectors = torch.randn(1, 6, 8, dtype=torch.double, requires_grad=True)
    memory = torch.randn(1, 4, 8, dtype=torch.double)
    model.decoder(model.tgt_positions(vectors), memory)[0, 2].pow(2).sum().backward()
    assert (vectors.grad[0, 3:] == 0).all()
    assert (vectors.grad[0, :3] != 0).any(-1).all()


def test_align_sums_to_one_and_is_zero_on_padding():
    for norm in ("pre", "post"):
        weights = (model := build(norm=norm)).align(*a_batch())
        assert weights.shape == (3, 6, 5)
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 6, dtype=torch.double))
        assert (weights[0, :, 2:] == 0).all()
        assert model.align(*a_batch(time=1)).shape == (3, 1, 5)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_align_gives_the_weights_that_forward_uses(norm):
    model = build(norm=norm)
    src, lengths, tgt_in = a_batch()
    cross, seen = model.decoder.layers[-1].cross, {}
    for part in (cross.query, cross.key_value):
        part.register_forward_hook(lambda part, inputs, output: seen.update({part: output}))
    model(src, lengths, tgt_in)
    queries = seen[cross.query].unflatten(-1, (2, 4)).transpose(1, 2)
    keys = seen[cross.key_value][..., :8].unflatten(-1, (2, 4)).transpose(1, 2)
    scores = (queries @ keys.mT / 2).masked_fill((torch.arange(5) >= LENGTHS[:, None])[:, None, None], -torch.inf)
    torch.testing.assert_close(model.align(src, lengths, tgt_in), scores.softmax(-1).mean(1))


def test_tied_weights_are_one_storage():
    tied, free = build(), build(tie_embeddings=False)
    assert tied.output.weight is tied.tgt_embedding.table.weight
    assert tied.src_embedding.table.weight is not tied.tgt_embedding.table.weight
    assert free.output.weight is not free.tgt_embedding.table.weight
    torch.manual_seed(0)
    shared = Transformer(13, 13, shared_vocabulary=True, d_model=8, nhead=2)
    assert shared.src_embedding.table.weight is shared.tgt_embedding.table.weight is shared.output.weight
    apart = Transformer(13, 13, shared_vocabulary=True, tie_embeddings=False, d_model=8, nhead=2)
    assert apart.src_embedding.table.weight is not apart.tgt_embedding.table.weight


def test_pre_norm_ends_with_a_norm():
    assert isinstance(TransformerEncoder(LayerOptions(8, 2, 8, norm="pre"), 1).norm, torch.nn.LayerNorm)
    assert isinstance(TransformerEncoder(LayerOptions(8, 2, 8, norm="post"), 1).norm, torch.nn.Identity)


def test_rotary_positions_make_a_shift_invisible():
    torch.manual_seed(0)
    model = build(positions="rotary")
    vectors = torch.randn(1, 4, 8, dtype=torch.double)
    attention = model.encoder.layers[0].attention
    moved = attention.merge(torch.softmax(_scores(attention, vectors, 30), -1) @ attention.project(vectors)[2])
    torch.testing.assert_close(moved, attention(vectors))


def _scores(attention, vectors, start):
    queries, keys, _ = attention.project(vectors, start)
    return queries @ keys.mT / 2


def test_learned_positions_end_with_a_message():
    model = build(positions="learned", max_length=7)
    src, lengths, tgt_in = a_batch(time=8)
    model(src, lengths, tgt_in)
    with pytest.raises(ValueError, match="learned positions end at 8, but the sequence has at least 9"):
        model(src, lengths, torch.cat([tgt_in, tgt_in[:, :1]], 1))


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary"])
def test_fixed_positions_have_no_end(positions):
    model = build(positions=positions)
    lengths = torch.tensor([200])
    src, tgt_in = torch.randint(4, 11, (1, 200)), torch.randint(4, 13, (1, 150))
    assert model(src, lengths, tgt_in).shape == (1, 150, 13)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_bfloat16_autocast_comes_near(norm):
    model = build(norm=norm, dropout=0.0).float().train()
    batch = a_batch()
    exact = model(*batch)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(*batch)
        step, _ = model.decode_step(batch[2][:, 0], model.encode(*batch[:2]))
    logits.float().sum().backward()
    torch.testing.assert_close(logits.float(), exact, atol=0.1, rtol=0.1)
    torch.testing.assert_close(step.float(), exact[:, 0], atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "middle"}, "`norm` must be one of pre, post, but is 'middle'"),
        ({"activation": "swish"}, "`activation` must be one of relu, gelu, swiglu, but is 'swish'"),
        ({"positions": "none"}, "`positions` must be one of sinusoidal, learned, rotary, but is 'none'"),
        ({"nhead": 3}, "`nhead` must divide `d_model` (8), but is 3"),
        ({"dropout": 1.0}, "`dropout` must be at least 0 and below 1, but is 1.0"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        build(**options)
    assert message in str(error.value)
