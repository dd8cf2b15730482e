"""Several runs that answer together: averaged, scoring each other's outputs, or by votes."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zoo
from zoo.cli.overrides import config_of, parse
from zoo.config import (
    ClassifierConfig,
    Encoder,
    PairsConfig,
    TgtDirection,
    Tokenizer,
    ToyConfig,
    TrainConfig,
    TransformerConfig,
)
from zoo.data import Codec, Vocab
from zoo.data.tokenize import build_tokenizer
from zoo.data.vocab import BOS, EOS
from zoo.errors import ConfigError
from zoo.evaluation import Decoding
from zoo.experiment import Committee, Label, Output, Run, load, train
from zoo.experiment.committee import ballot_of, elect
from zoo.search import Hypothesis

Toy = Callable[..., TrainConfig]
TINY = TransformerConfig(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8)
PARITY = ToyConfig(name="parity", symbols=4, max_length=4, train_size=48, valid_size=8, test_size=8)
BAG = ClassifierConfig(encoder=Encoder.bag, embedding_size=8, hidden_size=8)
TEXTS = ["abc", "", "a", "dddd", "never seen!"]


def hangul(here: Path, **options: Any) -> PairsConfig:
    rows = [f"{a}{b}\t{b}{a}\n" for a in "가나다라마" for b in "한글말"]
    (here / "rows.tsv").write_text("".join(rows), encoding="utf-8")
    return PairsConfig(train="rows.tsv", valid="rows.tsv", test="rows.tsv", **options)


def config_of_words(words: list[str]) -> TrainConfig:
    return config_of({item.key: item.texts[0] for item in map(parse, words)})


@pytest.fixture
def families(here: Path, toy: Toy) -> list[str]:
    """Train three models of two families with the same vocabularies."""
    configs = [toy(run_dir="a"), toy(run_dir="b", model=TINY), toy(run_dir="c", epochs=3, model=TINY)]
    return [train(config)["run_dir"] for config in configs]


@pytest.fixture
def spellings(here: Path, toy: Toy) -> list[str]:
    """Train two models on letters of syllables, one on syllables."""
    char, jamo = hangul(here), hangul(here, src_tokenizer=Tokenizer.jamo, tgt_tokenizer=Tokenizer.jamo)
    configs = [toy(run_dir="x", dataset=jamo), toy(run_dir="y", dataset=char), toy(run_dir="z", dataset=jamo, seed=2)]
    return [train(config)["run_dir"] for config in configs]


@pytest.fixture
def directions(here: Path, toy: Toy) -> list[str]:
    """Train two models that write from left to right, and one that does from right to left."""
    turned = replace(toy().dataset, tgt_direction=TgtDirection.right_to_left)
    configs = [
        toy(run_dir="a", epochs=8),
        toy(run_dir="b", epochs=8, dataset=turned, model=TINY),
        toy(run_dir="c", epochs=8, model=TINY),
    ]
    return [train(config)["run_dir"] for config in configs]


def test_one_name_opens_a_run_and_several_a_committee(families: list[str]) -> None:
    assert isinstance(zoo.load(families[0]), Run)
    assert isinstance(zoo.load(*families), Committee)


def test_a_run_with_itself_answers_as_it_does_alone(families: list[str]) -> None:
    for name in families[:2]:
        alone, twice = load(name), load(name, name)
        for options in ({}, {"beam": 3, "nbest": 3}):
            for one, other in zip(alone.predict(TEXTS, **options), twice.predict(TEXTS, **options), strict=True):
                several = [(one, other)] if isinstance(one, Output) else zip(one, other, strict=True)
                for found, again in several:
                    assert found.text == again.text
                    assert found.score == pytest.approx(again.score, abs=1e-5)
        assert twice.evaluate() == pytest.approx(alone.evaluate(), rel=1e-5)


def test_runs_with_the_same_vocabularies_are_one_model_whatever_their_family(families: list[str]) -> None:
    together = load(*families)
    assert together.sizes == [3]
    assert len(together.predict(TEXTS)) == len(TEXTS)
    assert set(together.evaluate("valid")) == {"loss", "token_error_rate", "sequence_error_rate"}
    turned = load(families[1], families[2], families[0])
    assert [one.text for one in together.predict(TEXTS)] == [one.text for one in turned.predict(TEXTS)]


def test_the_loss_of_an_ensemble_is_at_most_the_mean_of_its_runs(families: list[str]) -> None:
    """The logarithm is concave (Jensen)."""
    together = load(*families)
    singles = [run.evaluate()["loss"] for run in together.runs]
    assert together.evaluate()["loss"] < np.mean(singles)


def test_classifiers_average_probabilities_by_the_names_of_labels(here: Path, toy: Toy) -> None:
    (here / "one.tsv").write_text("aa\tx\nab\tx\nbb\ty\nba\ty\ncc\tz\n" * 3)
    (here / "two.tsv").write_text("cc\tz\ncd\tz\nbb\ty\nda\ty\nac\tx\n" * 3)
    names = []
    for name in ("one", "two", "one"):
        rows = f"{name}.tsv"
        words = ["model=classifier", "model.encoder=bag", "model.hidden_size=4", "dataset=labelled", "epochs=1",
                 f"dataset.train={rows}", f"dataset.valid={rows}", f"dataset.test={rows}", "dataset.tokenizer=char",
                 f"run_dir={name}-{len(names)}", f"seed={len(names) + 1}", "device=cpu", "precision=fp32"]  # fmt: skip
        names.append(train(config_of_words(words))["run_dir"])
    runs = [load(name) for name in names]
    together = Committee(runs)
    assert together.sizes == [2, 1]
    for text, found in zip(["ab", "cda"], together.predict(["ab", "cda"]), strict=True):
        assert isinstance(found, Label)
        for label in "xyz":
            mean = np.mean([run.predict([text])[0].probabilities[label] for run in runs])
            assert found.probabilities[label] == pytest.approx(mean, rel=1e-5)
        assert found.probability == max(found.probabilities.values())
    metrics = together.evaluate()
    labels = [one.label for one in together.predict(["aa", "ab", "bb", "ba", "cc"])]
    assert metrics["accuracy"] == np.mean([a == b for a, b in zip(labels, "xxyyz", strict=True)])


def log_probability(run: Run, source: str, output: str) -> float:
    """Return how likely a run writes an output, symbol by symbol."""
    codecs = run.coding.codecs
    src = codecs["src"].encode(source)
    state = run.model.encode(torch.tensor([[*src, EOS]]), torch.tensor([len(src) + 1]))
    total, last = 0.0, BOS
    for symbol in [*codecs["tgt"].encode(output), EOS]:
        logits, state = run.model.decode_step(torch.tensor([last]), state)
        total += logits.log_softmax(-1)[0, symbol].item()
        last = symbol
    return total


def named_by(run: Run, source: str, width: int) -> list[str]:
    found = run.hypotheses([source], run.setting.decoding._replace(width=width, nbest=width))[0]
    return [run.coding.codecs["tgt"].decode(one.ids) for one in found]


@torch.no_grad()
def test_runs_from_both_ends_score_each_others_outputs_by_their_mean_log_probability(directions: list[str]) -> None:
    together = load(*directions)
    assert together.sizes == [2, 1]
    (left, right), penalty = together.groups, together.config.length_penalty
    assert (left.coding.codecs["tgt"].backwards, right.coding.codecs["tgt"].backwards) == (False, True)
    for beam, nbest, width in ((None, 1, 5), (3, 2, 3), (1, 1, 1)):
        for text, found in zip(TEXTS, together.predict(TEXTS, beam=beam, nbest=nbest), strict=True):
            scores = {
                output: (2 * log_probability(left, text, output) + log_probability(right, text, output)) / 3
                / (len(output) + 1) ** penalty
                for output in named_by(left, text, width) + named_by(right, text, width)
            }  # fmt: skip
            best = sorted(scores, key=lambda output: -scores[output])[:nbest]
            listed = found if nbest > 1 else [found]
            assert [one.text for one in listed] == best
            assert [one.score for one in listed] == pytest.approx([scores[output] for output in best], rel=1e-4)


def test_the_order_in_which_runs_are_named_changes_no_score(directions: list[str]) -> None:
    first, *others = (
        load(*order).predict(TEXTS, nbest=4)
        for order in (directions, directions[::-1], directions[1:] + directions[:1])
    )
    for other in others:
        for found, again in zip(first, other, strict=True):
            assert [one.text for one in found] == [one.text for one in again]
            assert [one.score for one in found] == pytest.approx([one.score for one in again], rel=1e-5)


def test_runs_score_their_own_outputs_as_their_searches_do(directions: list[str]) -> None:
    for name in directions:
        run = load(name)
        apart = Committee([run, run])
        apart.groups, apart.sizes = [run, run], [1, 1]
        found, alone = (one.predict(TEXTS, beam=4, nbest=4) for one in (apart, run))
        for scored, searched in zip(found, alone, strict=True):
            ended = {one.text: one.score for one in searched if len(one.text) < run.coding.max_output}
            assert [one.text for one in scored if one.text in ended] == list(ended)
            kept = [one.score for one in scored if one.text in ended]
            assert kept == pytest.approx(list(ended.values()), rel=1e-4)


def test_outputs_that_runs_from_both_ends_have_scored_are_measured_on_the_first_runs_part(
    directions: list[str],
) -> None:
    together = load(*directions)
    outcome = together.outcome("test")
    assert outcome.outputs == [one.text for one in together.predict(outcome.sources)]
    assert outcome.loss is None


def test_runs_that_number_the_same_symbols_otherwise_score_each_others_outputs(here: Path, toy: Toy) -> None:
    names = []
    for name, rows in (("few-b", "ab\tab\naa\taa\n"), ("few-a", "ba\tba\nbb\tbb\n")):
        (here / f"{name}.tsv").write_text(rows * 3)
        data = PairsConfig(train=f"{name}.tsv", valid=f"{name}.tsv", tgt_tokenizer=Tokenizer.char)
        names.append(train(toy(dataset=data, run_dir=name))["run_dir"])
    together = load(*names)
    assert [group.coding.codecs["tgt"].vocab.tokens for group in together.groups] == [["a", "b"], ["b", "a"]]
    with torch.no_grad():
        for text, found in zip(["ab", "b"], together.predict(["ab", "b"]), strict=True):
            mean = np.mean([log_probability(run, text, found.text) for run in together.runs])
            assert found.score == pytest.approx(mean / (len(found.text) + 1), rel=1e-4)


def test_runs_with_different_vocabularies_vote(spellings: list[str]) -> None:
    together = load(*spellings)
    assert together.sizes == [2, 1]
    texts = ["가한", "나글", "마말말"]
    groups = together.groups
    for beam, nbest, width in ((None, 1, 5), (3, 2, 3), (1, 1, 1)):
        found = together.predict(texts, beam=beam, nbest=nbest)
        for i, text in enumerate(texts):
            votes: dict[str, float] = {}
            for group, size in zip(groups, (2, 1), strict=True):
                decoding = group.setting.decoding._replace(width=width, nbest=width)
                outputs = group.hypotheses([text], decoding)[0]
                chances = [math.exp(one.score * min(len(one.ids) + 1, decoding.max_length)) for one in outputs]
                for one, chance in zip(outputs, chances, strict=True):
                    spelled = group.coding.codecs["tgt"].decode(one.ids)
                    votes[spelled] = votes.get(spelled, 0) + size * chance / sum(chances)
            best = sorted(votes, key=lambda text: -votes[text])[:nbest]
            listed = found[i] if nbest > 1 else [found[i]]
            assert [one.text for one in listed] == best
            assert [one.score for one in listed] == pytest.approx(
                [math.log(votes[text] / 3) for text in best], abs=1e-4
            )


def test_what_runs_cannot_read_is_told_of_by_each_group(families: list[str], spellings: list[str]) -> None:
    together, voting = load(*families), load(*spellings)
    together.predict(["a!b"])
    voting.predict(["가!"])
    assert together.warnings() == ["1 tokens are unknown to the run: '!'"]
    assert [line.partition(":")[0] for line in voting.warnings()] == ["x", "y"]
    assert together.runs[0].warnings() == []


def test_votes_are_scored_on_the_first_runs_part(spellings: list[str]) -> None:
    together = load(*spellings)
    outcome = together.outcome("test")
    assert outcome.outputs == [one.text for one in together.predict(outcome.sources)]
    assert outcome.loss is None
    wrong = [text not in found for text, found in zip(outcome.outputs, outcome.references, strict=True)]
    assert outcome.metrics()["sequence_error_rate"] == np.mean(wrong)


def test_equal_texts_of_a_ballot_add_up_and_shares_are_of_whole_probabilities() -> None:
    codec = Codec(build_tokenizer("char", []), Vocab(["a", "b"]))
    found = [
        Hypothesis([4], math.log(0.4) / 2),
        Hypothesis([4, 1], math.log(0.2) / 3),
        Hypothesis([5], math.log(0.2) / 2),
    ]
    ballot = ballot_of(found, codec, Decoding(max_length=9, length_penalty=1.0), votes=2)
    assert ballot == pytest.approx({"a": 1.5, "b": 0.5})
    cut = ballot_of([Hypothesis([4, 5], math.log(0.4) / 2), Hypothesis([5], math.log(0.1) / 2)], codec,
                    Decoding(max_length=2), votes=1)  # fmt: skip
    assert cut == pytest.approx({"ab": 0.8, "b": 0.2})


def test_the_most_votes_win_and_of_equals_the_first_named() -> None:
    assert [one.text for one in elect([{"a": 0.6, "b": 0.4}, {"b": 0.7, "c": 0.3}], 2)] == ["b", "a", "c"]
    assert [one.text for one in elect([{"x": 0.5, "y": 0.5}, {"y": 0.5, "x": 0.5}], 2)] == ["x", "y"]
    assert elect([{"x": 1.0}], 1) == [Output("x", 0.0, 1.0)]


def test_runs_that_cannot_answer_together_are_refused(here: Path, toy: Toy) -> None:
    sequences = train(toy(epochs=1))["run_dir"]
    labels = train(toy(epochs=1, model=BAG, dataset=PARITY))["run_dir"]
    with pytest.raises(ConfigError, match=r"writes sequences and .* finds labels: name runs of one task"):
        load(sequences, labels)
    (here / "x.tsv").write_text("a\tx\nb\ty\n" * 3)
    words = ["model=classifier", "dataset=labelled", "dataset.train=x.tsv", "dataset.valid=x.tsv", "epochs=1"]
    other = train(config_of_words([*words, "device=cpu"]))["run_dir"]
    with pytest.raises(ConfigError, match=r"knows the labels .*, but .* x, y; name runs that know the same labels"):
        load(labels, other)
    with pytest.raises(ConfigError, match="`beam` has no effect"):
        load(labels, labels).predict(["a"], beam=2)


def test_a_committee_takes_texts_as_a_run_does(spellings: list[str]) -> None:
    together = load(*spellings)
    assert together.predict([]) == []
    with pytest.raises(TypeError, match="takes a list of texts, not one"):
        together.predict("가한")
    with pytest.raises(ConfigError, match=r"`nbest` must be at most the beam width \(2\)"):
        together.predict(["가한"], beam=2, nbest=3)


def test_an_ensemble_reads_and_writes_no_more_than_each_of_its_runs_can(here: Path, toy: Toy) -> None:
    names = [train(toy(model=TransformerConfig(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1,
                                               dim_feedforward=8, positions="learned", max_length=longest),
                       run_dir=str(longest), epochs=1))["run_dir"] for longest in (30, 6)]  # fmt: skip
    together = load(*names)
    assert together.sizes == [2]
    (group,) = together.groups
    assert group.config.model.max_length == 6
    assert group.coding.max_output == min(run.coding.max_output for run in together.runs)
    assert len(together.predict(["abcd" * 20])) == 1
    assert "1 texts were cut" in " ".join(together.warnings())
