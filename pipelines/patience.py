"""Passing faults of input and output are no verdict: try again, then stop the run. Free of Beam."""

import time
from collections.abc import Callable
from typing import TypeVar

from pipelines.runs import Failed, reason

WAITS_S = (1.0, 4.0, 16.0)
_T = TypeVar("_T")


def patiently(call: Callable[[], _T], what: str) -> _T:
    """Call until no OSError comes, a few times with growing pauses; then Failed, naming `what`."""
    for wait_s in WAITS_S:
        try:
            return call()
        except OSError:
            time.sleep(wait_s)
    try:
        return call()
    except OSError as error:
        raise Failed(f"{what}: {reason(error)}; run again to resume") from error
