"""The rows of a CSV or TSV file. Free of Beam."""

import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa
import pyarrow.csv as pacsv

from pipelines.catalogue.formats import csv_blocks, text
from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.formats.rows import BATCH_ROWS, ArrowRows, Broken, JsonRows, Rows
from stemlode.runs import Failed


def names(path: str, delimiter: str, dialect: Dialect) -> list[str]:
    """The columns that the header names."""
    with _opened(path, delimiter, dialect) as file:
        lines = io.TextIOWrapper(file, "utf-8", newline="")
        return next(csv.reader(lines, delimiter=delimiter, strict=True), [])


def batches(
    path: str, delimiter: str, columns: Sequence[str] | None, dialect: Dialect
) -> Iterator[Rows]:
    """Every value as text, and the lines that are no rows."""
    header_names = names(path, delimiter, dialect)
    broken: list[Broken] = []

    def skip(row: pacsv.InvalidRow) -> str:
        broken.append((row.text, f"{row.actual_columns} columns, not {row.expected_columns}"))
        return "skip"

    convert = pacsv.ConvertOptions(
        check_utf8=False,  # `text` did
        column_types={name: pa.string() for name in header_names},
        include_columns=None if columns is None else list(columns),
        null_values=[""],
        strings_can_be_null=True,
    )
    parse = pacsv.ParseOptions(
        delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
    )
    header = 1
    with _opened(path, delimiter, dialect) as file:
        for data, lines in csv_blocks.blocks(path, file, delimiter):
            broken += lines
            if header and any(why.startswith("line 1:") for _, why in lines):
                raise Failed(f"{path}: cannot be read: the header, {lines[0][1]}")
            if not data.strip(b"\r\n"):
                continue
            read = pacsv.ReadOptions(
                use_threads=False,
                block_size=len(data),
                column_names=header_names,
                skip_rows_after_names=header,
            )
            header = 0
            for batch in pacsv.read_csv(io.BytesIO(data), read, parse, convert).to_batches(
                BATCH_ROWS
            ):
                found, broken[:] = list(broken), []
                yield ArrowRows(batch, found)
    if broken:
        yield JsonRows([], broken)


def _opened(
    path: str, delimiter: str, dialect: Dialect
) -> contextlib.AbstractContextManager[IO[bytes]]:
    def row_of(lines: IO[str], line: int) -> str:
        """The row that a line belongs to; the header is none."""
        rows = csv.reader(lines, delimiter=delimiter)
        for number, _ in enumerate(rows):
            if rows.line_num >= line:
                return f"row {number}, " if number else "the header, "
        return ""

    return text.opened(path, dialect.encoding, row_of)
