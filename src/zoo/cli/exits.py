"""From an exception to an exit code and one line on stderr."""

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from zoo.errors import MemoryLimitError, StorageError, ZooError, is_out_of_memory

STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO)


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit code, whatever happens in it."""
    _end_on_sigterm()
    try:
        code = command()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader has gone (`zoo predict ... | head`); Python's own flush at exit must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return report(error)


def report(error: Exception) -> int:
    """Print one line, or the traceback of a defect of ours, and return the exit code."""
    known = as_zoo_error(error)
    if known is None or os.environ.get("ZOO_DEBUG") == "1":
        traceback.print_exception(error)
    if known is None:
        return 1
    print(f"error: {' '.join(str(known).split())}", file=sys.stderr)
    return known.exit_code


def as_zoo_error(error: Exception) -> ZooError | None:
    """Return the failure that a user can mend which stands behind an exception, if one does."""
    if isinstance(error, ZooError):
        return error
    if is_out_of_memory(error):
        return MemoryLimitError(
            "memory ran out; lower `batch_tokens` (and raise `accumulate` as much to keep the step) or the model's size"
        )
    if isinstance(error, OSError) and error.errno in STORAGE:
        return StorageError(f"{error.filename or 'storage'}: {error.strerror}; free space or choose another `run_dir`")
    return None


def _end_on_sigterm() -> None:
    def end(number: int, frame: object) -> None:
        raise SystemExit(143)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
