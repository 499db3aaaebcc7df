"""SIGTERM, as spot machines and schedulers send it: the run saves its state and ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Terminated(Exception):
    """SIGTERM came where the work can be broken off at once."""


class Termination:
    """Whether SIGTERM came since this was entered; a run ends soon after.

    Python runs signal handlers in the main thread alone; in another one nothing changes.
    """

    def __init__(self) -> None:
        self.asked, self.at_once = False, False
        self.before: Any = None

    def __enter__(self) -> "Termination":
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, self._asked)
        return self

    def __exit__(self, *_: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)

    @contextmanager
    def breaks_off(self, wanted: bool) -> Iterator[None]:
        """If `wanted`, SIGTERM raises Terminated in here, also if it came before."""
        self.at_once = wanted
        try:
            if wanted and self.asked:
                raise Terminated
            yield
        finally:
            self.at_once = False

    def _asked(self, _: int, __: FrameType | None) -> None:
        self.asked = True
        if self.at_once:
            raise Terminated
