"""Files of lines, cut into spans of bytes that workers read apart. Free of Beam.

A cut lies where a line begins, which a small read tells. Compressed files have no such places, and
in CSV nobody knows one without reading all before it: a value in quotes may hold line ends.
"""

import contextlib
import io
from collections.abc import Iterator
from typing import IO

from stemlode import files

SPAN_BYTES = 1 << 27
LOOK = 1 << 20  # bytes in which the next line's beginning is looked for
BOM = b"\xef\xbb\xbf"  # what begins so would lose its mark as a file's beginning

Span = tuple[int, int]  # from a byte on, up to another


def spans(path: str) -> list[Span]:
    """Where a file of lines is cut; one span for a small one."""
    size = files.size(path)
    starts = [0]
    with files.open_input(path) as file:
        for place in range(SPAN_BYTES, size, SPAN_BYTES):
            file.seek(place - 1)
            held = file.read(LOOK)
            end = held.find(b"\n")
            start = place + end
            if 0 <= end < len(held) - len(BOM) and not held.startswith(BOM, end + 1):
                starts.append(start)
    starts = sorted({*starts})
    return [*zip(starts, [*starts[1:], size], strict=True)]


@contextlib.contextmanager
def opened(path: str, span: Span) -> Iterator[IO[bytes]]:
    """A span of a file as if it were one."""
    with files.open_input(path) as file:
        file.seek(span[0])
        piece: io.RawIOBase = _Span(file, span[1] - span[0])
        yield io.BufferedReader(piece, LOOK)


def lines_before(path: str, span: Span) -> int:
    """How many lines lie before a span; all of them are read."""
    with opened(path, (0, span[0])) as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(LOOK), b""))


class _Span(io.RawIOBase):
    def __init__(self, file: IO[bytes], left: int) -> None:
        self._file, self._left = file, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        data = self._file.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)
