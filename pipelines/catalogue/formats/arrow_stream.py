"""The rows of a file of Arrow's IPC format, streamed or with a footer. Free of Beam."""

import contextlib
import io
from collections.abc import Iterator, Sequence

import pyarrow as pa

from pipelines.catalogue.formats.arrow_types import settled
from pipelines.catalogue.formats.parquet import native
from pipelines.catalogue.formats.rows import ArrowRows, Rows
from stemlode.runs import Failed

MAGIC = b"ARROW1"  # of the format with a footer
END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream


def schema(path: str) -> pa.Schema:
    """What the columns are."""
    with _opened(path) as reader:
        return reader.schema


def batches(path: str, columns: Sequence[str] | None) -> Iterator[Rows]:
    """All rows, with some columns or all; Failed where a stream breaks off between two batches."""
    with _opened(path) as reader:
        is_stream = isinstance(reader, pa.RecordBatchStreamReader)
        every = reader if is_stream else map(reader.get_batch, range(reader.num_record_batches))
        for batch in every:
            batch.validate(full=True)  # what a file claims may point outside of it
            chosen = batch if columns is None else batch.select(list(columns))
            yield ArrowRows(settled(chosen))
    if is_stream:
        with native(path) as file:
            file.seek(-len(END), io.SEEK_END)
            if file.read() != END:
                raise Failed(f"{path}: cannot be read: it breaks off between two batches of rows")


@contextlib.contextmanager
def _opened(path: str) -> Iterator[pa.RecordBatchStreamReader | pa.RecordBatchFileReader]:
    with native(path) as file:
        is_stream = file.read(len(MAGIC)) != MAGIC
        file.seek(0)
        yield pa.ipc.open_stream(file) if is_stream else pa.ipc.open_file(file)
