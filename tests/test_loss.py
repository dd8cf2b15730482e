"""The loss is a sum over targets that count, however they are cut into batches."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zoo.loss
from zoo.data.batch import IGNORE, PairBatch
from zoo.loss import (
    correct_count,
    divergence,
    model_loss,
    output_loss,
    rdrop_loss,
    squared_error,
    summed_loss,
    target_count,
)
from zoo.models.seq2seq import Seq2Seq
from zoo.models.transformer import Transformer

LOGITS = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([[1, 2, 3, IGNORE, IGNORE], [0, 6, 5, 4, 3], [2, IGNORE, IGNORE, IGNORE, IGNORE]])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_equals_the_definition(label_smoothing: float) -> None:
    total, count = summed_loss(LOGITS, TARGETS, label_smoothing=label_smoothing)
    expected = 0.0
    for row, column in (TARGETS >= 0).nonzero().tolist():
        logs = LOGITS[row, column].log_softmax(-1)
        expected -= (1 - label_smoothing) * logs[TARGETS[row, column]].item() + label_smoothing * logs.mean().item()
    assert total.item() == pytest.approx(expected, rel=1e-5)
    assert count.item() == 9


def test_one_loss_serves_labels_and_sequences() -> None:
    labels, steps = summed_loss(LOGITS[:, 0], TARGETS[:, 0]), summed_loss(LOGITS[:, :1], TARGETS[:, :1])
    assert labels[0].item() == steps[0].item()
    assert labels[1].item() == steps[1].item() == 3


def test_batches_add_up_to_the_whole() -> None:
    whole, count = summed_loss(LOGITS, TARGETS)
    parts = [summed_loss(LOGITS[i : i + 1], TARGETS[i : i + 1]) for i in range(3)]
    assert sum(part.item() for part, _ in parts) == pytest.approx(whole.item(), rel=1e-6)
    assert sum(int(part) for _, part in parts) == int(count)


def test_padding_changes_neither_loss_nor_gradient() -> None:
    wide = F.pad(LOGITS, (0, 0, 0, 2), value=9.0).requires_grad_()
    total, count = summed_loss(wide, F.pad(TARGETS, (0, 2), value=IGNORE))
    total.backward()  # type: ignore[no-untyped-call]
    assert (total.item(), int(count)) == pytest.approx((summed_loss(LOGITS, TARGETS)[0].item(), 9))
    assert wide.grad is not None
    assert not wide.grad[:, 5:].any()
    assert not wide.grad[:, :5][TARGETS == IGNORE].any()


def test_half_precision_is_summed_in_float32() -> None:
    logits = torch.zeros(4000, 7, dtype=torch.bfloat16)
    total, _ = summed_loss(logits, torch.zeros(4000, dtype=torch.long))
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(4000 * torch.tensor(7.0).log().item(), rel=1e-5)


def test_double_precision_is_kept() -> None:
    assert summed_loss(LOGITS.double(), TARGETS)[0].dtype == torch.float64


def test_nothing_to_count_is_zero_and_not_nan() -> None:
    total, count = summed_loss(LOGITS, torch.full_like(TARGETS, IGNORE))
    assert (total.item(), count.item()) == (0.0, 0)


def test_a_label_unseen_in_training_has_no_loss_and_is_never_right() -> None:
    logits, labels = LOGITS[:, 0], torch.tensor([-1, 2, -1])
    total, count = summed_loss(logits, labels)
    assert total.item() == pytest.approx(F.cross_entropy(logits[1:2], labels[1:2]).item())
    assert int(count) == 1
    assert int(target_count(labels)) == 3
    assert int(correct_count(logits, labels)) <= 1


def test_correct_targets_are_those_with_the_largest_logit() -> None:
    targets = LOGITS.argmax(-1).masked_fill(TARGETS == IGNORE, IGNORE)
    assert int(correct_count(LOGITS, targets)) == int(target_count(targets)) == 9
    assert int(correct_count(LOGITS, (targets + 1).where(targets >= 0, targets))) == 0


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few positions take several blocks, of which the last ones are not full."""
    monkeypatch.setattr(zoo.loss, "ROWS", 4)
    monkeypatch.setattr(zoo.loss, "BLOCK", 3 * 7)
    monkeypatch.setattr(zoo.loss, "LARGE", 1)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_loss_of_an_output_layer_equals_that_of_its_logits(label_smoothing: float) -> None:
    torch.manual_seed(0)
    output = nn.Linear(6, 7).double()
    hidden = torch.randn(3, 5, 6, dtype=torch.float64, requires_grad=True)
    total, count, right = output_loss(hidden, output, TARGETS, label_smoothing=label_smoothing)
    (2.5 * total).backward()  # type: ignore[no-untyped-call]
    parts = [hidden, output.weight, output.bias]
    found = [part.grad for part in parts]
    for part in parts:
        part.grad = None
    logits = output(hidden)
    expected, expected_count = summed_loss(logits, TARGETS, label_smoothing=label_smoothing)
    (2.5 * expected).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(total, expected)
    assert (int(count), int(right)) == (int(expected_count), int(correct_count(logits, TARGETS)))
    torch.testing.assert_close(found, [part.grad for part in parts])


@pytest.mark.usefixtures("small_blocks")
def test_the_loss_of_an_output_layer_needs_no_gradient_and_no_bias() -> None:
    output, hidden = nn.Linear(6, 7, bias=False), torch.randn(3, 5, 6)
    with torch.no_grad():
        total, _, _ = output_loss(hidden, output, TARGETS)
    assert total.item() == pytest.approx(summed_loss(output(hidden), TARGETS)[0].item(), rel=1e-5)


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "transformer":
        return Transformer(9, 7, d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8)
    return Seq2Seq(9, 7, embedding_size=6, hidden_size=6, num_layers=1, teacher_forcing=0.5 if name == "own" else 1.0)


@pytest.mark.parametrize("name", ["transformer", "seq2seq", "own"])
def test_a_large_vocabulary_changes_neither_loss_nor_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(name).double()
    src, lengths = torch.randint(4, 9, (3, 4)), torch.tensor([4, 2, 3])
    batch = PairBatch(src, lengths, TARGETS.clamp(min=0), TARGETS)

    def run(large: int) -> list[Tensor | None]:
        monkeypatch.setattr(zoo.loss, "LARGE", large)
        model.zero_grad()
        torch.manual_seed(1)
        found = model_loss(model, batch, label_smoothing=0.1)
        found[0].backward()  # type: ignore[no-untyped-call]
        return [*found, *(parameter.grad for parameter in model.parameters())]

    torch.testing.assert_close(run(1), run(1000))


def test_another_criterion_is_given_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo.loss, "LARGE", 1)
    shapes = []

    def criterion(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        shapes.append(tuple(logits.shape))
        return summed_loss(logits, targets)

    batch = PairBatch(torch.randint(4, 9, (3, 4)), torch.tensor([4, 2, 3]), TARGETS.clamp(min=0), TARGETS)
    model_loss(build("seq2seq"), batch, criterion)
    assert shapes == [(3, 5, 7)]


TWICE = [torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(seed)).double() for seed in (1, 2)]


def test_the_divergence_is_the_mean_of_both_kullback_leibler_divergences_of_targets_that_count() -> None:
    p, q = (logits.softmax(-1)[TARGETS >= 0] for logits in TWICE)
    expected = ((p * (p / q).log()).sum() + (q * (q / p).log()).sum()) / 2
    assert divergence(*TWICE, TARGETS).item() == pytest.approx(expected.item(), rel=1e-12)
    labels = torch.tensor([2, -1, IGNORE])
    first = divergence(TWICE[0][:1, 0], TWICE[1][:1, 0], labels[:1])
    assert divergence(TWICE[0][:, 0], TWICE[1][:, 0], labels).item() == pytest.approx(first.item())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_divergence_is_never_negative_and_of_equals_zero(dtype: torch.dtype) -> None:
    first = 20 * torch.randn(50, 7, generator=torch.Generator().manual_seed(3))
    second = first + 1e-3 * torch.randn(50, 7, generator=torch.Generator().manual_seed(4))
    targets = torch.zeros(50, dtype=torch.long)
    for other in (second, -first, first.roll(1)):
        found = divergence(first.to(dtype), other.to(dtype), targets)
        assert found.dtype == torch.float32
        assert found >= 0
        assert found == divergence(other.to(dtype), first.to(dtype), targets)
    assert divergence(first, first, targets) == 0


def tokens() -> PairBatch:
    torch.manual_seed(0)
    return PairBatch(torch.randint(4, 9, (3, 4)), torch.tensor([4, 2, 3]), TARGETS.clamp(min=0), TARGETS)


def gradients(model: nn.Module, loss: Tensor) -> list[Tensor | None]:
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("large", [1, 1000])
@pytest.mark.parametrize("name", ["transformer", "seq2seq"])
def test_rdrop_of_a_model_without_randomness_is_the_plain_loss(
    name: str, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo.loss, "LARGE", large)
    model = build(name).double().eval()
    plain = model_loss(model, tokens(), label_smoothing=0.1)
    expected = [*plain, *gradients(model, plain[0])]
    found = rdrop_loss(model, tokens(), weight=3.0, label_smoothing=0.1)
    torch.testing.assert_close([*found, *gradients(model, found[0])], expected, check_dtype=False)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["transformer", "seq2seq", "own"])
def test_rdrop_equals_two_passes_written_out_whatever_the_vocabulary(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = build(name).double(), tokens()
    torch.manual_seed(1)
    logs = [model(*batch.inputs).log_softmax(-1)[TARGETS >= 0] for _ in range(2)]
    losses = [F.nll_loss(log, TARGETS[TARGETS >= 0], reduction="sum") for log in logs]
    apart = sum(F.kl_div(log, other, reduction="sum", log_target=True) for log, other in (logs, logs[::-1]))
    expected = (losses[0] + losses[1]) / 2 + 0.7 * apart / 2
    wanted = [expected, *gradients(model, expected)]
    right = sum(int((log.argmax(-1) == TARGETS[TARGETS >= 0]).sum()) for log in logs) / 2
    assert apart > 0
    for large in (1, 1000):
        monkeypatch.setattr(zoo.loss, "LARGE", large)
        torch.manual_seed(1)
        total, count, correct = rdrop_loss(model, batch, weight=0.7)
        assert (int(count), float(correct)) == (9, right)
        torch.testing.assert_close([total, *gradients(model, total)], wanted)


def test_squared_error_sums_over_all_numbers_and_counts_them() -> None:
    outputs, targets = torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([[1.0, 0], [0, 4]])
    loss, count = squared_error(outputs, targets)
    assert (float(loss), int(count)) == (13, 4)
    assert squared_error(outputs.bfloat16(), targets)[0].dtype == torch.float32


def test_numbers_are_never_right() -> None:
    outputs = torch.randn(3, 2)
    assert int(correct_count(outputs, torch.zeros(3, 2))) == 0
