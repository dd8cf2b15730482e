"""The one loop, against loops written out and against its own promises."""

import json
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.config import (
    OPTIMIZERS,
    SCHEDULERS,
    Activation,
    Attention,
    Cell,
    Encoder,
    FeedForward,
    Init,
    Norm,
    Pooling,
    Positions,
)
from zoo.data import IGNORE, Loader, PairBatch, PairCorpus, PairSizes, Sequences, TextBatch, TextCorpus, TextSizes
from zoo.errors import DivergenceError
from zoo.evaluation import validate
from zoo.loss import divergence
from zoo.models import create_model
from zoo.optim import build_optimizer, build_schedule, run_progress
from zoo.optim.ema import EMA
from zoo.training import SKIP_BUDGET, EpochResult, LoopState, StepReport, training

CLASSES, VOCAB = 3, 10


def text_batches(*sizes: int, seed: int = 0) -> list[TextBatch]:
    """Return batches of these many texts of 2 to 5 tokens, whose label is the first token's number modulo 3."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for size in sizes:
        lengths = torch.randint(2, 6, (size,), generator=generator)
        text = torch.randint(4, VOCAB, (size, int(lengths.max())), generator=generator)
        text = text.masked_fill(torch.arange(text.shape[1]) >= lengths[:, None], 0)
        batches.append(TextBatch(text, lengths, text[:, 0] % CLASSES))
    return batches


def merged(batches: list[TextBatch]) -> TextBatch:
    longest = max(batch.text.shape[1] for batch in batches)
    text = torch.cat([F.pad(batch.text, (0, longest - batch.text.shape[1])) for batch in batches])
    return TextBatch(text, torch.cat([b.lengths for b in batches]), torch.cat([b.label for b in batches]))


def pair_corpus(rows: int = 24, *, seed: int = 0) -> PairCorpus:
    generator = torch.Generator().manual_seed(seed)
    lists = [
        torch.randint(4, VOCAB, (int(torch.randint(1, 6, (), generator=generator)),), generator=generator).tolist()
        for _ in range(rows)
    ]
    return PairCorpus(src=Sequences.from_lists(lists), tgt=Sequences.from_lists(row[::-1] for row in lists))


def classifier(**options: Any) -> nn.Module:
    torch.manual_seed(1)
    small = {"encoder": "bag", "embedding_size": 6, "hidden_size": 6, "dropout": 0.0}
    return create_model("classifier", sizes=TextSizes(VOCAB, CLASSES), **{**small, **options}).double()


def transformer(**options: Any) -> nn.Module:
    torch.manual_seed(1)
    small = {"d_model": 8, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 8}
    sizes = PairSizes(VOCAB, VOCAB, False)
    return create_model("transformer", sizes=sizes, **{**small, "dropout": 0.0, "max_length": 16, **options})


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr)


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# ---- what it returns


def test_only_the_optimizer_is_required_and_four_figures_come_back() -> None:
    model, batches = classifier(), text_batches(4, 3)
    result = training(1, model, batches, batches[:1], optimizer=sgd(model))
    assert isinstance(result, EpochResult)
    assert result._fields == ("loss", "accuracy", "valid_loss", "valid_accuracy")
    loss, accuracy, valid_loss, valid_accuracy = result
    assert all(math.isfinite(value) for value in result)
    assert 0 <= accuracy <= 1
    assert (valid_loss, valid_accuracy) == validate(model, batches[:1], device=torch.device("cpu"))
    assert loss != valid_loss
    with pytest.raises(TypeError, match="optimizer"):
        training(1, model, batches, batches)  # type: ignore[call-arg]


def test_the_epochs_loss_does_not_depend_on_how_batches_were_cut() -> None:
    batches = text_batches(5, 1, 2, 8)
    results = []
    for cut in (batches, [merged(batches)], [merged(batches[:2]), merged(batches[2:])]):
        model = classifier()
        results.append(training(1, model, cut, cut, optimizer=sgd(model, lr=0.0)))
    assert results[1] == pytest.approx(results[0], rel=1e-6)
    assert results[2] == pytest.approx(results[0], rel=1e-6)


def test_the_epochs_loss_of_sequences_is_per_target_that_counts() -> None:
    corpus, model = pair_corpus(), transformer()
    results = []
    for batch_tokens in (12, 24, 1000):
        loader = Loader(corpus, batch_tokens=batch_tokens)
        results.append(training(1, model, loader, loader, optimizer=sgd(model, lr=0.0)))
    assert results[1] == pytest.approx(results[0], rel=1e-5)
    assert results[2] == pytest.approx(results[0], rel=1e-5)
    by_hand = 0.0
    for row in range(len(corpus)):
        batch = corpus.batch(torch.tensor([row]).numpy())
        logits = model(*batch.inputs).detach()
        by_hand += float(F.cross_entropy(logits[0], batch.tgt_out[0], reduction="sum"))
    assert results[0].loss == pytest.approx(by_hand / (len(corpus.tgt.ids) + len(corpus.tgt)), rel=1e-5)


@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_accumulated_batches_give_the_weights_of_one_large_batch(clip: float) -> None:
    batches = text_batches(5, 1, 2, 8, 3)
    small, large = classifier(), classifier()
    training(1, small, batches, batches, optimizer=sgd(small), accumulate=2, clip=clip)
    groups = [merged(batches[:2]), merged(batches[2:4]), batches[4]]
    result = training(1, large, groups, groups, optimizer=sgd(large), clip=clip)
    assert math.isfinite(result.loss)
    for a, b in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_accumulated_sequences_of_many_lengths_give_the_weights_of_one_batch() -> None:
    corpus = pair_corpus()
    parts, whole = Loader(corpus, batch_tokens=12), Loader(corpus, batch_tokens=10_000)
    small, large = transformer().double(), transformer().double()
    training(1, small, parts, [], optimizer=sgd(small), accumulate=len(parts))
    training(1, large, whole, [], optimizer=sgd(large))
    assert len(parts) > len(whole) == 1
    for a, b in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


def test_a_plain_loop_with_torchs_adam_gives_the_same_weights() -> None:
    batches = text_batches(5, 4, 6)
    ours, plain = classifier(encoder="gru"), classifier(encoder="gru")
    optimizer = torch.optim.Adam(ours.parameters(), lr=0.01)
    for epoch in (1, 2):
        training(epoch, ours, batches, batches, optimizer=optimizer)
    reference = torch.optim.Adam(plain.parameters(), lr=0.01)
    for _ in range(2):
        for text, lengths, label in batches:
            reference.zero_grad()
            F.cross_entropy(plain(text, lengths), label).backward()
            reference.step()
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


# ---- its keywords


def test_clipping_bounds_the_step_and_the_norm_before_it_is_reported() -> None:
    batches, norms, steps = text_batches(6), {}, {}
    for clip in (0.0, 0.01):
        model, reports = classifier(), []
        before = weights(model)
        training(1, model, batches, [], optimizer=sgd(model, lr=1.0), clip=clip,
                 after_step=lambda report, state, seen=reports: seen.append(report))  # fmt: skip
        norms[clip] = reports[0].grad_norm
        steps[clip] = torch.cat([(a - b).flatten() for a, b in zip(weights(model), before, strict=True)]).norm().item()
    assert norms[0.0] == norms[0.01] == pytest.approx(steps[0.0])
    assert steps[0.01] == pytest.approx(0.01, rel=1e-3)


def test_label_smoothing_is_for_training_alone() -> None:
    batches = text_batches(6, 5)
    plain, smooth = (
        training(1, model, batches, batches, optimizer=sgd(model, lr=0.0), label_smoothing=smoothing)
        for model, smoothing in ((classifier(), 0.0), (classifier(), 0.3))
    )
    model, batch = classifier(), merged(batches)
    expected = F.cross_entropy(model(*batch.inputs).detach(), batch.label, label_smoothing=0.3)
    assert smooth.loss == pytest.approx(float(expected), rel=1e-6)
    assert smooth.loss != pytest.approx(plain.loss, rel=1e-3)
    assert smooth[1:] == plain[1:]


def test_rdrop_is_two_passes_of_each_batch_in_training_alone() -> None:
    batches = text_batches(6, 5)
    options = {"encoder": "gru", "dropout": 0.5}
    ours, plain = classifier(**options), classifier(**options)
    torch.manual_seed(2)
    result = training(1, ours, batches, batches, optimizer=sgd(ours), rdrop=2.0, accumulate=2, clip=0.1)
    torch.manual_seed(2)
    total = torch.zeros((), dtype=torch.float64)
    for text, lengths, label in batches:
        p, q = (plain(text, lengths).log_softmax(-1) for _ in range(2))
        total = total + (F.nll_loss(p, label, reduction="sum") + F.nll_loss(q, label, reduction="sum")) / 2
        total = total + 2.0 * ((p.exp() - q.exp()) * (p - q)).sum() / 2
    (total / 11).backward()
    nn.utils.clip_grad_norm_(plain.parameters(), 0.1)
    sgd(plain).step()
    assert result.loss == pytest.approx(total.item() / 11, rel=1e-9)
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    assert result[2:] == validate(ours, batches, device=torch.device("cpu"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_rdrop_brings_two_passes_nearer_to_each_other(precision: str) -> None:
    loader = Loader(pair_corpus(), batch_tokens=48)
    apart = {}
    for rdrop in (0.0, 5.0):
        model = transformer(dropout=0.3)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for epoch in range(1, 31):
            training(epoch, model, loader, [], optimizer=optimizer, rdrop=rdrop, precision=precision)
        batch = loader.corpus.batch(torch.arange(24).numpy())
        with torch.no_grad():
            pairs = [(model(*batch.inputs), model(*batch.inputs)) for _ in range(10)]
        apart[rdrop] = sum(divergence(*pair, batch.targets).item() for pair in pairs)
    assert apart[5.0] < apart[0.0] / 2


def test_dropout_is_for_training_alone_and_the_model_comes_back_in_training_mode() -> None:
    model, batches = classifier(dropout=0.5), text_batches(8, 8)
    model.eval()
    first = training(1, model, batches, batches, optimizer=sgd(model, lr=0.0))
    assert model.training
    second = training(2, model, batches, batches, optimizer=sgd(model, lr=0.0))
    assert first.loss != second.loss
    assert first[2:] == second[2:]


def test_the_schedule_sets_the_rate_of_each_step() -> None:
    model, reports, asked = classifier(), [], []

    def schedule(state: LoopState) -> float:
        asked.append(state.step)
        return 0.5 / (state.step + 1)

    training(1, model, text_batches(2, 2, 2, 2), [], optimizer=sgd(model), schedule=schedule, accumulate=2,
             after_step=lambda report, state: reports.append(report))  # fmt: skip
    assert asked == [0, 1]
    assert [report.lr for report in reports] == [0.5, 0.25]
    assert [report.step for report in reports] == [1, 2]


def test_each_steps_loss_is_per_target_and_together_they_are_the_epochs() -> None:
    model, batches, reports = classifier(), text_batches(5, 1, 2, 8), []
    result = training(1, model, batches, [], optimizer=sgd(model),
                      after_step=lambda report, state: reports.append(report))  # fmt: skip
    sizes = [len(batch.label) for batch in batches]
    by_steps = sum(report.loss * size for report, size in zip(reports, sizes, strict=True)) / sum(sizes)
    assert by_steps == pytest.approx(result.loss, rel=1e-9)
    right = sum(report.accuracy * size for report, size in zip(reports, sizes, strict=True)) / sum(sizes)
    assert right == pytest.approx(result.accuracy, rel=1e-9)
    assert all(report.tokens_per_second > 0 for report in reports)


def test_the_costs_of_an_epoch_are_means_over_its_steps_across_a_stop() -> None:
    model, state, reports = classifier(), LoopState(), []

    def stop_after_one(report: StepReport, state: LoopState) -> bool:
        reports.append(report)
        return report.step == 1

    batches = text_batches(5, 1, 2, 8)
    for _ in range(2):
        training(1, model, batches, [], optimizer=sgd(model), state=state, after_step=stop_after_one)
        state = LoopState.from_dict(json.loads(json.dumps(state.to_dict())))
    costs = state.totals.means()
    assert costs["grad_norm"] == pytest.approx(sum(report.grad_norm for report in reports) / 4)
    assert state.totals.tokens == sum(batch.tokens for batch in batches)
    assert costs["tokens_per_second"] == pytest.approx(state.totals.tokens / state.totals.seconds)


def test_a_step_tells_how_long_its_batches_took_to_come() -> None:
    def slowly() -> Iterator[TextBatch]:
        for batch in text_batches(2, 2, 2, 2):
            time.sleep(0.02)
            yield batch

    model, state, waits = classifier(), LoopState(), []
    training(1, model, slowly(), [], optimizer=sgd(model), accumulate=2, state=state,
             after_step=lambda report, state: waits.append(report.waited))  # fmt: skip
    assert len(waits) == 2
    assert min(waits) >= 0.04
    assert sum(waits) < state.totals.seconds


def test_after_step_ends_the_epoch_and_the_next_call_goes_on_there() -> None:
    batches = text_batches(3, 4, 5, 6)
    whole, parts = classifier(), classifier()
    expected = training(1, whole, batches, batches, optimizer=sgd(whole))
    state, optimizer = LoopState(), sgd(parts)
    seen: list[int] = []

    def stop_after_two(report: StepReport, state: LoopState) -> bool:
        seen.append(report.step)
        return report.step == 2

    training(1, parts, batches, batches, optimizer=optimizer, state=state, after_step=stop_after_two)
    assert (seen, state.batch, state.step) == ([1, 2], 2, 2)
    result = training(1, parts, batches, batches, optimizer=optimizer, state=state)
    assert (state.batch, state.step) == (4, 4)
    assert result == expected
    assert same(weights(whole), weights(parts))
    training(2, parts, batches, [], optimizer=optimizer, state=state)
    assert (state.epoch, state.batch, state.step) == (2, 4, 8)
    assert state.seconds > 0


def test_a_loader_that_can_is_told_where_to_start() -> None:
    class Seeking:
        started: list[int] = []  # noqa: RUF012

        def iterate(self, start: int) -> Iterator[TextBatch]:
            self.started.append(start)
            return iter(text_batches(2, 2, 2)[start:])

        def __iter__(self) -> Iterator[TextBatch]:
            raise AssertionError

    model, state = classifier(), LoopState(epoch=1, batch=1)
    training(1, model, Seeking(), [], optimizer=sgd(model), state=state)
    assert Seeking.started == [1]
    assert (state.batch, state.step) == (3, 2)


def test_validation_uses_the_averaged_weights_and_training_goes_on_with_its_own() -> None:
    batches = text_batches(4, 4, 4)
    plain, averaged = classifier(), classifier()
    expected = training(1, plain, batches, batches, optimizer=sgd(plain, lr=1.0))
    ema = EMA(averaged, decay=0.9)
    result = training(1, averaged, batches, batches, optimizer=sgd(averaged, lr=1.0), ema=ema)
    assert same(weights(plain), weights(averaged))
    assert ema.updates == 3
    assert result[:2] == expected[:2]
    assert result.valid_loss != expected.valid_loss
    with ema.applied():
        assert result[2:] == validate(averaged, batches, device=torch.device("cpu"))


def test_a_criterion_of_ones_own_is_used_in_training_and_validation() -> None:
    def twice(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * F.cross_entropy(logits, targets, reduction="sum"), torch.tensor(len(targets))

    batches = text_batches(4, 4)
    plain, doubled = (
        training(1, model, batches, batches, optimizer=sgd(model, lr=0.0), **options)
        for model, options in ((classifier(), {}), (classifier(), {"criterion": twice}))
    )
    assert doubled.loss == pytest.approx(2 * plain.loss, rel=1e-6)
    assert doubled.valid_loss == pytest.approx(2 * plain.valid_loss, rel=1e-6)


def test_bf16_computes_products_in_bf16_and_keeps_weights_in_float32() -> None:
    torch.manual_seed(0)
    seen: list[torch.dtype] = []
    model = transformer()
    model.output.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    loader = Loader(pair_corpus(), batch_tokens=48)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = [training(e, model, loader, loader, optimizer=optimizer, precision="bf16").loss for e in (1, 2, 3)]
    assert set(seen) == {torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert losses[2] < losses[0]


def test_padded_targets_have_no_part_in_the_gradient() -> None:
    batch = pair_corpus(6).batch(torch.arange(6).numpy())
    assert bool((batch.tgt_out == IGNORE).any())
    more = PairBatch(
        batch.src, batch.src_lengths, F.pad(batch.tgt_in, (0, 3)), F.pad(batch.tgt_out, (0, 3), value=IGNORE)
    )
    models = [transformer().double() for _ in range(2)]
    results = [training(1, model, [one], [one], optimizer=sgd(model))
               for model, one in zip(models, (batch, more), strict=True)]  # fmt: skip
    assert results[0] == pytest.approx(results[1], rel=1e-6)
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


# ---- divergence


class Spoiler(nn.Module):
    """A classifier whose logits, or whose gradient, is not finite in the forward passes named."""

    def __init__(self, *, logits: tuple[int, ...] = (), gradient: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.inner, self.calls = classifier(), 0
        self.logits, self.gradient = logits, gradient

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        logits: Tensor = self.inner(text, lengths)
        self.calls += self.training
        if self.calls in self.logits:
            logits = logits * math.nan
        if self.calls in self.gradient:
            logits.register_hook(lambda gradient: gradient * math.inf)
        return logits


def test_a_loss_that_is_not_finite_raises_before_the_weights_change() -> None:
    batches, model, seen = text_batches(2, 3, 4, 5), Spoiler(logits=(3,)), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with pytest.raises(DivergenceError) as caught:
        training(4, model, batches, batches, optimizer=optimizer,
                 after_step=lambda report, state: seen.append(weights(model)))  # fmt: skip
    where = "at step 3 (epoch 4, batch 3, learning rate 0.01)"
    assert str(caught.value) == f"the loss is no longer finite {where}; lower optimizer.lr or set clip=1"
    assert len(seen) == 2
    assert same(weights(model), seen[-1])


def test_a_gradient_that_is_not_finite_is_skipped_and_counted() -> None:
    batches, state = text_batches(2, 3, 4), LoopState()
    model, plain = Spoiler(gradient=(2,)), classifier()
    ema = EMA(model, decay=0.9)
    training(1, model, batches, [], optimizer=sgd(model), state=state, ema=ema, clip=1.0)
    training(1, plain, [batches[0], batches[2]], [], optimizer=sgd(plain), clip=1.0)
    assert (state.skipped, state.skipped_in_a_row, state.step) == (1, 0, 3)
    assert same(weights(model), weights(plain))
    assert ema.updates == 2


def test_too_many_gradients_in_a_row_that_are_not_finite_raise() -> None:
    count = SKIP_BUDGET + 3
    batches, state = text_batches(*[2] * count), LoopState()
    model = Spoiler(gradient=(1, *range(3, count + 1)))
    before, seen = weights(model), []
    with pytest.raises(DivergenceError, match=rf"the gradient is no longer finite at step {count} "):
        training(1, model, batches, [], optimizer=sgd(model), state=state,
                 after_step=lambda report, state: seen.append(weights(model)))  # fmt: skip
    assert state.skipped == SKIP_BUDGET + 2
    assert same(weights(model), seen[1])  # after the one good step
    assert not same(weights(model), before)


def test_a_scale_that_has_fallen_to_one_is_not_what_spoils_the_gradient() -> None:
    count = SKIP_BUDGET + 4
    model, state = Spoiler(gradient=tuple(range(1, count + 1))), LoopState()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    with pytest.raises(DivergenceError, match=r"gradient .* at step 13 .*; lower optimizer\.lr$"):
        training(1, model, text_batches(*[2] * count), [], optimizer=sgd(model), state=state, scaler=scaler, clip=1.0)
    assert state.skipped_in_a_row == 13


def test_what_the_caller_left_in_the_gradients_has_no_part_in_a_step() -> None:
    models = [classifier(), classifier()]
    for parameter in models[0].parameters():
        parameter.grad = torch.ones_like(parameter)
    for model in models:
        training(1, model, text_batches(3), [], optimizer=sgd(model), device="cpu")
    assert same(weights(models[0]), weights(models[1]))


def test_an_unknown_precision_is_refused() -> None:
    model = classifier()
    with pytest.raises(ValueError, match="unknown precision 'fp61'; did you mean 'fp16'"):
        training(1, model, text_batches(2), [], optimizer=sgd(model), precision="fp61")


def test_half_precision_makes_a_scaler_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda *a, enabled: made.append(enabled) or scaler(*a, enabled=False))
    for precision in ("fp32", "fp16"):
        training(1, classifier(), [], [], optimizer=sgd(classifier()), precision=precision)
    assert made == [False, True]


# ---- everything learns

PAIRS = [("seq2seq", {"cell": cell}) for cell in Cell]
PAIRS += [("seq2seq", {"attention": attention}) for attention in Attention]
PAIRS += [("seq2seq", {"input_feeding": True}), ("seq2seq", {"teacher_forcing": 0.5}), ("seq2seq", {"num_layers": 2})]
PAIRS += [("seq2seq", {"init": init}) for init in Init]
PAIRS += [("transformer", {"norm": norm}) for norm in Norm]
PAIRS += [("transformer", {"positions": positions}) for positions in Positions]
PAIRS += [("transformer", {"activation": activation}) for activation in FeedForward]
PAIRS += [("transformer", {"init": init}) for init in Init] + [("transformer", {"tie_embeddings": False})]
FAMILIES = ("classifier", "classifier_functional")
TEXTS = [(family, {"encoder": encoder}) for family in FAMILIES for encoder in Encoder]
TEXTS += [(family, {"activation": activation}) for family in FAMILIES for activation in Activation]
TEXTS += [(family, {"init": init}) for family in FAMILIES for init in Init]
TEXTS += [(family, {"encoder": "gru", "pooling": pooling}) for family in FAMILIES for pooling in Pooling]
TEXTS += [("linear", {"ngrams": ngrams}) for ngrams in (2, 3)]


def learner(family: str, options: dict[str, Any]) -> tuple[nn.Module, Any]:
    torch.manual_seed(2)
    if family == "linear":
        return create_model(family, sizes=TextSizes(VOCAB, CLASSES), buckets=64, **options), [merged(text_batches(12))]
    if family.startswith("classifier"):
        text = merged(text_batches(12))
        small = {"embedding_size": 8, "hidden_size": 8, "dropout": 0.0}
        return create_model(family, sizes=TextSizes(VOCAB, CLASSES), **{**small, **options}), [text]
    small = {"embedding_size": 8, "hidden_size": 8, "dropout": 0.0}
    if family == "transformer":
        small = {"d_model": 8, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 8,
                 "dropout": 0.0, "max_length": 16}  # fmt: skip
    model = create_model(family, sizes=PairSizes(VOCAB, VOCAB, False), **{**small, **options})
    return model, Loader(pair_corpus(), batch_tokens=200)


@pytest.mark.parametrize(("family", "options"), PAIRS + TEXTS, ids=lambda part: str(part).replace(" ", ""))
def test_every_variant_of_a_model_learns(family: str, options: dict[str, Any]) -> None:
    model, batches = learner(family, options)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = [training(epoch, model, batches, [], optimizer=optimizer).loss for epoch in range(1, 7)]
    assert all(math.isfinite(loss) for loss in losses)
    if options.get("init") != "zeros":
        assert losses[-1] < losses[0]


RATES = {"sgd": 0.3, "momentum": 0.1, "nesterov": 0.1, "adadelta": 20.0}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("family", ["classifier", "transformer"])
def test_every_optimizer_learns(name: str, family: str) -> None:
    model, batches = learner(family, {})
    optimizer = build_optimizer(OPTIMIZERS[name](name=name, lr=RATES.get(name, 0.02)), model)
    losses = [training(epoch, model, batches, [], optimizer=optimizer).loss for epoch in range(1, 9)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_schedule_learns(name: str) -> None:
    model, batches = learner("classifier", {})
    optimizer = torch.optim.Adam(model.parameters())
    schedule = build_schedule(SCHEDULERS[name](name=name), width=8)
    lr = 2.0 if name == "noam" else 0.02

    def rate(state: LoopState) -> float:
        return lr * schedule.factor(run_progress(step=state.step + 1, last_step=20), state.step + 1)

    losses, state = [], LoopState()
    for epoch in range(1, 21):
        result = training(epoch, model, batches, batches, optimizer=optimizer, schedule=rate, state=state)
        schedule.observe(result.valid_loss)
        losses.append(result.loss)
    assert losses[-1] < losses[0]


def test_one_batch_can_be_overfitted_by_each_family() -> None:
    for family in ("seq2seq", "transformer", "classifier", "classifier_functional"):
        wide = {"d_model": 16, "dim_feedforward": 32} if family == "transformer" else {"hidden_size": 32}
        model, batches = learner(family, wide)
        if not family.startswith("classifier"):
            batches = Loader(pair_corpus(6), batch_tokens=200)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for epoch in range(1, 101):
            result = training(epoch, model, batches, [], optimizer=optimizer)
        assert result.accuracy == 1.0, family
        assert result.loss < 0.2, family


def test_a_corpus_of_texts_trains_through_the_loader() -> None:
    text = merged(text_batches(12))
    rows = [row[:length].tolist() for row, length in zip(text.text, text.lengths.tolist(), strict=True)]
    corpus = TextCorpus(text=Sequences.from_lists(rows), labels=text.label.numpy())
    model = classifier(encoder="cnn")
    loader = Loader(corpus, batch_tokens=16, seed=3)
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.02), []
    for epoch in range(1, 6):
        loader.set_epoch(epoch)
        losses.append(training(epoch, model, loader, loader, optimizer=optimizer).loss)
    assert losses[-1] < losses[0]
