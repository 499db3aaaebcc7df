"""The rows of a CSV or TSV file. Free of Beam."""

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

import pyarrow as pa
import pyarrow.csv as pacsv

from pipelines.catalogue.formats import csv_blocks, text
from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.formats.encodings import BOM
from pipelines.catalogue.formats.rows import BATCH_ROWS, ArrowRows, Broken, JsonRows, Rows
from stemlode.runs import BadUsage, Failed

_SEPARATOR = re.compile(r'"?sep=(.)"?[\r\n]*', re.DOTALL)  # what Excel reads and writes first
_FIRST_LINE = re.compile(rb'"?sep=.[^\r\n]*(?:\r\n?|\n)')
LINE = 1 << 20  # characters of a first line that are looked at


@dataclass(frozen=True)
class Header:
    """What the beginning of a file says.

    delimiter: between values.
    names: of the columns; with several header rows, what these say, with dots between.
    states_delimiter: whether the first line does that, and is no row.
    """

    delimiter: str
    names: list[str]
    states_delimiter: bool


def header(path: str, dialect: Dialect) -> Header:
    """Read it; BadUsage where the file states another delimiter than the dialect."""
    by_name = "\t" if ".tsv" in PurePosixPath(path.lower()).suffixes else ","
    with _opened(path, dialect.delimiter or by_name, dialect) as file:
        lines = io.TextIOWrapper(file, "utf-8", newline="")
        first = lines.readline(LINE)
        stated = _SEPARATOR.fullmatch(first)
        if stated and dialect.delimiter not in (None, stated[1]):
            said, wanted = (_shown(mark) for mark in (stated[1], dialect.delimiter or ""))
            raise BadUsage(f"{path}: its first line is sep={said}, not --delimiter {wanted}")
        delimiter = dialect.delimiter or (stated[1] if stated else by_name)
        # A blank line is no row, and what the first line began may go on in the next.
        every = lines if stated else itertools.chain([first], lines)
        rows = (row for row in csv.reader(every, delimiter=delimiter, strict=True) if row)
        if dialect.header_rows == 0:
            names = [str(place) for place, _ in enumerate(next(rows, []), 1)]
        else:
            columns = itertools.zip_longest(
                *itertools.islice(rows, dialect.header_rows), fillvalue=""
            )
            names = [".".join(filter(None, parts)) for parts in columns]
        if not names:
            raise BadUsage(f"{path}: is empty: it has neither a header nor rows")
        return Header(delimiter, names, stated is not None)


def batches(path: str, columns: Sequence[str] | None, dialect: Dialect) -> Iterator[Rows]:
    """Every value as text, and the lines that are no rows."""
    said = header(path, dialect)
    broken: list[Broken] = []

    def skip(row: pacsv.InvalidRow) -> str:
        broken.append((row.text, f"{row.actual_columns} columns, not {row.expected_columns}"))
        return "skip"

    convert = pacsv.ConvertOptions(
        check_utf8=False,  # `text` did
        column_types={name: pa.string() for name in said.names},
        include_columns=None if columns is None else list(columns),
        null_values=[""],
        strings_can_be_null=True,
    )
    parse = pacsv.ParseOptions(
        delimiter=said.delimiter, newlines_in_values=True, invalid_row_handler=skip
    )
    is_first = True
    with _opened(path, said.delimiter, dialect) as file:
        for block, lines in csv_blocks.blocks(path, file, said.delimiter):
            data = block
            broken += lines
            if is_first:
                data = data.lstrip(b"\r\n")
                if said.states_delimiter:
                    data = _FIRST_LINE.sub(b"", data, count=1).lstrip(b"\r\n")
                _check_header(path, lines, dialect.header_rows)
            if not data.strip(b"\r\n"):
                continue
            # Arrow takes one mark away, if need be from a value; a header needs its line's end.
            data = BOM + data + (b"" if data.endswith((b"\r", b"\n")) else b"\n")
            read = pacsv.ReadOptions(
                use_threads=False,
                block_size=len(data),
                column_names=said.names,
                skip_rows_after_names=dialect.header_rows if is_first else 0,
            )
            is_first = False
            for batch in pacsv.read_csv(pa.BufferReader(data), read, parse, convert).to_batches(
                BATCH_ROWS
            ):
                found, broken[:] = list(broken), []
                yield ArrowRows(batch, found)
    if broken:
        yield JsonRows([], broken)


def likely_delimiter(path: str, dialect: Dialect, wanted: set[str]) -> str | None:
    """Another delimiter by which the header would name more of the columns that are wanted."""
    now = header(path, dialect).names
    best, most = None, (len(wanted & {*now}), len(now))
    for delimiter in ",;\t|":
        if dialect.delimiter is None:
            with contextlib.suppress(BadUsage, csv.Error):
                other = Dialect(dialect.encoding, delimiter, dialect.header_rows)
                names = header(path, other).names
                found = len(wanted & {*names}), len(names)
                # Names with commas in them are no sign, unless nothing else is.
                if found[0] > most[0] or (found[0] == most[0] and most[1] == 1 < found[1]):
                    best, most = _shown(delimiter), found
    return best


def likely_header_rows(path: str, dialect: Dialect, wanted: set[str]) -> int | None:
    """How many header rows there seem to be, where later ones have names that are wanted."""
    best, most = None, 0
    for count in range(1, 5):
        with contextlib.suppress(csv.Error):  # of rows that are no header
            names = header(path, Dialect(dialect.encoding, dialect.delimiter, count)).names
            found = len(wanted & {part for name in names for part in name.split(".")})
            if found > most:
                best, most = count, found
    return best if best and best > dialect.header_rows else None


def _check_header(path: str, broken: list[Broken], rows: int) -> None:
    """Failed where a line of the header is broken."""
    for _, why in broken:
        if any(why.startswith(f"line {number}:") for number in range(1, rows + 1)):
            raise Failed(f"{path}: cannot be read: the header, {why}")


def _shown(delimiter: str) -> str:
    """A delimiter as it is typed."""
    return "tab" if delimiter == "\t" else f"'{delimiter}'"


def _opened(
    path: str, delimiter: str, dialect: Dialect
) -> contextlib.AbstractContextManager[IO[bytes]]:
    def row_of(lines: IO[str], line: int) -> str:
        """The row that a line belongs to; the header is none."""
        rows = csv.reader(lines, delimiter=delimiter)
        for number, _ in enumerate(rows, 1):
            if rows.line_num >= line:
                row = number - dialect.header_rows
                return f"row {row}, " if row > 0 else "the header, "
        return ""

    return text.opened(path, dialect.encoding, row_of)
