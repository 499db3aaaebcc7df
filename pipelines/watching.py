"""A watch over runs whose workers are other processes: none of them waits in silence for ever.

Beam's own local runner does not notice every worker that is gone, and waits for one that never
begins. The first step that runs anywhere leaves a sign in the run folder (`causes.tell`); until
then, and after a worker process was lost, the watch says what is waited for, and at last ends this
process. What is finished lies in the run folder, so the same command goes on. No Beam.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from stemlode import files, runs

VARIABLE = "STEMLODE_START_TIMEOUT_S"
START_S = 300.0  # that the first worker may take to begin
NOTICE_S = 30.0  # between two lines that say so
GRACE_S = 20.0  # that a runner may take to notice a lost worker
LOOK_S = 1.0
_MODULE = b"sdk_worker_main"  # of Beam's worker processes
_WORKER = "run_worker"  # what Beam calls the thread that waits for a worker process
_STREAMS = ("beam_control_read", "read_grpc_client_inputs")  # those that listen to one


@contextlib.contextmanager
def watched(run: runs.Run, begun: Callable[[], bool], *, limited: bool) -> Iterator[None]:
    """While a pipeline runs. `begun` tells whether any worker has begun; `limited`: one must, in
    the time that is allowed for it."""
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
    watch = threading.Thread(target=_watch, args=(run, begun, over, lost, limit_s), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        threading.excepthook = before


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
) -> None:
    started = told = time.monotonic()
    since: float | None = None
    waiting, workers = True, set[int]()
    while not over.wait(LOOK_S):
        now = time.monotonic()
        workers |= {*filter(_is_worker, _below(os.getpid()))}  # also when their shells are gone
        if lost:
            since = since or now
            if now - since > GRACE_S:
                why = f"a worker process is gone ({lost[0]}), and the runner waits for it"
                _end(run, why, workers)
        waiting = waiting and not begun()
        if waiting and now - told > min(NOTICE_S, limit_s / 2):
            told = now
            what = f"{run.verb}: waiting for the first worker to begin"
            print(f"{what} ({now - started:.0f} s so far)", file=sys.stderr, flush=True)
        if waiting and now - started > limit_s:
            _end(
                run,
                f"no worker began to work within {limit_s:g} s ({VARIABLE} says how long to wait)",
                workers,
            )


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


def _end(run: runs.Run, why: str, workers: Iterable[int]) -> None:
    """End this process, whatever its other threads wait for: 1, or 0 where the run is done."""
    for pid in (*_below(os.getpid()), *filter(_is_worker, workers)):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    status = 1
    with contextlib.suppress(Exception):
        if files.exists(run.path(runs.SUCCESS)) and not files.exists(run.path(runs.PENDING)):
            status = 0
        else:
            files.write_bytes(run.path(runs.ERROR), f"{why}\n".encode())
    if status:
        print(f"error: {why}; run again to resume", file=sys.stderr)
    else:
        print(f"{run.verb}: done, in {run.output} ({why})", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)
