"""The Parquet tables of a run: same rows, same bytes. Free of Beam."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stemlode import files, inflation, runs, schemas
from stemlode.ids import digest
from stemlode.schemas import maps

Row = dict[str, Any]  # of any table, by column
ROWS_PER_FILE = 100_000


def write(run: runs.Run, name: str, table: pa.Table) -> Row:
    """Write one Parquet file of a run atomically; its manifest row."""
    files.write_bytes(run.path(name), _encoded(schemas.as_stored(name, table)))
    path = run.path(name)
    return {
        "path": name,
        "rows": table.num_rows,
        "bytes": files.size(path),
        "sha256": files.sha256(path),
    }


def size(table: pa.Table) -> int:
    """How many bytes a table would take."""
    return len(_encoded(table))


def _encoded(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


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

    `columns` are those that are wanted, as in `fitted`. Raises Failed where the file is
    missing, damaged or another table.
    """
    schema = schemas.schema_of(path)
    try:
        with files.open_input(path) as file:
            # Not pq.read_table: its threads may still hold the file at exit, and then abort.
            opened = pq.ParquetFile(file, pre_buffer=False)
            inflation.check(file, opened, columns)
            table = opened.read(columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise runs.Failed(f"{path}: unreadable table: {runs.reason(error)}") from error
    try:
        return table if schema is None else fitted(table, schema, columns)
    except ValueError as error:
        raise runs.Failed(f"{path}: {error}") from error


def fitted(table: pa.Table, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """A table as this Stemlode would have written it: columns that it lacks are null.

    Args:
        table: of any age; columns that the schema does not know are passed over.
        columns: those that are wanted, in order (`mix.title`: the struct `mix` with no more than
            that field); of all where None. One that the schema does not know stays as it is, or
            is null.

    Raises ValueError where a column that may not be null is missing or a column has another type.
    """
    fields = list(schema) if columns is None else _chosen(schema, columns)
    held = [_column(table, field) for field in fields]
    types = [field.with_type(column.type) for field, column in zip(fields, held, strict=True)]
    return pa.table(held, pa.schema(types))


def footer(path: str) -> pq.FileMetaData:
    """What one file of a table says of itself; Failed where it is missing or damaged."""
    try:
        with files.open_input(path) as file:
            table = pq.ParquetFile(file)
            inflation.check_footer(file, table, range(table.num_row_groups))
            return table.metadata
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


def reject_causes(run: runs.Run, outputs: Iterable[str]) -> dict[str, int]:
    """`rejects/<cause>` → how many, of the tables of rejects among a run's files."""
    found: dict[str, int] = {}
    for name in outputs:
        if name.startswith("rejects-"):
            table = read_part(run.path(name), ["error"])
            for cause, count in count_by(table, "error").items():
                found[f"rejects/{cause}"] = found.get(f"rejects/{cause}", 0) + count
    return found


def place(values: Sequence[str], parts: int) -> int:
    """The number of the file that a row lies in, of so many, by the values of its key."""
    return int(digest(*values)[:8], 16) % parts


def order(row: Row, key: Sequence[str]) -> tuple[list[str], str]:
    """What sorts the rows of a file: the key, then all that a row holds."""
    return [str(row[k]) for k in key], json.dumps(row, sort_keys=True, default=str)


def file_name(name: str, part: int, parts: int) -> str:
    """A table's file below its run folder."""
    return f"{name}-{part:05d}-of-{parts:05d}.parquet"


def _column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name in table.column_names:
        return _as(table[field.name], field, field.name)
    if not field.nullable:
        raise ValueError(f"no column {field.name}")
    return pa.chunked_array([pa.nulls(table.num_rows, field.type)])


def _chosen(schema: pa.Schema, columns: Sequence[str]) -> list[pa.Field]:
    """The fields of some columns; structs with those of their fields that are named."""
    inner: dict[str, list[str]] = {}
    for column in columns:
        name, _, below = column.partition(".")
        inner.setdefault(name, []).append(below)
    found = []
    for name, wanted in inner.items():
        if name not in schema.names:
            found.append(pa.field(name, pa.null()))
            continue
        field = schema.field(name)
        if "" not in wanted:
            field = field.with_type(pa.struct(_chosen(pa.schema(list(field.type)), wanted)))
        found.append(field)
    return found


def _as(column: pa.ChunkedArray, field: pa.Field, name: str) -> pa.ChunkedArray:
    """A column as a field's type; ValueError where it is another."""
    if column.type == field.type or pa.types.is_null(field.type):
        return column
    if pa.types.is_struct(field.type) and pa.types.is_struct(column.type):
        held = {inner.name for inner in column.type}
        parts = []
        for below in field.type:
            inner = f"{name}.{below.name}"
            if below.name in held:
                parts.append(_as(pc.struct_field(column, below.name), below, inner))
            elif below.nullable:
                parts.append(pa.chunked_array([pa.nulls(len(column), below.type)]))
            else:
                raise ValueError(f"no column {inner}")
        arrays = [part.combine_chunks() for part in parts]
        missing = pc.is_null(column).combine_chunks()
        whole = pa.StructArray.from_arrays(arrays, fields=list(field.type), mask=missing)
        return pa.chunked_array([whole], field.type)
    try:
        if pa.types.is_map(field.type) and pa.types.is_list(column.type):
            return maps.from_entries(column, field.type)
        return column.cast(field.type)
    except (ValueError, pa.ArrowException) as error:
        raise ValueError(f"column {name} is {column.type}, not {field.type}") from error
