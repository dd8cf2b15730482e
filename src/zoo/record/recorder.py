"""One object that the experiment tells what happened."""

import errno
import json
import math
import os
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from tqdm import tqdm

from zoo.record.attention import attention_figure
from zoo.record.drawing import figure_pixels
from zoo.record.histogram import histogram
from zoo.record.hparams import hparam_summaries
from zoo.record.projector import Cloud, write_clouds
from zoo.record.text import Sample, epoch_line, sample_table, tag_of
from zoo.storage import write_durably

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Recorder:
    """Write a run's story to its directory and to stderr.

    `total` is the number of epochs, for the console; 0 leaves it out. `purge_step` is for a resumed run: the number of
    the last step that counts; what was recorded of later ones is dropped, and of this one too where it is to be
    validated `again`. A write that fails (a full disk) is warned of once for each file, and training goes on. A
    `silent` one, of a process beside the main one, writes nothing.
    """

    def __init__(self, run_dir: Path | str, *, total: int = 0, purge_step: int | None = None, again: bool = False,
                 console: bool = True, silent: bool = False) -> None:  # fmt: skip
        self.run_dir, self.total, self.console, self.silent = Path(run_dir), total, console and not silent, silent
        self._failed: set[str] = set()
        self._last_step = purge_step or 0
        self._writer: Any = None
        self._hook: Any = None
        self._guard("TensorBoard's event file", lambda: self._open_writer(purge_step))
        if purge_step is not None:
            self._guard("metrics.jsonl", lambda: keep_until(self.run_dir / "metrics.jsonl", purge_step, again=again))
            self._append_metrics({"resumed_at_step": purge_step})

    def step(self, *, step: int, **values: float | None) -> None:
        """Draw points of the curves `step/<name>`; None leaves one out."""
        self._last_step = step
        for name, value in values.items():
            if value is not None:
                self._scalar(f"step/{name}", value, step)

    def epoch(self, *, epoch: int, step: int, values: Mapping[str, Any]) -> None:
        """Record an epoch that ended with step `step`: curves, a line of metrics.jsonl, a line to read.

        Names are `train_<metric>`, `valid_<metric>`, or others like `seconds`. Texts go to metrics.jsonl alone.
        """
        self._last_step = step
        plain = {name: _plain(value) for name, value in values.items()}
        for name, value in plain.items():
            if isinstance(value, int | float):
                self._scalar(tag_of(name), value, step)
        self._board(lambda writer: writer.flush())
        self._append_metrics({"epoch": epoch, "step": step, **plain})
        self.note(epoch_line(epoch, self.total, plain))

    def samples(self, step: int, rows: Sequence[Sample]) -> None:
        """Show sources, predictions and references (one or several) as a table."""
        self._board(lambda writer: writer.add_text("samples", sample_table(rows), step))

    def attention(self, step: int, tag: str, weights: NDArray[Any], src_tokens: Sequence[str],
                  tgt_tokens: Sequence[str]) -> None:  # fmt: skip
        """Show attention weights (time, src_time) as the image `attention/<tag>`."""
        self.image(step, f"attention/{tag}", attention_figure(weights, src_tokens, tgt_tokens))

    def image(self, step: int, tag: str, figure: "Figure") -> None:
        """Show a figure as the image `tag`."""
        if self._writer is not None:
            pixels = figure_pixels(figure)
            self._board(lambda writer: writer.add_image(tag, pixels, step, dataformats="HWC"))

    def histograms(self, step: int, values: Mapping[str, NDArray[Any]]) -> None:
        """Show how the numbers of each array are spread; of those that are not finite nothing is shown."""
        for tag, numbers in values.items():
            counted = histogram(numbers)
            if counted is not None:
                self._board(partial(_add_histogram, tag=tag, global_step=step, **counted))

    def precision_recall(self, step: int, tag: str, truth: NDArray[Any], scores: NDArray[Any]) -> None:
        """Show precision over recall of scores from 0 to 1 (examples), for a truth of 0 and 1 (examples)."""
        self._board(lambda writer: writer.add_pr_curve(tag, truth, scores, step))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Draw points of curves by their tags, which no other record has."""
        for tag, value in values.items():
            self._scalar(tag, value, step)

    def text(self, step: int, tag: str, block: str) -> None:
        """Show a text, as a block that Markdown leaves alone."""
        lines = "".join(f"    {line}\n" for line in block.split("\n"))
        self._board(lambda writer: writer.add_text(tag, lines, step))

    def points(self, clouds: Sequence[Cloud]) -> None:
        """Show clouds of points in TensorBoard's Projector, in the place of those from before."""
        self._guard("TensorBoard's projector", lambda: write_clouds(self.run_dir, clouds))

    def file(self, what: str, path: Path, content: bytes) -> bool:
        """Write a file beside the events, and say whether the storage took it."""
        return self._guard(what, lambda: write_durably(path, content))

    def config(self, text: str) -> None:
        """Show the resolved config."""
        self.text(self._last_step, "config", text)

    def hparams(self, options: Mapping[str, Any], metrics: Mapping[str, float], *, known: Sequence[str] = (),
                swept: Collection[str] = ()) -> None:  # fmt: skip
        """Enter the run into TensorBoard's table of runs; `options` is flat, as `zoo.record.flat_options` makes it.

        `known` names metrics that other runs have, `swept` the options that tell this run from those beside it.
        Goes through this run's writer: `SummaryWriter.add_hparams` would open a second event file.
        """
        numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
        parts = hparam_summaries(options, dict.fromkeys([*numbers, *known]), swept=swept)
        self._board(lambda writer: [writer.file_writer.add_summary(part) for part in parts])
        for name, value in numbers.items():
            self._scalar(f"hparam/{name}", value, self._last_step)

    def note(self, text: str) -> None:
        """Write a line to train.log, with the time, and to stderr, above a progress bar if there is one."""
        self.log(text)
        if self.console:
            try:
                tqdm.write(text, file=sys.stderr)
            except (OSError, ValueError):  # nobody listens any more
                self.console = False

    def log(self, text: str) -> None:
        """Write a line to train.log alone, with the time."""
        line = f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n"
        self._guard("train.log", lambda: _append(self.run_dir / "train.log", line))

    def close(self) -> None:
        """Flush and close everything; more than once does no harm."""
        self._board(lambda writer: writer.close())
        self._writer = None
        if self._hook is not None:
            threading.excepthook, self._hook = self._hook, None

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open_writer(self, purge_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # 0.1 s, and much more where tensorflow is installed

        first_purged = None if purge_step is None else purge_step + 1
        writer: Any = SummaryWriter
        self._hook = threading.excepthook
        threading.excepthook = _without_tensorboard(self._hook)
        self._writer = writer(str(self.run_dir), purge_step=first_purged, flush_secs=30)

    def _scalar(self, tag: str, value: float, step: int) -> None:
        self._board(lambda writer: writer.add_scalar(tag, value, step))

    def _board(self, write: Callable[[Any], object]) -> None:
        """Let `write` use the writer, as long as there is one; a failed writer stays dead, as its thread does."""
        if self._writer is not None and not self._guard("TensorBoard's event file", lambda: write(self._writer)):
            self._writer = None

    def _append_metrics(self, values: Mapping[str, Any]) -> None:
        line = json.dumps({name: _json(value) for name, value in values.items()}, ensure_ascii=False) + "\n"
        self._guard("metrics.jsonl", lambda: _append(self.run_dir / "metrics.jsonl", line))

    def _guard(self, what: str, write: Callable[[], object]) -> bool:
        """Run `write` and say whether the storage took it; the first failure of `what` is warned of."""
        if self.silent:
            return True
        try:
            write()
        except OSError as error:
            if what not in self._failed:
                self._failed.add(what)
                reason = error.strerror or error
                self.note(
                    f"warning: {what} in {self.run_dir} cannot be written ({reason}); training goes on without it"
                )
            return False
        return True


def _add_histogram(writer: Any, **counted: Any) -> None:
    writer.add_histogram_raw(**counted)


def keep_until(path: Path, step: int, *, again: bool = False) -> None:
    """Drop the lines of a metrics.jsonl that tell of steps after `step`, and lines cut short by a crash.

    An epoch that ended with `step` is dropped as well where it is validated `again`.
    """
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    kept = [line for line in lines if _tells_until(line, step, again=again)]
    write_durably(path, "".join(line + "\n" for line in kept).encode())


def _tells_until(line: str, step: int, *, again: bool) -> bool:
    try:
        values = json.loads(line)
        if "epoch" in values:
            return int(values["step"]) < step + (not again)
        return int(values["resumed_at_step"]) <= step
    except (ValueError, KeyError, AttributeError, TypeError):
        return False


def _append(path: Path, text: str) -> None:
    """Append all of `text` or nothing, so that a full disk leaves no broken line behind."""
    with open(path, "ab", buffering=0, opener=_without_links) as file:
        end, data = file.tell(), text.encode("utf-8", "backslashreplace")
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            with suppress(OSError):
                file.truncate(end)
            raise


def _without_links(path: str, flags: int) -> int:
    """Open a file of ours; a link that someone else put there must not lead to a file of the user's."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _plain(value: Any) -> Any:
    """Return the Python number in a tensor or a number of numpy; anything else as it is."""
    return value.item() if hasattr(value, "item") else value


def _json(value: Any) -> Any:
    """Return null for numbers that JSON cannot spell."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _without_tensorboard(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    """Return `hook` without the traceback of TensorBoard's thread: its failure reaches us with our next write."""

    def quiet(args: Any) -> None:
        storage = issubclass(args.exc_type, OSError) and type(args.thread).__module__.startswith("tensorboard.")
        if not storage:
            hook(args)

    return quiet
