"""The rows of a Parquet file. Free of Beam."""

import itertools
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.catalogue.formats.arrow_types import settled
from pipelines.catalogue.formats.rows import BATCH_ROWS, PART_ROWS, ArrowRows, CataloguePart, Rows
from stemlode import files, inflation


def types(path: str) -> dict[str, pa.DataType]:
    """The types of the columns, in order."""
    with native(path) as file:
        return {field.name: field.type for field in pq.ParquetFile(file).schema_arrow}


def names(path: str) -> list[str]:
    """The columns in order; a name may be there twice."""
    with native(path) as file:
        return pq.ParquetFile(file).schema_arrow.names


def parts(path: str) -> list[CataloguePart]:
    """The file, cut between row groups."""
    with native(path) as file:
        metadata = pq.ParquetFile(file).metadata
        rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    starts = [0, *itertools.accumulate(rows)]
    groups = itertools.groupby(range(len(rows)), key=lambda group: starts[group] // PART_ROWS)
    members = [tuple(some) for _, some in groups]
    return [CataloguePart(path, some, starts[some[0]]) for some in members]


def batches(part: CataloguePart, columns: Sequence[str] | None) -> Iterator[Rows]:
    """All rows of a part, with some columns or all."""
    with native(part.path) as file:
        table = pq.ParquetFile(file)
        wanted = None if columns is None else list(columns)
        groups = part.row_groups or ()
        rows = inflation.rows_at_a_time(file, table, groups, wanted, BATCH_ROWS)
        for batch in table.iter_batches(rows, row_groups=groups, columns=wanted):
            yield ArrowRows(settled(batch))


def native(path: str) -> pa.NativeFile:
    """A reader for Arrow, whose threads may outlive the interpreter: no Python file if possible."""
    if files.is_local(path):
        return pa.OSFile(files.system(path)[1])
    return pa.PythonFile(files.open_input(path), "r")
