"""The process that decodes for `stemlode.audio.decoding`, and the messages between the two.

It imports no more than audio needs, so that it starts in a fraction of a second. A remote file is
brought here first, so that a slow network uses up none of the time that decoding may take.
Free of Beam.
"""

import contextlib
import errno
import json
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from stemlode import extras
from stemlode.addresses.rules import Address, Rules
from stemlode.audio import decoders, reading
from stemlode.audio.containers import opening
from stemlode.audio.containers.info import AudioError
from stemlode.runs import reason

LIMIT_S, LIMIT_PER_S = 30.0, 0.05
STALL_S = 300.0  # a network may pause so long
LONGEST_S = 12 * 3600  # a small file can decode to more than any disk holds
LARGEST_BYTES = 8 << 30  # of a remote file: some streams never end
MEMORY_BYTES = 2 << 30  # what a decoder may take beyond its libraries
BLOCK_FRAMES = 32_768  # larger ones cost Vorbis a sixth more, in page faults
_TOLD_EVERY_S = 1.0
_PIECE_BYTES = 1 << 18
_MOST_FILES = 2  # with a message


class _DiskError(Exception):
    """The temporary folder does not take it."""


def serve(descriptor: int) -> None:
    """The process' side: answers requests on a socket until the other end hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it comes to the whole group; the worker decides
    with contextlib.suppress(ImportError):
        import av  # noqa: F401, PLC0415 - before memory is bounded
    with contextlib.suppress(OSError, ValueError):  # where the system knows no such bound
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, most))
    with socket.socket(fileno=descriptor) as line, contextlib.suppress(BrokenPipeError):
        send(line, {"ready": True})
        while (request := receive(line, None, with_files=True)) is not None:
            with contextlib.ExitStack() as files:
                for file in request["files"]:
                    files.callback(os.close, file)
                answer = _read(line, **request)
            signal.setitimer(signal.ITIMER_REAL, 0)
            send(line, answer)


def _read(
    line: socket.socket,
    files: Sequence[int],
    uri: str,
    sample_rate: int,
    mid_side: bool,
    rules: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Decode into files, one a channel; what to answer."""
    cpu, frames = time.process_time(), 0
    if rules is not None:
        uri = Address(uri, Rules.of(rules))
    try:
        with contextlib.ExitStack() as held:
            path = uri if opening.is_local(uri) else held.enter_context(_fetched(line, uri))
            told = begun = time.monotonic()
            _die_late(begun, 0)
            source = held.enter_context(decoders.opened(path))
            for block in reading.blocks_of(source, sample_rate, len(files), BLOCK_FRAMES):
                samples = _mid_side(block.samples) if mid_side else block.samples
                frames += samples.shape[1]
                if frames > LONGEST_S * sample_rate:
                    raise AudioError(f"longer than {LONGEST_S // 3600} hours", "too_long")
                for channel, part in zip(files, samples, strict=True):
                    _write(channel, memoryview(np.ascontiguousarray(part).data).cast("B"))
                if time.monotonic() - told > _TOLD_EVERY_S:
                    told = time.monotonic()
                    _die_late(begun, frames / sample_rate)
                    send(line, {"seconds": frames / sample_rate})
    except AudioError as error:
        return {"audio": str(error), "error": error.error}
    except _DiskError as error:
        return {"disk": str(error)}
    except OSError as error:
        return {"passing": reason(error), "errno": error.errno or errno.EIO}
    except ImportError as error:
        missing = error.name or str(error)
        return {"failed": extras.line(missing, ["pipelines", "train"], "reading this file")}
    return {"frames": frames, "cpu_s": time.process_time() - cpu, "ended": source.ended}


@contextlib.contextmanager
def _fetched(line: socket.socket, uri: str) -> Iterator[str]:
    """The path of a nameless copy of a remote file."""
    send(line, {"fetching": True})
    signal.setitimer(signal.ITIMER_REAL, STALL_S + LIMIT_S)
    with _temporary() as copy:
        size, told = 0, time.monotonic()
        for piece in opening.pieces(uri, _PIECE_BYTES):
            size += len(piece)
            if size > LARGEST_BYTES:
                raise AudioError(f"larger than {LARGEST_BYTES >> 30} GiB", "too_long")
            _write(copy.fileno(), memoryview(piece))
            if time.monotonic() - told > _TOLD_EVERY_S:
                told = time.monotonic()
                signal.setitimer(signal.ITIMER_REAL, STALL_S + LIMIT_S)
                send(line, {"fetching": True})
        send(line, {"fetching": False})
        yield f"/dev/fd/{copy.fileno()}"


def _mid_side(samples: np.ndarray) -> np.ndarray:
    """The mean of left and right, and half their difference."""
    left, right = samples
    found = np.empty_like(samples)
    np.add(left, right, out=found[0])
    np.subtract(left, right, out=found[1])
    found *= np.float32(0.5)
    return found


def _temporary() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise _DiskError(reason(error)) from error


def _write(file: int, data: memoryview) -> None:
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError as error:
        raise _DiskError(reason(error)) from error


def _die_late(begun: float, seconds: float) -> None:
    """Should nobody be there any more to kill a decoder that hangs, the system will."""
    left = begun + limit_s(seconds) + LIMIT_S - time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, max(1.0, left))


def limit_s(seconds: float) -> float:
    """How long a file may take that has given so many seconds of audio."""
    return LIMIT_S + LIMIT_PER_S * seconds


def send(line: socket.socket, message: dict[str, Any], files: Sequence[int] = ()) -> None:
    """A message is a byte, which may carry files, and a line of JSON."""
    line.settimeout(None)
    if files:
        socket.send_fds(line, [b" "], files)
    else:
        line.sendall(b" ")
    line.sendall(json.dumps(message).encode() + b"\n")


def receive(
    line: socket.socket, timeout_s: float | None, *, with_files: bool = False
) -> dict[str, Any] | None:
    """A message, with the `files` that it carries; None where the other end has hung up."""
    ends = None if timeout_s is None else time.monotonic() + timeout_s
    found, files = b"", list[int]()
    while not found.endswith(b"\n"):
        if ends is not None:
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError
            line.settimeout(left)
        if with_files and not found:
            data, files, _, _ = socket.recv_fds(line, 1, _MOST_FILES)
        else:
            waiting = line.recv(1 << 16, socket.MSG_PEEK)  # perhaps of the next message as well
            data = line.recv(waiting.find(b"\n") + 1 or 1 << 16)
        if not data:
            return None
        found += data
    message = json.loads(found)
    return {**message, "files": files} if with_files else message


if __name__ == "__main__":
    serve(int(sys.argv[1]))
