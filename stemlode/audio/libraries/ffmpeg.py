"""FFmpeg, through PyAV: all compressed sound, and PCM of more than two channels."""

import contextlib
import errno
import io
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from stemlode.audio.containers import chunks, flac, mpeg, tags
from stemlode.audio.containers.info import (
    MISSING_S,
    STATED,
    AudioError,
    AudioInfo,
    Block,
    check_length,
)
from stemlode.audio.containers.opening import Bytes

# By FFmpeg's name of a container: what its header states is held to …
_OF_STREAM = {"mov", "avi", "mpc", "mpc8", "dsf"}  # of the stream, to half a second
_EXACT = {"flac", "wv", "tta", "ape", "tak"}  # of the stream, to the last sample
_PCM = {"wav", "w64", "aiff", "caf", "au"}  # of PCM; for other codecs they may guess
_OF_CONTAINER = {"matroska", "asf"}  # of whichever of its streams is the longest
_BY_TIME = {"ogg", "flac"}  # or, where no header does: time stamps, in which a hole shows
_CHECKED = {"flac", "wavpack", "tta", "ape", "tak"}  # codecs with a checksum of each block
_PAGE_S = 2.0  # of Ogg, at most; where the first page is longer, frames are counted
_PATIENCE = 64  # errors in a row after which a container is taken to have ended
_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")  # a tag of Matroska's streams
_KINDS: dict[str, np.dtype[Any]] = {  # of samples, by FFmpeg's name
    "u8": np.dtype("u1"),
    "s16": np.dtype("i2"),
    "s32": np.dtype("i4"),
    "flt": np.dtype("f4"),
    "dbl": np.dtype("f8"),
}


class FFmpeg:
    """An audio stream of a file that FFmpeg reads.

    `ended` is false where the file lacks the mark of a stream's end that its format asks for;
    `channels` are their names, where the file says them.
    """

    def __init__(
        self,
        container: Any,
        stream: int,
        stated_s: float | None,
        ended: bool,
        times_held: float = 1.0,
        granules: int | None = None,
    ) -> None:
        """As `open`."""
        self.container, self._times_held, self._granules = container, times_held, granules
        found = container.streams.audio
        if stream >= len(found):
            raise AudioError(
                f"no audio stream {stream}: the file holds {len(found)}" if found else "no audio"
            )
        self.streams, self.ended = len(found), ended
        self.stream = found[stream]
        context = self.stream.codec_context
        if context is None:
            raise AudioError("no decoder for this kind of audio")
        if not context.channels:
            raise AudioError("zero channels")
        if not context.sample_rate:
            raise AudioError("a sample rate of zero")
        self.channels = tuple(c.name for c in context.layout.channels)
        self._name = container.format.name.split(",")[0]
        self._codec = context.codec.canonical_name
        self._unit_s = float(self.stream.time_base or 0)  # of its time stamps
        self._start_s = (self.stream.start_time or 0) * self._unit_s  # what the first frame has
        self._all_s = self._of_container()
        self._from_within = False
        self._reached_s = 0.0  # where the last packet of any stream ended, if that is asked
        self._stated_s = self._of_stream() if stated_s is None else stated_s
        known = self._stated_s or self._unchecked()
        self.info = AudioInfo(
            known or math.nan,
            context.sample_rate,
            context.channels,
            f"{self._name}/{self._codec}",
            STATED if known else "",
        )

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        file: Bytes,
        stream: int = 0,
        container: str | None = None,
        stated_s: float | None = None,
        ended: bool = True,
        times_held: float = 1.0,
        granules: int | None = None,
    ) -> "Iterator[FFmpeg]":
        """AudioError where FFmpeg knows no such format either.

        Args:
            file: what to read.
            stream: which audio stream, from 0.
            container: FFmpeg's name of the format, where it is known; else it is found out.
            stated_s: seconds that the file states, where FFmpeg does not tell; 0 for none.
            ended: as the attribute.
            times_held: as in `chunks`; FFmpeg takes what is there of a cut file for whole.
            granules: as in `ogg.Link`; FFmpeg may take where a stream ends for its length.
        """
        import av  # noqa: PLC0415 - PCM and shards are read without

        bounded = _Bounded(file)
        try:
            found = av.open(bounded, format=container, metadata_errors="replace")
        except (av.FFmpegError, ValueError):
            if bounded.overrun:
                raise AudioError("damaged: it points outside itself", "damaged") from None
            if chunks.is_mp4(file):
                why = "damaged: an MP4 without its index: cut, or never finished"
                raise AudioError(why, "damaged") from None
            raise AudioError("not audio, or of an unknown format") from None
        with found:
            yield cls(found, stream, stated_s, ended, times_held, granules)

    def blocks(self, block_frames: int) -> Iterator[Block]:
        """Blocks of `block_frames` or a little more, each valid until the next is asked for. Their
        rate and channels may change."""
        import av  # noqa: PLC0415

        context = self.stream.codec_context
        context.thread_count = 1  # parallelism is over files
        if self._codec in _CHECKED:
            context.options = {"err_detect": "crccheck+explode"}
        queue, junk, heard_s = _Queue(self._unit_s, self._start_s), _Junk(), 0.0
        first: int | None = None  # time stamp
        last: tuple[int, Any] | None = None  # time stamp and frame
        for packet in self._packets():
            try:
                decoded = packet.decode()
            except (av.FFmpegError, ValueError):
                if heard_s or queue.frames:
                    junk.add(packet, (packet.duration or 0) * self._unit_s)
                continue
            if decoded and junk.is_damage:
                raise self._broken(heard_s + queue.seconds)
            for frame in decoded:
                if (pts := frame.pts) is not None:
                    first, last = pts if first is None else first, (pts, frame)
                if not queue.add(frame, pts):
                    if queue.frames:
                        heard_s += queue.seconds
                        yield queue.drained()
                    queue = _Queue(self._unit_s, self._start_s)
                    queue.add(frame, pts)
            if queue.frames >= block_frames:
                heard_s += queue.seconds
                yield queue.drained()
        if queue.frames:
            heard_s += queue.seconds
            yield queue.drained()
        if junk.seconds > MISSING_S:
            raise self._broken(heard_s)
        self._check(heard_s, self._ends_s(first or 0, *last) if last else 0.0)

    def seek(self, start_s: float) -> bool:
        """Let the next blocks begin there or a little before, as their time stamps say; False where
        that cannot be found."""
        import av  # noqa: PLC0415

        self._from_within = True
        try:
            at = math.floor((self._start_s + start_s) / self._unit_s)
            self.container.seek(at, stream=self.stream)
        except (av.FFmpegError, ZeroDivisionError):
            return False
        return True

    def count_s(self) -> float:
        """The length in seconds by the frames' headers; nothing is decoded. AudioError for FLAC
        that goes on in another depth of bits, which FFmpeg would not decode."""
        seconds_of = mpeg.FRAMED.get(self._name)
        if seconds_of is not None:
            return sum(seconds_of(bytes(memoryview(packet)[:7])) for packet in self._packets())
        total, begin, end, depths = 0, None, 0, {0}
        for packet in self._packets():
            total += packet.duration or 0
            if self._name == "flac":
                depths.add(flac.depth(bytes(memoryview(packet)[:4])))
                if len(depths) > 2:
                    raise AudioError("damaged: FLAC of two depths of bits", "damaged")
            if packet.pts is not None:
                begin = packet.pts if begin is None else min(begin, packet.pts)
                end = max(end, packet.pts + (packet.duration or 0))
        return max(total * self._unit_s, self._spanned_s((end - (begin or 0)) * self._unit_s))

    def bits_a_second(self, seconds: float) -> float:
        """Of the stream's first seconds, as they are encoded; 0 where its packets tell no time."""
        seconds_of = mpeg.FRAMED.get(self._name)
        size = reached_s = 0.0
        for packet in self._packets():
            if seconds_of is not None:
                reached_s += seconds_of(bytes(memoryview(packet)[:7]))
            else:
                reached_s += (packet.duration or 0) * self._unit_s
            size += packet.size
            if reached_s >= seconds:
                break
        return 8 * size / reached_s if reached_s > 0 else 0.0

    def _packets(self) -> Iterator[Any]:
        """The stream's packets. A container that breaks off may go on behind the damage."""
        import av  # noqa: PLC0415

        others = bool(self._all_s) and len(self.container.streams) > 1
        wanted: Sequence[Any] = () if others else (self.stream,)
        stuck, own = 0, self.stream.index
        while stuck < _PATIENCE:
            try:
                for packet in self.container.demux(*wanted):
                    if others and packet.pts is not None and packet.time_base:
                        end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                        self._reached_s = max(self._reached_s, end_s)
                    if packet.stream_index == own:
                        stuck = 0
                        yield packet
                return
            except av.FFmpegError:
                stuck += 1

    def _broken(self, heard_s: float) -> AudioError:
        return AudioError(f"damaged: only the first {heard_s:.1f} s decode", "damaged")

    def _ends_s(self, first: int, pts: int, frame: Any) -> float:
        """When the last frame ends, by its time stamp and that of the first."""
        return float((pts - first) * self._unit_s + frame.samples / frame.sample_rate)

    def _check(self, heard_s: float, last_s: float) -> None:
        """AudioError where less came than was stated; `last_s` by the frames' time stamps."""
        if self._from_within:
            return
        check_length(heard_s, heard_s * self._times_held)
        slack_s = 0.5 / self.info.sample_rate if self._name in _EXACT else MISSING_S
        if self._all_s:
            check_length(max(heard_s, self._reached_s), self._all_s)
        elif self._stated_s:
            check_length(heard_s, self._stated_s, slack_s)
        elif self._name in _BY_TIME:
            check_length(heard_s, self._spanned_s(last_s), slack_s)

    def _of_stream(self) -> float:
        """Seconds that the header states of the stream, and that are held to; 0 for none."""
        name, stream = self._name, self.stream
        plain = name in _PCM and self._codec.startswith("pcm")
        if not (plain or name in _OF_STREAM or name in _EXACT) or stream.duration is None:
            return 0.0
        return max(0.0, stream.duration * self._unit_s * (self._times_held if plain else 1.0))

    def _of_container(self) -> float:
        """Seconds that the header states of all streams together; 0 for none."""
        if self._name not in _OF_CONTAINER or self.container.duration is None:
            return 0.0
        return max(0.0, self.container.duration / 1e6)

    def _spanned_s(self, seconds: float) -> float:
        """Seconds by FFmpeg's time stamps, or what the pages of Ogg span where they say less: of
        some codecs it counts a stream that was cut out of a longer one from where that began."""
        spanned_s = math.inf if self._granules is None else self._granules * self._unit_s
        return seconds if seconds <= spanned_s + _PAGE_S else spanned_s

    def _unchecked(self) -> float:
        """Seconds that are stated of the stream without being held to: by a tag, by the last page
        of an Ogg file, or of a container that holds nothing else."""
        tag = _DURATION.match(self.stream.metadata.get("DURATION", ""))
        if tag:
            return 3600.0 * int(tag[1]) + 60.0 * int(tag[2]) + float(tag[3])
        if self._name == "ogg" and self.stream.duration is not None:
            seconds = max(0.0, self.stream.duration * self._unit_s)
            known = self._spanned_s(seconds) == seconds
            return max(0.0, seconds - self._skipped_s()) if known else 0.0
        return self._all_s if len(self.container.streams) == 1 else 0.0

    def _skipped_s(self) -> float:
        """Seconds that Opus has before its sound, to be skipped; FFmpeg counts them as well."""
        context = self.stream.codec_context
        head = context.extradata or b"" if self._codec == "opus" else b""
        return int.from_bytes(head[10:12], "little") / 48_000 if head[:8] == b"OpusHead" else 0.0


class _Bounded:
    """A file that refuses a place outside itself as C does, by a number: PyAV would print an
    exception. `overrun` where it was asked for one."""

    def __init__(self, file: Bytes) -> None:
        self._file, self.overrun = file, False
        self.read, self.tell = file.read, file.tell

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (ValueError, OverflowError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
        self.overrun = True
        return -1


class _Junk:
    """Packets that do not decode, behind others that do: damage, if they are no tags and others
    follow, or if they are as long as what may be missing of a file."""

    def __init__(self) -> None:
        self.is_damage = False
        self.seconds = 0.0
        self._tag_ends = 0

    def add(self, packet: Any, seconds: float) -> None:
        """A packet that does not decode, and its length by its header."""
        at = packet.pos if packet.pos is not None else -1
        size = tags.tag_bytes(bytes(packet))
        if size:
            self._tag_ends = at + size
        elif not 0 <= at < self._tag_ends:
            self.is_damage = True
            self.seconds += seconds


class _Queue:
    """Decoded frames of one rate and kind, in C: each holds but a few hundred samples."""

    def __init__(self, unit_s: float, start_s: float) -> None:
        """The unit of time stamps, and what they count from."""
        import av  # noqa: PLC0415

        self._fifo = av.AudioFifo()
        self._layout: Any = None
        self._channels, self._rate = 0, 1
        self._unit_s, self._start_s = unit_s, start_s
        self._begins_s: float | None = None
        self._buffer = np.empty(0, np.float32)
        self.frames = 0  # samples of a channel

    @property
    def seconds(self) -> float:
        return self.frames / self._rate

    def add(self, frame: Any, pts: int | None) -> bool:
        """False where a frame is of another kind than those before it."""
        if self._layout is None:
            self._layout, self._rate = frame.layout, frame.sample_rate
            self._channels = self._layout.nb_channels
        elif frame.layout.nb_channels != self._channels:
            return False  # which the queue itself would not notice
        if pts is not None:
            if not self.frames:
                self._begins_s = pts * self._unit_s - self._start_s
            frame.pts = None  # gaps in time stamps are no silence
        try:
            self._fifo.write(frame)
        except ValueError:
            return False
        self.frames += frame.samples
        return True

    def drained(self) -> Block:
        """All that is held, valid until the next is asked for."""
        frame = self._fifo.read()
        assert frame is not None
        self.frames = 0
        names = tuple(channel.name for channel in self._layout.channels)
        count, frames = len(names), frame.samples
        kind = _KINDS[frame.format.packed.name]
        planes: list[np.ndarray] = [
            np.frombuffer(memoryview(plane), kind) for plane in frame.planes
        ]
        if not frame.format.is_planar:
            planes = list(planes[0][: count * frames].reshape(frames, count).T)
        if self._buffer.size < count * frames:  # a new one for each block costs page faults
            self._buffer = np.empty(count * frames, np.float32)
        found = self._buffer[: count * frames].reshape(count, frames)
        for row, plane in zip(found, planes, strict=True):
            _to_floats(plane[:frames], row)
        return Block(found, self._rate, names, self._begins_s)


def _to_floats(samples: np.ndarray, out: np.ndarray) -> None:
    """Samples of any kind as float32, full scale ±1."""
    if samples.dtype.kind == "i":
        full = np.float32(2.0 ** (1 - 8 * samples.dtype.itemsize))
        np.multiply(samples, full, out=out, casting="same_kind")
    elif samples.dtype.kind == "u":
        np.subtract(samples, np.float32(128), out=out)
        out /= 128
    else:
        out[:] = samples
