"""Where the time of a few steps goes: a trace, and a table of the operators that cost the most."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile, schedule

from zoo.record import Recorder
from zoo.training import LoopState, StepReport

WARM_UP = 5
"""Steps before those that are profiled: the first ones also pay for what is done once."""
OPERATORS = 20
FOLDER, TRACE, TABLE = "profile", "trace.json.gz", "operators.txt"

AfterStep = Callable[[StepReport, LoopState], bool]


@contextmanager
def profiled(
    after_step: AfterStep, *, steps: int, device: str, run_dir: Path, recorder: Recorder
) -> Iterator[AfterStep]:
    """Profile `steps` steps after a warm-up, where `steps` is not 0; the loop must call what this yields after each.

    The trace and the table are written as soon as those steps are done, or where a run ends amid them.
    """
    if not steps:
        yield after_step
        return
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it would tell on stderr of each start and stop
    written = False

    def ready(profiler: Any) -> None:
        nonlocal written
        written = True
        write_profile(profiler, device, run_dir, recorder)

    def profiled_step(report: StepReport, state: LoopState) -> bool:
        profiler.step()
        return after_step(report, state)

    with profile(
        activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])],
        schedule=schedule(skip_first=WARM_UP - 1, wait=0, warmup=1, active=steps, repeat=1),
        on_trace_ready=ready,
        acc_events=True,
    ) as profiler:
        yield profiled_step
    if not written:
        recorder.note(
            f"warning: the run ended before step {WARM_UP + 1}, so nothing was profiled; raise max_steps or epochs"
        )


def write_profile(profiler: Any, device: str, run_dir: Path, recorder: Recorder) -> None:
    """Write the trace and the table of a profile into the run directory, show the table, and say where to open them."""
    key = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    table = profiler.key_averages().table(sort_by=key, row_limit=OPERATORS, max_name_column_width=40)
    folder = run_dir / FOLDER
    if recorder.file("the profile", folder / TRACE, trace_of(profiler)) and recorder.file(
        "the profile", folder / TABLE, table.encode()
    ):
        recorder.note(f"profile: open {folder / TRACE} at https://ui.perfetto.dev or in chrome://tracing; "
                      f"{folder / TABLE} has the operators that cost the most")  # fmt: skip
    recorder.text(profiler.step_num, "profile", table)


def trace_of(profiler: Any) -> bytes:
    """Return the trace of a profile in Chrome's format, gzipped."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / TRACE
        profiler.export_chrome_trace(str(path))
        return path.read_bytes()
