"""Where the links of an Ogg file begin and end. Free of Beam."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from stemlode.audio.containers.opening import Bytes

_PIECE_BYTES = 1 << 20


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


def links_of(file: Bytes) -> list[Link]:
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
