"""The two libraries that decode for `stemlode.audio`: libsndfile and FFmpeg. Free of Beam."""

import contextlib
import errno
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import soundfile

from stemlode import files, retry

_UNKNOWN_FRAMES = 1 << 62  # libsndfile's count where a header leaves the length open
_UNKNOWN_BYTES = 0x7FFF_0000  # chunk sizes from here on are what streaming writers put
SLOWEST_HZ, FASTEST_HZ = 1000, 6_144_000
_MISSING_S = 0.5  # a stated length may be off by a codec's padding
_GONE = (404, 410)  # of HTTP
_STORES = (
    "gs://",
    "gcs://",
    "s3://",
)  # whose libraries are our extras; without them nothing is read
_COUNTED = ("mov", "matroska", "asf", "wav", "aiff", "caf", "flac")  # others only estimate
_FASTER = ("OGG/VORBIS",)
_T = TypeVar("_T")
_SCHEME = re.compile(r"(\w+::)*[A-Za-z][\w+.-]*://")


class AudioError(Exception):
    """A file cannot be used as audio.

    The message is the cause, short, without the file's name; `error` is the cause in a word, as
    rejects have it: `missing`, `empty`, `damaged`, `channels`, `too_long`, `no_audio_uri`, or
    `unreadable` for all else.
    """

    def __init__(self, message: str, error: str = "unreadable") -> None:
        super().__init__(message)
        self.error = error


@dataclass(frozen=True)
class AudioInfo:
    """What a header says of one audio stream; `duration_s` is NaN where it does not say."""

    duration_s: float
    sample_rate: int
    channels: int
    format: str


def is_local(uri: str) -> bool:
    """Whether a URI is a plain path or file://."""
    return uri.startswith("file://") or not _SCHEME.match(uri)


def local_path(uri: str) -> Path:
    """The path that a local URI names, as it stands (nothing is unquoted)."""
    return Path(uri.removeprefix("file://"))


@contextlib.contextmanager
def opened(uri: str, stream: int) -> "Iterator[Libsndfile | FFmpeg]":
    """A file opened by the library that knows its format, at the wanted audio stream."""
    with contextlib.ExitStack() as held:
        file = held.enter_context(_bytes_of(uri))
        if file.seek(0, io.SEEK_END) == 0:
            raise AudioError("empty file", "empty")
        file.seek(0)
        found = Libsndfile.open(file)
        if found is not None:
            held.enter_context(found.file)
            _check_rate(found.info.sample_rate)
            if stream:
                raise AudioError(f"no audio stream {stream}: the file holds 1")
            yield _faster(found, file, held) or found
        else:
            file.seek(0)
            other = held.enter_context(FFmpeg.open(file, stream))
            _check_rate(other.info.sample_rate)
            yield other


class _Forward(soundfile.SoundFile):
    """Reads on from where it is.

    soundfile seeks after each block, to where it already is; in an MP3 whose index is fuzzy that
    lands elsewhere, and every block begins with garbage.
    """

    def seekable(self) -> bool:
        return False


class Libsndfile:
    """WAV, AIFF, FLAC, Ogg Vorbis and Opus, MP3, and a score of old formats."""

    streams = 1

    def __init__(self, file: soundfile.SoundFile) -> None:
        self.file = file
        rate, frames = file.samplerate, file.frames
        # libsndfile trusts the size of a cut WAV or AIFF over its header, and logs both
        log = re.search(r"^ *(?:data|SSND) : (\d+) \(should be (\d+)\)", file.extra_info, re.M)
        if log and int(log[1]) < _UNKNOWN_BYTES and int(log[2]) > 0:
            frames = frames * int(log[1]) // int(log[2])
        self.stated = frames
        self.info = AudioInfo(frames / rate, rate, file.channels, f"{file.format}/{file.subtype}")

    @classmethod
    def open(cls, file: "IO[bytes] | Guarded") -> "Libsndfile | None":
        """None where libsndfile does not know the format, or not its length.

        A descriptor hides the file's name: libsndfile would take a text named .mp3 for MP3.
        """
        source = file if isinstance(file, Guarded) else file.fileno()
        try:
            found = _Forward(source, closefd=False)
        except soundfile.LibsndfileError:
            return None
        if not 0 < found.frames < _UNKNOWN_FRAMES:
            found.close()
            return None
        return cls(found)

    def blocks(self, block_frames: int) -> Iterator[np.ndarray]:
        """Blocks float32 [frames, channels]; each is valid until the next is asked for."""
        buffer = np.empty((block_frames, self.file.channels), np.float32)
        frames = 0
        while True:
            try:
                block = self.file.read(out=buffer)
            except soundfile.LibsndfileError as error:
                _check_length(frames, self.stated, self.info.sample_rate)
                why = f"damaged: {error.error_string or 'does not decode'}"
                raise AudioError(why, "damaged") from error
            frames += len(block)
            yield block
            if len(block) < block_frames:
                break
        _check_length(frames, self.stated, self.info.sample_rate)


class FFmpeg:
    """MP4 and M4A (also with several streams), Matroska, WMA and the rest, through PyAV."""

    def __init__(self, container: Any, stream: int) -> None:
        self.container = container
        found = container.streams.audio
        if stream >= len(found):
            raise AudioError(
                f"no audio stream {stream}: the file holds {len(found)}" if found else "no audio"
            )
        self.streams = len(found)
        self.stream = found[stream]
        context = self.stream.codec_context
        if context is None:
            raise AudioError("no decoder for this kind of audio")
        if not context.channels:
            raise AudioError("zero channels")
        if not context.sample_rate:
            raise AudioError("a sample rate of zero")
        duration = math.nan
        if self.stream.duration is not None:
            duration = float(self.stream.duration * self.stream.time_base)
        elif container.duration is not None:
            duration = container.duration / 1e6
        names = container.format.name.split(",")
        counted = duration > 0 and any(name in _COUNTED for name in names)
        self.stated = round(duration * context.sample_rate) if counted else 0
        self.info = AudioInfo(
            duration, context.sample_rate, context.channels, f"{names[0]}/{context.name}"
        )

    @classmethod
    @contextlib.contextmanager
    def open(cls, file: "IO[bytes] | Guarded", stream: int) -> "Iterator[FFmpeg]":
        """AudioError where FFmpeg knows no such format either."""
        import av  # noqa: PLC0415 - a bare GPU box reads FLAC alone and need not have it

        try:
            container = av.open(file, metadata_errors="replace")
        except (av.FFmpegError, ValueError):
            raise AudioError("not audio, or of an unknown format") from None
        with container:
            yield cls(container, stream)

    def blocks(self, block_frames: int) -> Iterator[np.ndarray]:
        """Blocks float32 [frames, channels] of `block_frames` or a little more."""
        import av  # noqa: PLC0415

        context, rate = self.stream.codec_context, self.info.sample_rate
        context.thread_count = 1  # parallelism is over files
        to_planes = av.AudioResampler("fltp", context.layout, rate)
        queue = av.AudioFifo()  # in C: frames hold a few hundred samples, and blocks are large
        frames, broken = 0, False
        for packet in self._packets():
            try:
                decoded = packet.decode()
            except (av.FFmpegError, ValueError):
                broken = frames > 0
                continue
            if decoded and broken:
                raise AudioError(f"damaged: only the first {frames / rate:.1f} s decode", "damaged")
            for frame in decoded:
                plain = [frame] if frame.format.name == "fltp" else _converted(to_planes, frame)
                for part in plain:
                    frames += part.samples
                    _push(queue, part)
            if queue.samples >= block_frames:
                yield _drained(queue)
        if queue.samples:
            yield _drained(queue)
        if self.stated:
            _check_length(frames, self.stated, rate)

    def _packets(self) -> Iterator[Any]:
        """The stream's packets; a container that breaks off is one that ends there."""
        import av  # noqa: PLC0415

        with contextlib.suppress(av.FFmpegError):
            yield from self.container.demux(self.stream)


def _faster(
    found: Libsndfile, file: "IO[bytes] | Guarded", held: contextlib.ExitStack
) -> FFmpeg | None:
    """FFmpeg for an Ogg file that libsndfile knows: the same samples in half the time.

    None where FFmpeg is not there or takes the file for something else. More than two channels
    come in another order.
    """
    if found.info.format not in _FASTER or found.info.channels > 2:
        return None
    file.seek(0)
    try:
        other = held.enter_context(FFmpeg.open(file, 0))
    except (AudioError, ImportError):
        file.seek(0)
        return None
    if (other.info.sample_rate, other.info.channels, other.streams) != (
        found.info.sample_rate, found.info.channels, 1,
    ):  # fmt: skip
        file.seek(0)
        return None
    other.info, other.stated = found.info, found.stated
    return other


def _converted(to_planes: Any, frame: Any) -> list[Any]:
    try:
        return to_planes.resample(frame)
    except ValueError as error:
        raise AudioError("damaged: the kind of samples changes on the way", "damaged") from error


def _push(queue: Any, frame: Any) -> None:
    frame.pts = None  # gaps in time stamps are no silence
    try:
        queue.write(frame)
    except ValueError as error:
        why = "damaged: the rate or the channels change on the way"
        raise AudioError(why, "damaged") from error


def _drained(queue: Any) -> np.ndarray:
    """All that a queue of planar frames holds, [frames, channels]."""
    return queue.read().to_ndarray().T


class Guarded:
    """A file that remembers what went wrong below the C code, which drops Python's exceptions.

    Otherwise a broken connection would look like the end of a file, a lasting verdict on a passing
    fault, and a disk that fills up in a format's last bytes would go unnoticed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        return self._guard(b"", self._file.read, size)

    def write(self, data: bytes) -> int:
        return self._guard(0, self._file.write, data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._guard(0, self._file.seek, offset, whence)

    def tell(self) -> int:
        return self._guard(0, self._file.tell)

    def _guard(self, otherwise: _T, call: Callable[..., _T], *args: Any) -> _T:
        if self._error is not None:
            return otherwise
        try:
            return call(*args)
        except ValueError:  # a damaged header sends the decoder to an impossible place
            return otherwise
        except Exception as error:
            self._error = error
            return otherwise

    def raise_error(self) -> None:
        """The first error met, as an OSError."""
        if isinstance(self._error, OSError):
            raise self._error
        if self._error is not None:
            raise OSError(f"input or output failed: {self._error}") from self._error


@contextlib.contextmanager
def _bytes_of(uri: str) -> "Iterator[IO[bytes] | Guarded]":
    with open_bytes(uri) as file:
        if is_local(uri):
            try:
                yield file
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                raise AudioError("damaged: it points outside itself", "damaged") from error
            return
        remote = Guarded(file)
        try:
            yield remote
        except AudioError:
            remote.raise_error()
            raise
        remote.raise_error()


def open_bytes(uri: str) -> IO[bytes]:
    """A file's bytes; AudioError for what no second try will open."""
    local = is_local(uri)
    try:
        return files.open_local(str(local_path(uri))) if local else files.open_input(uri)
    except FileNotFoundError as error:
        cause = error.__cause__  # fsspec says "not found" of a web server that is down as well
        if isinstance(cause, OSError) or getattr(cause, "status", _GONE[0]) not in _GONE:
            raise OSError(f"cannot be reached: {cause}") from error
        raise AudioError("no such file", "missing") from None
    except ValueError as error:  # a null character in a path, a scheme that nobody knows
        raise AudioError(f"cannot be opened: {error}") from None
    except OSError as error:
        if local and not retry.passes(error):
            raise AudioError((error.strerror or "cannot be opened").lower()) from None
        if error.errno == errno.EPROTONOSUPPORT and not uri.startswith(_STORES):
            raise AudioError(f"cannot be opened: {error.strerror}") from None
        raise


def _check_rate(rate: int) -> None:
    """AudioError for a rate that no recording has: resampling it could fill any memory or disk."""
    if not SLOWEST_HZ <= rate <= FASTEST_HZ:
        raise AudioError(f"damaged: a sample rate of {rate:,} Hz", "damaged")


def _check_length(frames: int, stated: int, rate: int) -> None:
    """AudioError where a stream ended well before what its header states."""
    if stated - frames > min(_MISSING_S * rate, 0.1 * stated):
        raise AudioError(
            f"truncated or damaged: {frames / rate:.1f} of {stated / rate:.1f} s decodable",
            "damaged",
        )
