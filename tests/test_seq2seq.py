"""The recurrent sequence model sees neither padding nor future, decodes as it trains, and feeds itself when told."""

import itertools

import pytest
import torch

from zoo.models.seq2seq import Seq2Seq

LENGTHS = torch.tensor([2, 5, 1])
CELLS, SCORES = ["lstm", "gru", "rnn"], ["none", "dot", "general", "additive"]
VARIANTS = [
    (cell, score, feeding, directions)
    for cell, score, feeding, directions in itertools.product(CELLS, SCORES, [False, True], [1, 2])
    if not (feeding and score == "none")
]


def build(**options):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    sizes = {"embedding_size": 5, "hidden_size": 6, "num_layers": 2}
    return Seq2Seq(11, 13, **{**sizes, **options}).double().eval()


def build_variant(variant):
    cell, score, feeding, directions = variant
    return build(cell=cell, attention=score, input_feeding=feeding, bidirectional=directions == 2)


def a_batch(time=6):
    src = torch.randint(4, 11, (3, 5)).masked_fill(torch.arange(5) >= LENGTHS[:, None], 0)
    return src, LENGTHS, torch.randint(4, 13, (3, time))


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant)))
def test_padding_does_not_change_the_logits(variant):
    model = build_variant(variant)
    src, lengths, tgt_in = a_batch()
    logits = model(src, lengths, tgt_in)
    garbage = src.masked_fill(torch.arange(5) >= LENGTHS[:, None], 7)
    torch.testing.assert_close(model(garbage, lengths, tgt_in), logits)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(src[row : row + 1, :length], LENGTHS[row : row + 1], tgt_in[row : row + 1])
        torch.testing.assert_close(alone[0], logits[row])


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant)))
def test_decode_step_equals_forward_and_select_reorders(variant):
    model = build_variant(variant)
    src, lengths, tgt_in = a_batch(time=10)
    logits = model(src, lengths, tgt_in)
    state, rows = model.encode(src, lengths), torch.arange(3)
    for time in range(10):
        step, state = model.decode_step(tgt_in[rows, time], state)
        torch.testing.assert_close(step, logits[rows, time], atol=1e-10, rtol=0)
        if time in (2, 5, 7):
            pick = {2: torch.tensor([2, 0, 1, 0]), 5: torch.tensor([1, 0, 3]), 7: torch.tensor([0, 1])}[time]
            rows, state = rows[pick], state.select(pick)


def test_states_are_batch_first_and_beams_keep_their_memory():
    model = build()
    state = model.encode(*a_batch()[:2]).select(torch.tensor([0, 0, 1, 1]))
    assert [part.shape for part in state.hidden] == [(4, 2, 6)] * 2
    assert state.select(torch.tensor([1, 1, 3, 2])).memory is state.memory
    assert state.select(torch.tensor([1, 1, 1, 2])).memory is not state.memory


@pytest.mark.parametrize("input_feeding", [False, True])
def test_the_future_does_not_change_the_past(input_feeding):
    model = build(input_feeding=input_feeding)
    src, lengths, tgt_in = a_batch()
    logits = model(src, lengths, tgt_in)
    changed = tgt_in.clone()
    changed[:, 3:] = 4 + (changed[:, 3:] + 1) % 9
    torch.testing.assert_close(model(src, lengths, changed)[:, :3], logits[:, :3])
    assert not torch.allclose(model(src, lengths, changed)[:, 3:], logits[:, 3:])


@pytest.mark.parametrize("input_feeding", [False, True])
@pytest.mark.parametrize("score", SCORES[1:])
def test_align_sums_to_one_and_is_zero_on_padding(score, input_feeding):
    weights = build(attention=score, input_feeding=input_feeding).align(*a_batch())
    assert weights.shape == (3, 6, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 6, dtype=torch.double))
    assert (weights[0, :, 2:] == 0).all()


def test_align_without_attention_says_so():
    with pytest.raises(ValueError, match="`attention` is none, so there is nothing to align"):
        build(attention="none").align(*a_batch())


def own_outputs(model, src, lengths, start, steps):
    """Decode greedily with decode_step and return the logits of all steps."""
    state, tokens, logits = model.encode(src, lengths), start, []
    for _ in range(steps):
        step, state = model.decode_step(tokens, state)
        logits.append(step)
        tokens = step.argmax(-1)
    return torch.stack(logits, 1)


@pytest.mark.parametrize("input_feeding", [False, True])
def test_without_teacher_forcing_the_decoder_is_fed_its_own_outputs(input_feeding):
    model = build(teacher_forcing=0.0, dropout=0.0, input_feeding=input_feeding)
    src, lengths, tgt_in = a_batch()
    expected = own_outputs(model, src, lengths, tgt_in[:, 0], 6)
    torch.testing.assert_close(model.train()(src, lengths, tgt_in), expected)
    assert not torch.allclose(model.eval()(src, lengths, tgt_in), expected)  # validation sees the target


def test_teacher_forcing_is_drawn_for_each_row_and_step():
    model = build(teacher_forcing=0.5, dropout=0.0).train()
    src, lengths, tgt_in = a_batch()
    src, lengths, tgt_in = src[1:2].repeat(50, 1), lengths[1:2].repeat(50), tgt_in[1:2].repeat(50, 1)
    logits = model(src, lengths, tgt_in)
    torch.testing.assert_close(logits[:, 0], logits[:1, 0].expand(50, -1))
    assert len(torch.unique(logits[:, -1].detach(), dim=0)) > 10


def test_one_step_at_a_time_with_full_teacher_forcing_equals_the_whole_sequence():
    model = build(dropout=0.0).train()
    batch = a_batch()
    whole = model(*batch)
    model.teacher_forcing = 1 - 1e-12
    torch.testing.assert_close(model(*batch), whole)


def test_a_shared_vocabulary_shares_the_embedding():
    shared = Seq2Seq(9, 9, shared_vocabulary=True, embedding_size=4, hidden_size=4)
    assert shared.src_embedding.table.weight is shared.tgt_embedding.table.weight


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("score", SCORES)
def test_bfloat16_autocast_comes_near(cell, score):
    model = build(cell=cell, attention=score, dropout=0.0, input_feeding=score == "general").float().train()
    batch = a_batch()
    exact = model(*batch)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(*batch)
        step, state = model.decode_step(batch[2][:, 0], model.encode(*batch[:2]))
        model.decode_step(batch[2][:, 1], state.select(torch.tensor([1, 0, 2])))
    logits.float().sum().backward()
    torch.testing.assert_close(logits.float(), exact, atol=0.05, rtol=0.05)
    torch.testing.assert_close(step.float(), exact[:, 0], atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "ltsm"}, "`cell` must be one of lstm, gru, rnn, but is 'ltsm'"),
        ({"attention": "luong"}, "`attention` must be one of none, dot, general, additive, but is 'luong'"),
        ({"hidden_size": 5}, "`hidden_size` must be even for two directions, but is 5"),
        ({"teacher_forcing": 1.5}, "`teacher_forcing` must be from 0 to 1, but is 1.5"),
        ({"attention": "none", "input_feeding": True}, "`input_feeding` needs an attention"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        build(**options)
    assert message in str(error.value)
