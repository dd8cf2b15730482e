"""Schedules: torch's own where torch has them, and sane at both ends of a run."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from zoo.config import (
    SCHEDULERS,
    ConstantConfig,
    InverseSqrtConfig,
    LinearConfig,
    NoamConfig,
    OneCycleConfig,
    PlateauConfig,
    StepConfig,
    WarmupCosineConfig,
)
from zoo.optim.schedule import CURVES, Schedule, build_schedule, run_progress, set_rate

TOTAL = 60


def optimizer(lr: float = 1.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def torch_factors(build: Callable[[Any], Any], steps: int = TOTAL) -> list[float]:
    """Return the rates that a scheduler of torch gives to steps 1, 2, ... of a run with base rate 1."""
    sgd = optimizer()
    scheduler, rates = build(sgd), []
    for step in range(steps):
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        if step < steps - 1:
            scheduler.step()
    return rates


def our_factors(config: Any, steps: int = TOTAL) -> list[float]:
    schedule = build_schedule(config, width=64)
    return [schedule.factor(step / steps, step + 1) for step in range(steps)]


def close(values: list[float]) -> Any:
    return pytest.approx(values, rel=1e-9, abs=1e-9)


def test_cosine_equals_torch() -> None:
    ours = our_factors(WarmupCosineConfig(warmup=0.0, final=0.1))
    assert ours == close(torch_factors(lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL, eta_min=0.1)))


def test_warmup_then_cosine_equals_torch_in_sequence() -> None:
    def build(sgd: Any) -> Any:
        rise = lr_scheduler.LinearLR(sgd, start_factor=1e-12, total_iters=15)
        return lr_scheduler.SequentialLR(sgd, [rise, lr_scheduler.CosineAnnealingLR(sgd, 45)], [15])

    assert our_factors(WarmupCosineConfig(warmup=0.25)) == close(torch_factors(build))


def test_linear_equals_torch() -> None:
    ours = our_factors(LinearConfig(warmup=0.0, final=0.2))
    assert ours == close(torch_factors(lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, total_iters=TOTAL)))


@pytest.mark.parametrize(("drops", "total"), [(3, 60), (48, 49), (1, 10)])
def test_step_equals_torch(drops: int, total: int) -> None:
    ours = our_factors(StepConfig(drops=drops, gamma=0.7), total)
    theirs = torch_factors(lambda o: lr_scheduler.StepLR(o, total // (drops + 1), gamma=0.7), total)
    assert ours == close(theirs)


def test_one_cycle_equals_torch_between_its_ends() -> None:
    """Torch's peak is at step 0.3 * TOTAL - 1 and its end at TOTAL - 1, counted from 0; ours at progress 0.3 and 1."""
    schedule, peak, last = build_schedule(OneCycleConfig(warmup=0.3), width=1), 0.3 * TOTAL - 1, TOTAL - 1
    places = [0.3 * t / peak if t <= peak else 0.3 + 0.7 * (t - peak) / (last - peak) for t in range(TOTAL)]
    theirs = torch_factors(lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=TOTAL, cycle_momentum=False))
    assert [schedule.factor(place, 1) for place in places] == close(theirs)


def test_noam_is_the_papers_formula_and_peaks_at_the_end_of_warmup() -> None:
    schedule = build_schedule(NoamConfig(warmup_steps=400), width=512)
    assert schedule.factor(0.0, 100) == pytest.approx(512**-0.5 * 100 * 400**-1.5)
    assert schedule.factor(0.0, 1600) == pytest.approx(512**-0.5 * 1600**-0.5)
    assert max(range(1, 2000), key=lambda step: schedule.factor(0.5, step)) == 400


def test_inverse_sqrt_halves_the_rate_from_a_tenth_to_four_tenths() -> None:
    schedule = build_schedule(InverseSqrtConfig(warmup=0.1), width=1)
    assert [schedule.factor(p, 1) for p in (0.05, 0.1, 0.4)] == pytest.approx([0.5, 1.0, 0.5])


def test_constant_stays_after_its_warmup() -> None:
    schedule = build_schedule(ConstantConfig(warmup=0.5), width=1)
    assert [schedule.factor(p, 1) for p in (0, 0.25, 0.5, 1)] == [0, 0.5, 1, 1]
    assert our_factors(ConstantConfig()) == [1.0] * TOTAL


@pytest.mark.parametrize("patience", [0, 2])
def test_plateau_drops_when_torch_drops(patience: int) -> None:
    rng = random.Random(5)
    losses = [1 / (1 + epoch / 9) + rng.uniform(0, 0.1) for epoch in range(40)] + [0.5, 0.5, 0.49999, float("nan")] * 3
    sgd = optimizer()
    theirs = lr_scheduler.ReduceLROnPlateau(sgd, factor=0.9, patience=patience, eps=0)
    ours = build_schedule(PlateauConfig(factor=0.9, patience=patience), width=1)
    for loss in losses:
        ours.observe(loss)
        theirs.step(loss)
        assert ours.factor(0.5, 7) == pytest.approx(sgd.param_groups[0]["lr"])
    assert ours.factor(0.5, 7) < 1


@pytest.mark.parametrize("seen", [0, 1, 4])
def test_a_reloaded_plateau_goes_on_where_it_was(seen: int) -> None:
    losses = [1.0, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99]
    whole, first, second = (build_schedule(PlateauConfig(patience=1), width=1) for _ in range(3))
    for loss in losses:
        whole.observe(loss)
    for loss in losses[:seen]:
        first.observe(loss)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    for loss in losses[seen:]:
        second.observe(loss)
    assert second.state_dict() == whole.state_dict()
    assert second.factor(0, 1) == whole.factor(0, 1) == 0.25


@pytest.mark.parametrize("name", SCHEDULERS)
@settings(deadline=None)
@given(progress=st.floats(0, 1), step=st.integers(1, 10**6))
def test_factors_stay_between_zero_and_one(name: str, progress: float, step: int) -> None:
    assert 0 <= build_schedule(SCHEDULERS[name](), width=64).factor(progress, step) <= 1 + 1e-12


@pytest.mark.parametrize("name", ["warmup_cosine", "linear", "one_cycle", "inverse_sqrt"])
def test_the_peak_is_the_full_rate_and_has_no_jump_beside_it(name: str) -> None:
    config = SCHEDULERS[name]()
    schedule: Schedule = build_schedule(config, width=1)
    near = [schedule.factor(config.warmup + gap, 1) for gap in (-1e-9, 0, 1e-9)]
    assert near == pytest.approx([1, 1, 1], abs=1e-6)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_run_of_one_step_has_a_rate(name: str) -> None:
    schedule = build_schedule(SCHEDULERS[name](), width=64)
    assert schedule.factor(run_progress(step=1, last_step=1), 1) > 0


def test_config_and_curves_name_the_same_schedules() -> None:
    assert {*CURVES, "plateau"} == set(SCHEDULERS)
    with pytest.raises(ValueError, match="unknown scheduler 'lineer'; did you mean 'linear'"):
        build_schedule(LinearConfig(name="lineer"), width=1)


def test_progress_follows_whichever_limit_is_nearer() -> None:
    assert run_progress(step=1, last_step=10) == 0.05
    assert run_progress(step=10, last_step=10, seconds=1, max_seconds=60) == 0.95
    assert run_progress(step=1, last_step=10, seconds=30, max_seconds=60) == 0.5
    assert run_progress(step=99, last_step=0, seconds=90, max_seconds=60) == 1.0


def test_set_rate_reaches_every_group() -> None:
    sgd = torch.optim.SGD([{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr": 3.0}], lr=1.0)
    set_rate(sgd, 0.25)
    assert [group["lr"] for group in sgd.param_groups] == [0.25, 0.25]
