"""Passing faults of input and output are no verdict: try again, then stop the run. Free of Beam."""

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from stemlode.runs import Failed, reason

WAITS_S = (1.0, 4.0, 16.0)
_LASTING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_T = TypeVar("_T")


def patiently(call: Callable[[], _T], what: str) -> _T:
    """Call until no OSError comes, a few times with growing pauses; then Failed, naming `what`.

    What waiting does not mend, such as a full disk, is Failed at once.
    """
    waits = iter(WAITS_S)
    while True:
        try:
            return call()
        except OSError as error:
            wait_s = next(waits, None)
            if wait_s is None or error.errno in _LASTING:
                raise Failed(f"{what}: {reason(error)}; run again to resume") from error
            time.sleep(wait_s)


class ReadFault(Exception):
    """Reading broke off for a reason that may pass (a connection, a disk): try again."""
