"""The rows of a JSON Lines file, or of a JSON array. Free of Beam."""

import codecs
import functools
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import IO

from pipelines.catalogue.formats import encodings, spans, text
from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.formats.rows import (
    BATCH_ROWS,
    Broken,
    CataloguePart,
    JsonRows,
    Rows,
)
from pipelines.catalogue.formats.text import Opening
from stemlode import files
from stemlode.runs import Failed, reason
from stemlode.tables import Row

PEEK_ROWS = 1000
CHUNK = 1 << 20  # characters
MOST = 1 << 25  # of one entry
SHOWN = 200  # bytes of a line that is longer
SPACE = " \t\n\r"  # JSON's own
_SPACE = re.compile(f"[{SPACE}]*")
_DECODER = json.JSONDecoder()
Objects = Iterator[tuple[Row | None, Broken | None]]  # an object, or a line that is none
Reading = Callable[[Objects], Objects]  # what a source makes of a file's objects


def names(
    path: str, reading: Reading, dialect: Dialect, opening: Opening | None = None
) -> list[str]:
    """The columns that the first rows have; later ones may have more.

    `opening` opens what is read where that is not simply the file.
    """
    with text.opened(path, dialect.encoding, opening=opening) as file:
        first = itertools.islice(reading(_objects(path, file)), PEEK_ROWS)
        return list(dict.fromkeys(key for row, _ in first if row for key in row))


def parts(path: str, dialect: Dialect) -> list[CataloguePart]:
    """The file, cut between lines where it is one of lines that is large and not packed."""
    encoding = codecs.lookup(dialect.encoding or encodings.UTF_8).name
    if text.is_packed(path) or encoding != encodings.UTF_8 or _is_array(path):
        return [CataloguePart(path)]
    found = spans.spans(path)
    if len(found) == 1:
        return [CataloguePart(path)]
    return [CataloguePart(path, span=span) for span in found]


def _is_array(path: str) -> bool:
    """Whether the first line that is not blank opens an array; yes where that is far in."""
    with files.open_input(path) as file:
        start = file.read(spans.LOOK).removeprefix(spans.BOM).lstrip(SPACE.encode())
    return start[:1] in (b"[", b"")


def span_batches(part: CataloguePart, reading: Reading, dialect: Dialect) -> Iterator[Rows]:
    """The same of a span."""
    assert part.span is not None
    path, span = part.path, part.span
    yield from batches(
        path,
        reading,
        dialect,
        functools.partial(spans.opened, path, span),
        functools.partial(spans.lines_before, path, span),
    )


def batches(
    path: str,
    reading: Reading,
    dialect: Dialect,
    opening: Opening | None = None,
    lines_before: Callable[[], int] | None = None,
) -> Iterator[Rows]:
    """All objects of a file, and the lines that are none. `lines_before` what is opened tells how
    many there are, and that all of them are lines."""
    before = lines_before or _none
    with text.opened(path, dialect.encoding, opening=opening, lines_before=before) as file:
        rows = reading(_objects(path, file, is_lines=lines_before is not None))
        while batch := list(itertools.islice(rows, BATCH_ROWS)):
            good = [row for row, _ in batch if row is not None]
            yield JsonRows(good, [error for _, error in batch if error is not None])


def _none() -> int:
    return 0


def _objects(path: str, file: IO[bytes], *, is_lines: bool = False) -> Objects:
    """Each entry of an array, or each line that is not blank: an object, or why it is none."""
    start = b""
    while (line := file.readline(MOST)) and not (start := line.lstrip(SPACE.encode())):
        continue
    if start.startswith(b"[") and not is_lines:
        for entry in _entries(path, start, file):
            yield (entry, None) if isinstance(entry, dict) else (None, _no_object(entry))
        return
    for line in itertools.chain([start], iter(lambda: file.readline(MOST), b"")):
        if len(line) >= MOST and not line.endswith(b"\n"):
            while (more := file.readline(MOST)) and not more.endswith(b"\n"):
                continue
            yield None, (line[:SHOWN].decode(errors="replace"), f"longer than {MOST >> 20} MiB")
            continue
        said = line.decode().strip()
        if not said:
            continue
        try:
            row = json.loads(said)
        except (ValueError, RecursionError) as error:
            yield None, (said, f"no JSON: {reason(error)}")
            continue
        yield (row, None) if isinstance(row, dict) else (None, (said, "no JSON object"))


def _no_object(entry: object) -> Broken:
    return json.dumps(entry, ensure_ascii=False), "no JSON object"


def _entries(path: str, start: bytes, file: IO[bytes]) -> Iterator[object]:
    """The entries of an array, which may be larger than memory; Failed where it is none."""
    rest: io.RawIOBase = _Rest(start, file)
    source = io.TextIOWrapper(io.BufferedReader(rest, CHUNK), "utf-8", newline="")
    held, place = source.read(CHUNK), 1  # text, and up to where it is read
    for number in itertools.count(1):
        while True:
            place = _after_space(held, place)
            if number == 1 and held[place : place + 1] == "]":
                entry, end = None, place
                break
            try:
                entry, end = _DECODER.raw_decode(held, place)
                end = _after_space(held, end)
                fault = "no comma after it"
            except (ValueError, RecursionError) as error:
                end, fault = len(held), reason(error)
            if held[end : end + 1] in (",", "]"):
                break
            more = source.read(max(CHUNK, len(held) - place)) if len(held) - place < MOST else ""
            if not more:
                raise Failed(f"{path}: cannot be read: entry {number} of the array: {fault}")
            held, place = held[place:] + more, 0
        if end > place:
            yield entry
        place = end
        if held[end] == "]":
            break
        place += 1
    if (held[place + 1 :] + source.read(CHUNK)).strip(SPACE):
        raise Failed(f"{path}: cannot be read: there is more after the array")


def _after_space(text: str, place: int) -> int:
    return _SPACE.match(text, place).end()  # type: ignore[union-attr]


class _Rest(io.RawIOBase):
    """Some bytes that were read, and the file that goes on after them."""

    def __init__(self, start: bytes, file: IO[bytes]) -> None:
        self._start, self._file = start, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        data = self._start[: len(buffer)] or self._file.read(len(buffer))
        self._start = self._start[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)
