"""A watch over runs whose workers are other processes: none of them waits in silence for ever.

Beam's own local runner does not notice every worker that is gone, and waits for one that never
begins. The first step that runs anywhere leaves a sign in the run folder (`causes.tell`); until
then, and after a worker process was lost, the watch says what is waited for, and at last ends this
process, or the call alone where somebody else's process made it. What is finished lies in the run
folder, so the same command goes on. No Beam.
"""

import contextlib
import contextvars
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from stemlode import files, runs, signals

VARIABLE = "STEMLODE_START_TIMEOUT_S"
START_S = 300.0  # that the first worker may take to begin
NOTICE_S = 30.0  # between two lines that say so
GRACE_S = 20.0  # that a runner may take to notice a lost worker
LOOK_S = 1.0
AGAIN_S = 5.0  # between two tries to get a call out of its waiting
_MODULE = b"sdk_worker_main"  # of Beam's worker processes
_WORKER = "run_worker"  # what Beam calls the thread that waits for a worker process
_STREAMS = ("beam_control_read", "read_grpc_client_inputs")  # those that listen to one


def watched(
    run: runs.Run, call: Callable[[], object], begun: Callable[[], bool], *, limited: bool
) -> None:
    """Run a pipeline by `call`. `begun` tells whether any worker has begun; `limited`: one must, in
    the time that is allowed for it. Failed where a library's call ends for what the watch saw."""
    over = threading.Event()
    lost: list[str] = []
    before = threading.excepthook

    def hook(args: Any) -> None:
        name = "" if args.thread is None else args.thread.name
        if name == _WORKER:
            lost.append(runs.reason(args.exc_value))
        elif name not in _STREAMS:  # which break off with it
            before(args)

    threading.excepthook = hook
    limit_s = start_s() if limited else float("inf")
    waiting = _call_of(call, over)
    watch = threading.Thread(
        target=_watch, args=(run, begun, over, lost, limit_s, waiting.give_up), daemon=True
    )
    try:
        waiting.run(watch.start)
    except BaseException:
        if not waiting.why:
            raise
    finally:
        over.set()
        threading.excepthook = before
    if waiting.why:
        threading.Thread(target=waiting.end, daemon=True).start()
    if waiting.why and not _is_done(run):
        raise runs.Failed(f"{waiting.why}; run again to resume")


class _Program:
    """The call of a program of ours, which ends with it."""

    why = ""  # it was given up

    def __init__(self, call: Callable[[], object], over: threading.Event) -> None:
        self.call, self.over, self.sending = call, over, threading.Lock()

    def run(self, watch: Callable[[], None]) -> None:
        """Begin to watch, and do what is watched."""
        try:
            watch()
            self.call()
        finally:
            self.over.set()

    def give_up(self, run: runs.Run, why: str) -> None:
        """Called by the watch."""
        _exit(run, why)

    def end(self) -> None:
        """End a script that has come to its end, where its interpreter waits for threads of the
        runner that was given up: with 1, as what it asked for failed."""
        while not _is_ending():
            time.sleep(LOOK_S)
        time.sleep(GRACE_S)
        _end(1)


class _InMainThread(_Program):
    """A library's call, as a notebook makes it: a signal gets it out of any waiting."""

    def run(self, watch: Callable[[], None]) -> None:
        usual = signal.getsignal(signal.SIGINT)

        def interrupted(number: int, frame: FrameType | None) -> None:
            if self.why:
                raise KeyboardInterrupt
            if callable(usual):
                usual(number, frame)

        signal.signal(signal.SIGINT, interrupted)
        try:
            super().run(watch)
        finally:
            try:
                self.sending.acquire()  # it is over: no signal is sent any more
            finally:
                signal.signal(signal.SIGINT, usual)

    def give_up(self, run: runs.Run, why: str) -> None:
        self.why = why
        while not self.over.is_set():  # what is cleared up at the end may wait as well
            with self.sending:
                if not self.over.is_set():
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            self.over.wait(AGAIN_S)


class _InThread(_Program):
    """A library's call from another thread, which nothing gets out: a further one waits."""

    def run(self, watch: Callable[[], None]) -> None:
        raised: list[BaseException] = []

        def called() -> None:
            try:
                self.call()
            except BaseException as error:
                raised.append(error)
            finally:
                self.over.set()

        within = contextvars.copy_context()
        threading.Thread(target=within.run, args=(called,), daemon=True).start()
        watch()
        self.over.wait()
        if raised:
            raise raised[0]

    def give_up(self, run: runs.Run, why: str) -> None:
        self.why = why
        self.over.set()


def _call_of(call: Callable[[], object], over: threading.Event) -> _Program:
    if signals.are_heeded():
        return _Program(call, over)
    is_main = threading.current_thread() is threading.main_thread()
    # A handler that is not Python's cannot be put back.
    kind = _InMainThread if is_main and signal.getsignal(signal.SIGINT) else _InThread
    return kind(call, over)


def start_s() -> float:
    """The environment's word on how long the first worker may take, or else START_S."""
    try:
        found = float(os.environ.get(VARIABLE, ""))
    except ValueError:
        return START_S
    return found if found > 0 else START_S


def _watch(
    run: runs.Run,
    begun: Callable[[], bool],
    over: threading.Event,
    lost: list[str],
    limit_s: float,
    give_up: Callable[[runs.Run, str], None],
) -> None:
    started = told = time.monotonic()
    since: float | None = None
    waiting, workers, others = True, set[int](), {*_below(os.getpid())}
    while not over.wait(LOOK_S):
        now = time.monotonic()
        workers |= {*filter(_is_worker, _below(os.getpid()))}  # also when their shells are gone
        if lost:
            since = since or now
            if now - since > GRACE_S:
                _kill(workers, others)
                why = f"a worker process is gone ({lost[0]}), and the runner waits for it"
                return give_up(run, why)
        waiting = waiting and not begun()
        if waiting and now - told > min(NOTICE_S, limit_s / 2):
            told = now
            what = f"{run.verb}: waiting for the first worker to begin"
            print(f"{what} ({now - started:.0f} s so far)", file=sys.stderr, flush=True)
        if waiting and now - started > limit_s:
            _kill(workers, others)
            why = f"no worker began to work within {limit_s:g} s ({VARIABLE} says how long to wait)"
            return give_up(run, why)
    return None


def _below(pid: int) -> Iterator[int]:
    """What a process has started, and what that has, where the system shows it."""
    with contextlib.suppress(OSError, ValueError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                yield child
                yield from _below(child)


def _is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return _MODULE in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _kill(workers: Iterable[int], others: set[int]) -> None:
    """What a run has started, and its workers whose parents are gone, but `others`."""
    for pid in {*_below(os.getpid()), *filter(_is_worker, workers)} - others:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _is_ending() -> bool:
    """Whether the interpreter waits for its threads, after the last line of what it runs."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame is None or frame.f_globals.get("__name__") == threading.__name__


def _is_done(run: runs.Run) -> bool:
    return files.exists(run.path(runs.SUCCESS)) and not files.exists(run.path(runs.PENDING))


def _exit(run: runs.Run, why: str) -> None:
    """End this process, whatever its other threads wait for: 1, or 0 where the run is done."""
    status = 1
    with contextlib.suppress(Exception):
        if _is_done(run):
            status = 0
        else:
            files.write_bytes(run.path(runs.ERROR), f"{why}\n".encode())
    if status:
        print(f"error: {why}; run again to resume", file=sys.stderr)
    else:
        print(f"{run.verb}: done, in {run.output} ({why})", file=sys.stderr)
    _end(status)


def _end(status: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)
