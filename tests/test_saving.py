"""When checkpoints are written: within a budget of time, the best epoch first, and never less than was promised."""

from pathlib import Path

import pytest
import torch

from zoo.checkpoint import load_checkpoint
from zoo.experiment import saving
from zoo.experiment.directory import RunDirectory
from zoo.experiment.saving import Content, Saver
from zoo.storage import list_checkpoints


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(saving, "time", made)
    return made


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = RunDirectory(tmp_path / "run")
    made.create()
    return made


def content(step: int) -> Content:
    return {"model.w": torch.full((2,), float(step))}, {"loop": {"step": step}, "whole": True}


def test_saves_at_the_ends_of_epochs_take_less_than_three_percent_of_the_time(
    run: RunDirectory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, costs = saving.save_checkpoint, []

    def slow(*arguments: object) -> None:
        inner(*arguments)  # type: ignore[arg-type]
        clock.now += 0.3
        costs.append(0.3)

    monkeypatch.setattr(saving, "save_checkpoint", slow)
    saver = Saver(run, keep=2)
    for step in range(1, 1001):
        clock.now += 0.8  # an epoch shorter than three of its saves
        saver.keep_best(*content(step))
        saver.keep(*content(step), now=False)
    assert 4 <= len(costs) <= 0.03 * clock.now / 0.3
    saver.flush()
    assert load_checkpoint(list_checkpoints(run.checkpoints)[0]).state["loop"]["step"] == 1000
    assert float(load_checkpoint(run.best).tensors["model.w"][0]) == 1000


def test_what_is_asked_for_is_written_at_once_whatever_the_budget(run: RunDirectory, clock: Clock) -> None:
    saver = Saver(run, keep=2)
    saver._spent = 1e9
    for step in (1, 2, 3):
        saver.keep(*content(step), now=True)
        assert saver.step == step
    assert [load_checkpoint(path).state["loop"]["step"] for path in list_checkpoints(run.checkpoints)] == [3, 2]


def test_what_waits_is_a_copy_that_later_steps_do_not_change(run: RunDirectory, clock: Clock) -> None:
    saver = Saver(run, keep=2)
    saver._spent = 1e9
    tensors, values = content(1)
    saver.keep_best(tensors, values)
    saver.keep(tensors, values, now=False, copy=True)
    tensors["model.w"].fill_(7)
    assert list_checkpoints(run.checkpoints) == []
    saver.flush()
    for path in (run.best, *list_checkpoints(run.checkpoints)):
        assert load_checkpoint(path).tensors["model.w"].tolist() == [1, 1]


def test_a_state_that_a_step_is_about_to_change_is_not_written(run: RunDirectory, clock: Clock) -> None:
    saver = Saver(run, keep=2)
    saver._spent = 1e9
    saver.keep(*content(1), now=False)
    saver.forget()
    saver.flush()
    assert list_checkpoints(run.checkpoints) == []


def test_a_state_is_never_there_without_the_best_epoch_that_it_tells_of(
    run: RunDirectory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(saving, "save_checkpoint", lambda path, *_: written.append(path.name))
    saver = Saver(run, keep=2)
    saver.keep_best(*content(4))
    saver.keep(*content(4), now=True)
    assert written == ["best.safetensors", "step-00000004.safetensors"]


def test_a_part_of_an_epoch_is_the_best_until_the_run_goes_on(run: RunDirectory, clock: Clock) -> None:
    saver = Saver(run, keep=2)
    saver.keep_best(*content(1))
    saver.keep(*content(1), now=True)
    saver.write_part(*content(2))
    assert float(load_checkpoint(run.best).tensors["model.w"][0]) == 2
    saver.keep(*content(3), now=True)
    assert float(load_checkpoint(run.best).tensors["model.w"][0]) == 1
