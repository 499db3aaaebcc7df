"""What FLAC says before it is decoded: where its frames lie in its sound. Free of Beam."""

import io
import itertools
from dataclasses import dataclass

from stemlode.audio.containers import tags
from stemlode.audio.containers.opening import Bytes

_SIZES = (0, 192, 576, 1152, 2304, 4608, 0, 0, *(256 << n for n in range(8)))
_HEAD_BYTES = 16  # the longest
_FRAMES_BYTES = 1 << 17  # among which two frames of FLAC are looked for


@dataclass(frozen=True)
class Frame:
    """A frame of FLAC by its header: where it lies in the file, its first sample, and how many."""

    at: int
    first: int
    samples: int


def states_less(file: Bytes) -> bool:
    """Whether a FLAC file holds frames of samples beyond those that its header states."""
    at = tags.after_tags(file)
    file.seek(at)
    head = file.read(26)
    if head[:4] != b"fLaC" or head[4] & 0x7F or len(head) < 26:
        return False
    size, stated = int.from_bytes(head[8:10], "big"), int.from_bytes(head[21:26], "big")
    stated &= (1 << 36) - 1
    if not stated:
        return False
    end = file.seek(0, io.SEEK_END)
    file.seek(max(at, end - _FRAMES_BYTES))
    places = _frames(file.read(_FRAMES_BYTES), size)
    return any(
        b.first == a.first + a.samples and b.first >= stated for a, b in itertools.pairwise(places)
    )


def first_block(file: Bytes) -> int | None:
    """Where the first frame of a FLAC stream begins that has lost its header, and all before that
    frame; None where no two frames follow each other near the file's beginning."""
    file.seek(0)
    places = _frames(file.read(_FRAMES_BYTES), 0)
    following = (a for a, b in itertools.pairwise(places) if b.first == a.first + a.samples)
    return next((frame.at for frame in following), None)


def _frames(data: bytes, size: int) -> list[Frame]:
    """The frames of FLAC whose headers are found (RFC 9639, section 9.1). `size`: of all blocks in
    samples, where it is fixed; 0 where that is not known: then the first frame's."""
    found, at = list[Frame](), data.find(0xFF)
    while 0 <= at <= len(data) - _HEAD_BYTES:
        frame = _frame(data[at : at + _HEAD_BYTES])
        if frame is not None:
            number, samples, by_sample = frame
            size = size or samples
            found.append(Frame(at, number if by_sample else number * size, samples))
        at = data.find(0xFF, at + 1)
    return found


def _frame(head: bytes) -> tuple[int, int, bool] | None:
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
    size = _SIZES[sizes] or int.from_bytes(head[at : at + wide], "big") + 1
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
