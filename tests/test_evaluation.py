"""Figures of a model on a corpus, against sums by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.config import PairsConfig, TrainConfig, TransformerConfig
from zoo.data import EOS, IGNORE, Data, Loader, Sequences, TextCorpus, TextSizes, build_data
from zoo.evaluation import (
    Decoding,
    Setting,
    decode,
    evaluate,
    judge_labels,
    judge_outputs,
    log_probabilities,
    probabilities,
    validate,
)
from zoo.models import build_model, create_model

CPU = torch.device("cpu")
SETTING = Setting(CPU, batch_tokens=12, decoding=Decoding(max_length=8))
TRAIN = [("ab", "a b"), ("ba", "b a"), ("abc", "a b c"), ("c", "c"), ("ccb", "c c b")]
VALID = [("ab", "a b"), ("cab", "c a b"), ("ab", "b b"), ("b", "b"), ("bbbb", "b b b b"), ("cab", "c a b"), ("a", "")]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    for name, rows in (("train", TRAIN), ("valid", VALID)):
        (tmp_path / name).write_text("".join(f"{src}\t{tgt}\n" for src, tgt in rows), encoding="utf-8")
    dataset = PairsConfig(train=str(tmp_path / "train"), valid=str(tmp_path / "valid"))
    return build_data(TrainConfig(model=small(), dataset=dataset))


def small() -> TransformerConfig:
    return TransformerConfig(
        d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8, max_length=16
    )


def model_of(data: Data) -> nn.Module:
    torch.manual_seed(0)
    return build_model(small(), data.sizes)


class Spelling(nn.Module):
    """Outputs the first `keep` letters of the source; counts the sources that it was given."""

    def __init__(self, data: Data, *, keep: int = 99) -> None:
        super().__init__()
        self.src, self.tgt, self.keep = data.codecs["src"], data.codecs["tgt"], keep
        self.seen: list[str] = []
        self.unused = nn.Parameter(torch.zeros(1))

    class State:
        def __init__(self, outputs: list[list[int]], step: int = 0) -> None:
            self.outputs, self.step = outputs, step

        def select(self, rows: Tensor) -> "Spelling.State":
            return Spelling.State([self.outputs[i] for i in rows.tolist()], self.step)

    def encode(self, src: Tensor, lengths: Tensor) -> State:
        rows = [row[: length - 1] for row, length in zip(src.tolist(), lengths.tolist(), strict=True)]
        texts = [self.src.decode(row) for row in rows]
        self.seen += texts
        return self.State([[*self.tgt.encode(" ".join(text[: self.keep])), EOS] for text in texts])

    def decode_step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        wanted = torch.tensor([(row + [EOS] * 20)[state.step] for row in state.outputs])
        return 9.0 * F.one_hot(wanted, len(self.tgt.vocab)), self.State(state.outputs, state.step + 1)


def test_validation_equals_a_sum_by_hand_and_leaves_the_mode_as_it_was(data: Data) -> None:
    model, corpus = model_of(data), data.valid
    losses, right, count = 0.0, 0, 0
    model.eval()
    for row in range(len(corpus)):
        batch = corpus.batch(np.array([row]))
        logits = model(*batch.inputs).detach()
        losses += float(F.cross_entropy(logits[0], batch.tgt_out[0], reduction="sum"))
        right += int((logits.argmax(-1) == batch.tgt_out).sum())
        count += int((batch.tgt_out != IGNORE).sum())
    model.train()
    for batch_tokens in (5, 1000):
        loader = Loader(corpus, batch_tokens=batch_tokens, shuffle=False)
        assert validate(model, loader, device=CPU) == pytest.approx((losses / count, right / count), rel=1e-5)
        assert model.training
    model.eval()
    validate(model, loader, device=CPU)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_each_source_is_decoded_once_and_all_its_targets_are_references(data: Data) -> None:
    model = Spelling(data)
    found = judge_outputs(model, data.valid, data.codecs["tgt"], SETTING).metrics()
    assert sorted(model.seen) == ["a", "ab", "b", "bbbb", "cab"]
    # ab, cab, b and bbbb are right; a has an empty target only, which counts as an error, its output as one edit
    assert found["sequence_error_rate"] == pytest.approx(1 / 5)
    wrong = judge_outputs(Spelling(data, keep=1), data.valid, data.codecs["tgt"], SETTING).metrics()
    assert wrong["sequence_error_rate"] == pytest.approx(4 / 5)


def test_the_nearest_reference_gives_the_edits(data: Data) -> None:
    class Doubled(Spelling):
        def encode(self, src: Tensor, lengths: Tensor) -> Any:
            state = super().encode(src, lengths)
            b = self.tgt.encode("b")[0]
            return self.State([[b, b, EOS] if text == "ab" else out
                               for text, out in zip(self.seen[-len(src):], state.outputs, strict=True)])  # fmt: skip

    found = judge_outputs(Doubled(data), data.valid, data.codecs["tgt"], SETTING)
    plain = judge_outputs(Spelling(data), data.valid, data.codecs["tgt"], SETTING)
    assert found.metrics() == plain.metrics()


def test_the_limit_decodes_that_many_sources_evenly_spread(data: Data) -> None:
    for limit, count in ((1, 1), (3, 3), (0, 5), (99, 5)):
        model = Spelling(data)
        judge_outputs(model, data.valid, data.codecs["tgt"], SETTING, limit=limit)
        assert len(model.seen) == len(set(model.seen)) == count


def test_samples_show_source_output_and_all_references(data: Data) -> None:
    outcome = judge_outputs(Spelling(data, keep=2), data.valid, data.codecs["tgt"], SETTING)
    assert sorted(outcome.samples()) == [
        ("a", "a", ""),
        ("ab", "a b", "a b | b b"),
        ("b", "b", "b"),
        ("bbbb", "b b", "b b b b"),
        ("cab", "c a", "c a b"),
    ]


def test_bleu_does_not_depend_on_the_order_of_decoding(data: Data) -> None:
    rates = [
        judge_outputs(Spelling(data, keep=2), data.valid, data.codecs["tgt"],
                         SETTING._replace(batch_tokens=batch_tokens, bleu="none")).metrics()
        for batch_tokens in (2, 1000)
    ]  # fmt: skip
    assert rates[0] == rates[1]
    assert {"bleu", "chrf", "bleu_signature", "chrf_signature"} <= set(rates[0])


def test_evaluation_joins_the_loss_and_the_rates_of_outputs(data: Data) -> None:
    model = model_of(data)
    loader = Loader(data.valid, batch_tokens=12, shuffle=False)
    loss, _ = validate(model, loader, device=CPU)
    rates = judge_outputs(model, data.valid, data.codecs["tgt"], SETTING).metrics()
    assert evaluate(model, data.valid, data.codecs, SETTING) == {"loss": loss, **rates}


def test_decoding_names_the_row_of_each_output(data: Data) -> None:
    batches = data.valid.source_loader(4)
    outputs = dict(decode(Spelling(data), batches, SETTING.decoding, device=CPU))
    texts = [data.codecs["tgt"].decode(outputs[row][0].ids) for row in range(5)]
    assert texts == ["a b", "c a b", "b", "b b b b", "a"]


def test_outcomes_stand_in_the_order_of_the_part(data: Data) -> None:
    outcome = judge_outputs(Spelling(data), data.valid, data.codecs["tgt"], SETTING)
    assert outcome.sources == ["ab", "cab", "b", "bbbb", "a"]
    assert outcome.outputs == ["a b", "c a b", "b", "b b b b", "a"]
    assert outcome.lengths.tolist() == [2, 3, 1, 4, 1]
    assert outcome.references[0] == ["a b", "b b"]


def texts(rows: list[list[int]], labels: list[int]) -> TextCorpus:
    names = [f"text {i}" for i in range(len(rows))]
    return TextCorpus(text=Sequences.from_lists(rows), labels=np.array(labels), texts=names)


ROWS = [[4, 5, 6], [7], [5, 5, 5, 5, 8], [6, 4], [9, 9, 9], [4], [8, 7, 6, 5]]


def classifier() -> nn.Module:
    torch.manual_seed(0)
    sizes = TextSizes(10, 3)
    return create_model("classifier", sizes=sizes, encoder="gru", embedding_size=6, hidden_size=6)


def test_probabilities_keep_the_order_of_the_corpus() -> None:
    model = classifier()
    model.eval()
    expected = [
        model(torch.tensor([row]), torch.tensor([len(row)])).detach().double().softmax(-1)[0].numpy() for row in ROWS
    ]
    for batch_tokens in (3, 1000):
        found = probabilities(model, texts(ROWS, [0] * 7), SETTING._replace(batch_tokens=batch_tokens))
        np.testing.assert_allclose(found, np.stack(expected), rtol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)


def test_the_loss_of_labels_is_that_of_validation() -> None:
    model, corpus = classifier(), texts(ROWS, [0, 1, 2, 0, 1, 2, 0])
    found = judge_labels(model, corpus, SETTING).metrics()
    loader = Loader(corpus, batch_tokens=12, shuffle=False)
    assert (found["loss"], found["accuracy"]) == pytest.approx(validate(model, loader, device=CPU), rel=1e-5)


def test_an_unknown_label_is_an_error_without_a_loss() -> None:
    model = classifier()
    best = probabilities(model, texts(ROWS, [0] * 7), SETTING).argmax(1)
    labels = best.copy()
    labels[2] = IGNORE
    corpus = texts(ROWS, labels.tolist())
    outcome = judge_labels(model, corpus, SETTING, labels=["x", "y", "z"])
    found, samples = outcome.metrics(), outcome.samples()
    assert found["accuracy"] == pytest.approx(6 / 7)
    known = [i for i in range(7) if i != 2]
    rest = texts([ROWS[i] for i in known], [int(best[i]) for i in known])
    assert found["loss"] == pytest.approx(judge_labels(model, rest, SETTING).metrics()["loss"], rel=1e-5)
    assert samples[2] == ("text 2", "xyz"[best[2]], "(unknown)")
    assert samples[0] == ("text 0", "xyz"[best[0]], "xyz"[best[0]])


def test_texts_are_evaluated_without_codecs_being_asked() -> None:
    corpus = texts(ROWS, [0, 1, 2, 0, 1, 2, 0])
    found = evaluate(classifier(), corpus, {}, SETTING)
    assert found == judge_labels(classifier(), corpus, SETTING).metrics()


def test_log_probabilities_are_those_of_whole_targets_and_their_mean_is_the_loss(data: Data) -> None:
    model = model_of(data).eval()
    found = log_probabilities(model, data.valid, SETTING)
    for row in range(len(data.valid)):
        batch = data.valid.batch(np.array([row]))
        logs = model(*batch.inputs).log_softmax(-1)[0]
        assert found[row] == pytest.approx(
            sum(logs[time, i].item() for time, i in enumerate(batch.tgt_out[0])), rel=1e-5
        )
    loss, _ = validate(model, Loader(data.valid, batch_tokens=12, shuffle=False), device=CPU)
    assert -found.sum() / (data.valid.tgt.lengths + 1).sum() == pytest.approx(loss, rel=1e-5)
