"""Every family is built by name, learns one batch by heart, and says what does not fit."""

import dataclasses
import subprocess
import sys

import pytest
import torch

import zoo
from zoo import config as options
from zoo.config.model_checks import ENCODERS_OF
from zoo.config.models import CLASSIFIERS
from zoo.data.sizes import PairSizes, TextSizes
from zoo.errors import ConfigError
from zoo.models import MODELS, build_model, count_parameters, create_model, list_models

PAIRS, TEXTS = PairSizes(9, 10, False), TextSizes(12, 3)
SMALL = {
    "seq2seq": {"embedding_size": 8, "hidden_size": 16},
    "transformer": {"d_model": 16, "nhead": 2, "dim_feedforward": 32},
    "classifier": {"embedding_size": 8, "hidden_size": 16},
    "classifier_functional": {"embedding_size": 8, "hidden_size": 16},
    "linear": {"buckets": 64},
}


def build(name, **choices):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return create_model(name, sizes=TEXTS if name in CLASSIFIERS else PAIRS, **{**SMALL[name], **choices})


def a_batch(name):
    """Return what the model takes, and the targets."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([4, 2, 3, 4])
    tokens = torch.randint(4, 9, (4, 4), generator=generator).masked_fill(torch.arange(4) >= lengths[:, None], 0)
    if name in CLASSIFIERS:
        return (tokens, lengths), torch.tensor([0, 1, 2, 0])
    target = torch.randint(4, 10, (4, 5), generator=generator)
    return (tokens, lengths, target[:, :-1]), target[:, 1:]


def train(model, name, steps):
    inputs, targets = a_batch(name)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(*inputs).flatten(0, -2), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_models_are_those_of_the_options():
    assert list(MODELS) == list(options.MODELS) == list_models()
    assert list_models("class*") == ["classifier", "classifier_functional"]
    assert list_models("*former") == ["transformer"]
    assert list_models("gpt") == []


def test_the_package_names_what_it_imports_when_asked() -> None:
    assert set(zoo.__all__) <= set(dir(zoo))
    assert zoo.list_datasets("c*") == ["cmudict", "copy"]


def test_listing_needs_no_torch():
    code = "import sys, zoo.models; print(zoo.models.list_models(), 'torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("False")


@pytest.mark.parametrize("name", MODELS)
def test_one_batch_can_be_learned_by_heart(name):
    assert train(build(name, dropout=0.0), name, 120) < 0.05


@pytest.mark.parametrize("init", options.Init)
@pytest.mark.parametrize("name", [name for name in MODELS if name != "linear"])  # it starts at zero
def test_every_init_trains_or_gives_uniform_outputs(name, init):
    model = build(name, dropout=0.0, init=init)
    if init != options.Init.zeros:
        assert train(model, name, 60) < 0.9 * train(build(name, dropout=0.0, init=init), name, 1)
        return
    probabilities = model(*a_batch(name)[0]).softmax(-1)
    torch.testing.assert_close(probabilities, torch.full_like(probabilities, 1 / probabilities.size(-1)))


def test_every_option_has_an_effect():
    """Change one option at a time: either the model's text, its weights' shapes, its outputs or its losses change."""
    other = {
        "seq2seq": {"cell": "gru", "attention": "additive", "input_feeding": True, "embedding_size": 6,
                    "hidden_size": 8, "num_layers": 2, "bidirectional": False, "dropout": 0.4,
                    "teacher_forcing": 0.0, "init": "he"},
        "transformer": {"d_model": 8, "nhead": 4, "num_encoder_layers": 1, "num_decoder_layers": 1,
                        "dim_feedforward": 8, "dropout": 0.4, "activation": "gelu", "norm": "post",
                        "positions": "rotary", "tie_embeddings": False, "init": "he"},
        "classifier": {"encoder": "bag", "activation": "gelu", "embedding_size": 6, "hidden_size": 8,
                       "kernel_sizes": [2], "dropout": 0.1, "word_dropout": 0.5, "norm": "batch", "init": "he"},
    }  # fmt: skip
    for name, changes in other.items():
        heeded_by_data = {"name", "max_length"} | (ENCODERS_OF.keys() if name == "classifier" else set())
        fields = {item.name for item in dataclasses.fields(options.MODELS[name])}
        assert fields - heeded_by_data <= changes.keys()
        for key, value in changes.items():
            assert logits_of(name, **{key: value}) != logits_of(name), (name, key)


def logits_of(name, **choices):
    model = build(name, **choices)
    torch.manual_seed(0)
    return model.train()(*a_batch(name)[0]).tolist()


@pytest.mark.parametrize(
    ("encoder", "choices"),
    [
        ("lstm", {"num_layers": 2}),
        ("lstm", {"bidirectional": False}),
        ("lstm", {"pooling": "mean"}),
        ("gru", {"pooling": "max"}),
        ("rnn", {"pooling": "mean_max"}),
        ("transformer", {"num_layers": 2}),
        ("transformer", {"nhead": 2}),
    ],
)
def test_options_of_single_encoders_have_an_effect(encoder, choices):
    assert logits_of("classifier", encoder=encoder, **choices) != logits_of("classifier", encoder=encoder)


@pytest.mark.parametrize(
    ("encoder", "choices", "message"),
    [
        ("bag", {"num_layers": 2}, "`model.num_layers` has no effect on the encoder bag; it goes with rnn, gru, lstm"),
        ("lstm", {"kernel_sizes": [2]}, "`model.kernel_sizes` has no effect on the encoder lstm; it goes with cnn"),
        ("cnn", {"bidirectional": False}, "`model.bidirectional` has no effect on the encoder cnn"),
        ("cnn", {"pooling": "max"}, "`model.pooling` has no effect on the encoder cnn; it goes with rnn, gru, lstm"),
        ("gru", {"nhead": 2}, "`model.nhead` has no effect on the encoder gru; it goes with transformer"),
    ],
)
def test_an_option_without_effect_is_refused(encoder, choices, message):
    with pytest.raises(ConfigError) as error:
        build("classifier", encoder=encoder, **choices)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: create_model("transfomer", sizes=PAIRS), "unknown model 'transfomer'; did you mean 'transformer'?"),
        (lambda: build("transformer", droput=0.1), "unknown option 'droput'; did you mean 'dropout'?"),
        (lambda: build("seq2seq", cell="ltsm"), "unknown value 'ltsm'; did you mean 'lstm'?"),
        (lambda: build("seq2seq", dropout=1.0), "`model.dropout` must be at least 0 and below 1, but is 1.0"),
        (lambda: build("seq2seq", hidden_size=7), "`model.hidden_size` must be even for two directions, but is 7"),
        (lambda: build("transformer", nhead=3), "`model.nhead` must divide `model.d_model` (16), but is 3"),
        (lambda: build("classifier", encoder="lstm", hidden_size=7), "must be even for two directions, but is 7"),
        (lambda: build("classifier", hidden_size="big"), "`model.hidden_size` must be of type int, but is 'big'"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ConfigError) as error:
        call()
    assert message in str(error.value)


def test_sizes_of_the_other_task_are_refused():
    with pytest.raises(ValueError, match="model 'transformer' needs `sizes` of pairs"):
        create_model("transformer", sizes=TEXTS)
    with pytest.raises(ValueError, match="model 'classifier' needs `sizes` of texts"):
        create_model("classifier", sizes=PAIRS)


@pytest.mark.parametrize("name", MODELS)
def test_a_config_builds_what_create_model_builds(name):
    config = options.MODELS[name](name=name, **SMALL[name])
    torch.manual_seed(0)
    model = build_model(config, TEXTS if name in CLASSIFIERS else PAIRS)
    for ours, other in zip(model.state_dict().items(), build(name).state_dict().items(), strict=True):
        assert ours[0] == other[0]
        assert torch.equal(ours[1], other[1])


def test_tied_matrices_count_once():
    tied, free = build("transformer"), build("transformer", tie_embeddings=False)
    assert count_parameters(free) - count_parameters(tied) == 10 * 16
    free.output.weight.requires_grad_(False)
    assert count_parameters(free) == count_parameters(tied)


def test_a_shared_vocabulary_is_passed_on():
    for name in ("seq2seq", "transformer"):
        model = create_model(name, sizes=PairSizes(9, 9, True), **SMALL[name])
        assert model.src_embedding.table.weight is model.tgt_embedding.table.weight
