"""What is shown of a run beyond its curves, read back with TensorBoard's own reader."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zoo.config import ClassifierConfig, Encoder, LinearClassifierConfig, Seq2SeqConfig, ToyConfig, TrainConfig
from zoo.config import TransformerConfig as Transformer
from zoo.data import build_data
from zoo.evaluation import Setting, probabilities
from zoo.experiment import gallery, open_run, train
from zoo.experiment.gallery import cluster_numbers
from zoo.experiment.inspection import encoder_states, few_rows, inside, spread_rows
from zoo.loss import model_loss
from zoo.models import build_model

Toy = Callable[..., TrainConfig]
TINY = Transformer(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8)
SEQ2SEQ = Seq2SeqConfig(embedding_size=8, hidden_size=8)
PARITY = ToyConfig(name="parity", symbols=4, max_length=4, train_size=48, valid_size=8, test_size=8)
SETTING = Setting(torch.device("cpu"))


def classifier(name: str = "classifier", encoder: Encoder = Encoder.cnn) -> ClassifierConfig:
    return ClassifierConfig(name=name, encoder=encoder, embedding_size=8, hidden_size=8)


def read(run: str) -> EventAccumulator:
    return EventAccumulator(run, size_guidance={"histograms": 0, "images": 0, "tensors": 0, "scalars": 0}).Reload()


def points(run: str) -> dict[str, tuple[np.ndarray[Any, Any], list[list[str]]]]:
    """Return the vectors and the cells of each cloud."""
    folder = Path(run) / "projector"
    names = [path.name.removesuffix(".columns.tsv") for path in folder.glob("*.columns.tsv")]
    return {
        name: (np.loadtxt(folder / f"{name}.tsv", ndmin=2),
               [line.split("\t") for line in (folder / f"{name}.columns.tsv").read_text().splitlines()])
        for name in names
    }  # fmt: skip


@pytest.mark.parametrize("name", ["classifier", "classifier_functional"])
def test_hooks_see_activations_of_modules_and_not_of_functions(here: Path, toy: Toy, name: str) -> None:
    events = read(train(toy(model=classifier(name), dataset=PARITY))["run_dir"])
    seen = {tag for tag in events.Tags()["histograms"] if tag.startswith("activations/")}
    dead = {tag for tag in events.Tags()["scalars"] if tag.startswith("dead_units/")}
    if name == "classifier":
        assert seen == {"activations/activation", "activations/encoder.activation"}
        assert dead == {"dead_units/activation", "dead_units/encoder.activation"}
    else:
        assert not seen | dead
    assert {"weights/output.weight", "gradients/output.weight"} <= set(events.Tags()["histograms"])


@pytest.mark.parametrize(("epochs", "expected"), [(2, [1, 2]), (45, [1, *range(3, 46, 3)])])
def test_histograms_are_kept_of_about_twenty_epochs(here: Path, toy: Toy, epochs: int, expected: list[int]) -> None:
    results = train(toy(model=classifier(encoder=Encoder.bag), dataset=PARITY, epochs=epochs, batch_tokens=1000))
    found = [event.step for event in read(results["run_dir"]).Histograms("weights/output.weight")]
    assert found == expected


def test_what_nobody_wants_is_not_shown(here: Path, toy: Toy) -> None:
    run = train(toy(model=TINY, histograms=False, projector_points=0))["run_dir"]
    assert read(run).Tags()["histograms"] == []
    assert not (Path(run) / "projector").exists()
    assert not (Path(run) / "projector_config.pbtxt").exists()


def test_attention_over_three_sources_is_apart(here: Path, toy: Toy) -> None:
    events = read(train(toy(model=TINY))["run_dir"])
    tags = events.Tags()["images"]
    assert [tag.partition(" ")[0] for tag in sorted(tags)] == ["attention/1", "attention/2", "attention/3"]
    assert all(len(events.Images(tag)) == 2 for tag in tags)


def test_labels_have_curves_and_a_confusion(here: Path, toy: Toy) -> None:
    events = read(train(toy(model=classifier(), dataset=PARITY))["run_dir"])
    assert "confusion" in events.Tags()["images"]
    assert {"valid/even", "valid/odd"} <= set(events.Tags()["tensors"])


@pytest.mark.parametrize("model", [TINY, SEQ2SEQ], ids=lambda model: model.name)
def test_tokens_and_states_of_pairs_are_points(here: Path, toy: Toy, model: Any) -> None:
    found = points(train(toy(model=model))["run_dir"])
    assert set(found) == {"src_tokens", "tgt_tokens", "states"}
    vectors, cells = found["src_tokens"]
    assert (vectors.shape, cells[0], sorted(row[0] for row in cells[1:])) == ((4, 8), ["token", "rank"], [*"abcd"])
    vectors, cells = found["states"]
    assert cells[0] == ["source", "reference", "length", "cluster"]
    assert vectors.shape == (len(cells) - 1, 8)
    assert all(row[0] == row[1] for row in cells[1:]), "copy"


def test_tokens_labels_and_states_of_texts_are_points_with_what_is_known_of_them(here: Path, toy: Toy) -> None:
    run = train(toy(model=classifier(), dataset=PARITY))["run_dir"]
    found = points(run)
    assert set(found) == {"text_tokens", "labels", "states"}
    opened = open_run(run)
    _, cells = found["states"]
    assert cells[0] == ["text", "label", "predicted", "right", "cluster"]
    predicted = [one.label for one in opened.predict([row[0] for row in cells[1:]])]
    assert [row[2] for row in cells[1:]] == predicted
    assert all((row[1] == row[2]) == (row[3] == "yes") for row in cells[1:])
    assert {row[4] for row in cells[1:]} <= {"1", "2"}
    weights = opened.model.get_parameter("output.weight").detach().numpy()
    assert found["labels"][0] == pytest.approx(weights, rel=1e-3)


def test_a_model_without_an_encoder_has_tokens_alone(here: Path, toy: Toy) -> None:
    found = points(train(toy(model=LinearClassifierConfig(buckets=16), dataset=PARITY))["run_dir"])
    assert set(found) == {"text_tokens"}


def test_what_cannot_be_shown_does_not_end_a_training(here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("no ink")

    for name in ("inside", "encoder_states", "probabilities"):
        monkeypatch.setattr(gallery, name, fail)
    run = Path(train(toy(model=classifier(), dataset=PARITY, epochs=1))["run_dir"])
    log = (run / "train.log").read_text()
    for what in ("the histograms were", "precision, recall and confusion were", "the Projector's points were"):
        assert f"warning: {what} left out (no ink)" in log


def test_gradients_are_those_of_the_mean_loss_and_leave_no_trace(here: Path, toy: Toy) -> None:
    config = toy(model=classifier(), dataset=PARITY)
    data = build_data(config)
    model = build_model(config.model, data.sizes)
    before = torch.get_rng_state()
    found = inside(model, data.train, SETTING)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(weight.grad is None for weight in model.parameters())
    loss, count, _ = model_loss(model.eval(), few_rows(data.train, SETTING.batch_tokens))
    (loss / count).backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None
        assert found[f"gradients/{name}"] == pytest.approx(weight.grad.numpy(), abs=1e-7)
        assert found[f"weights/{name}"] == pytest.approx(weight.detach().numpy())
    assert (found["activations/activation"] >= 0).all()
    assert not any(module._forward_hooks for module in model.modules())


def test_few_rows_stay_within_the_budget_of_tokens(here: Path, toy: Toy) -> None:
    corpus = build_data(toy(model=TINY)).train
    for tokens in (1, 7, 40, 4096):
        batch = few_rows(corpus, tokens)
        assert batch.src.numel() <= max(tokens, batch.src.size(1))
    assert spread_rows(10, 4).tolist() == [0, 2, 5, 7]
    assert spread_rows(3, 10).tolist() == [0, 1, 2]


def test_states_over_time_are_averaged_without_padding(here: Path, toy: Toy) -> None:
    data = build_data(toy(model=TINY))
    model = build_model(TINY, data.sizes)
    together = encoder_states(model, data.valid, SETTING, limit=100)
    apart = encoder_states(model, data.valid, SETTING._replace(batch_tokens=1), limit=100)
    assert together is not None
    assert apart is not None
    assert together[0].tolist() == apart[0].tolist() == list(range(len(together[0])))
    assert together[1] == pytest.approx(apart[1], abs=1e-5)


def test_states_and_probabilities_are_in_the_order_of_the_corpus(here: Path, toy: Toy) -> None:
    data: Any = build_data(toy(model=classifier(), dataset=PARITY))
    model = build_model(classifier(), data.sizes)
    rows, states = encoder_states(model, data.valid, SETTING, limit=5) or (None, None)
    hidden = torch.relu(model.hidden(torch.tensor(states)))  # type: ignore[operator]
    expected = model.output(hidden).softmax(-1).detach().numpy()  # type: ignore[operator]
    assert probabilities(model, data.valid, SETTING)[rows] == pytest.approx(expected, abs=1e-5)


def test_clusters_part_what_lies_apart_and_are_numbered_from_one() -> None:
    vectors = np.concatenate([np.zeros((5, 3)), np.full((5, 3), 9.0)]) + np.random.default_rng(0).random((10, 3))
    numbers = cluster_numbers(vectors, 2)
    assert set(numbers.tolist()) == {1, 2}
    assert len(set(numbers[:5].tolist())) == len(set(numbers[5:].tolist())) == 1
    assert cluster_numbers(np.zeros((4, 2)), 8).tolist() == [1] * 4


def test_clusters_are_as_good_as_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(300, 5)) + rng.integers(0, 4, (300, 1)) * 6
    numbers = cluster_numbers(vectors, 4)
    means = np.stack([vectors[numbers == number].mean(0) for number in range(1, 5)])
    expected = KMeans(4, n_init=10, random_state=0).fit(vectors).inertia_
    assert ((vectors - means[numbers - 1]) ** 2).sum() == pytest.approx(expected, rel=1e-6)
