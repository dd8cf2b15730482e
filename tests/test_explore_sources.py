"""What can be explored: whose states these are, what TF-IDF is, and what is drawn of what is large."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import LABELLED, WORDS
from torch import nn

from zoo.cli.explore import kind_of
from zoo.config import (
    ClassifierConfig,
    CmudictConfig,
    Encoder,
    LabelledConfig,
    Norm,
    ToyConfig,
    TrainConfig,
    TransformerConfig,
)
from zoo.data.corpus import Sequences
from zoo.errors import CheckpointError, ConfigError, DataError
from zoo.evaluation import Setting
from zoo.experiment import open_run, train
from zoo.explore.sources import LEARNED, check_labels, dataset_source, run_source, table_source, tfidf, token_source
from zoo.explore.states import text_states

Toy = Callable[..., TrainConfig]


def trained(toy: Toy, **changes: Any) -> Path:
    return Path(train(toy(run_dir="run", max_steps=2, **changes))["run_dir"])


def test_a_path_comes_before_a_shipped_model_and_that_before_a_dataset(here: Path) -> None:
    assert (kind_of("g2p-en"), kind_of("cmudict"), kind_of("last")) == ("run", "dataset", "run")
    (here / "cmudict").mkdir()
    (here / "g2p-en").write_text("a,b\n1,2\n", encoding="utf-8")
    assert (kind_of("cmudict"), kind_of("g2p-en")) == ("run", "table")


def test_a_wrong_source_is_told_with_the_nearest(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown source 'movie_review'; did you mean 'movie_reviews'\?"):
        kind_of("movie_review")
    with pytest.raises(DataError, match=r"wine.csv: no such file"):
        kind_of("wine.csv")
    with pytest.raises(CheckpointError, match="runs/none: no such run or table"):
        kind_of("runs/none")


def test_the_states_of_a_source_are_the_mean_over_its_symbols(here: Path, toy: Toy) -> None:
    run = trained(toy)
    found = run_source(str(run))
    opened = open_run(run)
    model: Any = opened.model
    row = 3
    ids = torch.tensor([[*opened.coding.codecs["src"].encode(found.texts[row]), 3]])
    with torch.no_grad():
        outputs, _ = model.encoder(model.src_embedding(ids), torch.tensor([ids.size(1)]))
    np.testing.assert_allclose(found.table.x[row], outputs[0].mean(0), atol=1e-6)
    assert found.table.labels is None
    assert found.what == "encoder states, pooled, of the valid part"
    assert found.home == run / "explore"


@pytest.mark.parametrize("model", [
    TransformerConfig(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8),
    TransformerConfig(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8,
                      norm=Norm.post),
])  # fmt: skip
def test_padding_changes_no_state(here: Path, toy: Toy, model: TransformerConfig) -> None:
    opened = open_run(trained(toy, model=model))
    texts = Sequences.from_lists([[4, 5, 6, 7], [5], [6, 4]])
    setting = Setting(torch.device("cpu"))
    together = text_states(opened.model, texts, setting, pairs=True)
    alone = text_states(opened.model, texts.take(np.array([1])), setting, pairs=True)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-6)


@pytest.mark.parametrize(("encoder", "own"), [
    (Encoder.bag, {}),
    (Encoder.cnn, {"kernel_sizes": [1, 2]}),
    (Encoder.lstm, {}),
    (Encoder.transformer, {"nhead": 2}),
])  # fmt: skip
def test_a_classifier_gives_what_its_hidden_layer_sees(
    here: Path, toy: Toy, encoder: Encoder, own: dict[str, Any]
) -> None:
    Path("texts.tsv").write_text(LABELLED * 2, encoding="utf-8")
    dataset = LabelledConfig(train="texts.tsv", valid="texts.tsv")
    model = ClassifierConfig(encoder=encoder, embedding_size=8, hidden_size=8, **own)
    run = trained(toy, model=model, dataset=dataset)
    found = run_source(str(run))
    opened = open_run(run)
    inner: Any = opened.model
    seen: list[torch.Tensor] = []
    inner.hidden.register_forward_hook(lambda module, given, output: seen.append(given[0]))
    opened.predict([found.texts[1]])
    np.testing.assert_allclose(found.table.x[1], seen[0][0], atol=1e-5)
    assert found.table.labels is not None
    assert found.table.labels[1] == ("even" if len(WORDS[1]) % 2 == 0 else "odd")


def test_files_stand_in_for_the_part_and_what_has_no_known_label_is_left_out(here: Path, toy: Toy) -> None:
    Path("texts.tsv").write_text(LABELLED, encoding="utf-8")
    Path("more.tsv").write_text("ab ab\teven\na a\tnever seen\nb b\todd\n", encoding="utf-8")
    run = trained(toy, model=ClassifierConfig(hidden_size=8, embedding_size=8),
                  dataset=LabelledConfig(train="texts.tsv", valid="texts.tsv"))  # fmt: skip
    found = run_source(str(run), data=["more.tsv"])
    assert found.texts == ("ab ab", "b b")
    assert found.rows.tolist() == [0, 2]
    assert found.notes == ("left out, since empty or of a label that the run does not know: 1",)


def test_states_of_texts_that_a_run_has_learned_with_their_labels_say_so(here: Path, toy: Toy) -> None:
    Path("texts.tsv").write_text(LABELLED, encoding="utf-8")
    run = trained(toy, model=ClassifierConfig(hidden_size=8, embedding_size=8),
                  dataset=LabelledConfig(train="texts.tsv", valid="texts.tsv"))  # fmt: skip
    assert run_source(str(run), split="train").notes == (LEARNED,)
    assert run_source(str(run), data=["texts.tsv"]).notes == run_source(str(run)).notes == ()


def test_token_vectors_are_those_of_the_table_without_the_reserved(here: Path, toy: Toy) -> None:
    run = trained(toy)
    opened = open_run(run)
    model: Any = opened.model
    for side in ("src", "tgt"):
        found = token_source(str(run), side=side)
        assert list(found.texts) == opened.coding.codecs[side].vocab.tokens
        table = getattr(model, f"{side}_embedding").table.weight.detach().numpy()
        np.testing.assert_array_equal(found.table.x, table[4:].astype(np.float64))
    assert token_source(str(run), limit=2).notes == ("the 2 most frequent of 4 tokens",)
    with pytest.raises(ConfigError, match=r"unknown side 'target'; did you mean 'tgt'"):
        token_source(str(run), side="target")


def test_a_model_without_an_encoder_says_so() -> None:
    with pytest.raises(ConfigError, match="Linear has no `encoder`, whose states could be explored"):
        text_states(nn.Linear(1, 1), Sequences.from_lists([[4]]), Setting(torch.device("cpu")), pairs=False)


def test_tfidf_is_the_formula_it_says() -> None:
    texts = ["a good film", "a bad film", "film film film good"]
    x, names = tfidf(texts, words=True, where="reviews")
    assert names == ("a", "bad", "film", "good")
    idf = np.log(4 / (1 + np.array([2, 1, 3, 2]))) + 1
    counts = np.array([[1, 0, 1, 1], [1, 1, 1, 0], [0, 0, 1 + np.log(3), 1]])
    raw = counts * idf
    np.testing.assert_allclose(x, raw / np.linalg.norm(raw, axis=1, keepdims=True))


def test_pairs_are_characters_of_each_source_once() -> None:
    x, names = tfidf(["ab", "a b"], words=False, where="words")
    assert names == ("\u2423", "\u2423b", "a", "a\u2423", "ab", "b")
    assert x.shape == (2, 6)
    config = TrainConfig(dataset=ToyConfig(symbols=3, max_length=3, train_size=50, valid_size=5, test_size=5))
    found = dataset_source(config)
    assert len(set(found.texts)) == len(found.texts)
    assert found.table.labels is None


def test_texts_without_words_are_refused() -> None:
    with pytest.raises(DataError, match="reviews: its texts have no words"):
        tfidf(["...", "!"], words=True, where="reviews")


def test_what_is_large_is_drawn_label_by_label_and_said(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    rows = "".join(f"{number},{'ab'[number % 4 == 0]}\n" for number in range(400))
    path.write_text("x,label\n" + rows, encoding="utf-8")
    found = table_source(str(path), limit=100)
    assert found.notes == ("100 of 400 points, drawn at random",)
    assert found.table.labels is not None
    assert (found.table.labels == "b").sum() == 25
    np.testing.assert_array_equal(found.table.x[:, 0], found.rows)
    assert found.texts[0] == f"row {found.rows[0]}"
    assert len(table_source(str(path), limit=0).rows) == 400


def test_a_label_column_is_not_named_of_what_has_no_columns() -> None:
    found = dataset_source(TrainConfig(dataset=CmudictConfig(limit=50)))
    with pytest.raises(ConfigError, match=r"`--label label`: cmudict .* has no labels; leave it out"):
        check_labels(found, "label")
