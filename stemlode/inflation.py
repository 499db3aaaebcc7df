"""What a Parquet file becomes in memory, before any of it is there.

A few kilobytes can be made that hold gigabytes: pages of one byte, compressed; a text that stands
once in a dictionary, and a million rows that name it. What the file says of its pages' sizes is
held against a bound, and texts are measured by their dictionaries. A page whose header lies is at
most 2 GiB, by the format.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MOST = 4 << 30  # bytes of a row group's columns that are read, or of a whole table
AT_A_TIME = 64 << 20  # bytes of texts that are read in one piece
_PIECE = 1 << 16  # bytes of a file
_SHARED = "DELTA_BYTE_ARRAY"  # an encoding in which texts share their beginnings


def check(
    source: Any,
    table: pq.ParquetFile,
    columns: Collection[str] | None = None,
    *,
    groups: Sequence[int] | None = None,
    most: int = MOST,
) -> None:
    """pyarrow.ArrowInvalid where a table would take more than `most` bytes.

    Args:
        source: what the table was opened from.
        columns, groups: those that are read; all where None.
    """
    groups = range(table.num_row_groups) if groups is None else groups
    check_footer(source, table, groups)
    size = sum(_stated(table, group, columns) for group in groups)
    if size <= most:
        long = {
            group: names
            for group in groups
            if (names := _texts(table, group, columns))
            and _longest(source, table, group, names) * _values(table, group, names) > most
        }
        size += sum(_spread(source, table, group, names, most) for group, names in long.items())
    if size > most:
        raise pa.ArrowInvalid(f"it would take {_said(size)} of memory, of {_said(most)} at most")


def rows_at_a_time(
    source: Any,
    table: pq.ParquetFile,
    groups: Iterable[int],
    columns: Collection[str] | None,
    rows: int,
) -> int:
    """How many rows to read in one piece: `rows`, or fewer where texts are long.

    Raises pyarrow.ArrowInvalid where a row group is too large.
    """
    groups = [*groups]
    check_footer(source, table, groups)
    for group in groups:
        if (size := _stated(table, group, columns)) > MOST:
            raise pa.ArrowInvalid(
                f"row group {group} would take {_said(size)} of memory, of {_said(MOST)} at most; "
                "write smaller ones"
            )
        texts = _texts(table, group, columns)
        longest = _longest(source, table, group, texts)
        rows = min(rows, AT_A_TIME // max(1, longest))
        # A row may hold as many texts as it likes where it holds a list.
        lists = [name for name in texts if name in _lists(table)]
        if lists and longest * _values(table, group, lists) > MOST:
            check(source, table, lists, groups=[group])
    return max(1, rows)


def check_footer(source: Any, table: pq.ParquetFile, groups: Iterable[int]) -> None:
    """pyarrow.ArrowException where what a file says of its columns makes no sense.

    To ask pyarrow for a column's facts would then end the process (25.0); its readers find out as
    well, and raise. A reader of no row reads none of the file.
    """
    opened = pq.ParquetFile(
        source, metadata=table.metadata, buffer_size=_PIECE, pre_buffer=False
    )  # fmt: skip
    for group in groups:
        for _ in opened.reader.iter_batches(0, row_groups=[group], use_threads=False):
            pass


def _chunks(
    table: pq.ParquetFile, group: int, columns: Collection[str] | None
) -> Iterator[pq.ColumnChunkMetaData]:
    facts = table.metadata.row_group(group)
    for number in range(facts.num_columns):
        chunk = facts.column(number)
        try:
            parents = chunk.path_in_schema.split(".")
        except UnicodeDecodeError as error:
            raise pa.ArrowInvalid("damaged: a column's name is no text") from error
        named = {".".join(parents[: n + 1]) for n in range(len(parents))}
        if columns is None or named & {*columns}:
            yield chunk


def _stated(table: pq.ParquetFile, group: int, columns: Collection[str] | None) -> int:
    """The bytes of a row group's pages, as the file has them."""
    return sum(chunk.total_uncompressed_size for chunk in _chunks(table, group, columns))


def _texts(table: pq.ParquetFile, group: int, columns: Collection[str] | None) -> list[str]:
    """The columns in which rows may name one text, and not hold it."""
    return [
        chunk.path_in_schema
        for chunk in _chunks(table, group, columns)
        if chunk.physical_type == "BYTE_ARRAY"
        and (chunk.has_dictionary_page or _SHARED in chunk.encodings)
    ]


def _values(table: pq.ParquetFile, group: int, columns: Collection[str]) -> int:
    """Of the column that has the most of them."""
    return max(chunk.num_values for chunk in _chunks(table, group, columns))


def _columns(table: pq.ParquetFile) -> set[str]:
    return {table.schema.column(number).path for number in range(len(table.schema))}


def _lists(table: pq.ParquetFile) -> set[str]:
    """The columns of which a row has several values."""
    columns = (table.schema.column(number) for number in range(len(table.schema)))
    return {column.path for column in columns if column.max_repetition_level}


def _longest(source: Any, table: pq.ParquetFile, group: int, texts: list[str]) -> int:
    """Bytes of all texts of a row, if each is the longest that a row may name."""
    own, shared = _by_encoding(table, group, texts)
    longest = _stated(table, group, shared) if shared else 0
    for batch in _by_dictionary(source, table, group, own, 1):
        for column in _texts_of(batch):
            longest += pc.max(pc.binary_length(column.dictionary)).as_py() or 0
        break
    return longest


def _spread(source: Any, table: pq.ParquetFile, group: int, texts: list[str], most: int) -> int:
    """The bytes of all texts of a row group, row by row, as far as `most`."""
    own, shared = _by_encoding(table, group, texts)
    size = 0
    for batch in _by_dictionary(source, table, group, own, 1 << 16):
        for column in _texts_of(batch):
            lengths = pc.cast(pc.binary_length(column.dictionary), pa.int64())
            size += pc.sum(pc.take(lengths, column.indices)).as_py() or 0
        if size > most:
            return size
    if shared:
        rows = max(1, AT_A_TIME // max(1, _stated(table, group, shared)))
        pieces = table.iter_batches(rows, row_groups=[group], columns=shared, use_threads=False)
        for batch in pieces:
            size += batch.nbytes
            if size > most:
                break
    return size


def _by_encoding(
    table: pq.ParquetFile, group: int, texts: list[str]
) -> tuple[list[str], list[str]]:
    """Texts with a dictionary, and those that share their beginnings."""
    shared = [c.path_in_schema for c in _chunks(table, group, texts) if _SHARED in c.encodings]
    return [name for name in texts if name not in shared], shared


def _by_dictionary(
    source: Any, table: pq.ParquetFile, group: int, texts: list[str], rows: int
) -> Iterator[pa.RecordBatch]:
    """Texts as numbers and a dictionary; no more of the file is read than is asked for."""
    if unknown := {*texts} - _columns(table):
        raise pa.ArrowInvalid(
            f"row group {group} has {unknown.pop()!r}, of which there is no column"
        )
    if texts:
        opened = pq.ParquetFile(
            source, metadata=table.metadata, read_dictionary=texts, buffer_size=_PIECE,
            pre_buffer=False,
        )  # fmt: skip
        yield from opened.iter_batches(rows, row_groups=[group], columns=texts, use_threads=False)


def _texts_of(batch: pa.RecordBatch) -> Iterator[pa.DictionaryArray]:
    leaves = chain.from_iterable(map(_leaves, batch.columns))
    return (leaf for leaf in leaves if pa.types.is_dictionary(leaf.type))


def _leaves(column: pa.Array) -> Iterator[pa.Array]:
    """What lists and structs hold in the end."""
    if isinstance(column, pa.StructArray | pa.MapArray):
        is_map = isinstance(column, pa.MapArray)
        for inner in (column.keys, column.items) if is_map else column.flatten():
            yield from _leaves(inner)
    elif pa.types.is_nested(column.type):
        yield from _leaves(column.flatten())
    else:
        yield column


def _said(size: int) -> str:
    return f"{size / (1 << 30):,.1f} GiB"
