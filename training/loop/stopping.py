"""SIGTERM, as spot machines and schedulers send it: the run saves its state and ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from stemlode.runs import Failed


class Terminated(Exception):
    """SIGTERM came where the work can be broken off at once."""


class Termination:
    """Whether SIGTERM came since this was entered; a run ends soon after.

    Python runs signal handlers in the main thread alone; in another one nothing changes.
    """

    def __init__(self) -> None:
        self.asked, self.at_once = False, False
        self.before: Any = signal.getsignal(signal.SIGTERM)
        self.installed = False

    def __enter__(self) -> "Termination":
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, self._asked)
            self.installed = True
        return self

    def __exit__(self, *_: object) -> None:
        if self.installed:
            signal.signal(signal.SIGTERM, self.before)

    def hand_on(self) -> NoReturn:
        """End as the process would have ended without the delay."""
        signal.signal(signal.SIGTERM, self.before)
        signal.raise_signal(signal.SIGTERM)
        raise Failed("ended by SIGTERM; run again to resume")  # where whoever runs this ignores it

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
