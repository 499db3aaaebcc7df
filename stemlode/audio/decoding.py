"""Decoding in a process of its own, which may hang or crash without taking the worker along.

One process lives as long as its `Decoder` and reads one file after another, block by block, into
a temporary file without a name: however long a recording is, neither side holds it, and nothing
is left behind by a crash. A process that crashes, or is not done in 30 s + 0.05 × the seconds of
audio that have come out, is killed, and the file gets one more attempt in a new one: memory or a
network may have been short for a moment. Then the file is at fault. The way here of a remote file
does not count: what stalls there is an OSError, which trying again may mend. Free of Beam.
"""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from stemlode import retry
from stemlode.addresses.rules import Address
from stemlode.audio.containers.info import AudioError
from stemlode.audio.decoding_process import STALL_S, limit_s, receive, send
from stemlode.progress import meters
from stemlode.runs import Failed, reason

COMMAND = (sys.executable, "-m", "stemlode.audio.decoding_process")
AGAIN_AFTER_S = (0.0,)  # a file that the decoder came to grief on, in a new process
START_S = 120.0  # a machine under load imports slowly
_ITEM = np.dtype(np.float32).itemsize


class DecoderError(AudioError):
    """A file on which the decoder came to grief; `error` is `timeout` or `crashed`."""


class Samples:
    """A signal in nameless files: `len()` in frames, and slices as float32 arrays: [frames] of a
    mono signal, [channels, frames] of any other.

    The files go with the last reference. A slice's step is 1.
    """

    def __init__(self, descriptors: Sequence[int], frames: int) -> None:
        """Takes over the descriptors of files, one a channel."""
        self._descriptors, self._frames = tuple(descriptors), frames
        for descriptor in self._descriptors:
            weakref.finalize(self, os.close, descriptor)

    @property
    def channels(self) -> int:
        return len(self._descriptors)

    @property
    def bytes(self) -> int:
        """What all of it takes in memory."""
        return self._frames * self.channels * _ITEM

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, part: slice) -> np.ndarray:
        if self.channels == 1:
            return self.of_channel(0, part)
        return np.stack([self.of_channel(number, part) for number in range(self.channels)])

    def channel(self, number: int) -> "Channel":
        """One of them, as a mono signal."""
        return Channel(self, number)

    def of_channel(self, number: int, part: slice) -> np.ndarray:
        """A slice [frames] of one of them; no other is read."""
        start, stop, step = part.indices(self._frames)
        if step != 1:
            raise ValueError("only slices with a step of 1")
        found = np.empty(max(0, stop - start), np.float32)
        if not found.size:
            return found
        view, at = memoryview(found.data).cast("B"), start * _ITEM
        while view:
            count = os.preadv(self._descriptors[number], [view], at)
            if not count:
                raise OSError(errno.EIO, "the temporary file ends early")
            view, at = view[count:], at + count
        return found


@dataclass(frozen=True)
class Channel:
    """One channel of samples in a file, as a mono signal."""

    samples: Samples
    number: int

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.samples.of_channel(self.number, part)


@dataclass(frozen=True)
class Decoded:
    """A whole recording, and the processor time that decoding it took. `ended` is false where its
    file lacks the mark of an end that its format asks for."""

    samples: Samples
    sample_rate: int
    cpu_s: float
    ended: bool = True

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


class Decoder:
    """Reads audio at one rate and with one number of channels, in a process that starts with the
    first file.

    Channels are one or two: the mean of a file's, or a mono file on both. More than two in a file
    are mixed down first. With `mid_side`, two are the mean of left and right, and half their
    difference.
    """

    def __init__(
        self,
        sample_rate: int,
        command: Sequence[str] | None = None,
        channels: int = 1,
        mid_side: bool = False,
    ) -> None:
        self.sample_rate, self.command = sample_rate, tuple(command or COMMAND)
        self.channels, self.mid_side = channels, mid_side
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def decode(self, uri: str) -> Decoded:
        """A whole file. Raises AudioError, DecoderError, OSError (try again) and Failed."""
        begun = time.perf_counter()
        found = retry.repeatedly(lambda: self._decode(uri), _is_decoders, AGAIN_AFTER_S)
        meters.decoded(found.duration_s, 1000 * (time.perf_counter() - begun))
        return found

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that waits for a dead disk
                self._process.wait(5)
        self._line = self._process = None

    def _decode(self, uri: str) -> Decoded:
        line = self._line or self._start()
        try:
            with contextlib.ExitStack() as held:
                files = [held.enter_context(_temporary()).fileno() for _ in range(self.channels)]
                rules = {"rules": uri.rules.facts()} if isinstance(uri, Address) else {}
                how = {"sample_rate": self.sample_rate, "mid_side": self.mid_side}
                send(line, {"uri": uri, **rules, **how}, files)
                answer = self._answer(line)
                if "frames" in answer:
                    samples = Samples([os.dup(file) for file in files], answer["frames"])
                    return Decoded(samples, self.sample_rate, answer["cpu_s"], answer["ended"])
        except (BrokenPipeError, ConnectionResetError):
            raise self._crashed() from None
        if "audio" in answer:
            raise AudioError(answer["audio"], answer["error"])
        if "passing" in answer:
            raise OSError(answer["errno"], answer["passing"])
        if "disk" in answer:
            raise Failed(_of_folder(answer["disk"]))
        raise Failed(answer["failed"])

    def _answer(self, line: socket.socket) -> dict[str, Any]:
        """The last of the messages on one file."""
        begun, seconds, fetching = time.monotonic(), 0.0, False
        while True:
            allowed = STALL_S if fetching else limit_s(seconds)
            try:
                answer = receive(line, begun + allowed - time.monotonic())
            except TimeoutError:
                self.close()
                if fetching:
                    raise OSError(errno.ETIMEDOUT, f"no byte in {allowed:,.0f} s") from None
                heard = f"after {seconds:,.0f} s of audio" if seconds else "without a result"
                message = f"not decoded within {allowed:,.0f} s: given up {heard}"
                raise DecoderError(message, "timeout") from None
            if answer is None:
                raise self._crashed()
            if "fetching" in answer:
                begun, fetching = time.monotonic(), answer["fetching"]
            elif "seconds" in answer:
                seconds = answer["seconds"]
            else:
                return answer

    def _crashed(self) -> DecoderError:
        process, code = self._process, None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(5)
        self.close()
        how = f"status {code}"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                how = signal.Signals(-code).name
        return DecoderError(f"the decoder crashed on it ({how})", "crashed")

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        own = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with theirs, _temporary() as said:
            self._process = subprocess.Popen(
                [*self.command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env={**os.environ, **own},
            )
            theirs.close()
            self._line = ours
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                if receive(ours, START_S) is not None:
                    return ours
            self.close()
            said.seek(0)
            why = said.read().decode(errors="replace").strip().splitlines() or ["no word from it"]
        raise Failed(f"the decoding process does not start: {why[-1]}")


def _is_decoders(error: BaseException) -> bool:
    """Whether memory or a busy machine may have been the cause, and not the file."""
    return isinstance(error, DecoderError)


def _temporary() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise Failed(_of_folder(reason(error))) from error


def _of_folder(why: str) -> str:
    folder = os.environ.get("TMPDIR") or tempfile.gettempdir()
    return f"temporary folder {folder}: {why}; free some space or set TMPDIR, then run again"
