"""What the frames of MP3 and FLAC, Ogg pages and chunks say before anything is decoded, which no
decoder passes on.

The number of frames that an MP3's first frame may state (Xing, Info or VBRI), whether it is of free
format, where the last frames of a FLAC file lie in its sound, where the links of an Ogg file begin
and end, and how many bytes a WAV and its relations state their sound to be. Reads headers only.
Free of Beam.
"""

import io
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from stemlode.audio.info import AudioError
from stemlode.audio.opening import Bytes, Section

_HEAD_BYTES = 1 << 16  # among which a first frame is looked for, after the tags
_PIECE_BYTES = 1 << 20
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
_FLAC_SIZES = (0, 192, 576, 1152, 2304, 4608, 0, 0, *(256 << n for n in range(8)))
_FLAC_HEAD_BYTES = 16  # the longest
_FLAC_FRAMES_BYTES = 1 << 17  # among which two frames of FLAC are looked for
_SAME = 0xFFFE0C00  # of a header, what the frames of a stream share: version, layer, rate
_FREE_SAME = 0xFFFEFC00  # and the bit rate
_UNKNOWN_BYTES = 0x7FFF_0000  # sizes of 32 bits from here on are what streaming writers put
_MOST_CHUNKS = 1000
_WRAPS, _LARGEST_TAIL = 1 << 32, 1 << 20  # what a size of 32 bits loses; tags behind the sound


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


@dataclass(frozen=True)
class FlacFrame:
    """A frame of FLAC by its header: where it lies in the file, its first sample, and how many."""

    at: int
    first: int
    samples: int


@dataclass(frozen=True)
class Link:
    """A part of an Ogg file with streams of its own; `ended` where all of them are marked so.

    `granules`: of a single stream, from the end of its first page to that of its last, in its unit
    of time. A stream that was cut out of a longer one counts from where that began.
    """

    start: int
    end: int
    ended: bool
    granules: int | None = None


def after_tags(file: Bytes) -> int:
    """Where a file's content begins: after the ID3v2 tags at its head."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(10)
        size = tag_bytes(head) if head[:3] == b"ID3" else 0
        if not size:
            return at
        at += size


def tag_bytes(data: bytes) -> int:
    """How many bytes the tag is long that begins here; 0 where none does."""
    if data[:3] == b"ID3" and len(data) >= 10 and max(data[6:10]) < 0x80:
        size = data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]
        return 10 + size + (10 if data[5] & 0x10 else 0)
    if data[:8] == b"APETAGEX" and len(data) >= 16:
        return 32 + int.from_bytes(data[12:16], "little")
    if data[:3] == b"TAG":
        return 128
    return len(data) if data[:11] == b"LYRICSBEGIN" else 0


def mpeg(file: Bytes) -> Mpeg | None:
    """How an MPEG audio file begins; None where its content does not begin with its frames."""
    start = after_tags(file)
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
    at = after_tags(file)
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


def is_mp4(file: Bytes | Section) -> bool:
    """Whether a file begins as MP4 and its relations do."""
    file.seek(0)
    return file.read(8)[4:] == b"ftyp"


def times_held(file: Bytes) -> float:
    """How many times the bytes of sound that are there a WAV, RF64, W64, AIFF, AU, CAF or AVI
    states: 1 for a whole file, for one whose size is left open, and for all other formats.
    AudioError for a WAV whose size was too large for its header."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(32)
    found = _au(head) if head[:4] in (b".snd", b"dns.") else _sound_chunk(file, head, size)
    if found is None:
        return 1.0
    start, stated = found
    held = size - start
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE" and held - stated > _WRAPS - _LARGEST_TAIL:
        why = f"its header states {stated:,} bytes of sound, and {held:,} are there: a WAV cannot "
        raise AudioError(f"damaged: {why}hold over 4 GiB; write RF64, W64 or FLAC", "damaged")
    return stated / held if 0 < held < stated else 1.0


def _au(head: bytes) -> tuple[int, int] | None:
    if len(head) < 12:
        return None
    start, stated = struct.unpack_from(">II" if head[:4] == b".snd" else "<II", head, 4)
    return (start, stated) if stated < _UNKNOWN_BYTES else None


def _sound_chunk(file: Bytes, head: bytes, size: int) -> tuple[int, int] | None:
    """Where the chunk of sound begins and how many bytes it states; None where there is none, or
    where its size is left open."""
    kind = head[:4]
    wide = kind == b"riff"  # W64: names of 16 bytes, sizes of 64 bits that count their own header
    if wide:
        at, order, step = 40, "<16sQ", 24
    elif kind == b"caff":
        at, order, step = 8, ">4sq", 12
    elif kind in (b"RIFF", b"RF64", b"BW64"):
        at, order, step = 12, "<4sI", 8
    elif kind in (b"RIFX", b"FORM"):
        at, order, step = 12, ">4sI", 8
    else:
        return None
    film, of_64_bits = head[8:12] == b"AVI ", 0
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        data = file.read(step + 16)
        if len(data) < step:
            return None
        name, stated = struct.unpack_from(order, data)
        name, at = name[:4], at + step
        stated -= step if wide else 0
        if name == b"ds64":
            of_64_bits = int.from_bytes(data[step + 8 : step + 16], "little")
        elif name == b"data" and stated == 0xFFFFFFFF and of_64_bits and kind != b"RIFF":
            return at, of_64_bits
        if name in (b"data", b"SSND") or (name == b"LIST" and film and data[step:][:4] == b"movi"):
            is_open = stated <= 0 or (step == 8 and stated >= _UNKNOWN_BYTES)
            return None if is_open else (at, stated)
        if not 0 <= stated < size:
            return None
        at += stated + (-stated % 8 if wide else stated % 2 if step == 8 else 0)
    return None


def flac_states_less(file: Bytes) -> bool:
    """Whether a FLAC file holds frames of samples beyond those that its header states."""
    at = after_tags(file)
    file.seek(at)
    head = file.read(26)
    if head[:4] != b"fLaC" or head[4] & 0x7F or len(head) < 26:
        return False
    size, stated = int.from_bytes(head[8:10], "big"), int.from_bytes(head[21:26], "big")
    stated &= (1 << 36) - 1
    if not stated:
        return False
    end = file.seek(0, io.SEEK_END)
    file.seek(max(at, end - _FLAC_FRAMES_BYTES))
    places = _flac_frames(file.read(_FLAC_FRAMES_BYTES), size)
    return any(
        b.first == a.first + a.samples and b.first >= stated for a, b in itertools.pairwise(places)
    )


def flac_within(file: Bytes) -> int | None:
    """Where the first frame of a FLAC stream begins that has lost its header, and all before that
    frame; None where no two frames follow each other near the file's beginning."""
    file.seek(0)
    places = _flac_frames(file.read(_FLAC_FRAMES_BYTES), 0)
    following = (a for a, b in itertools.pairwise(places) if b.first == a.first + a.samples)
    return next((frame.at for frame in following), None)


def _flac_frames(data: bytes, size: int) -> list[FlacFrame]:
    """The frames of FLAC whose headers are found (RFC 9639, section 9.1). `size`: of all blocks in
    samples, where it is fixed; 0 where that is not known: then the first frame's."""
    found, at = list[FlacFrame](), data.find(0xFF)
    while 0 <= at <= len(data) - _FLAC_HEAD_BYTES:
        frame = _flac_frame(data[at : at + _FLAC_HEAD_BYTES])
        if frame is not None:
            number, samples, by_sample = frame
            size = size or samples
            found.append(FlacFrame(at, number if by_sample else number * size, samples))
        at = data.find(0xFF, at + 1)
    return found


def _flac_frame(head: bytes) -> tuple[int, int, bool] | None:
    """Its number, its samples, and whether it is numbered by its first sample; None for none."""
    if head[0] != 0xFF or head[1] & 0xFE != 0xF8:
        return None
    sizes, rates = head[2] >> 4, head[2] & 15
    if not sizes or rates == 15 or head[3] >> 4 > 10 or head[3] & 1:
        return None
    further = max(0, 8 - (head[4] ^ 0xFF).bit_length() - 1)  # bytes of a number as in UTF-8
    if head[4] & 0xC0 == 0x80 or further > 6:
        return None
    number = head[4] & (0x7F if not further else 0x3F >> further)
    for byte in head[5 : 5 + further]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    at = 5 + further
    wide = {6: 1, 7: 2}.get(sizes, 0)
    size = _FLAC_SIZES[sizes] or int.from_bytes(head[at : at + wide], "big") + 1
    at += wide + {12: 1, 13: 2, 14: 2}.get(rates, 0)
    if _crc8(head[:at]) != head[at]:
        return None
    return number, size, bool(head[1] & 1)


def _crc8(data: bytes) -> int:
    """Of the polynomial x⁸ + x² + x + 1."""
    found = 0
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found << 1 ^ (0x107 if found & 0x80 else 0)
    return found


def ogg_links(file: Bytes) -> list[Link]:
    """The links of an Ogg file in order: streams that begin after others have begun, and no longer
    beside them. All of the file is read."""
    links: list[Link] = []
    start, size = 0, file.seek(0, io.SEEK_END)
    begun, over, heading, places = set[bytes](), set[bytes](), True, list[int]()

    def link(end: int) -> Link:
        span = places[-1] - places[0] if places and len(begun) == 1 else None
        return Link(start, end, begun <= over, span)

    for at, flags, serial, granule in _pages(file):
        if flags & 2 and not heading:
            links.append(link(at))
            start, begun, over, heading, places = at, set(), set(), True, []
        if flags & 2:
            begun.add(serial)
        else:
            heading = False
        if flags & 4:
            over.add(serial)
        if granule > 0:
            places = [*places[:1], granule]
    return [*links, link(size)]


def _pages(file: Bytes) -> Iterator[tuple[int, int, bytes, int]]:
    """Where each Ogg page lies, its flags, its stream's serial number, and when the last packet
    that ends on it is over (−1 where none does)."""
    file.seek(0)
    data, base, at = b"", 0, 0  # bytes from `base` on, of which those from `at` on are to be seen
    while piece := file.read(_PIECE_BYTES):
        data, base, at = data[at:] + piece, base + at, 0
        while at + 27 <= len(data):
            if data[at : at + 5] != b"OggS\0":
                found = data.find(b"OggS\0", at)
                at = found if found >= 0 else len(data) - 4
                continue
            segments = data[at + 26]
            if at + 27 + segments > len(data):
                break
            size = 27 + segments + sum(data[at + 27 : at + 27 + segments])
            if at + size > len(data):
                break
            granule = int.from_bytes(data[at + 6 : at + 14], "little", signed=True)
            yield base + at, data[at + 5], data[at + 14 : at + 18], granule
            at += size
        at = min(at, len(data))
