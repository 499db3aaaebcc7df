"""Faults of input and output that may pass: try again a few times, then stop. One rule for all.

What lasts, such as a full disk or a file that may not be read, is not tried again. Free of Beam.
"""

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from stemlode.runs import Failed, reason

WAITS_S = (1.0, 4.0, 16.0)
_LASTING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_LASTING |= {errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
_LASTING |= {errno.ENXIO, errno.EINVAL, errno.EPROTONOSUPPORT}
_LASTING_KINDS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_T = TypeVar("_T")


class ReadFault(OSError):
    """Reading `filename` broke off; `errno` and `strerror` say why, as for any OSError."""


def read_fault(error: OSError, uri: str) -> ReadFault:
    """What went wrong while reading a file, with the file's name."""
    return ReadFault(error.errno, reason(error), uri)


def passes(error: BaseException) -> bool:
    """Whether trying again may help: an OSError of a kind that does not last."""
    if not isinstance(error, OSError) or isinstance(error, _LASTING_KINDS):
        return False
    return error.errno not in _LASTING


def repeatedly(
    call: Callable[[], _T],
    passing: Callable[[BaseException], bool] = passes,
    waits_s: tuple[float, ...] | None = None,
) -> _T:
    """What `call` returns, tried again after each pause while what it raises may pass.

    Raises the last error, or the first one that lasts.
    """
    for wait_s in WAITS_S if waits_s is None else waits_s:
        try:
            return call()
        except Exception as error:
            if not passing(error):
                raise
        time.sleep(wait_s)
    return call()


def patiently(call: Callable[[], _T], what: str) -> _T:
    """What `call` returns, tried again as by `repeatedly`; Failed where an OSError stays.

    The line names the file of a ReadFault, else `what`.
    """
    try:
        return repeatedly(call)
    except OSError as error:
        name = error.filename if isinstance(error, ReadFault) else what
        raise Failed(f"{name}: {reason(error)}; run again to resume") from error
