"""The one loop: every model, every task, every optimizer."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from zoo.data.batch import IGNORE
from zoo.data.torchtext_data import adapt
from zoo.distributed import main_seconds, processes, total
from zoo.errors import DivergenceError, unknown
from zoo.evaluation import DTYPES, autocast, validate
from zoo.loss import model_loss, rdrop_loss, summed_loss
from zoo.optim import set_rate
from zoo.optim.ema import EMA
from zoo.record import progress, show

SKIP_BUDGET = 10
"""Steps in a row whose gradient may be non-finite (and which are skipped) before the run counts as diverged."""


class EpochResult(NamedTuple):
    """What one epoch gave: loss per target and share of targets predicted right, in training and in validation."""

    loss: float
    accuracy: float
    valid_loss: float
    valid_accuracy: float


class StepReport(NamedTuple):
    """What one optimizer step did: loss and accuracy per target, the gradient's norm before clipping, the rate.

    waited is how many seconds its batches took to come.
    """

    step: int
    loss: float
    accuracy: float
    grad_norm: float
    lr: float
    tokens_per_second: float
    waited: float


@dataclass(kw_only=True, slots=True)
class Totals:
    """What the steps of an epoch add up to; `grad_norm` over the steps whose gradient was finite."""

    loss: float = 0.0
    targets: float = 0.0
    correct: float = 0.0
    grad_norm: float = 0.0
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def means(self) -> dict[str, float]:
        """Return what an epoch cost: the mean gradient norm, and tokens per second of training."""
        return {
            "grad_norm": self.grad_norm / max(self.steps, 1),
            "tokens_per_second": self.tokens / max(self.seconds, 1e-9),
        }


@dataclass(kw_only=True, slots=True)
class LoopState:
    """Where a training stands; what a checkpoint must hold for the next step to be the same to the bit."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    totals: Totals = field(default_factory=Totals)  # of the epoch so far

    def begin(self, epoch: int) -> None:
        """Start `epoch`, or go on within it where the state stopped."""
        if self.epoch != epoch:
            self.epoch, self.batch, self.totals = epoch, 0, Totals()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "LoopState":
        """Return the state that `to_dict` wrote."""
        return cls(**{**values, "totals": Totals(**values["totals"])})


class Stopwatch:
    """Adds the time since its last reading to a state."""

    def __init__(self, state: LoopState) -> None:
        self.state = state
        self.last = time.monotonic()
        self.waited = 0.0

    def fetch(self, groups: Iterator[list[Any]]) -> list[Any]:
        """Return the next batches, none after the last, and remember how long they took to come."""
        begun = time.monotonic()
        group = next(groups, [])
        self.waited = time.monotonic() - begun
        return group

    def read(self) -> float:
        """Return the seconds since the last reading, and count them."""
        now = time.monotonic()
        passed, self.last = main_seconds(now - self.last), now
        self.state.seconds += passed
        return passed


def training(
    epoch: int,
    model: nn.Module,
    trainloader: Iterable[Any],
    validloader: Iterable[Any],
    *,
    optimizer: torch.optim.Optimizer,
    criterion: Callable[..., tuple[Tensor, Tensor]] = summed_loss,
    label_smoothing: float = 0.0,
    rdrop: float = 0.0,
    schedule: Callable[[LoopState], float] | None = None,
    clip: float = 0.0,
    accumulate: int = 1,
    device: torch.device | str | None = None,
    precision: str = "fp32",
    scaler: "torch.amp.GradScaler | None" = None,
    ema: EMA | None = None,
    state: LoopState | None = None,
    after_step: Callable[[StepReport, LoopState], bool | None] | None = None,
) -> EpochResult:
    """Train for one epoch, number `epoch` (from 1), then validate.

    Each loader yields batches of the zoo, or is a plain torchtext iterator. `criterion(logits, targets)` returns the
    summed loss and its count of targets; `rdrop` is the weight of `rdrop_loss`; `schedule(state)` returns the learning
    rate of the next step, where None leaves the optimizer's own; `after_step` ends the epoch when it returns True.
    `precision` is fp32, bf16 or fp16, the last with a GradScaler of its own where none is given (one that lives over
    all epochs is better).
    Losses are divided by the targets of all `accumulate` batches together, so that no figure depends on how batches
    were cut: the result is in nats per target and shares in [0, 1]. Raises DivergenceError, with the weights as before
    the step, when the loss is no longer finite, and ValueError for an unknown precision.
    """
    if precision not in ("fp32", *DTYPES):
        raise ValueError(unknown("precision", precision, ["fp32", *DTYPES]))
    device = torch.device(device or next(model.parameters()).device)
    state = state if state is not None else LoopState()
    state.begin(epoch)
    loader = adapt(trainloader, model)
    step = _Step(model, optimizer, criterion, label_smoothing, rdrop, clip, device, precision, scaler, ema)
    watch = Stopwatch(state)
    model.train()
    optimizer.zero_grad(set_to_none=True)  # what the caller left there
    with _bar(f"epoch {epoch}", loader, state.batch) as bar:
        groups = _grouped(_remaining(loader, state.batch), accumulate)
        while group := watch.fetch(groups):
            if schedule is not None:
                set_rate(optimizer, schedule(state))
            loss, accuracy, norm, tokens = step(group, state)
            seconds = watch.read()
            state.totals.tokens += tokens
            state.totals.seconds += seconds
            lr = optimizer.param_groups[0]["lr"]
            report = StepReport(state.step, loss, accuracy, norm, lr, tokens / max(seconds, 1e-9), watch.waited)
            show(bar, loss=loss, tokens_per_second=report.tokens_per_second)
            bar.update(len(group))
            if after_step is not None and after_step(report, state):
                break
    with ema.applied() if ema is not None else nullcontext():
        valid_loss, valid_accuracy = validate(model, adapt(validloader, model), device=device, precision=precision,
                                              criterion=criterion)  # fmt: skip
    watch.read()
    totals, counted = state.totals, max(state.totals.targets, 1)
    return EpochResult(totals.loss / counted, totals.correct / counted, valid_loss, valid_accuracy)


class _Step:
    """One optimizer step over a group of batches; everything that stays the same between steps is bound here."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        criterion: Callable[..., tuple[Tensor, Tensor]],
        label_smoothing: float,
        rdrop: float,
        clip: float,
        device: torch.device,
        precision: str,
        scaler: "torch.amp.GradScaler | None",
        ema: EMA | None,
    ) -> None:
        self.model, self.optimizer, self.device, self.precision, self.ema = model, optimizer, device, precision, ema
        self.criterion = criterion
        self.processes = processes() if isinstance(model, DistributedDataParallel) else 1  # it takes their mean
        self.loss = partial(rdrop_loss, weight=rdrop) if rdrop else model_loss
        self.extra = {"label_smoothing": label_smoothing} if label_smoothing else {}
        self.max_norm = clip if clip > 0 else math.inf
        self.scaler = scaler or torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def __call__(self, group: list[Any], state: LoopState) -> tuple[float, float, float, int]:
        """Return the loss per target, the share predicted right, the norm of the gradient, and the tokens."""
        sizes = [(int((batch.targets != IGNORE).sum()), batch.tokens) for batch in group]
        counted, tokens = total(torch.tensor(sizes).sum(0)).tolist()
        sums = self._backward(group, max(counted, 1))
        self.scaler.unscale_(self.optimizer)
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self.max_norm))
        loss, targets, correct = sums.tolist()
        state.batch += len(group)
        state.step += 1
        self._guard(loss, norm, state)
        if math.isfinite(norm):
            state.totals.grad_norm += norm
            state.totals.steps += 1
            self.scaler.step(self.optimizer)
            if self.ema is not None:
                self.ema.update()
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        state.totals.loss += loss
        state.totals.targets += targets
        state.totals.correct += correct
        return loss / max(targets, 1), correct / max(targets, 1), norm, tokens

    def _backward(self, group: list[Any], counted: int) -> Tensor:
        """Add up the gradients of the mean loss over the `counted` targets of the group, those of other processes too.

        Return loss sum, targets and correct targets.
        """
        totals = torch.zeros(3, dtype=torch.float64, device=self.device)
        for number, batch in enumerate(group, 1):
            batch = batch.to(self.device)
            with self._alone() if number < len(group) else nullcontext():
                with autocast(self.device, self.precision):
                    loss, count, right = self.loss(self.model, batch, self.criterion, **self.extra)
                self.scaler.scale(loss / (counted / self.processes)).backward()  # type: ignore[no-untyped-call]
            totals += torch.stack([loss.detach(), count, right]).double()
        return total(totals)

    def _alone(self) -> AbstractContextManager[None]:
        """Let gradients add up in this process, to be exchanged later."""
        return self.model.no_sync() if isinstance(self.model, DistributedDataParallel) else nullcontext()

    def _guard(self, loss: float, norm: float, state: LoopState) -> None:
        """Count a non-finite gradient, and raise where the loss itself is lost or too many came in a row."""
        if math.isfinite(loss) and math.isfinite(norm):
            state.skipped_in_a_row = 0
            return
        state.skipped += 1
        state.skipped_in_a_row += 1
        # A scale that is too large is halved at each skipped step; one of 1 scales nothing that could be too far.
        scaled_too_far = self.scaler.is_enabled() and self.scaler.get_scale() > 1
        if not math.isfinite(loss) or (state.skipped_in_a_row > SKIP_BUDGET and not scaled_too_far):
            lr = self.optimizer.param_groups[0]["lr"]
            what = "loss" if not math.isfinite(loss) else "gradient"
            advice = " or set clip=1" if math.isinf(self.max_norm) else ""
            raise DivergenceError(
                f"the {what} is no longer finite at step {state.step} (epoch {state.epoch}, batch {state.batch}, "
                f"learning rate {lr:.3g}); lower optimizer.lr{advice}"
            )


def _remaining(loader: Iterable[Any], start: int) -> Iterator[Any]:
    """Iterate from batch `start`, without reading what lies before where the loader can."""
    if hasattr(loader, "iterate"):
        return iter(loader.iterate(start))
    return islice(iter(loader), start, None)


def _grouped(batches: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while group := list(islice(batches, size)):
        yield group


def _bar(description: str, loader: Iterable[Any], start: int) -> "tqdm[Any]":
    try:
        total = len(loader)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):  # a torchtext iterator with a batch_size_fn does not know
        total = None
    return progress(desc=description, total=total, initial=start)
