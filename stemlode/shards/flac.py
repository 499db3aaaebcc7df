"""Parts of FLAC files: where frames begin, and some of them as a file of their own.

libsndfile writes no seek table, and shards stay as they are written, so the index holds one: a seek
point about every half second. What lies from one of them to another is whole frames.
"""

import io

from stemlode.audio.containers.flac import crc8, frame_head

SEEK_S = 0.5  # from one seek point to the next, about
_MAGIC, _STREAMINFO_BYTES, _HEAD_BYTES = b"fLaC", 34, 16
_SIDES = (8, 9, 10)  # what stereo may be coded as, beside left and right
_BITS = {1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}


def seek_points(data: bytes) -> tuple[int, list[int]] | None:
    """Seek points of a FLAC file: how many samples there are from one to the next, and the byte at
    which the frame of each begins. None for anything else, or where blocks differ in length.

    Frames are found by their headers (RFC 9639, section 9.1), of which all is known: sync code,
    number and CRC-8.
    """
    begin = _first_frame(data)
    first = frame_head(data[begin : begin + _HEAD_BYTES].ljust(_HEAD_BYTES, b"\0"))
    if not begin or first is None or first[0] or first[2]:
        return None
    block, rate = first[1], int.from_bytes(data[18:21], "big") >> 4
    total = int.from_bytes(data[21:26], "big") & (1 << 36) - 1
    every = max(1, round(SEEK_S * rate / block))  # frames
    points = [begin]
    for number in range(every, -(-total // block) - 1, every):  # not the last: it may be shorter
        wanted = _headers(data[begin : begin + _HEAD_BYTES], number)
        at = data.find(data[begin : begin + 3], points[-1] + 1)
        while at >= 0 and data[at : at + len(wanted[0])] not in wanted:
            at = data.find(data[begin : begin + 3], at + 1)
        if at < 0:
            return None
        points.append(at)
    return every * block, points


def as_file(frames: bytes, first: int, total: int, rate: int, channels: int) -> bytes:
    """Whole frames of a FLAC file as a file that decodes to their samples.

    Args:
        frames: one after another, from a seek point on.
        first: number of the first frame's first sample.
        total: samples of the file that they were taken from, which this one states too.

    ValueError where no frame of that sample lies there.
    """
    head = frames[:_HEAD_BYTES].ljust(_HEAD_BYTES, b"\0")
    found = frame_head(head)
    bits = _BITS.get(head[3] >> 1 & 7, 0)
    if found is None or found[2] or not bits:
        raise ValueError("no frame of FLAC lies there")
    number, block, _ = found
    if first != number * block:
        raise ValueError("another frame lies there")
    facts = rate << 44 | channels - 1 << 41 | bits - 1 << 36 | total
    info = block.to_bytes(2, "big") * 2 + bytes(6) + facts.to_bytes(8, "big") + bytes(16)
    with io.BytesIO() as file:
        file.write(_MAGIC + bytes([0x80, 0, 0, len(info)]) + info)
        file.write(frames)
        return file.getvalue()


def _first_frame(data: bytes) -> int:
    """The byte at which the first frame begins, after all metadata; 0 where this is no FLAC."""
    if data[:4] != _MAGIC or data[4:5] not in (b"\0", b"\x80"):
        return 0
    at, last = 4, False
    while not last and at + 4 <= len(data):
        last = bool(data[at] & 0x80)
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    return at if last and at < len(data) else 0


def _headers(first: bytes, number: int) -> list[bytes]:
    """What the header of a frame may be, by that of frame 0 of the same file."""
    wide = {6: 1, 7: 2}.get(first[2] >> 4, 0) + {12: 1, 13: 2, 14: 2}.get(first[2] & 15, 0)
    coded = first[3] >> 4
    ways = {coded} if coded not in (1, *_SIDES) else {1, *_SIDES}
    found = []
    for way in sorted(ways):
        head = first[:3] + bytes([way << 4 | first[3] & 15]) + _utf8(number) + first[5 : 5 + wide]
        found.append(head + bytes([crc8(head)]))
    return found


def _utf8(number: int) -> bytes:
    """A number as UTF-8 codes it, of up to 31 bits."""
    if number < 0x80:
        return bytes([number])
    tail: list[int] = []
    while number >= 1 << 6 - len(tail):
        tail.insert(0, 0x80 | number & 0x3F)
        number >>= 6
    return bytes([0xFF << 7 - len(tail) & 0xFF | number, *tail])
