"""What FLAC says before it is decoded: where its frames lie in its sound. Free of Beam."""

import io
import itertools
import re
from dataclasses import dataclass

from stemlode.audio.containers import tags
from stemlode.audio.containers.opening import Bytes

_SIZES = (0, 192, 576, 1152, 2304, 4608, 0, 0, *(256 << n for n in range(8)))
_HEAD_BYTES = 16  # the longest
_FRAMES_BYTES = 1 << 17  # among which two frames of FLAC are looked for
_LOOKS = 8  # at frames, on the way through a file
_PIECE_BYTES = 1 << 20
_MARKER = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22", re.DOTALL)  # and STREAMINFO's header


@dataclass(frozen=True)
class Frame:
    """A frame of FLAC by its header: where it lies in the file, its first sample, and how many."""

    at: int
    first: int
    samples: int


def states_less(file: Bytes) -> bool:
    """Whether a FLAC file holds frames of samples beyond those that its header states."""
    start = tags.after_tags(file)
    stated, size = _stated(file, start)
    return bool(stated) and any(
        end.first >= stated for end in _ending(file, start, file.seek(0, io.SEEK_END), size)
    )


def following(file: Bytes, start: int) -> int | None:
    """Where a FLAC file begins that was joined to the one that begins here; None for none.

    All of the file is looked through only where its frames say so: where they begin to count anew,
    or do not end where the header states.
    """
    stated, size = _stated(file, start)
    end = file.seek(0, io.SEEK_END)
    last = _ending(file, start, end, size)
    ends = not stated or any(frame.first + frame.samples == stated for frame in last)
    if ends and not _counts_anew(file, start, end, size):
        return None
    at = start + 4
    while piece := _read(file, at, _PIECE_BYTES):
        found = _MARKER.search(piece)
        if found:
            return at + found.start()
        at += max(1, len(piece) - 8) if len(piece) == _PIECE_BYTES else len(piece)
    return None


def _counts_anew(file: Bytes, start: int, end: int, size: int) -> bool:
    """Whether a frame has a lower number than one before it, of frames here and there."""
    reached, every = -1, (end - start) // _LOOKS + 1
    for place in [*range(start, end, every), max(start, end - _FRAMES_BYTES)]:
        for frame in _following_frames(_read(file, place, _FRAMES_BYTES // 2), size):
            if frame.first < reached:
                return True
            reached = frame.first
    return False


def _stated(file: Bytes, start: int) -> tuple[int, int]:
    """The samples that STREAMINFO states, 0 for unknown, and those of a block."""
    head = _read(file, start, 26)
    if head[:4] != b"fLaC" or head[4] & 0x7F or len(head) < 26:
        return 0, 0
    return int.from_bytes(head[21:26], "big") & (1 << 36) - 1, int.from_bytes(head[8:10], "big")


def _ending(file: Bytes, start: int, end: int, size: int) -> list[Frame]:
    """Frames near the end of a file, each of which follows on another."""
    place = max(start, end - _FRAMES_BYTES)
    return _following_frames(_read(file, place, _FRAMES_BYTES), size)


def _following_frames(data: bytes, size: int) -> list[Frame]:
    return [b for a, b in itertools.pairwise(_frames(data, size)) if b.first == a.first + a.samples]


def _read(file: Bytes, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


def first_block(file: Bytes) -> int | None:
    """Where the first frame of a FLAC stream begins that has lost its header, and all before that
    frame; None where no two frames follow each other near the file's beginning."""
    file.seek(0)
    places = _frames(file.read(_FRAMES_BYTES), 0)
    following = (a for a, b in itertools.pairwise(places) if b.first == a.first + a.samples)
    return next((frame.at for frame in following), None)


def depth(head: bytes) -> int:
    """The code of a frame's bits a sample; 0 where the file's header states it, or for no frame."""
    return head[3] >> 1 & 7 if len(head) > 3 and head[0] == 0xFF and head[1] & 0xFE == 0xF8 else 0


def _frames(data: bytes, size: int) -> list[Frame]:
    """The frames of FLAC whose headers are found (RFC 9639, section 9.1). `size`: of all blocks in
    samples, where it is fixed; 0 where that is not known: then the first frame's."""
    found, at = list[Frame](), data.find(0xFF)
    while 0 <= at <= len(data) - _HEAD_BYTES:
        frame = frame_head(data[at : at + _HEAD_BYTES])
        if frame is not None:
            number, samples, by_sample = frame
            size = size or samples
            found.append(Frame(at, number if by_sample else number * size, samples))
        at = data.find(0xFF, at + 1)
    return found


def frame_head(head: bytes) -> tuple[int, int, bool] | None:
    """What a frame's header says, in 16 bytes or more: its number, its samples, and whether it is
    numbered by its first sample. None for none."""
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
    size = _SIZES[sizes] or int.from_bytes(head[at : at + wide], "big") + 1
    at += wide + {12: 1, 13: 2, 14: 2}.get(rates, 0)
    if crc8(head[:at]) != head[at]:
        return None
    return number, size, bool(head[1] & 1)


def crc8(data: bytes) -> int:
    """Of the polynomial x⁸ + x² + x + 1."""
    found = 0
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found << 1 ^ (0x107 if found & 0x80 else 0)
    return found
