"""The failures that a user can meet; each class is one exit code of the command line."""

from collections.abc import Iterable
from difflib import get_close_matches


class ZooError(Exception):
    """A failure that the user can mend; its text is one line: what, where, and the way out."""

    exit_code = 1


class ConfigError(ZooError, ValueError):
    """An option that is unknown, of the wrong type or out of range."""

    exit_code = 2


class CodeError(ConfigError):
    """Code of the user's that an option names: it may not be imported, cannot be, or is no model."""


class DataError(ZooError, ValueError):
    """A data file that is missing, empty or malformed; the text names `file:line`."""

    exit_code = 3


class CheckpointError(ZooError, ValueError):
    """A checkpoint that is missing, damaged, of another format or of another model."""

    exit_code = 4


class DivergenceError(ZooError, ArithmeticError):
    """A loss, gradient or weight that is no longer finite."""

    exit_code = 5


class StorageError(ZooError, OSError):
    """A directory that cannot be written, or a full disk."""

    exit_code = 6


class MemoryLimitError(ZooError, MemoryError):
    """Memory ran out, of the machine or of the accelerator."""

    exit_code = 7


class WorkerError(ZooError):
    """Another process of the same training that is gone."""

    exit_code = 7


class BusyError(ZooError):
    """A run directory or a port that another process is using."""

    exit_code = 8


OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "bad_alloc", "CUDA error: out of memory", "ALLOC_FAILED")
"""What the texts of torch's RuntimeErrors say when memory ran out: the CPU's allocator, C++, CUDA, cuBLAS and cuDNN."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, of the machine or of the accelerator."""
    # torch's own class is known by name, so that a failure before torch is needed does not import it.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """Say that `name` is no `kind`, with the nearest choice and the list of all."""
    choices = list(choices)
    parts = [choice for choice in choices if len(name) > 2 and name in choice]  # `cosine` of `warmup_cosine`
    near = get_close_matches(name, choices, n=1, cutoff=0.6) or parts
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown {kind} '{name}'{hint} (choices: {', '.join(choices)})"
