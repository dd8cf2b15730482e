"""From an exception to an exit code and one line on stderr."""

import errno
import os
import sys
import traceback
from collections.abc import Callable

from zoo.cli.streams import complain, prepare, silence
from zoo.distributed import is_main
from zoo.errors import MemoryLimitError, StorageError, ZooError, is_out_of_memory
from zoo.experiment.signals import Interruption

STORAGE = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.ENAMETOOLONG, errno.EISDIR,
    errno.ENOTDIR, errno.ENOENT, errno.EEXIST, errno.ELOOP, errno.EIO,
)  # fmt: skip
"""Failures of files that are the user's to mend."""


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit code, whatever happens in it."""
    prepare()
    try:
        with Interruption().watching():
            code = command()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader has gone (`zoo predict ... | head`); Python's own flush at exit must not fail either.
        silence(sys.stdout)
        return 0
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except Exception as error:
        return report(error)


def report(error: Exception) -> int:
    """Print one line, or the traceback of a defect of ours, and return the exit code."""
    known = as_zoo_error(error)
    if known is None or os.environ.get("ZOO_DEBUG") == "1":
        complain("".join(traceback.format_exception(error)).rstrip("\n"))
    if known is None:
        return 1
    if is_main() or isinstance(known, MemoryLimitError | StorageError):  # others meet the same as the main one
        complain(f"error: {' '.join(str(known).split())}")
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
        where = error.filename or "standard output or a file"
        return StorageError(f"{where}: {error.strerror}; free space or choose another place")
    return None
