"""A learning-rate range test (Smith, 2017, section 3.3): the rate grows at each step until the loss blows up."""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from zoo.config import FEWEST_RATES, TrainConfig, to_dict
from zoo.errors import ConfigError, DivergenceError, MemoryLimitError, is_out_of_memory
from zoo.experiment.directory import RunDirectory
from zoo.experiment.machine import choose_device, prepare_libraries
from zoo.experiment.session import Session
from zoo.experiment.signals import Interruption
from zoo.experiment.words import less_memory
from zoo.metrics import Array
from zoo.models import count_parameters
from zoo.optim import peak_factor
from zoo.record import Recorder, save_figure
from zoo.record.rates import rate_figure
from zoo.storage import write_durably
from zoo.training import LoopState, StepReport, training

STEPS = 200
LOWEST, HIGHEST = 1e-6, 100.0
"""Rates of the first and the last step: what SGD and Adam need lies in between, whatever the loss."""
BLOWN_UP = 4.0
"""Times its lowest at which a loss ends the test, as in fastai's `lr_find`."""
WIDTH = 0.2
"""Standard deviation of the smoothing, in powers of ten."""
FLAT = 0.01
"""Share of the first loss within which two smoothed losses are taken for equal."""
SHARE = 1 / 4
"""The suggestion as a share of the largest rate that still lowers the loss (Smith, 2017, section 3.3: 1/3 or 1/4)."""


class Suggestion(NamedTuple):
    """What a curve of losses says: the rate to take, that of the steepest descent, and that of the lowest loss."""

    suggested: float
    steepest: float
    lowest: float


def smoothed(rates: Array, losses: Array) -> Array:
    """Return the losses (steps), each the mean over its neighbors, weighted by how near their rates are."""
    places = np.log10(rates)
    weights = np.exp(-0.5 * ((places[:, None] - places) / WIDTH) ** 2)
    found: Array = weights @ losses / weights.sum(1)
    return found


def suggest(rates: Array, losses: Array) -> Suggestion:
    """Read a curve of rates and smoothed losses (steps).

    Of rates at which the loss is as low, the largest counts: where the loss hardly falls within the test, that is the
    last one before it rises.
    """
    lowest = int(np.argmin(losses))
    level = losses[lowest] + FLAT * losses[0]
    rising = np.flatnonzero(losses[lowest:] > level)
    lowest += int(rising[0]) - 1 if len(rising) else len(losses) - 1 - lowest
    slope = np.gradient(losses, np.log10(rates))
    steepest = int(np.argmin(slope[: lowest + 1]))
    return Suggestion(SHARE * float(rates[lowest]), float(rates[steepest]), float(rates[lowest]))


def find_rate(run: RunDirectory, config: TrainConfig) -> dict[str, Any]:
    """Test rates in a directory that is locked, and return what `lr_find.json` holds; no weight is kept.

    Raises DivergenceError where the loss is lost before a curve is there, ConfigError where `max_seconds` is too short.
    """
    prepare_libraries()
    test = RangeTest(Session(config, run, choose_device(config.device)))
    try:
        with Interruption().watching():
            test.run()
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryLimitError(less_memory(config, test.session.learner.state, None)) from error
        raise
    found = test.found()
    test.record(found)
    return found


class RangeTest:
    """The steps of a test on a fresh session: its model, its batches, its optimizer, no validation."""

    def __init__(self, session: Session) -> None:
        self.session, config = session, session.config
        self.steps = min(config.max_steps or STEPS, STEPS)
        self.peak = peak_factor(config.scheduler, width=session.learner.width)
        self.rates: list[float] = []  # of the optimizer, in each step
        self.losses: list[float] = []
        self.running = self.best = math.inf
        self.ended = "the largest rate was reached"

    def rate(self, state: LoopState) -> float:
        """Return the rate of the next step: equal factors from step to step."""
        return float(LOWEST * (HIGHEST / LOWEST) ** (state.step / (self.steps - 1)))

    def run(self) -> None:
        """Take steps until the last one, or until the loss or a gradient is lost."""
        try:
            epoch = 0
            while not self._over():
                epoch += 1
                self._epoch(epoch)
        except DivergenceError:
            self.ended = "a step was not finite"

    def _epoch(self, epoch: int) -> None:
        session, config, learner = self.session, self.session.config, self.session.learner
        session.trainloader.set_epoch(epoch)
        training(
            epoch,
            learner.forward,
            session.trainloader,
            [],
            optimizer=learner.optimizer,
            label_smoothing=config.label_smoothing,
            rdrop=config.rdrop,
            schedule=self.rate,
            clip=config.clip,
            accumulate=config.accumulate,
            device=session.device,
            precision=session.precision,
            scaler=learner.scaler,
            state=learner.state,
            after_step=self._after_step,
        )

    def _after_step(self, report: StepReport, state: LoopState) -> bool:
        if not math.isfinite(report.grad_norm) and not self.session.learner.scaler.is_enabled():
            raise DivergenceError("a gradient is not finite")
        self.rates.append(report.lr)
        self.losses.append(report.loss)
        self.running = report.loss if len(self.losses) == 1 else 0.8 * self.running + 0.2 * report.loss
        self.best = min(self.best, self.running)
        if self.running > BLOWN_UP * self.best:
            self.ended = f"the loss had grown to {BLOWN_UP:g} times its lowest"
        elif self._late():
            self.ended = f"max_seconds={self.session.config.max_seconds:g} was reached"
        return self._over()

    def _over(self) -> bool:
        return len(self.rates) >= self.steps or self._late() or self.running > BLOWN_UP * self.best

    def _late(self) -> bool:
        limit = self.session.config.max_seconds
        return bool(limit and self.session.learner.state.seconds >= limit)

    def found(self) -> dict[str, Any]:
        """Return the suggestion and the points, rates as `optimizer.lr` has them: before the schedule's factor."""
        if len(self.rates) < FEWEST_RATES // 2:  # a loss that blows up leaves fewer than were asked for
            kind = ConfigError if self._late() else DivergenceError
            way = "raise it" if self._late() else "set clip=1"
            raise kind(
                f"{self.ended} after {len(self.rates)} steps of the range test, too few to read a rate from; {way}"
            )
        rates, losses = np.array(self.rates), np.array(self.losses)
        curve = smoothed(rates, losses)
        if self._late() and curve[-1] <= curve.min() + FLAT * curve[0]:
            limit = f"max_seconds={self.session.config.max_seconds:g}"
            raise ConfigError(
                f"{limit} ended the range test at a rate of {rates[-1]:.2g}, before the loss rose; raise it"
            )
        told = {key: _shown(value / self.peak) for key, value in suggest(rates, curve)._asdict().items()}
        return {
            **told,
            "override": f"optimizer.lr={told['suggested']:g}",
            "steps": len(rates),
            "seconds": round(self.session.learner.state.seconds, 3),
            "ended": self.ended,
            "rates": _plain(rates / self.peak),
            "losses": _plain(losses),
            "smoothed": _plain(curve),
            "config": {**to_dict(self.session.config), "resume": False, "run_dir": str(self.session.run_dir.path)},
        }

    def record(self, found: dict[str, Any]) -> None:
        """Write `lr_find.json` and `lr_find.png`, and draw both curves in TensorBoard."""
        path, config = self.session.run_dir.path, self.session.config
        figure = rate_figure(found, title=f"{config.model.name}, {config.optimizer.name}, {config.dataset.name}")
        write_durably(path / "lr_find.json", (json.dumps(found, ensure_ascii=False) + "\n").encode())
        save_figure(figure, path / "lr_find.png")
        with Recorder(path) as recorder:
            size = f"{count_parameters(self.session.learner.model):,} parameters"
            recorder.note(f"{config.model.name} on {config.dataset.name}: {size}; {found['steps']} rates from "
                          f"{found['rates'][0]:.3g} to {found['rates'][-1]:.3g}: {self.ended}")  # fmt: skip
            recorder.image(0, "lr_find", figure)
            for step, (loss, curve) in enumerate(zip(found["losses"], found["smoothed"], strict=True), 1):
                values = {"loss": loss, "smoothed": curve, "lr": found["rates"][step - 1]}
                recorder.scalars(step, {f"lr_find/{name}": value for name, value in values.items()})


def _shown(rate: float) -> float:
    """Return a rate with the two digits that such a test can tell."""
    return float(f"{rate:.1e}")


def _plain(values: Sequence[float] | Array) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
