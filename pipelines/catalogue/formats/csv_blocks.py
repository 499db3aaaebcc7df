"""CSV in blocks of whole records, so that a quote that nobody closes costs one line. Free of Beam.

To a CSV parser an open quote swallows the lines that follow, up to the next quote or the file's
end, without a word. Here a value may go on over several lines only where its quotes are as they
ought to be; a line where they are not is cut out and named, and the next line is a row again.
"""

import re
from collections.abc import Iterator
from typing import IO

import numpy as np

from stemlode.runs import Failed

BLOCK_BYTES = 1 << 24
MOST_BYTES = 1 << 25  # of one record: titles can be hostile
WHY = "line {}: a quote is not closed, or closed too early"

# Whole records, and the lines that are none, with why.
CsvBlock = tuple[bytes, list[tuple[str, str]]]


def blocks(path: str, file: IO[bytes], delimiter: str) -> Iterator[CsvBlock]:
    """All records of a file, the header among them, in blocks.

    Raises Failed where one is longer than MOST_BYTES.
    """
    lexer = _Lexer(delimiter)
    rest = b""
    while read := file.read(BLOCK_BYTES):
        data = rest + read
        # A carriage return that comes last may be half of a line's end.
        end = data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, -1) + 1
        records, broken, unfinished = lexer.split(data[:end], is_last=False)
        rest = unfinished + data[end:]
        if len(data) - end > MOST_BYTES:
            raise Failed(f"{path}: line {lexer.line}: longer than {MOST_BYTES >> 20} MiB")
        yield records, broken
    records, broken, _ = lexer.split(rest, is_last=True)
    yield records, broken


class _Lexer:
    """Splits text into records and broken lines. `line` is the number of the next one."""

    def __init__(self, delimiter: str) -> None:
        self.line = 1
        self._stops = np.frombuffer(f'{delimiter}\n\r"'.encode(), np.uint8)
        d = re.escape(delimiter.encode())
        bare = rb'(?:[^"\r\n%b][^\r\n%b]*+)?' % (d, d)
        closed = rb'"[^"]*+(?:""[^"]*+)*+"(?=[\r\n%b]|\Z)' % d
        # On one line, text after the closing quote harms nobody but its own row.
        on_a_line = rb'"[^"\r\n]*+(?:""[^"\r\n]*+)*+"[^\r\n%b]*+' % d
        end = rb"(?:\r\n?|\n|\Z)"
        record = rb"(?:%b|%b)(?:%b(?:%b|%b))*+" + end
        self._line = re.compile(record % (on_a_line, bare, d, on_a_line, bare))
        self._record = re.compile(record % (closed, bare, d, closed, bare))
        open_value = rb'"[^"]*+(?:""[^"]*+)*+\Z'
        self._open = re.compile(rb"(?:(?:%b|%b)%b)*+%b" % (closed, bare, d, open_value))
        self._any = re.compile(rb"[^\r\n]*+" + end)

    def split(self, data: bytes, *, is_last: bool) -> tuple[bytes, list[tuple[str, str]], bytes]:
        """Whole records, broken lines, and a record at the end that the file goes on with."""
        if b'"' not in data or self._is_plain(data):
            self.line += _lines(data)
            return data, [], b""
        kept: list[bytes] = []
        broken: list[tuple[str, str]] = []
        start = place = 0  # from where lines are kept, and up to where they were looked at
        while (quote := data.find(b'"', place)) >= 0:
            line = max(data.rfind(b"\n", place, quote), data.rfind(b"\r", place, quote), place - 1)
            line += 1
            whole = self._line.match(data, line) or self._record.match(data, line)
            if whole:
                place = whole.end()
                continue
            is_open = self._open.match(data, line) is not None
            if is_open and not is_last and len(data) - line <= MOST_BYTES:
                kept.append(data[start:line])
                self.line += _lines(data[start:line])
                return b"".join(kept), broken, data[line:]
            self.line += _lines(data[start:line])
            place = self._any.match(data, line).end()  # type: ignore[union-attr]
            text = data[line:place].decode("utf-8", errors="replace").rstrip("\r\n")
            broken.append((text, WHY.format(self.line)))
            kept.append(data[start:line])
            self.line += 1
            start = place
        kept.append(data[start:])
        self.line += _lines(data[start:])
        return b"".join(kept), broken, b""

    def _is_plain(self, data: bytes) -> bool:
        """Whether every quote opens or closes a whole value, or is one of two inside of it."""
        text = np.frombuffer(b"\n" + data + b"\n", np.uint8)
        quotes = np.flatnonzero(text == ord('"'))
        before, after = text[quotes[0::2] - 1], text[quotes[1::2] + 1]
        return quotes.size % 2 == 0 and all(np.isin(n, self._stops).all() for n in (before, after))


def _lines(data: bytes) -> int:
    return data.count(b"\n") or data.count(b"\r")
