"""Train a config in a run directory, from its start or from its newest checkpoint."""

import os
import time
from typing import Any

import torch

from zoo.checkpoint import (
    load_checkpoint,
    load_newest,
    load_weights,
    prune,
    save_checkpoint,
    step_path,
)
from zoo.config import Direction, TorchtextConfig, TrainConfig, check, load_config, metrics_of, save_config
from zoo.data import Loader, build_data, describe_notes, save_codecs
from zoo.data.corpus import PairCorpus, TextCorpus
from zoo.data.torchtext_data import build_iterator
from zoo.errors import CheckpointError, DivergenceError, ZooError
from zoo.experiment.directory import RunDirectory, choose_directory, lock
from zoo.experiment.identity import (
    check_batches,
    check_digests,
    check_metric,
    check_nothing_changed,
    check_same,
    digests_of,
)
from zoo.experiment.learner import Learner
from zoo.experiment.machine import choose_device, choose_precision, keep_memory, seed_all
from zoo.experiment.measure import final_metrics, greedily, measure_epoch, measure_parts, named_figures
from zoo.experiment.run import attention_of, has_attention, setting_of
from zoo.experiment.signals import Interruption
from zoo.metrics import BETTER
from zoo.models import count_parameters
from zoo.record import Recorder, flat_options, warn
from zoo.training import EpochResult, LoopState, StepReport, training


def train(config: TrainConfig) -> dict[str, Any]:
    """Train, evaluate the best epoch, and return what `results.json` holds, with `run_dir`.

    A finished run that is resumed without more to do returns its results and changes nothing.
    """
    check(config)
    keep_memory()
    device = choose_device(config.device)
    run = choose_directory(config)
    run.create()
    held = lock(run)
    try:
        return {**Session(config, run, device).run(), "run_dir": str(run.path)}
    except BaseException:  # a signal while data are read leaves no empty directory either
        if not run.begun:
            run.discard()
        raise
    finally:
        os.close(held)


class Session:
    """One training: what it builds from a config, what it keeps, and when it ends."""

    def __init__(self, config: TrainConfig, run: RunDirectory, device: torch.device) -> None:
        self.config, self.run_dir, self.device = config, run, device
        self.precision = choose_precision(config.precision, device)
        self.monitor, self.direction = _monitored(config)
        seed_all(config.seed)
        self.data = build_data(config)
        self.digests = digests_of(self.data)
        self.setting = setting_of(config, self.data.coding, device, self.precision)
        self.learner = Learner(config, self.data.sizes, device=device, precision=self.precision)
        self.trainloader = self._loader(self.data.train, train=True)
        self.validloader = self._loader(self.data.valid, train=False)
        self.trainloader.set_epoch(1)
        self.batches = len(self.trainloader)  # of the present epoch
        last_step = config.epochs * -(-self.batches // config.accumulate)
        self.learner.last_step = min(last_step, config.max_steps or last_step)
        self.best: dict[str, Any] = {}
        self.bad_epochs = 0
        self.measured = True  # whether all steps so far have been validated
        self.saved_step = 0
        self.interruption = Interruption()
        self.warnings: list[str] = []  # from before there is a recorder
        self.recorder: Recorder

    def _loader(self, corpus: PairCorpus | TextCorpus, *, train: bool) -> Any:
        if not isinstance(self.config.dataset, TorchtextConfig):
            return Loader(corpus, batch_tokens=self.config.batch_tokens, seed=self.config.seed, shuffle=train)
        return build_iterator(
            corpus,
            self.data.codecs,
            self.learner.model,
            batch_size=self.config.dataset.batch_size,
            seed=self.config.seed,
            train=train,
            labels=self.data.labels,
        )

    def run(self) -> dict[str, Any]:
        """Train to the end, evaluate the best epoch, and return the results."""
        _make_absolute(self.config)
        begun, resume = self.run_dir.begun, bool(self.config.resume)
        if self.run_dir.resumable:
            self._restore()
            if self._finished():
                check_nothing_changed(load_config(self.run_dir.config), self.config, str(self.run_dir.path))
                return {**self.run_dir.read_results(), "already_finished": True}
        self.run_dir.reopen()
        self._write_config()
        self.recorder = Recorder(
            self.run_dir.path, total=self.config.epochs, purge_step=self.learner.state.step if begun else None
        )
        try:
            self._announce(resume=resume)
            with self.interruption.watching():
                while not self._over():
                    self._epoch(self.learner.state.epoch + (self.measured and self._whole()))
                return self._finish()
        except ZooError as error:  # the command line prints it
            self.recorder.log(f"error: {error}")
            raise
        except (KeyboardInterrupt, SystemExit):
            self.recorder.note(self._last_words())
            raise
        finally:
            self.recorder.close()

    def _finished(self) -> bool:
        """Whether the results that lie here are those of the state, and nothing is left to do."""
        done = self.run_dir.finished and (self._over() or self._limit_reached())
        return done and self.run_dir.read_results().get("steps") == self.learner.state.step

    def _write_config(self) -> None:
        self.config.resume, self.config.run_dir = False, str(self.run_dir.path)
        save_config(self.config, self.run_dir.config)
        save_codecs(self.data, self.run_dir.vocabulary)

    def _announce(self, *, resume: bool) -> None:
        note, config = self.recorder.note, self.config
        name = f"{config.model.name} on {config.dataset.name}"
        size = f"{count_parameters(self.learner.model):,} parameters, {len(self.data.train):,} training rows"
        note(f"{name}: {size}; {self.device.type} {self.precision}, {torch.get_num_threads()} threads")
        for line in self.warnings:
            self.recorder.log(f"warning: {line}")
        if self.learner.state.step:
            note(f"resumed {self.run_dir.path} at step {self.learner.state.step}")
        elif resume:
            note(f"{self.run_dir.path} holds no checkpoint: started from the beginning")
        for line in describe_notes(self.data.notes):
            note(line)
        if config.max_seconds:
            note(f"max_seconds={config.max_seconds:g} may end the run: then it cannot be repeated to the bit")
        self.recorder.config(self.run_dir.config.read_text(encoding="utf-8"))

    # ---- the epochs

    def _whole(self) -> bool:
        """Whether the state stands between epochs; before the first one too."""
        return self.learner.state.epoch == 0 or self.learner.state.batch >= self.batches

    def _over(self) -> bool:
        if not self.measured:
            return False
        patience = self.config.patience
        ended = self.learner.state.epoch >= self.config.epochs or bool(patience and self.bad_epochs >= patience)
        return self._limit_reached() or (ended and self._whole())

    def _limit_reached(self) -> bool:
        config, state = self.config, self.learner.state
        return bool(config.max_steps and state.step >= config.max_steps) or bool(
            config.max_seconds and state.seconds >= config.max_seconds
        )

    def _epoch(self, epoch: int) -> None:
        self._enter(epoch)
        # Where a run was ended between its last step and the validation, only the latter is left to do.
        self.interruption.wait = not (self._whole() or self._limit_reached())
        result = training(
            epoch,
            self.learner.forward,
            self.trainloader if self.interruption.wait else [],
            self.validloader,
            optimizer=self.learner.optimizer,
            label_smoothing=self.config.label_smoothing,
            schedule=self.learner.rate,
            clip=self.config.clip,
            accumulate=self.config.accumulate,
            device=self.device,
            precision=self.precision,
            scaler=self.learner.scaler,
            ema=self.learner.ema,
            state=self.learner.state,
            after_step=self._after_step,
        )
        self._check_finite(result)
        begun = time.monotonic()
        values = named_figures(result, self._measure())
        self.learner.state.seconds += time.monotonic() - begun
        self._conclude(epoch, values)

    def _enter(self, epoch: int) -> None:
        self.learner.state.begin(epoch)
        self.trainloader.set_epoch(epoch)
        self.batches = len(self.trainloader)

    def _conclude(self, epoch: int, values: dict[str, float]) -> None:
        """Act on an epoch's figures; those of a part of an epoch, cut short by a limit, leave no trace in the state.

        So a run that goes on from there equals one that was never cut.
        """
        whole, self.measured = self._whole(), True
        if whole:
            self.learner.schedule.observe(values["valid_loss"])
        self._keep_best(epoch, values, whole=whole)
        self.recorder.epoch(epoch=epoch, step=self.learner.state.step, values={**values, **self._costs()})
        if whole:
            self._save()

    def _after_step(self, report: StepReport, state: LoopState) -> bool:
        if report.step % self.config.log_every == 0 or report.step == 1:
            self.recorder.step(**report._asdict())
        self.measured = False
        save_every = self.config.save_every
        ended = self._limit_reached() or self._whole()
        if ended or self.interruption.noted or (save_every and report.step % save_every == 0):
            self._save()
        self.interruption.wait = not ended
        self.interruption.obey()
        return self._limit_reached()

    def _check_finite(self, result: EpochResult) -> None:
        if not all(value == value and abs(value) != float("inf") for value in result):
            raise DivergenceError(
                f"the validation loss is no longer finite after epoch {self.learner.state.epoch} (learning rate "
                f"{self._costs()['lr']:.3g}); lower optimizer.lr or set clip=1"
            )

    def _costs(self) -> dict[str, float]:
        state = self.learner.state
        return {**state.totals.means(), "lr": self.learner.lr, "seconds": round(state.seconds, 3)}

    def _measure(self) -> dict[str, float]:
        """Return the task's metrics of the validation part, and record samples and an attention picture."""
        with self.learner.averaged():
            found, samples = measure_epoch(self.learner.model, self.data, self.setting, limit=self.config.valid_limit)
            if samples and has_attention(self.learner.model, self.config):
                self._draw_attention(samples[len(samples) // 2][0])
        self.recorder.samples(self.learner.state.step, samples)
        return found

    def _draw_attention(self, source: str) -> None:
        try:
            longest = self.config.model.max_length
            drawn = attention_of(self.learner.model, self.data.coding, greedily(self.setting), source, longest)
            self.recorder.attention(self.learner.state.step, source, *drawn)
        except Exception as error:  # a picture is not worth a training
            self.recorder.note(f"warning: the attention picture was left out ({error})")

    def _keep_best(self, epoch: int, values: dict[str, float], *, whole: bool) -> None:
        value, loss = values[f"valid_{self.monitor}"], values["valid_loss"]
        better = not self.best or self._rank(value, loss) < self._rank(self.best["value"], self.best["loss"])
        if whole:
            self.bad_epochs = 0 if better else self.bad_epochs + 1
        if better:
            if not whole:
                self.run_dir.set_best_aside()
            self.best = {"epoch": epoch, "step": self.learner.state.step, "value": value, "loss": loss}
            with self.learner.averaged():
                save_checkpoint(self.run_dir.best, self.learner.weights(), self.best)

    def _rank(self, value: float, loss: float) -> tuple[float, float]:
        """Return what is smaller for the better epoch; of equal values, as at first, the lower loss is."""
        return value if self.direction == "min" else -value, loss

    # ---- saving, stopping, restoring

    def _save(self) -> None:
        tensors, values = self.learner.capture()
        kept = {
            "best": self.best,
            "bad_epochs": self.bad_epochs,
            "measured": self.measured,
            "whole": self._whole(),
            "monitor": self.monitor,
            "direction": self.direction,
            "digests": self.digests,
        }
        save_checkpoint(step_path(self.run_dir.checkpoints, self.learner.state.step), tensors, {**values, **kept})
        self.saved_step = self.learner.state.step
        prune(self.run_dir.checkpoints, keep=self.config.keep)

    def _restore(self) -> None:
        """Put everything where the newest intact checkpoint left it."""
        source = str(self.run_dir.checkpoints)
        before, where = load_config(self.run_dir.config), str(self.run_dir.path)
        check_same(before, self.config, where)
        saved = load_newest(self.run_dir.checkpoints, warn=self._warn)
        check_digests(saved.state.get("digests"), self.digests, source)
        try:
            check_metric(saved.state, self.monitor, self.direction, where)
            if not saved.state["whole"]:
                check_batches(before, self.config, where)
            self.best, self.bad_epochs, self.measured = (saved.state[key] for key in ("best", "bad_epochs", "measured"))
        except KeyError as error:
            raise CheckpointError(f"{source}: the checkpoint holds no {error}; start a new run") from error
        self.learner.restore(saved, source)
        self._enter(self.learner.state.epoch)
        self.saved_step = self.learner.state.step

    def _warn(self, text: str) -> None:
        warn(text)
        self.warnings.append(text)

    def _last_words(self) -> str:
        if not self.saved_step:
            return "stopped before anything was saved"
        return f"stopped, saved at step {self.saved_step}; continue with: zoo-train resume={self.run_dir.path}"

    # ---- the end

    def _finish(self) -> dict[str, Any]:
        """Evaluate the best epoch on all parts, and write the results."""
        model, state = self.learner.model, self.learner.state
        load_weights(model, load_checkpoint(self.run_dir.best).part("model"), source=str(self.run_dir.best))
        results: dict[str, Any] = {
            "best_epoch": self.best["epoch"],
            "epochs": state.epoch,
            "steps": state.step,
            "seconds": round(state.seconds, 3),
            "parameters": count_parameters(model),
            "seed": self.config.seed,
            "device": self.device.type,
            "precision": self.precision,
            "skipped_steps": state.skipped,
            "notes": self.data.notes,
            **measure_parts(model, self.data, self.setting, limit=self.config.test_limit),
        }
        self.recorder.hparams(flat_options(self.config), final_metrics(results))
        self.run_dir.write_results(results)
        return results


def _make_absolute(config: TrainConfig) -> None:
    """Make the paths of the data absolute, so that the run can be used from any directory."""
    for part in ("train", "valid", "test"):
        paths = getattr(config.dataset, part, None)
        if isinstance(paths, list):
            setattr(config.dataset, part, [os.path.abspath(path) for path in paths])
        elif paths:
            setattr(config.dataset, part, os.path.abspath(paths))


def _monitored(config: TrainConfig) -> tuple[str, str]:
    """Return the metric that picks the best epoch, and what is good of it: min or max."""
    name = metrics_of(config)[-1] if config.monitor == "auto" else config.monitor.removeprefix("valid_")
    return name, BETTER[name] if config.direction == Direction.auto else str(config.direction)
