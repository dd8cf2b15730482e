"""One training in a run directory, from its start or from its newest checkpoint."""

import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import torch

from zoo.checkpoint import load_checkpoint, load_newest, load_weights
from zoo.config import TrainConfig, save_config
from zoo.data import build_data, describe_notes, save_codecs
from zoo.distributed import gathered, is_main, largest, main_seconds, processes, wait
from zoo.errors import CheckpointError, DivergenceError, MemoryLimitError, StorageError, ZooError, is_out_of_memory
from zoo.experiment.choice import BestEpoch
from zoo.experiment.directory import RunDirectory, make_absolute
from zoo.experiment.gallery import Gallery
from zoo.experiment.identity import (
    check_batches,
    check_digests,
    check_nothing_changed,
    check_same,
    digests_of,
)
from zoo.experiment.learner import Learner, build_loader
from zoo.experiment.machine import (
    choose_device,
    choose_precision,
    describe_machine,
    prepare_libraries,
    seed_all,
    seed_own,
)
from zoo.experiment.measure import final_metrics, measure_epoch, metric_names, named_figures, results_of
from zoo.experiment.profiling import AfterStep, profiled
from zoo.experiment.run import setting_of
from zoo.experiment.saving import Saver
from zoo.experiment.signals import Interruption
from zoo.experiment.watch import Ended, Watch
from zoo.experiment.words import diverged, ended_early, last_words, less_memory, limit
from zoo.models import count_parameters
from zoo.record import Recorder, flat_options, warn
from zoo.training import EpochResult, LoopState, StepReport, training

EXPLODED = 1000.0
"""Loss per target, in nats, that no model has which learns: even chance among a million classes costs 14."""


def train_in(run: RunDirectory, config: TrainConfig, *, swept: Collection[str] = (),
             watch: Watch | None = None) -> dict[str, Any]:  # fmt: skip
    """Train in a directory that is locked; return what `results.json` holds.

    `swept` names the options that tell the run from those beside it; `watch` may end it before its time.
    """
    prepare_libraries()
    return Session(config, run, choose_device(config.device), swept=swept, watch=watch).run()


class Session:
    """One training: what it builds from a config, what it keeps, and when it ends."""

    def __init__(self, config: TrainConfig, run: RunDirectory, device: torch.device, *,
                 swept: Collection[str] = (), watch: Watch | None = None) -> None:  # fmt: skip
        self.watch = watch or Watch()
        self.config, self.run_dir, self.device = config, run, device
        self.precision = choose_precision(config.precision, device)
        seed_all(config.seed)
        self.data = build_data(config)
        self.digests = digests_of(self.data)
        self.setting = setting_of(config, self.data.coding, device, self.precision)
        self.learner = Learner(config, self.data.sizes, device=device, precision=self.precision)
        seed_own(config.seed, 0)
        model = self.learner.model
        self.trainloader = build_loader(config, self.data, self.data.train, model, train=True)
        self.validloader = build_loader(config, self.data, self.data.valid, model, train=False)
        self.trainloader.set_epoch(1)
        self.batches = len(self.trainloader)  # of the present epoch
        last_step = config.epochs * -(-self.batches // config.accumulate)
        self.learner.last_step = min(last_step, config.max_steps or last_step)
        self.best = BestEpoch(config)
        self.waited = 0.0  # seconds for batches, in this epoch and process
        self.seconds_before = 0.0  # of training in this epoch, by processes before this one
        self.measured = True  # whether all steps so far have been validated
        self.saver = Saver(run, keep=config.keep, writes=is_main())
        self.moment = self.learner.moment()  # between the last two steps
        self.interruption = Interruption()
        self.warnings: list[str] = []  # from before there is a recorder
        self.swept = swept
        self.after_step: AfterStep = self._after_step
        self.recorder: Recorder
        self.gallery: Gallery

    def run(self) -> dict[str, Any]:
        """Train to the end, evaluate the best epoch, and return the results."""
        make_absolute(self.config)
        begun, resume = self.run_dir.begun, bool(self.config.resume)
        if self.run_dir.resumable:
            self._restore()
            if self._finished():
                check_nothing_changed(self.run_dir.read_config(), self.config, str(self.run_dir.path))
                return {**self.run_dir.read_results(), "already_finished": True}
            self._check_best()
        wait()  # all have read what lies there
        if is_main() and not self.run_dir.finished:  # it ended between these two
            self.run_dir.take_back_best()
        self._write_config()
        self.recorder = Recorder(
            self.run_dir.path,
            total=self.config.epochs,
            purge_step=self.learner.state.step if begun else None,
            again=not self.measured,
            silent=not is_main(),
        )
        self.gallery = Gallery(self.config, self.data, self.setting, self.recorder)
        try:
            return self._run(resume=resume)
        except Ended as why:
            self.recorder.note(str(why))
            raise
        except ZooError as error:  # the command line prints it
            self.recorder.log(f"error: {error}")
            raise
        finally:
            self.recorder.close()

    def _run(self, *, resume: bool) -> dict[str, Any]:
        try:
            self._announce(resume=resume)
            with self.interruption.watching(), self._profiled() as self.after_step:
                while not self._over():
                    self._epoch(self.learner.state.epoch + (self.measured and self._whole()))
                return self._finish()
        except (KeyboardInterrupt, SystemExit):
            self.saver.flush()
            self.recorder.note(last_words(self.saver.step, self.run_dir.path))
            raise
        except Exception as error:
            if not isinstance(error, StorageError):
                with suppress(Exception):  # what went wrong before is what counts
                    self.saver.flush()
            if is_out_of_memory(error):
                raise MemoryLimitError(self._advice()) from error
            raise

    def _advice(self) -> str:
        continued = self.run_dir.path if self.saver.step and self.saver.whole else None
        return less_memory(self.config, self.learner.state, continued)

    def _finished(self) -> bool:
        """Whether the results that lie here are those of the state, and nothing is left to do."""
        done = self.run_dir.finished and (self._over() or self._limit_reached())
        return done and self.run_dir.read_results().get("steps") == self.learner.state.step

    def _write_config(self) -> None:
        self.config.resume, self.config.run_dir = False, str(self.run_dir.path)
        if is_main():
            save_config(self.config, self.run_dir.config)
            save_codecs(self.data, self.run_dir.vocabulary)

    def _announce(self, *, resume: bool) -> None:
        note, config = self.recorder.note, self.config
        name = f"{config.model.name} on {config.dataset.name}"
        size = f"{count_parameters(self.learner.model):,} parameters, {len(self.data.train):,} training rows"
        together = f", {processes()} processes" if processes() > 1 else ""
        note(f"{name}: {size}; {describe_machine(self.device, self.precision)}{together}")
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
        if is_main():
            self.recorder.config(self.run_dir.config.read_text(encoding="utf-8"))

    def _whole(self) -> bool:
        """Whether the state stands between epochs; before the first one too."""
        return self.learner.state.epoch == 0 or self.learner.state.batch >= self.batches

    def _over(self) -> bool:
        if not self.measured:
            return False
        patience = self.config.patience
        ended = self.learner.state.epoch >= self.config.epochs or bool(patience and self.best.bad_epochs >= patience)
        return self._limit_reached() or (ended and self._whole())

    def _limit_reached(self) -> bool:
        config, state = self.config, self.learner.state
        return bool(config.max_steps and state.step >= config.max_steps) or bool(
            config.max_seconds and state.seconds >= config.max_seconds
        )

    def _epoch(self, epoch: int) -> None:
        self._enter(epoch)
        self.moment = self.learner.moment()
        # Where a run was ended between its last step and the validation, only the latter is left to do.
        self.interruption.wait = not (self._whole() or self._limit_reached())
        if self.interruption.wait:
            self.saver.forget()
        with self._saving_what_was_before():
            result = self._train(epoch)
        self._check_finite(result)
        begun = time.monotonic()
        values = named_figures(result, self._measure())
        self.learner.state.seconds += main_seconds(time.monotonic() - begun)
        self._conclude(epoch, values)

    def _train(self, epoch: int) -> EpochResult:
        return training(
            epoch,
            self.learner.forward,
            self.trainloader if self.interruption.wait else [],
            self.validloader,
            optimizer=self.learner.optimizer,
            label_smoothing=self.config.label_smoothing,
            rdrop=self.config.rdrop,
            schedule=self.learner.rate,
            clip=self.config.clip,
            accumulate=self.config.accumulate,
            device=self.device,
            precision=self.precision,
            scaler=self.learner.scaler,
            ema=self.learner.ema,
            state=self.learner.state,
            after_step=self.after_step,
        )

    def _profiled(self) -> AbstractContextManager[AfterStep]:
        return profiled(
            self._after_step,
            steps=self.config.profile if is_main() else 0,
            device=self.device.type,
            run_dir=self.run_dir.path,
            recorder=self.recorder,
        )

    @contextmanager
    def _saving_what_was_before(self) -> Iterator[None]:
        """Save the state before a step that diverged, which has changed no weight."""
        try:
            yield
        except DivergenceError as error:
            self.learner.rewind(self.moment)
            step = self.learner.state.step
            if step > self.saver.step:
                self._save(now=True)
            if not step:
                raise
            raise DivergenceError(f"{error}; the weights of step {step} are saved in {self.run_dir.path}") from error

    def _enter(self, epoch: int) -> None:
        self.learner.state.begin(epoch)
        self.trainloader.set_epoch(epoch)
        self.batches = len(self.trainloader)
        self.waited, self.seconds_before = 0.0, self.learner.state.totals.seconds

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
            several = self.config.keep > 2  # whoever keeps several wants those of all epochs
            self._save(now=self._over() or several)
        self.watch.epoch_ended(epoch, values, over=self._over())

    def _after_step(self, report: StepReport, state: LoopState) -> bool:
        if report.step % self.config.log_every == 0 or report.step == 1:
            self.recorder.step(**report._asdict())
        self.measured = False
        asked = largest(self.interruption.noted)  # a signal to one ends all; one that comes by now does so a step later
        self.waited += report.waited
        self.moment = self.learner.moment()
        save_every = self.config.save_every
        ended = self._limit_reached() or self._whole()
        due = bool(save_every and report.step % save_every == 0)
        late = self.watch.late
        if ended or due or late or asked:
            self._save(now=due or late or bool(asked) or self._limit_reached())
        self.interruption.wait = not ended
        if asked or ended:
            self.interruption.obey(asked)
        if late and not ended:
            raise Ended(f"stopped after step {report.step}: the time of the one who watches is up")
        return self._limit_reached()

    def _check_finite(self, result: EpochResult) -> None:
        for name, loss in (("training", result.loss), ("validation", result.valid_loss)):
            if not loss <= EXPLODED:  # NaN is not either
                what = f"the {name} loss has grown to {loss:.3g}"
                raise DivergenceError(diverged(what, self.learner.state, self.learner.lr))

    def _costs(self) -> dict[str, float]:
        state = self.learner.state
        waited = self.waited / max(state.totals.seconds - self.seconds_before, 1e-9)
        steps = {"waited": waited, "skipped_steps": state.skipped, "lr": self.learner.lr}
        return {**state.totals.means(), **steps, "seconds": round(state.seconds, 3)}

    def _measure(self) -> dict[str, float]:
        """Return the task's metrics of the validation part, and show what else there is to see."""
        model, state = self.learner.model, self.learner.state
        with self.learner.averaged():
            measured = measure_epoch(model, self.data, self.setting, limit=self.config.valid_limit)
            self.gallery.show_outcome(model, state.step, measured)
        self.gallery.show_inside(model, state.epoch, state.step)
        return measured.figures

    def _keep_best(self, epoch: int, values: dict[str, float], *, whole: bool) -> None:
        if self.best.judge(values, epoch=epoch, step=self.learner.state.step, whole=whole):
            told = {**self.best.found, "vocabulary": self.digests["vocabulary"]}
            with self.learner.averaged():
                (self.saver.keep_best if whole else self.saver.write_part)(self.learner.weights(), told)

    def _save(self, *, now: bool) -> None:
        if not self.learner.finite():
            raise DivergenceError(diverged("the weights are no longer finite", self.learner.state, self.learner.lr))
        tensors, values = self.learner.capture()
        kept = {
            **self.best.to_dict(),
            "measured": self.measured,
            "whole": self._whole(),
            "digests": self.digests,
        }
        averaged = self.learner.ema is not None  # then validating swaps the weights, and a signal may come amid
        self.saver.keep(tensors, {**values, **kept}, now=now, copy=averaged)

    def _restore(self) -> None:
        """Put everything where the newest intact checkpoint left it."""
        source = str(self.run_dir.checkpoints)
        before, where = self.run_dir.read_config(), str(self.run_dir.path)
        check_same(before, self.config, where)
        saved = load_newest(self.run_dir.checkpoints, warn=self._warn)
        check_digests(saved.state.get("digests"), self.digests, source)
        try:
            self.best.restore(saved.state, where)
            if not saved.state["whole"]:
                check_batches(before, self.config, where)
            self.measured = saved.state["measured"]
        except KeyError as error:
            raise CheckpointError(f"{source}: the checkpoint holds no {error}; start a new run") from error
        self.learner.restore(saved, source)
        seed_own(self.config.seed, self.learner.state.step)
        self._enter(self.learner.state.epoch)
        if saved.state["whole"]:
            self.learner.state.batch = self.batches  # an epoch that is over stays so, however batches are cut now
        self.saver.step, self.saver.whole = self.learner.state.step, self._whole()

    def _check_best(self) -> None:
        """Let the best epoch be found anew where the file of the one so far is damaged."""
        try:
            if self.best.found:
                load_checkpoint(self.run_dir.best)
        except CheckpointError as error:
            self._warn(f"{error}; the best epoch is chosen from the next ones on")
            self.best.forget()
            self.measured = self.measured and not self._over()  # the last epoch is then the best

    def _warn(self, text: str) -> None:
        warn(text)
        self.warnings.append(text)

    def _finish(self) -> dict[str, Any]:
        """Evaluate the best epoch on all parts, and write the results."""
        model, state = self.learner.model, self.learner.state
        self.saver.flush()
        if state.epoch < self.config.epochs or not self._whole():
            why = limit(self.config, state) if self._limit_reached() else ""
            self.recorder.note(ended_early(why, self.best.bad_epochs, self.best.monitor, self.run_dir.path))
        wait()  # the best epoch lies there
        best = load_checkpoint(self.run_dir.best)
        load_weights(model, best.part("model"), source=str(self.run_dir.best))
        results = results_of(model, self.data, self.setting, self.config, state=state,
                             best_epoch=best.state["epoch"], test=self.watch.test)  # fmt: skip
        if processes() > 1:
            results |= {"world_size": processes(), "tokens_per_rank": gathered([self.trainloader.tokens])}
        self.gallery.show_end(model, state.step)
        metrics = final_metrics(results, self.best.monitor)
        self.recorder.hparams(flat_options(self.config), metrics, known=metric_names(), swept=self.swept)
        if is_main():
            self.run_dir.write_results(results)
        return results
