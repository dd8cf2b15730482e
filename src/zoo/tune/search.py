"""The search: Optuna proposes settings, a run tries them, and a journal keeps what came of each."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from zoo.config import TrainConfig, monitor_of
from zoo.errors import DivergenceError, MemoryLimitError, StorageError, ZooError, is_out_of_memory
from zoo.experiment import Ended, Watch, train
from zoo.storage import write_durably
from zoo.tune.rows import Row, direction_of, error_line, figures_of, ranked, write_csv
from zoo.tune.space import Setting, active

RECORD, JOURNAL, TABLE = "search.json", "journal.log", "tune.csv"
STATUS = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "stopped",
}
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
MOST_REPEATS = 20
"""Proposals in a row that were tried before, after which a search ends: a small space has no more to give."""
WARMUP = 0.25
"""Share of the epochs before which no trial is pruned: rates that rise at first say little about the end."""


class Budget(NamedTuple):
    """How long a search goes on: trials that ended, and seconds; 0: no limit."""

    trials: int = 0
    seconds: float = 0.0


class Pruned(Ended):
    """A trial whose best value so far is worse than the median of those before it at the same epoch."""


class NoLock:
    """No lock of Optuna's own: the directory is locked, and a lock that a killed process leaves would be waited for."""

    def acquire(self) -> bool:
        """Take nothing."""
        return True

    def release(self) -> None:
        """Give nothing back."""


class Search:
    """A search in a directory that this process has for itself.

    Trial n is proposed from (seed, n) and the trials before it, so that a search that was killed and goes on makes the
    same proposals as one that was not.
    """

    def __init__(
        self,
        path: Path,
        space: Sequence[Setting],
        build: Callable[[Mapping[str, str]], TrainConfig],
        *,
        base: Mapping[str, str],
        identity: dict[str, Any],
        prune: bool = True,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.path, self.space, self.build, self.base, self.note = path, space, build, base, note
        self.identity, self.begun, self.repeats = identity, time.monotonic(), 0
        self.config = build({})
        self.metric = monitor_of(self.config)
        self.direction = direction_of(self.metric, self.config)
        self.spent = float(read_record(path).get("seconds", 0.0))  # by processes before this one
        self._record()
        warmup = max(1, math.ceil(WARMUP * self.config.epochs)) + 1
        self.study = open_study(path, self.direction, MedianPruner(n_warmup_steps=warmup) if prune else NopPruner())
        if not self.study.get_trials(deepcopy=False):
            self._propose_defaults()

    @property
    def seconds(self) -> float:
        """Return how long the search has gone on, in all processes together."""
        return self.spent + time.monotonic() - self.begun

    @property
    def ended(self) -> int:
        """Return how many trials have ended, well or not."""
        return sum(trial.state in COUNTED for trial in self.study.get_trials(deepcopy=False))

    def run(self, budget: Budget) -> list[Row]:
        """Search until the budget is spent; return the rows of all trials, the best first."""
        deadline = self.begun + budget.seconds - self.spent if budget.seconds else math.inf
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._goes_on(budget, deadline):
                self._sample_by(frozen.number)
                self._try(Trial(self.study, frozen._trial_id), deadline)
        while self._goes_on(budget, deadline):
            self._sample_by(len(self.study.get_trials(deepcopy=False)))
            self._try(self.study.ask(), deadline)
        return self.conclude()

    def _goes_on(self, budget: Budget, deadline: float) -> bool:
        more = not budget.trials or self.ended < budget.trials
        return more and time.monotonic() < deadline and self.repeats < MOST_REPEATS

    def conclude(self) -> list[Row]:
        """Write down the time and the table; return the table."""
        self._record()
        rows = self.rows()
        write_csv(self.path / TABLE, rows)
        return rows

    def _record(self) -> None:
        content = {**self.identity, "seconds": round(self.seconds, 3)}
        write_durably(self.path / RECORD, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    def _propose_defaults(self) -> None:
        """Let the first trial have the options as they are, where they lie in the space."""
        texts = active(self.space, self.base, lambda setting: self.base[setting.key])
        values = {setting.key: setting.value_of(texts[setting.key]) for setting in self.space if setting.key in texts}
        if all(value is not None for value in values.values()):
            self.study.enqueue_trial(values)

    def _sample_by(self, number: int) -> None:
        seed = np.random.SeedSequence((self.config.seed, number)).generate_state(1)
        self.study.sampler = TPESampler(seed=int(seed[0]))

    def _try(self, trial: Trial, deadline: float) -> None:
        settings = active(self.space, self.base, lambda setting: setting.suggest(trial))
        trial.set_user_attr("settings", settings)
        self.note(f"[{trial.number + 1}] {' '.join(written(settings))}")
        try:
            if not self._repeat(trial, settings):
                self._train(trial, self.build(settings), deadline)
        except (DivergenceError, MemoryError, RuntimeError) as error:
            self._fail(trial, error)
        self.conclude()

    def _repeat(self, trial: Trial, settings: dict[str, str]) -> bool:
        """Let a trial end as an earlier one with the same settings did, if there is one; say whether."""
        earlier = self._earlier(settings)
        self.repeats = self.repeats + 1 if earlier else 0
        if earlier is None:
            return False
        if earlier.state == TrialState.FAIL:
            trial.set_user_attr("failure", earlier.user_attrs["failure"])
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            trial.set_user_attr("results", {**earlier.user_attrs["results"], "seconds": 0.0})
            self.study.tell(trial, earlier.value)
        self.note(f"[{trial.number + 1}] the same as trial {earlier.number + 1}, so it is not run again")
        return True

    def _earlier(self, settings: dict[str, str]) -> FrozenTrial | None:
        """Return a trial that finished, or diverged, with these settings; where memory gave out there may be more."""
        for one in self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL)):
            diverged = one.user_attrs.get("failure", {}).get("exit_code") == DivergenceError.exit_code
            if one.user_attrs.get("settings") == settings and (diverged or one.state == TrialState.COMPLETE):
                return one
        return None

    def _train(self, trial: Trial, config: TrainConfig, deadline: float) -> None:
        path = self.path / f"trial-{trial.number + 1:04d}"
        config.run_dir, config.resume = str(path), (path / "config.yaml").is_file()
        known = dict(self.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
        try:
            if known and trial.should_prune():
                raise Pruned
            watch = Watch(lambda *told: self._after_epoch(trial, known, *told), deadline, test=False)
            results = train(config, watch=watch)
        except Pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        except Ended:
            return  # the trial goes on when the search does
        else:
            trial.set_user_attr("results", figures_of(config, results))
            value = results["valid"][self.metric]
            self.study.tell(trial, value)
            self.note(f"[{trial.number + 1}] {self.metric} {value:.4f}{self._compared()}")

    def _compared(self) -> str:
        best = self.study.best_trial
        return f"; the best so far is {best.value:.4f}, of trial {best.number + 1}"

    def _after_epoch(
        self, trial: Trial, known: dict[int, float], epoch: int, values: dict[str, float], over: bool
    ) -> None:
        """Report an epoch's value, once, and end a trial that is hopeless."""
        self._record()
        if epoch not in known:
            trial.report(values[f"valid_{self.metric}"], epoch)
        if not over and trial.should_prune():
            raise Pruned(
                f"pruned after epoch {epoch}: its best {self.metric} is worse than the median of the trials before"
            )

    def _fail(self, trial: Trial, error: Exception) -> None:
        """Count a trial whose numbers or whose memory gave out; anything else is raised."""
        if not isinstance(error, DivergenceError) and not is_out_of_memory(error):
            raise error
        code = error.exit_code if isinstance(error, ZooError) else MemoryLimitError.exit_code
        trial.set_user_attr("failure", {"exit_code": code, "error": error_line(error)})
        self.study.tell(trial, state=TrialState.FAIL)
        self.note(f"[{trial.number + 1}] failed with exit code {code}: {error_line(error)}")

    def rows(self) -> list[Row]:
        """Return a row for each trial that was begun, the best first."""
        begun = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state in STATUS]
        return ranked([self._row(trial) for trial in begun], self.direction)

    def _row(self, trial: FrozenTrial) -> Row:
        number, path = trial.number + 1, self.path / f"trial-{trial.number + 1:04d}"
        row = Row(number, " ".join(written(trial.user_attrs.get("settings", {}))), STATUS[trial.state])
        row = row._replace(metric=self.metric, run_dir=str(path))
        if trial.state == TrialState.COMPLETE:
            return row._replace(**trial.user_attrs["results"])
        return row._replace(**self._so_far(trial, path), **trial.user_attrs.get("failure", {}))

    def _so_far(self, trial: FrozenTrial, path: Path) -> dict[str, Any]:
        """Return the best epoch of a trial that did not come to its end, and what it took."""
        values = trial.intermediate_values
        pick = min if self.direction == "min" else max
        best = pick(values, key=lambda epoch: values[epoch]) if values else None
        found = {"best_epoch": best, "valid": values.get(best) if best else None}
        return {**found, "epochs": max(values, default=None), "seconds": seconds_of(path)}

    def best(self) -> dict[str, str]:
        """Return the settings of the best finished trial, empty where none has finished."""
        if not self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            return {}
        return dict(self.study.best_trial.user_attrs["settings"])


def written(settings: Mapping[str, str]) -> list[str]:
    """Write settings as overrides."""
    return [f"{key}={text}" for key, text in settings.items()]


def seconds_of(path: Path) -> float | None:
    """Return the seconds that a run had taken at its last recorded epoch."""
    try:
        lines = (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return None
    return next((float(line["seconds"]) for line in reversed(found) if "seconds" in line), None)


def read_record(path: Path) -> dict[str, Any]:
    """Return what the record of a search says, nothing where there is none."""
    try:
        found = json.loads((path / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def open_study(path: Path, direction: str, pruner: BasePruner) -> optuna.Study:
    """Open the journal of a search, or begin it; StorageError where it cannot be read."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = path / JOURNAL
    _mend(journal)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal), cast(Any, NoLock())))
        return optuna.create_study(
            storage=storage,
            study_name="zoo",
            load_if_exists=True,
            pruner=pruner,
            direction="minimize" if direction == "min" else "maximize",
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{journal}: is damaged ({error}); start a new search with another --out") from error


def _mend(journal: Path) -> None:
    """Cut off a last line that a killed process has left half written."""
    if journal.exists() and (content := journal.read_bytes()) and not content.endswith(b"\n"):
        write_durably(journal, content[: content.rfind(b"\n") + 1])
