"""The one loop, against loops written out and against its own promises."""

import json
import math
import time
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from batches import classifier, merged, pair_corpus, same, sgd, text_batches, transformer, weights
from torch import Tensor, nn

from zoo.data import IGNORE, Loader, PairBatch, TextBatch
from zoo.evaluation import validate
from zoo.loss import divergence
from zoo.optim.ema import EMA
from zoo.training import EpochResult, LoopState, StepReport, training


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
