"""The Parquet tables of a run: same rows, same bytes. Free of Beam."""

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stemlode import files, runs, schemas
from stemlode.ids import digest

Row = dict[str, Any]  # of any table, by column
ROWS_PER_FILE = 100_000


def write(run: runs.Run, name: str, table: pa.Table) -> Row:
    """Write one Parquet file of a run atomically; its manifest row."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    files.write_bytes(run.path(name), buffer.getvalue())
    path = run.path(name)
    return {
        "path": name,
        "rows": table.num_rows,
        "bytes": files.size(path),
        "sha256": files.sha256(path),
    }


def cut(
    name: str, table: pa.Table, key: Sequence[str], rows_per_file: int = ROWS_PER_FILE
) -> Iterator[tuple[str, pa.Table]]:
    """What WriteTable makes of some rows, without a pipeline: names of files, and their rows."""
    count = max(1, -(-table.num_rows // rows_per_file))
    columns = [table[k].cast(pa.string()).to_pylist() for k in key] if count > 1 else []
    places = [place(values, count) for values in zip(*columns, strict=True)]
    numbers = np.array(places or [0] * table.num_rows)
    for part in range(count):
        found = table.take(np.flatnonzero(numbers == part)).sort_by([(k, "ascending") for k in key])
        if found.group_by(key).aggregate([]).num_rows < found.num_rows:
            rows = sorted(found.to_pylist(), key=lambda row: order(row, key))
            found = pa.Table.from_pylist(rows, table.schema)
        yield file_name(name, part, count), found


def parts(folder: str, name: str) -> list[str]:
    """The files of a finished run's table, in order; BadUsage where there is none."""
    outputs = runs.record(folder)["outputs"]
    found = sorted(path for path in outputs if path.startswith(f"{name}-"))
    if not found:
        raise runs.BadUsage(f"{folder} holds no {name}")
    return [files.join(folder, path) for path in found]


def read(folder: str, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A finished run's whole table, as `read_part`; BadUsage where there is none."""
    return pa.concat_tables([read_part(path, columns) for path in parts(folder, name)])


def read_part(path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """One file of a table, in the columns of today: what an older one lacks is null.

    `columns` are those that are wanted, as in `schemas.fitted`. Raises Failed where the file is
    missing, damaged or another table.
    """
    schema = schemas.schema_of(path)
    try:
        with files.open_input(path) as file:
            # Not pq.read_table: its threads may still hold the file at exit, and then abort.
            table = pq.ParquetFile(file, pre_buffer=False).read(columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise runs.Failed(f"{path}: unreadable table: {runs.reason(error)}") from error
    try:
        return table if schema is None else schemas.fitted(table, schema, columns)
    except ValueError as error:
        raise runs.Failed(f"{path}: {error}") from error


def footer(path: str) -> pq.FileMetaData:
    """What one file of a table says of itself; Failed where it is missing or damaged."""
    try:
        with files.open_input(path) as file:
            return pq.read_metadata(file)
    except (OSError, pa.ArrowException) as error:
        raise runs.Failed(f"{path}: unreadable table: {runs.reason(error)}") from error


def rows(path: str) -> Iterator[Row]:
    """The rows of one file of a table, as dicts."""
    for batch in read_part(path).to_batches():
        yield from batch.to_pylist()


def count_by(table: pa.Table, column: str) -> dict[str, int]:
    """How many rows have each value of a column."""
    counted = pc.value_counts(table[column]).to_pylist()
    return {entry["values"]: entry["counts"] for entry in counted}


def place(values: Sequence[str], parts: int) -> int:
    """The number of the file that a row lies in, of so many, by the values of its key."""
    return int(digest(*values)[:8], 16) % parts


def order(row: Row, key: Sequence[str]) -> tuple[list[str], str]:
    """What sorts the rows of a file: the key, then all that a row holds."""
    return [str(row[k]) for k in key], json.dumps(row, sort_keys=True, default=str)


def file_name(name: str, part: int, parts: int) -> str:
    """A table's file below its run folder."""
    return f"{name}-{part:05d}-of-{parts:05d}.parquet"
