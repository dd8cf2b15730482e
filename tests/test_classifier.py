"""Both classifiers are one network; what differs is what hooks, printing and tracing see."""

import pytest
import torch
from torch import nn

from zoo.models.classifier import ACTIVATIONS, Classifier
from zoo.models.classifier_functional import FUNCTIONS, ClassifierFunctional
from zoo.nn.text import POOLINGS

ENCODERS = ["bag", "cnn", "rnn", "gru", "lstm", "transformer"]
LENGTHS = torch.tensor([2, 7, 1, 4])


def build(kind=Classifier, **options):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    sizes = {"embedding_size": 6, "hidden_size": 8, "nhead": 2, "num_layers": 2}
    return kind(20, 3, **{**sizes, **options}).double().eval()


def a_batch(lengths=LENGTHS):
    time = int(lengths.max())
    text = torch.randint(4, 20, (len(lengths), time)).masked_fill(torch.arange(time) >= lengths[:, None], 0)
    return text, lengths


@pytest.mark.parametrize("encoder", ENCODERS)
def test_padding_does_not_change_the_logits(encoder):
    model = build(encoder=encoder)
    text, lengths = a_batch()
    logits = model(text, lengths)
    padded = torch.arange(7) >= lengths[:, None]
    torch.testing.assert_close(model(text.masked_fill(padded, 9), lengths), logits)
    wider = torch.cat([text, torch.zeros_like(text)], 1)
    torch.testing.assert_close(model(wider, lengths), logits)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(model(text[row : row + 1, :length], lengths[row : row + 1])[0], logits[row])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_equal_keys_and_from_equal_weights_equal_logits(encoder, activation):
    module = build(encoder=encoder, activation=activation)
    functional = build(ClassifierFunctional, encoder=encoder, activation=activation, init="normal")
    assert list(module.state_dict()) == list(functional.state_dict())
    functional.load_state_dict(module.state_dict())
    batch = a_batch()
    assert torch.equal(module(*batch), functional(*batch))


def test_equal_seeds_train_both_equally():
    results = []
    for kind in (Classifier, ClassifierFunctional):
        model = build(kind, word_dropout=0.2).train()
        torch.manual_seed(5)
        logits = model(*a_batch())
        logits.sum().backward()
        results.append((logits, model.hidden.weight.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_activation_is_the_one_asked_for(activation):
    model = build(activation=activation, encoder="bag")
    seen = []
    model.output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    text, lengths = a_batch()
    model(text, lengths)
    before = model.hidden(model.encoder(text, lengths))
    torch.testing.assert_close(seen[0], FUNCTIONS[activation](before))
    assert type(model.activation) is ACTIVATIONS[activation]


def test_hooks_see_the_module_and_not_the_function():
    for kind, count in ((Classifier, 2), (ClassifierFunctional, 0)):
        model, seen = build(kind, encoder="cnn", kernel_sizes=[3]), []
        for part in model.modules():
            if isinstance(part, nn.ReLU):
                part.register_forward_hook(lambda part, inputs, output, seen=seen: seen.append(output))
        model(*a_batch())
        assert len(seen) == count


def test_print_shows_the_module_and_not_the_function():
    assert "(activation): ReLU()" in str(build(encoder="bag"))
    assert "ReLU" not in str(build(ClassifierFunctional, encoder="bag"))


def test_tracing_calls_a_module_or_a_function():
    nodes = {}
    for kind in (Classifier, ClassifierFunctional):
        graph = torch.fx.symbolic_trace(build(kind, encoder="bag")).graph
        nodes[kind] = {(node.op, node.target) for node in graph.nodes}
    assert ("call_module", "activation") in nodes[Classifier]
    assert ("call_function", torch.nn.functional.relu) in nodes[ClassifierFunctional]
    assert ("call_function", torch.nn.functional.relu) not in nodes[Classifier]
    assert ("call_module", "activation") not in nodes[ClassifierFunctional]


def test_a_module_can_be_replaced_by_name():
    model = build(encoder="bag")
    batch = a_batch()
    before = model(*batch)
    model.activation = nn.Tanh()
    assert not torch.allclose(model(*batch), before)


def test_bag_is_the_mean_and_knows_no_order():
    encoder = build(encoder="bag").encoder
    text, lengths = a_batch()
    vectors = encoder(text, lengths)
    table = encoder.embedding.table.weight
    torch.testing.assert_close(vectors[1], table[text[1]].mean(0))
    torch.testing.assert_close(vectors[3], table[text[3, :4]].mean(0))
    torch.testing.assert_close(encoder(text[1:2].flip(1), lengths[1:2]), vectors[1:2])


def test_windows_keep_the_largest_match_within_the_text():
    encoder = build(encoder="cnn", kernel_sizes=[2, 3]).encoder
    text, lengths = a_batch()
    vectors = encoder(text, lengths)
    table, window = encoder.embedding.table.weight, encoder.windows[1]
    matches = [
        (window.weight * table[text[3, start : start + 3]].T).sum((1, 2)) + window.bias for start in range(2)
    ]  # fmt: skip
    torch.testing.assert_close(vectors[3, 8:], torch.stack(matches).max(0).values.relu())


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_recurrent_encoders_keep_the_last_layers_last_state_of_each_direction(cell):
    encoder = build(encoder=cell).encoder
    text, lengths = a_batch()
    outputs, _ = encoder.encoder(encoder.embedding(text), lengths)
    ends = outputs[torch.arange(4), lengths - 1, :4], outputs[:, 0, 4:]
    torch.testing.assert_close(encoder(text, lengths), torch.cat(ends, -1))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", [Classifier, ClassifierFunctional])
def test_pooled_states_heed_every_token_and_no_padding(kind, pooling):
    model = build(kind, encoder="gru", pooling=pooling)
    text, lengths = a_batch()
    logits = model(text, lengths)
    torch.testing.assert_close(model(torch.cat([text, torch.zeros_like(text)], 1), lengths), logits)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(model(text[row : row + 1, :length], lengths[row : row + 1])[0], logits[row])
    assert not torch.allclose(model(text.masked_fill(torch.arange(7) == 3, 9), lengths)[1], logits[1])


def test_pooling_is_over_the_states_within_the_text():
    text, lengths = a_batch()
    found, weights = {}, build(encoder="lstm").encoder.state_dict()
    for pooling in POOLINGS:
        encoder = build(encoder="lstm", pooling=pooling).encoder
        encoder.load_state_dict(weights)
        found[pooling] = encoder(text, lengths)
        states = encoder.encoder(encoder.embedding(text), lengths)[0][3, : lengths[3]]
        assert found[pooling].size(1) == encoder.size
    torch.testing.assert_close(found["mean"][3], states.mean(0))
    torch.testing.assert_close(found["max"][3], states.max(0).values)
    torch.testing.assert_close(found["mean_max"], torch.cat([found["mean"], found["max"]], -1))


@pytest.mark.parametrize("encoder", ["gru max", *ENCODERS])
def test_a_text_without_tokens_gives_finite_logits_and_gradients(encoder):
    encoder, _, pooling = encoder.partition(" ")
    model = build(encoder=encoder, pooling=pooling or "last", dropout=0.0).train()
    for lengths in (torch.tensor([0, 3, 1]), torch.tensor([0])):
        text = torch.randint(4, 20, (len(lengths), 3)).masked_fill(torch.arange(3) >= lengths[:, None], 0)
        logits = model(text, lengths)
        logits.sum().backward()
        assert logits.isfinite().all()
        assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)


@pytest.mark.parametrize("lengths", [[2, 7, 1, 4], [7, 7, 7, 7]])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_bfloat16_autocast_comes_near(encoder, lengths):
    model = build(encoder=encoder, dropout=0.0).float().train()
    batch = a_batch(torch.tensor(lengths))
    exact = model(*batch)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(*batch)
    logits.float().sum().backward()
    torch.testing.assert_close(logits.float(), exact, atol=0.05, rtol=0.05)


def test_word_dropout_hides_words_in_training_alone():
    model = build(encoder="bag", word_dropout=0.9, dropout=0.0)
    batch = a_batch(torch.tensor([7, 7]))
    exact = model(*batch)
    torch.testing.assert_close(model(*batch), exact)
    assert not torch.allclose(model.train()(*batch), exact)


@pytest.mark.parametrize("kind", [Classifier, ClassifierFunctional])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "bow"}, "`encoder` must be one of bag, cnn, rnn, gru, lstm, transformer, but is 'bow'"),
        ({"activation": "swish"}, "`activation` must be one of relu, tanh, sigmoid, gelu, but is 'swish'"),
        ({"encoder": "transformer", "nhead": 3}, "`nhead` must divide `d_model` (8), but is 3"),
        ({"encoder": "gru", "pooling": "first"}, "`pooling` must be one of last, mean, max, mean_max, but is 'first'"),
        ({"encoder": "gru", "hidden_size": 7}, "`hidden_size` must be even for two directions, but is 7"),
    ],
)
def test_bad_arguments_are_named(kind, options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        build(kind, **options)
    assert message in str(error.value)
