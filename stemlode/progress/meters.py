"""What the processes of a run have counted so far, and the files by which others see it.

Each process of a run, the launcher and every worker, counts for itself and writes what it has into
a small file of its own below the run folder (`_progress/`), whatever runner it works for and
wherever the folder lies. Whoever wants to know how far the run is adds these files up. A bundle
that a runner does twice counts twice here: exact numbers stand in `run.json`. Free of Beam.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stemlode import files, runs
from stemlode.progress import logs, otel

HERE_S, REMOTE_S = 2.0, 15.0  # between two files of a process: on a disk, in a store
ALIVE_S = 30.0  # without any news, a process says this often that it is there
Facts = dict[str, Any]


@dataclass
class Phase:
    """A stretch of a run, named after what is counted in it.

    held: of `done`, what an earlier attempt had finished. expected: how many there will be, as far
    as that is known. began: Unix time.
    """

    done: int = 0
    held: int = 0
    expected: int | None = None
    began: float = field(default_factory=time.time)

    def add(self, other: "Phase") -> None:
        """Take in what another process did."""
        self.done += other.done
        self.held += other.held
        if other.expected is not None:
            self.expected = (self.expected or 0) + other.expected
        self.began = min(self.began, other.began)

    def rate(self, now: float) -> float:
        """How many a second are done, but for those that were done before; 0 where none is."""
        return max(0, self.done - self.held) / max(now - self.began, 1e-3)

    def left_s(self, now: float) -> float | None:
        """Seconds that the rest will take at this rate; None where nobody knows."""
        rate = self.rate(now)
        known = self.expected is not None and rate > 0
        return max(0, (self.expected or 0) - self.done) / rate if known else None


@dataclass
class Distribution:
    """Of values: how many, their sum, the least and the largest."""

    count: int = 0
    sum: float = 0.0
    min: float = float("inf")
    max: float = float("-inf")

    def add(self, other: "Distribution") -> None:
        """Take in further values."""
        self.count += other.count
        self.sum += other.sum
        self.min, self.max = min(self.min, other.min), max(self.max, other.max)


@dataclass
class Counted:
    """What one process, or all together, have counted.

    examples: of each cause of rejects the first: `stage`, `key` and `message`.
    """

    phases: dict[str, Phase] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    distributions: dict[str, Distribution] = field(default_factory=dict)
    examples: dict[str, Facts] = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    updated: float = 0.0
    processes: int = 0
    launcher: Facts = field(default_factory=dict)

    def add(self, other: "Counted") -> None:
        """Take in what another process counted."""
        for name, phase in other.phases.items():
            if name in self.phases:
                self.phases[name].add(phase)
            else:
                self.phases[name] = Phase(**vars(phase))
        for name, number in other.counters.items():
            self.counters[name] = self.counters.get(name, 0) + number
        for name, values in other.distributions.items():
            self.distributions.setdefault(name, Distribution()).add(values)
        self.examples = {**other.examples, **self.examples}
        self.began = min(self.began, other.began)
        self.updated = max(self.updated, other.updated)
        self.processes += other.processes
        self.launcher = self.launcher or other.launcher

    def now(self) -> tuple[str, Phase] | None:
        """The phase that is being worked on: the last that began and has not come to its end."""
        order = sorted(self.phases.items(), key=lambda item: item[1].began)
        open_ = [
            (name, phase)
            for name, phase in order
            if phase.expected is None or phase.done < phase.expected
        ]
        started = [item for item in open_ if item[1].done] or open_
        return (started or order)[-1] if order else None

    @property
    def rejects(self) -> dict[str, int]:
        """How many there are of each cause, most first."""
        prefix = "rejects/"
        found = {n.removeprefix(prefix): int(c) for n, c in self.counters.items() if prefix in n}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def to_json(counted: Counted) -> Facts:
    """As it stands in a file."""
    return {
        "phases": {name: vars(phase) for name, phase in counted.phases.items()},
        "counters": counted.counters,
        "distributions": {name: vars(d) for name, d in counted.distributions.items()},
        "examples": counted.examples,
        "began": counted.began,
        "updated": counted.updated,
        "processes": counted.processes,
        "launcher": counted.launcher,
    }


def from_json(facts: Facts) -> Counted:
    """Raises ValueError, KeyError or TypeError for what is none."""
    found = Counted(
        {str(name): Phase(**phase) for name, phase in facts["phases"].items()},
        {str(name): float(number) for name, number in facts["counters"].items()},
        {str(name): Distribution(**d) for name, d in facts["distributions"].items()},
        {str(name): dict(example) for name, example in facts["examples"].items()},
        float(facts["began"]),
        float(facts["updated"]),
        int(facts["processes"]),
        dict(facts["launcher"]),
    )
    for phase in found.phases.values():
        phase.done, phase.held, phase.began = int(phase.done), int(phase.held), float(phase.began)
        phase.expected = None if phase.expected is None else int(phase.expected)
    return found


class Meters:
    """This process' counts of a run; from any thread. Begun by `begin`, ended by `end`."""

    def __init__(self, run: runs.Run, attempt: str, launcher: Facts | None = None) -> None:
        """`attempt` is the launcher's id; `launcher` says of itself what the file should have."""
        self.run, self.attempt, self.process = run, attempt, os.getpid()
        self.counted = Counted(processes=1, launcher=launcher or {})
        self.folder = run.path(runs.PROGRESS)
        self.path = files.join(self.folder, f"{attempt}-{uuid.uuid4().hex}.json")
        self.forwards = False  # whether somebody takes what is pending
        self.pending: list[tuple[str, str, float]] = []
        self._lock = threading.Lock()
        self._changed, self._over = False, threading.Event()
        self._every_s = HERE_S if files.is_local(run.output) else REMOTE_S
        self._thread = threading.Thread(target=self._write_on, daemon=True)
        self._thread.start()

    def phase(self, name: str, done: int, held: int, expected: int | None) -> None:
        """Count in a phase."""
        with self._lock:
            phase = self.counted.phases.get(name)
            if phase is None:
                phase = self.counted.phases[name] = Phase()
            phase.add(Phase(done, held, expected, phase.began))
            self._changed = True
        otel.count(self.run.verb, name, done - held)

    def add(self, name: str, number: float) -> None:
        """Count."""
        with self._lock:
            self.counted.counters[name] = self.counted.counters.get(name, 0) + number
            self._changed = True
            if self.forwards:
                self.pending.append(("counter", name, number))
        otel.count(self.run.verb, name, number)

    def observe(self, name: str, value: float) -> None:
        """A value of a distribution."""
        with self._lock:
            one = Distribution(1, value, value, value)
            self.counted.distributions.setdefault(name, Distribution()).add(one)
            self._changed = True
            if self.forwards:
                self.pending.append(("distribution", name, value))
        otel.observe(self.run.verb, name, value)

    def reject(self, stage: str, key: str, error: str, message: str) -> None:
        """One that could not be used."""
        self.add(f"rejects/{error}", 1)
        with self._lock:
            example = {"stage": stage, "key": key, "message": message}
            self.counted.examples.setdefault(error, example)
        logs.event("warning", "reject", self.run.verb, stage, key, error=error, message=message)

    def take(self) -> list[tuple[str, str, float]]:
        """What was counted since this was called before: (kind, name, number)."""
        if not self.pending:
            return []
        with self._lock:
            taken, self.pending = self.pending, []
            return taken

    def copy(self) -> Counted:
        """All counts so far."""
        with self._lock:
            self.counted.updated = time.time()
            return from_json(json.loads(json.dumps(to_json(self.counted))))

    def stop(self) -> None:
        """Write no more, and what there is to say of the end."""
        self._over.set()
        if self._thread is not threading.current_thread():
            self._thread.join(5)

    def write(self) -> None:
        """Now. What cannot be written is let be: no run fails of being watched."""
        with contextlib.suppress(Exception):
            if not files.exists(self.run.path(runs.SUCCESS)) or self._is_addition():
                files.write_bytes(self.path, json.dumps(to_json(self.copy())).encode())

    def _is_addition(self) -> bool:
        return files.exists(self.run.path(runs.PENDING))

    def _write_on(self) -> None:
        written = time.monotonic()
        while not self._over.wait(self._every_s):
            if self._changed or time.monotonic() - written > ALIVE_S:
                self._changed = False
                self.write()
                written = time.monotonic()


_CURRENT: Meters | None = None
_LOCK = threading.Lock()
_ENDED: set[str] = set()  # attempts for which this process counts no more


def begin(run: runs.Run, attempt: str, launcher: Facts | None = None) -> Meters:
    """Count for a run from now on; a process counts for one at a time."""
    global _CURRENT  # noqa: PLW0603 - what a process does is one thing
    with _LOCK:
        held = _CURRENT
        if held is not None and (held.attempt, held.process) == (attempt, os.getpid()):
            return held
        if held is not None:
            held.stop()
        _CURRENT = Meters(run, attempt, launcher)
        return _CURRENT


def end() -> None:
    """Count no more."""
    global _CURRENT  # noqa: PLW0603
    with _LOCK:
        if _CURRENT is not None:
            _ENDED.add(_CURRENT.attempt)
            _CURRENT.stop()
            _CURRENT = None


def is_over(attempt: str) -> bool:
    """Whether this process has ended its counts of an attempt."""
    return attempt in _ENDED


def current() -> Meters | None:
    """This process' counts."""
    return _CURRENT


def expect(phase: str, number: int) -> None:
    """So many more are to come in a phase."""
    if _CURRENT is not None:
        _CURRENT.phase(phase, 0, 0, number)


def step(phase: str, number: int = 1, *, held: bool = False) -> None:
    """So many more are done; `held`: by an earlier attempt."""
    if _CURRENT is not None and number:
        _CURRENT.phase(phase, number, number if held else 0, None)


def add(name: str, number: float = 1) -> None:
    """Count something."""
    if _CURRENT is not None:
        _CURRENT.add(name, number)


def observe(name: str, value: float) -> None:
    """A value of a distribution."""
    if _CURRENT is not None:
        _CURRENT.observe(name, value)


# Of a thread. `held`: what it works on was done before; `audio_s`: seconds that it has decoded.
_HERE = threading.local()


def decoded(seconds: float, took_ms: float) -> None:
    """A file was read: so much audio, in so much time."""
    observe("decode_ms", took_ms)
    add("audio_seconds", seconds)
    _HERE.audio_s = decoded_s() + seconds


def decoded_s() -> float:
    """Seconds of audio that this thread has read so far."""
    return getattr(_HERE, "audio_s", 0.0)


def was_held() -> None:
    """What this thread works on (`item`) turns out to be done by an earlier attempt."""
    _HERE.held = True


@contextlib.contextmanager
def item(phase: str, key: str, number: int = 1) -> Iterator[None]:
    """Work on one thing, which counts when it is done, or rejected: its time is a distribution, a
    span and a line of the log."""
    meters, begun = _CURRENT, time.perf_counter()
    if meters is None:
        yield
        return
    _HERE.held = False
    with otel.span(meters.run.verb, phase, key, meters.attempt):
        yield
    took_ms = 1000 * (time.perf_counter() - begun)
    step(phase, number, held=_HERE.held)
    if _HERE.held:
        return
    observe(f"{phase}_ms", took_ms)
    logs.event("info", "step", meters.run.verb, phase, key, ms=round(took_ms, 1))


def held(folder: str, but: str = "") -> tuple[Counted, str] | None:
    """What the processes of the latest attempt in a run folder wrote, added up, and its id; None
    where there is nothing. `but`: not this file."""
    by_attempt: dict[str, list[Counted]] = {}
    for path in _written(folder):
        if path != but:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                attempt = path.rsplit("/", 1)[-1].partition("-")[0]
                one = from_json(json.loads(files.read_bytes(path)))
                by_attempt.setdefault(attempt, []).append(one)
    if not by_attempt:
        return None
    latest = max(by_attempt, key=lambda attempt: max(c.updated for c in by_attempt[attempt]))
    return added(by_attempt[latest]), latest


def added(some: Iterable[Counted]) -> Counted:
    """Several processes' counts in one."""
    found = Counted()
    for one in some:
        found.add(one)
    return found


def of_others(meters: Meters) -> Counted:
    """What this process and the others of its attempt have counted."""
    found = meters.copy()
    with contextlib.suppress(Exception):
        rest = held(meters.run.output, but=meters.path)
        if rest is not None and rest[1] == meters.attempt:
            found.add(rest[0])
    return found


def forget(folder: str) -> None:
    """Remove what was written."""
    with contextlib.suppress(OSError):
        files.remove(files.join(folder, runs.PROGRESS))


def host() -> Facts:
    """Where this process runs."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def _written(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        found = files.list_files(files.join(folder, runs.PROGRESS))
        return [path for path in found if path.endswith(".json")]
    return []
