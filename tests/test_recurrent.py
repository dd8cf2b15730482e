"""Packing equals running each sequence alone, and ours equals torch's networks."""

import itertools

import pytest
import torch

from zoo.nn.attention import build_attention
from zoo.nn.recurrent import Bridge, RecurrentDecoder, RecurrentEncoder, build_cell

LENGTHS = torch.tensor([2, 5, 1])
CELLS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}


def build_encoder(cell="lstm", **options):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return RecurrentEncoder(4, 6, cell=cell, **options).double()


def build_decoder(score="dot", **options):
    torch.manual_seed(0)
    attention = build_attention(score, query_size=6, key_size=6)
    return RecurrentDecoder(4, 6, attention=attention, **options).double().eval()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_packing_equals_running_each_sequence_alone(cell, bidirectional):
    encoder = build_encoder(cell, bidirectional=bidirectional, num_layers=2)
    inputs = torch.randn(3, 5, 4, dtype=torch.double)
    outputs, hidden = encoder(inputs, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone, states = encoder(inputs[row : row + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(outputs[row, :length], alone[0])
        assert (outputs[row, length:] == 0).all()
        for state, expected in zip(hidden, states, strict=True):
            torch.testing.assert_close(state[:, row], expected[:, 0])


@pytest.mark.parametrize("cell", CELLS)
def test_padding_has_no_gradient(cell):
    encoder = build_encoder(cell)
    inputs = torch.randn(3, 5, 4, dtype=torch.double, requires_grad=True)
    outputs, hidden = encoder(inputs, LENGTHS)
    (outputs.sum() + sum(state.sum() for state in hidden)).backward()
    padded = torch.arange(5) >= LENGTHS[:, None]
    assert (inputs.grad[padded] == 0).all()
    assert (inputs.grad[~padded] != 0).any(-1).all()


@pytest.mark.parametrize("cell", CELLS)
def test_the_encoder_equals_torch_given_its_weights(cell):
    encoder = build_encoder(cell, num_layers=2)
    theirs = CELLS[cell](4, 3, num_layers=2, bidirectional=True, batch_first=True).double()
    theirs.load_state_dict(encoder.network.state_dict())
    inputs = torch.randn(3, 5, 4, dtype=torch.double)
    outputs, hidden = encoder(inputs, torch.tensor([5, 5, 5]))
    expected, last = theirs(inputs)
    last = last[0] if cell == "lstm" else last
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(hidden[0][1], torch.cat([last[2], last[3]], -1))


@pytest.mark.parametrize(
    ("score", "input_feeding"),
    [("none", False), *itertools.product(["dot", "general", "additive"], [False, True])],
)
def test_steps_equal_the_whole_sequence(score, input_feeding):
    decoder = build_decoder(score, input_feeding=input_feeding, num_layers=2)
    inputs, outputs = torch.randn(3, 4, 4, dtype=torch.double), torch.randn(3, 5, 6, dtype=torch.double)
    hidden = (torch.randn(2, 3, 6, dtype=torch.double), torch.randn(2, 3, 6, dtype=torch.double))
    memory = decoder.remember(outputs, torch.arange(5) >= LENGTHS[:, None])
    vectors, _ = decoder(inputs, hidden, memory)
    feed = decoder.first_feed(inputs)
    for time in range(4):
        feed, hidden, _ = decoder.step(inputs[:, time], hidden, feed, memory)
        torch.testing.assert_close(feed, vectors[:, time])


@pytest.mark.parametrize("input_feeding", [False, True])
def test_only_input_feeding_hands_the_last_vector_on(input_feeding):
    decoder = build_decoder("dot", input_feeding=input_feeding)
    inputs, feed = torch.randn(3, 4, dtype=torch.double), torch.randn(3, 6, dtype=torch.double)
    state = torch.zeros(1, 3, 6, dtype=torch.double)
    memory = decoder.remember(torch.randn(3, 5, 6, dtype=torch.double), None)
    fed, unfed = (decoder.step(inputs, (state, state), given, memory)[0] for given in (feed, 0 * feed))
    assert torch.equal(fed, unfed) != input_feeding


@pytest.mark.parametrize("input_feeding", [False, True])
def test_the_future_has_no_gradient(input_feeding):
    decoder = build_decoder("dot", input_feeding=input_feeding)
    inputs = torch.randn(1, 6, 4, dtype=torch.double, requires_grad=True)
    state = torch.zeros(1, 1, 6, dtype=torch.double)
    memory = decoder.remember(torch.randn(1, 3, 6, dtype=torch.double), None)
    vectors, _ = decoder(inputs, (state, state), memory)
    vectors[0, 2].sum().backward()
    assert (inputs.grad[0, 3:] == 0).all()
    assert (inputs.grad[0, :3] != 0).any(-1).all()


def test_the_bridge_maps_every_state_through_a_tanh():
    torch.manual_seed(0)
    bridge = Bridge(6, states=2)
    hidden = (torch.randn(1, 3, 6), torch.randn(1, 3, 6))
    for linear, state, mapped in zip(bridge.maps, hidden, bridge(hidden), strict=True):
        torch.testing.assert_close(mapped, torch.tanh(state @ linear.weight.T + linear.bias))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [[2, 5, 1], [5, 5, 5]])
def test_bfloat16_autocast_works_packed_and_plain(cell, lengths):
    encoder = build_encoder(cell, num_layers=2).float()
    inputs = torch.randn(3, 5, 4)
    exact, _ = encoder(inputs, torch.tensor(lengths))
    with torch.autocast("cpu", torch.bfloat16):
        outputs, hidden = encoder(inputs, torch.tensor(lengths))
        (outputs.sum() + hidden[0].sum()).backward()
    torch.testing.assert_close(outputs.float(), exact, atol=0.03, rtol=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_encoder("ltsm"), "`cell` must be one of lstm, gru, rnn, but is 'ltsm'"),
        (lambda: RecurrentEncoder(4, 5), "`hidden_size` must be even for two directions, but is 5"),
        (lambda: build_decoder("none", input_feeding=True), "`input_feeding` needs an attention"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    assert message in str(error.value)


def test_layers_are_as_many_as_asked_for():
    network = build_cell("gru", 4, 6, num_layers=3, bidirectional=False, dropout=0.5)
    assert (network.num_layers, network.dropout, network.hidden_size) == (3, 0.5, 6)
