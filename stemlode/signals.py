"""How a process ends before its work does: by a signal, or because nobody reads what it prints."""

import contextlib
import io
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TextIO

HEEDED = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated (SIGTERM)",
    signal.SIGHUP: "terminated: the terminal was closed (SIGHUP)",
}
_received: list[signal.Signals] = []
_heeding: list[int] = []  # the process, as forked children inherit its handlers


PATIENCE_S = 10.0
_last_resort: list[threading.Timer] = []


@contextlib.contextmanager
def heeded(at_last: Callable[[], object] | None = None) -> Iterator[None]:
    """Within, these signals raise KeyboardInterrupt in the main thread, as Ctrl-C does.

    What the parent ignores (`nohup`) stays ignored. A second signal ends the process at once. A
    library may swallow the first one, or wait for its workers for ever: `at_last` is called, in a
    thread, where this has not ended PATIENCE_S after it.
    """
    _received.clear()
    _last_resort[:] = [threading.Timer(PATIENCE_S, at_last)] if at_last else []
    for timer in _last_resort:
        timer.daemon = True
    before = {}
    if threading.current_thread() is threading.main_thread():
        usual = (signal.SIG_DFL, signal.default_int_handler)
        mine = [number for number in HEEDED if signal.getsignal(number) in usual]
        before = {number: signal.signal(number, _interrupt) for number in mine}
    process = os.getpid()
    _heeding[:] = [process]
    try:
        yield
    finally:
        for timer in _last_resort:
            timer.cancel()
        _heeding.clear()
        if os.getpid() == process:
            for number, handler in before.items():
                signal.signal(number, handler)


def are_heeded() -> bool:
    """Whether this process is a program of ours, and not one that called us as a library."""
    return os.getpid() in _heeding


def received() -> signal.Signals | None:
    """The signal that this process was told to end by; None where it was not."""
    return _received[0] if _received else None


def status(number: signal.Signals) -> int:
    """The exit status of a process that a signal ended, as shells count."""
    return 128 + number


def _interrupt(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    if os.getpid() not in _heeding:  # a forked child: it ends as if nobody had asked to be told
        os.kill(os.getpid(), number)
        return
    _received.append(signal.Signals(number))
    for timer in _last_resort:
        with contextlib.suppress(RuntimeError):  # it runs already, for another signal
            timer.start()
    raise KeyboardInterrupt


def outlive_readers() -> None:
    """Let the work go on where stdout or stderr is a pipe whose reader leaves, as `| head` does."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper and _is_pipe(stream):
            stream.flush()
            setattr(sys, name, _outliving(stream))


def _is_pipe(stream: TextIO) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _outliving(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    buffer = io.BufferedWriter(_Pipe(stream.fileno(), "wb", closefd=False))
    return io.TextIOWrapper(
        buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Pipe(io.FileIO):
    """A pipe that becomes /dev/null once nobody reads it, for child processes too."""

    def write(self, b: Any, /) -> int:
        try:
            return super().write(b)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(b)
