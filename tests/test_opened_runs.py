"""A finished run in use: it repeats its results, answers texts, reads files and draws its attention."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import BAG, PARITY, TINY, Toy

from zoo.cli.overrides import config_of
from zoo.config import AdamConfig, PairsConfig, Precision, Seq2SeqConfig, TgtDirection, ToyConfig, load_config
from zoo.data.vocab import BOS, EOS
from zoo.errors import CheckpointError, ConfigError, DataError
from zoo.experiment import Label, Output, gallery, open_run, train

TURNED = ToyConfig(
    symbols=4, max_length=4, train_size=48, valid_size=8, test_size=8, tgt_direction=TgtDirection.right_to_left
)


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.9, "beam": 3, "length_penalty": 0.5},
        {"model": TINY, "precision": Precision.bf16},
        {"model": BAG, "dataset": PARITY},
    ],
    ids=["seq2seq", "transformer", "classifier"],
)
def test_an_opened_run_repeats_its_results_exactly(here: Path, toy: Toy, changes: dict[str, Any]) -> None:
    results = train(toy(**changes))
    torch.manual_seed(99)
    run = open_run(results["run_dir"], device="cpu")
    assert run.evaluate("test") == results["test"]
    assert run.evaluate("valid") == results["valid"]
    assert open_run("last").evaluate() == results["test"]
    assert open_run(Path(results["run_dir"]) / "checkpoints" / "best.safetensors").evaluate() == results["test"]


def test_predictions_keep_the_order_one_for_each_text(here: Path, toy: Toy) -> None:
    run = open_run(train(toy(model=TINY))["run_dir"])
    texts = ["abc", "", "a", "dddd", "never seen!", "abc"]
    found = run.predict(texts)
    assert [type(one) for one in found] == [Output] * 6
    assert found[0] == found[5]
    for text, one in zip(texts, found, strict=True):
        assert run.predict([text])[0].text == one.text
    several = run.predict(texts, nbest=3)
    assert all(1 < len(group) <= 3 for group in several)
    assert all([one.score for one in group] == sorted((one.score for one in group), reverse=True) for group in several)
    assert run.predict([]) == []
    with pytest.raises(TypeError, match=r"takes a list of texts, not one; write predict\(\[text\]\)"):
        run.predict(texts[0])
    with pytest.raises(ConfigError, match=r"`nbest` must be at most the beam width \(2\), but is 3; raise beam"):
        run.predict(texts, beam=2, nbest=3)


def test_a_run_on_own_files_is_evaluated_from_another_directory(
    here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{a}{b}" for a in "abc" for b in "abc"]
    (here / "src.txt").write_text("".join(f"{row}\n" for row in rows))
    (here / "rows.tsv").write_text("".join(f"{row}\t{row}\n" for row in rows))

    def dataset() -> PairsConfig:
        return PairsConfig(train=["src.txt", "src.txt"], valid="rows.tsv", test="rows.tsv")

    results = train(toy(dataset=dataset(), run_dir="run"))
    assert train(toy(dataset=dataset(), run_dir="run", resume=True))["already_finished"]
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert open_run(here / results["run_dir"]).evaluate("test") == results["test"]
    saved: Any = load_config(here / results["run_dir"] / "config.yaml").dataset
    assert (saved.train, saved.valid) == ([str(here / "src.txt")] * 2, str(here / "rows.tsv"))
    moved = (here / "rows.tsv").rename(here / "moved.tsv")
    with pytest.raises(DataError, match=r"rows\.tsv: no such file any more; put it back, or name other files"):
        open_run(here / results["run_dir"]).evaluate("test")
    assert open_run(here / results["run_dir"]).evaluate("test", files=[str(moved)]) == results["test"]


def test_predicted_labels_come_with_the_probability_of_each(here: Path, toy: Toy) -> None:
    run = open_run(train(toy(model=BAG, dataset=PARITY))["run_dir"])
    found = run.predict(["abca", "", "b", "zzz"])
    for one in found:
        assert isinstance(one, Label)
        assert set(one.probabilities) == set(run.coding.labels)
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert one.probability == one.probabilities[one.label] == max(one.probabilities.values())
    assert run.predict(["b"])[0].probability == pytest.approx(found[2].probability)


def test_a_run_evaluates_files_that_it_is_given(here: Path, toy: Toy) -> None:
    run = open_run(train(toy())["run_dir"])
    (here / "mine.tsv").write_text("ab\tab\nba\tba\n")
    outputs = [one.text for one in run.predict(["ab", "ba"])]
    wrong = sum(found != text for found, text in zip(outputs, ["ab", "ba"], strict=True))
    assert run.evaluate(files=["mine.tsv"])["sequence_error_rate"] == wrong / 2


@pytest.mark.parametrize("model", [TINY, Seq2SeqConfig(embedding_size=8, hidden_size=8)], ids=lambda m: m.name)
def test_attention_can_be_drawn(here: Path, toy: Toy, model: Any) -> None:
    run = open_run(train(toy(model=model, epochs=1))["run_dir"])
    weights, src, tgt = run.attention("abca")
    assert weights.shape == (len(tgt), len(src))
    assert src == [*"abca", "⊙"]
    assert weights.sum(1) == pytest.approx(1, rel=1e-4)
    run.draw_attention("abca", here / "out.png")
    assert (here / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("model", [TINY, Seq2SeqConfig(embedding_size=8, hidden_size=8)], ids=lambda m: m.name)
def test_attention_from_right_to_left_stands_in_the_order_of_the_text(here: Path, toy: Toy, model: Any) -> None:
    run = open_run(train(toy(model=model, epochs=3, dataset=TURNED))["run_dir"])
    weights, _, tgt = run.attention("abca")
    text = run.predict(["abca"])[0].text
    assert tgt == ["⊙", *text]
    ids = run.coding.codecs["tgt"].encode(text)
    src, lengths = torch.tensor([[*run.coding.codecs["src"].encode("abca"), EOS]]), torch.tensor([5])
    with torch.no_grad():
        written = run.model.align(src, lengths, torch.tensor([[BOS, *ids]]))[0]
    assert weights[::-1] == pytest.approx(written.numpy())


@pytest.mark.parametrize("model", [TINY, Seq2SeqConfig(embedding_size=8, hidden_size=8)], ids=lambda m: m.name)
def test_a_run_from_right_to_left_is_measured_and_reopened_like_any_other(here: Path, toy: Toy, model: Any) -> None:
    results = train(toy(model=model, dataset=TURNED, epochs=3))
    run = open_run(results["run_dir"])
    for split in ("valid", "test"):
        assert run.evaluate(split) == results[split]
    outcome = run.outcome("valid")
    expected = open_run(train(toy(model=model))["run_dir"]).outcome("valid")
    assert (outcome.sources, outcome.references) == (expected.sources, expected.references)
    assert outcome.outputs == [one.text for one in run.predict(outcome.sources)]


def test_a_run_is_not_taken_up_in_the_other_direction(here: Path, toy: Toy) -> None:
    run = train(toy())["run_dir"]
    with pytest.raises(CheckpointError, match="the vocabulary is not the one that the checkpoint was made with"):
        train(toy(dataset=TURNED, run_dir=run, resume=True, epochs=3))
    path = Path(run) / "vocabulary" / "tgt.json"
    path.write_text(path.read_text().replace("left_to_right", "right_to_left"))
    with pytest.raises(CheckpointError, match="the vocabulary is not the one"):
        open_run(run)


@pytest.mark.parametrize("name", ["copy", "reverse"])
def test_a_model_learns_to_write_from_right_to_left(here: Path, toy: Toy, name: str) -> None:
    dataset = ToyConfig(name=name, symbols=3, max_length=4, train_size=4000, valid_size=20, test_size=20,
                        tgt_direction=TgtDirection.right_to_left)  # fmt: skip
    model = Seq2SeqConfig(hidden_size=64, dropout=0.0)
    results = train(toy(dataset=dataset, model=model, epochs=6, batch_tokens=256, optimizer=AdamConfig(lr=0.01)))
    assert results["test"]["sequence_error_rate"] == 0
    assert open_run(results["run_dir"]).predict(["abca"])[0].text == ("abca" if name == "copy" else "acba")


def test_attention_is_drawn_of_a_source_that_is_too_long_or_unknown(here: Path, toy: Toy) -> None:
    run = open_run(train(toy(epochs=1, model=TINY))["run_dir"])
    longest = run.config.model.max_length
    weights, src, tgt = run.attention("!" + "a" * (longest + 9))
    assert (weights.shape, len(src), src[0]) == ((len(tgt), len(src)), longest + 1, "?")


def test_a_picture_that_fails_does_not_end_a_training(here: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(gallery, "attention_of", fail)
    run = Path(train(toy(epochs=1, model=TINY))["run_dir"])
    assert "the attention pictures were left out (no ink)" in (run / "train.log").read_text()


def test_a_model_without_attention_says_so(here: Path, toy: Toy) -> None:
    run = open_run(train(toy(epochs=1))["run_dir"])
    with pytest.raises(ConfigError, match="model=seq2seq of this run has no attention over a source to draw"):
        run.attention("ab")


def test_what_is_no_run_cannot_be_opened(here: Path, toy: Toy) -> None:
    with pytest.raises(CheckpointError, match="runs/ holds no trained run"):
        open_run("last")
    (here / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty: no run, it holds no config\.yaml"):
        open_run("empty")
    results = train(toy(epochs=1))
    with pytest.raises(ConfigError, match="unknown value 'gpu'"):
        open_run("last", device="gpu")
    best = Path(results["run_dir"]) / "checkpoints" / "best.safetensors"
    best.write_bytes(best.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"best\.safetensors: not a readable checkpoint"):
        open_run("last")


def test_files_that_do_not_fit_a_classifier_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [("a good film", "positive"), ("a bad film", "negative")] * 20
    Path("train.tsv").write_text("".join(f"{text} {i}\t{label}\n" for i, (text, label) in enumerate(rows)))
    train(config_of({"model": "classifier", "dataset": "labelled", "dataset.train": "train.tsv", "run_dir": "run",
                     "max_steps": "2", "device": "cpu"}))  # fmt: skip
    run = open_run("run")
    Path("some.tsv").write_text("good film\tpositive\nsplendid film\tgood\n")
    capsys.readouterr()
    assert run.evaluate(files=["some.tsv"])["accuracy"] <= 0.5
    assert "warning: 1 test rows have a label that no training row has" in capsys.readouterr().err
    Path("turned.tsv").write_text("positive\tgood film\nnegative\tbad film\n")
    with pytest.raises(DataError, match=r"turned.tsv: no row has a text and one of the run's labels \(negative, pos"):
        run.evaluate(files=["turned.tsv"])
    assert run.predict(["a good film"])[0].text in ("positive", "negative")
