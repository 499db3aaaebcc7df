"""The rows of a JSON Lines file, or of a JSON array. Free of Beam."""

import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import IO

from pipelines.catalogue.formats import text
from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.formats.rows import BATCH_ROWS, Broken, JsonRows, Rows
from pipelines.catalogue.formats.text import Opening
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


def batches(
    path: str, reading: Reading, dialect: Dialect, opening: Opening | None = None
) -> Iterator[Rows]:
    """All objects of a file, and the lines that are none."""
    with text.opened(path, dialect.encoding, opening=opening) as file:
        rows = reading(_objects(path, file))
        while batch := list(itertools.islice(rows, BATCH_ROWS)):
            good = [row for row, _ in batch if row is not None]
            yield JsonRows(good, [error for _, error in batch if error is not None])


def _objects(path: str, file: IO[bytes]) -> Objects:
    """Each entry of an array, or each line that is not blank: an object, or why it is none."""
    start = b""
    while (line := file.readline(MOST)) and not (start := line.lstrip(SPACE.encode())):
        continue
    if start.startswith(b"["):
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
