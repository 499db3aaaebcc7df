"""What the frames of MP3, MP2 and ADTS say before they are decoded: how many a first frame states
(Xing, Info or VBRI), whether they are of free format, and how long each is. Free of Beam."""

import io
import itertools
import struct
from dataclasses import dataclass

from stemlode.audio.containers import tags
from stemlode.audio.containers.opening import Bytes

_HEAD_BYTES = 1 << 16  # among which a first frame is looked for, after the tags
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8000)}
_ADTS_RATES = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000,
    7350,
)  # fmt: skip
_KBITS = {  # by (MPEG-1 or not, layer)
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_FREE_SAME = 0xFFFEFC00  # of a header, what frames of free format share: all but padding and mode


@dataclass(frozen=True)
class Frame:
    """An MPEG audio frame by its header: `size` in bytes is 0 where the format is free."""

    version: int  # 3 is MPEG-1, 2 MPEG-2, 0 MPEG-2.5
    layer: int
    sample_rate: int
    size: int
    mono: bool

    @property
    def samples(self) -> int:
        """Of a channel."""
        if self.layer == 1:
            return 384
        return 1152 if self.layer == 2 or self.version == 3 else 576


@dataclass(frozen=True)
class Mpeg:
    """How an MPEG audio stream begins.

    `stated_s` is the length that its first frame states, None where it states none, or where it
    was written for less than what the file holds.
    """

    free_format: bool
    stated_s: float | None = None


def mpeg(file: Bytes) -> Mpeg | None:
    """How an MPEG audio file begins; None where its content does not begin with its frames."""
    start = tags.after_tags(file)
    size = file.seek(0, io.SEEK_END)
    file.seek(start)
    head = file.read(_HEAD_BYTES)
    at = len(head) - len(head.lstrip(b"\0"))  # tags may be padded from outside
    frame = frame_at(head, at)
    if frame is None:
        return None
    if not frame.size:
        return Mpeg(free_format=True) if _free_size(head, at) else None
    following = frame_at(head, at + frame.size)
    if following is None and at + frame.size + 4 <= len(head):
        return None
    return Mpeg(False, _stated_s(head[at:], frame, size - start - at))


def frame_at(data: bytes, at: int) -> Frame | None:
    """The frame whose header lies there."""
    if at + 4 > len(data):
        return None
    (header,) = struct.unpack_from(">I", data, at)
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    kbits, rate = header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or kbits == 15 or rate == 3:
        return None
    sample_rate, mono = _RATES[version][rate], header >> 6 & 3 == 3
    frame = Frame(version, layer, sample_rate, 0, mono)
    if not kbits:
        return frame
    bits = 1000 * _KBITS[version == 3, layer][kbits - 1]
    slot = 4 if layer == 1 else 1
    size = (frame.samples // 8 * bits // (sample_rate * slot) + (header >> 9 & 1)) * slot
    return Frame(version, layer, sample_rate, size, mono)


def _mpeg_s(head: bytes) -> float:
    """Seconds of the MPEG audio frame that begins so; 0 where it is none."""
    frame = frame_at(head, 0)
    return frame.samples / frame.sample_rate if frame else 0.0


def _adts_s(head: bytes) -> float:
    """Seconds of the ADTS frame that begins so; 0 where it is none."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0.0
    rate = head[2] >> 2 & 15
    return 1024 * ((head[6] & 3) + 1) / _ADTS_RATES[rate] if rate < len(_ADTS_RATES) else 0.0


# FFmpeg's name of a format that is nothing but frames → seconds of a frame, from its header.
FRAMED = {"mp3": _mpeg_s, "aac": _adts_s}


def _free_size(head: bytes, at: int) -> int:
    """Bytes of a frame of free format without its padding; 0 where it is none. Two more headers
    must follow, as far from each other as the first two are."""
    (first,) = struct.unpack_from(">I", head, at)
    places = [at]
    for place in range(at + 24, len(head) - 4):
        if head[place] == 0xFF and _is_like(head[place : place + 4], first):
            places.append(place)
            if len(places) == 3:
                break
    if len(places) < 3:
        return 0
    sizes = [end - begin - _slot(head[begin:]) for begin, end in itertools.pairwise(places)]
    return sizes[0] if sizes[0] == sizes[1] else 0


def _is_like(head: bytes, first: int) -> bool:
    """Whether a header is of a stream of free format that begins with that one."""
    return int.from_bytes(head[:4], "big") & _FREE_SAME == first & _FREE_SAME


def _slot(head: bytes) -> int:
    """Bytes by which a frame is padded."""
    return (4 if 4 - (head[1] >> 1 & 3) == 1 else 1) * (head[2] >> 1 & 1)


def free_format_header(file: Bytes) -> bytes:
    """A frame to put before those of a stream of free format, which states how many they are; empty
    where the stream states it."""
    at = tags.after_tags(file)
    file.seek(at)
    head = file.read(_HEAD_BYTES)
    at += (skipped := len(head) - len(head.lstrip(b"\0")))
    head = head[skipped:]
    frame, size = frame_at(head, 0), _free_size(head, 0)
    if frame is None or not size or _stated_s(head, frame, 0) is not None:
        return b""
    first, count = int.from_bytes(head[:4], "big"), 0
    while True:
        file.seek(at)
        header = file.read(4)
        if len(header) < 4 or not _is_like(header, first):
            break
        count, at = count + 1, at + size + _slot(header)
    side = _side_bytes(frame)
    states = b"Info" + struct.pack(">II", 1, count)
    start = struct.pack(">I", first & ~(1 << 9) | 1 << 16)  # neither padded nor with a checksum
    return (start + bytes(side) + states).ljust(size, b"\0")


def _stated_s(head: bytes, frame: Frame, held: int) -> float | None:
    """Seconds that a first frame states of a stream that is `held` bytes long."""
    found = _xing(head, frame) or _vbri(head)
    if found is None:
        return None
    frames, size, padding = found
    if not frames or (size and held - size > size >> 4):
        return None
    return max(0, frames * frame.samples - padding) / frame.sample_rate


def _side_bytes(frame: Frame) -> int:
    """Of a layer III frame, between its header and its data."""
    if frame.version == 3:
        return 17 if frame.mono else 32
    return 9 if frame.mono else 17


def _xing(head: bytes, frame: Frame) -> tuple[int, int, int] | None:
    """Frames, bytes, and samples of delay and padding; 0 for what is not stated."""
    if frame.layer != 3:
        return None
    side = _side_bytes(frame)
    at = next((n for n in (4 + side, 6 + side) if head[n : n + 4] in (b"Xing", b"Info")), 0)
    if not at or len(head) < at + 8:
        return None
    (flags,) = struct.unpack_from(">I", head, at + 4)
    at += 8
    numbers = []
    for flag, width in ((1, 4), (2, 4), (4, 100), (8, 4)):
        there = bool(flags & flag)
        numbers.append(int.from_bytes(head[at : at + 4], "big") if there else 0)
        at += width if there else 0
    delays = int.from_bytes(head[at + 21 : at + 24], "big") if head[at : at + 1].isalpha() else 0
    return numbers[0], numbers[1], (delays >> 12) + (delays & 0xFFF)


def _vbri(head: bytes) -> tuple[int, int, int] | None:
    if head[36:40] != b"VBRI" or len(head) < 54:
        return None
    size, frames = struct.unpack_from(">II", head, 46)
    return frames, size, 0
