"""How a run's progress is shown while it lasts: a bar, or a line now and then. Free of Beam."""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from stemlode.progress import logs
from stemlode.progress.meters import Counted, Phase
from stemlode.runs import on_one_line

LINE_S = 30.0  # between two lines where there is no terminal
DRAW_S = 0.5
COLUMNS = 80
_UNITS = {"_seconds": 1.0, "_ms": 1e-3}  # of counts, by the ends of their names


def duration(seconds: float) -> str:
    """Seconds in a unit that suits their size."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def amount(number: float) -> str:
    """A number with as many digits as its size deserves."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def words(name: str) -> str:
    """A count's name for people; its unit stands beside the number."""
    for ending in _UNITS:
        name = name.removesuffix(ending)
    return name.replace("_", " ")


def with_unit(name: str, number: float) -> str:
    """A count and its unit, by its name, aligned by its digits."""
    for ending, unit in _UNITS.items():
        if name.endswith(ending):
            return _in_time(number * unit, 1)
    if name.startswith("hours"):
        return f"{number:>15,.2f} h"
    if name == "bytes" or name.endswith("_bytes"):
        return f"{number / 1e6:>15,.2f} MB" if number < 1e9 else f"{number / 1e9:>15,.2f} GB"
    return f"{number:>12,}" if isinstance(number, int) else f"{number:>15,.2f}"


def _in_time(seconds: float, digits: int) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:>{13 + digits},.{digits}f} {unit}"
    return f"{seconds:>{13 + digits},.{digits}f} s"


def rate(per_s: float, what: str) -> str:
    """How many a second, or a minute where that is few."""
    if per_s >= 1 or not per_s:
        return f"{amount(per_s)} {what}/s"
    return f"{amount(60 * per_s)} {what}/min"


def line(counted: Counted, now: float) -> str:
    """How far a run is, in a line for people."""
    found = counted.now()
    if found is None:
        return f"nothing counted yet, {duration(now - counted.began)} so far"
    name, phase = found
    parts = [how_many(name, phase)]
    if phase.done > phase.held:
        parts.append(rate(phase.rate(now), name))
    if left := phase.left_s(now):
        parts.append(f"about {duration(left)} left")
    parts.append(f"{duration(now - counted.began)} so far")
    if rejected := sum(counted.rejects.values()):
        parts.append(f"{rejected:,} rejected")
    return ", ".join(parts)


def how_many(name: str, phase: Phase) -> str:
    """So many of so many."""
    if not phase.expected:
        return f"{phase.done:,} {name}"
    share = 100 * min(1.0, phase.done / phase.expected)
    return f"{phase.done:,} of {phase.expected:,} {name} ({share:.0f} %)"


class _Shown:
    """A thread that shows a run until it is told to stop."""

    def __init__(self, verb: str, look: Callable[[], Counted]) -> None:
        self.verb, self.look = verb, look
        self.over = threading.Event()
        self.bar: tqdm[Any] | None = None
        self.phase = ""
        self.is_terminal = sys.stderr.isatty() and not logs.wanted().json
        self.thread = threading.Thread(target=self._show, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.over.set()
        self.thread.join(5)

    def _show(self) -> None:
        every = DRAW_S if self.is_terminal else LINE_S
        while not self.over.wait(every):
            with contextlib.suppress(Exception):  # nothing that is shown may end a run
                counted = self.look()
                if self.is_terminal:
                    self._draw(counted)
                elif logs.wanted().json:
                    self._log(counted)
                else:
                    logs.tell(on_one_line(f"{self.verb}: {line(counted, time.time())}"))
        if self.bar is not None:
            self.bar.close()

    def _log(self, counted: Counted) -> None:
        name, phase = counted.now() or ("", Phase())
        now = time.time()
        facts: dict[str, Any] = {
            "done": phase.done,
            "expected": phase.expected,
            "per_s": round(phase.rate(now), 3),
        }
        logs.event("info", "progress", self.verb, name, **facts, rejects=counted.rejects)

    def _draw(self, counted: Counted) -> None:
        found = counted.now()
        if found is None:
            return
        name, phase = found
        if self.bar is None or name != self.phase:
            if self.bar is not None:
                self.bar.close()
            self.phase = name
            form = bar_format(self.verb, name, phase, time.time())
            self.bar = tqdm(
                total=phase.expected,
                initial=phase.done,
                bar_format=form,
                leave=False,
                file=sys.stderr,
                ncols=COLUMNS,
            )
        self.bar.ncols = shutil.get_terminal_size((COLUMNS, 24)).columns
        self.bar.bar_format = bar_format(self.verb, name, phase, time.time())
        self.bar.total, self.bar.n = phase.expected, min(phase.done, phase.expected or phase.done)
        self.bar.refresh()


def bar_format(verb: str, name: str, phase: Phase, now: float) -> str:
    """A bar of at most 80 columns, for tqdm."""
    left = phase.left_s(now)
    count = tqdm.format_sizeof(phase.done) if phase.done > 9999 else f"{phase.done}"
    per_s = rate(phase.rate(now), name)
    if not phase.expected:
        return f"{verb} {count} {name} [{per_s}]"
    total = tqdm.format_sizeof(phase.expected) if phase.expected > 9999 else f"{phase.expected}"
    ends = f"{duration(left)} left, " if left is not None else ""
    return f"{verb} {{percentage:3.0f}}% |{{bar}}| {count}/{total} [{ends}{per_s}]"


@contextlib.contextmanager
def shown(verb: str, look: Callable[[], Counted], *, quiet: bool) -> Iterator[None]:
    """While a run lasts, show how far it is; `look` says so."""
    if quiet:
        yield
        return
    showing = _Shown(verb, look)
    try:
        yield
    finally:
        showing.stop()
