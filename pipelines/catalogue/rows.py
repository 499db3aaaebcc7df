"""The rows of Parquet, CSV and JSON Lines files as they stand, a batch at a time. Free of Beam.

CSV and JSON Lines may be compressed with gzip or zstd, and may be a MusicBrainz dump's archive.
"""

import contextlib
import csv
import io
import itertools
import json
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from pipelines.catalogue import csv_blocks, musicbrainz
from stemlode import files
from stemlode.runs import BadUsage, Failed, reason
from stemlode.tables import Row

FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}
CODECS = {".gz": "gzip", ".zst": "zstd"}
ARCHIVES = (".tar", ".tar.xz", ".tar.gz")  # of a MusicBrainz dump
ENDINGS = (*FORMATS, *ARCHIVES)
BATCH_ROWS = 1 << 16
PART_ROWS = 1 << 20
PEEK_ROWS = 1000
SEPARATOR = ";"  # between the entries of a list that is text

Broken = tuple[str, str]  # a line that is no row, and why


@dataclass(frozen=True)
class Part:
    """What one worker reads at a time: a file, or some row groups of a Parquet file."""

    path: str
    row_groups: tuple[int, ...] | None = None


class Rows(Protocol):
    """A batch of rows."""

    broken: list[Broken]

    def __len__(self) -> int: ...

    def column(self, name: str) -> pa.Array:
        """A column of text, or of the type it has in the file; nulls where it is missing."""

    def lists(self, name: str) -> pa.Array:
        """A column whose values may be lists, as they stand."""

    def records(self, rows: np.ndarray) -> list[Row]:
        """Some rows with all their columns."""


def format_of(path: str) -> str | None:
    """parquet, csv, tsv or json by the name's end; None for any other."""
    name = PurePosixPath(path.lower())
    if name.name == musicbrainz.RECORDINGS or name.name.endswith(ARCHIVES):
        return "json"
    if name.suffix not in CODECS:
        return FORMATS.get(name.suffix)
    found = FORMATS.get(name.with_suffix("").suffix)
    return None if found == "parquet" else found


def column_names(path: str) -> list[str]:
    """A file's columns in order; Failed where it cannot be read."""
    with _naming(path):
        if format_of(path) == "parquet":
            with _native(path) as file:
                return pq.ParquetFile(file).schema_arrow.names
        if format_of(path) == "json":
            with _open(path) as file:
                first = itertools.islice(_json_rows(path, file), PEEK_ROWS)
                return list(dict.fromkeys(key for row in first if row[0] for key in row[0]))
        with _open(path) as file:
            text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
            return next(csv.reader(text, delimiter=_delimiter(path), strict=True), [])


def column_types(path: str) -> dict[str, pa.DataType]:
    """The types of a Parquet file's columns; empty for formats that know none."""
    if format_of(path) != "parquet":
        return {}
    with _naming(path), _native(path) as file:
        return {field.name: field.type for field in pq.ParquetFile(file).schema_arrow}


def parts(path: str) -> list[Part]:
    """A file cut where it can be read from; Failed where it cannot be read."""
    if format_of(path) != "parquet":
        return [Part(path)]
    with _naming(path), _native(path) as file:
        metadata = pq.ParquetFile(file).metadata
        rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    starts = [sum(rows[:group]) // PART_ROWS for group in range(len(rows))]
    groups = itertools.groupby(range(len(rows)), key=lambda group: starts[group])
    return [Part(path, tuple(members)) for _, members in groups]


def batches(part: Part, columns: Sequence[str] | None = None) -> Iterator[Rows]:
    """All rows of a part, with some columns or all; Failed where the file turns out damaged."""
    with _naming(part.path):
        if format_of(part.path) == "parquet":
            yield from _parquet(part, columns)
        elif format_of(part.path) == "json":
            yield from _json(part.path)
        else:
            yield from _csv(part.path, columns)


@dataclass
class ArrowRows:
    """Rows that are Arrow columns already."""

    batch: pa.RecordBatch
    broken: list[Broken] = field(default_factory=list)

    def __len__(self) -> int:
        return self.batch.num_rows

    def column(self, name: str) -> pa.Array:
        found = self.batch.schema.get_field_index(name)
        return self.batch.column(found) if found >= 0 else pa.nulls(len(self), pa.string())

    def lists(self, name: str) -> pa.Array:
        return self.column(name)

    def records(self, rows: np.ndarray) -> list[Row]:
        chosen = self.batch.take(pa.array(rows, pa.int64()))
        try:
            return chosen.to_pylist()
        except UnicodeDecodeError:  # a file may break its promise to hold UTF-8
            columns = [_as_bytes(column) for column in chosen.columns]
            return pa.RecordBatch.from_arrays(columns, chosen.schema.names).to_pylist()


@dataclass
class JsonRows:
    """Rows that are JSON objects: any value may have any type, and any name may be missing."""

    objects: list[Row]
    broken: list[Broken] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.objects)

    def column(self, name: str) -> pa.Array:
        return pa.array([as_text(row.get(name)) for row in self.objects], pa.string())

    def lists(self, name: str) -> pa.Array:
        values = [row.get(name) for row in self.objects]
        texts = [
            [as_text(entry) for entry in value]
            if isinstance(value, list)
            else (as_text(value) or "").split(SEPARATOR)
            for value in values
        ]
        return pa.array(texts, pa.list_(pa.string()))

    def records(self, rows: np.ndarray) -> list[Row]:
        return [self.objects[row] for row in rows]


def as_text(value: Any) -> str | None:
    """Any value of a JSON file or of a nested column as text; whole numbers without a fraction."""
    if value is None or isinstance(value, str):
        return None if value is None else _utf8(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return _utf8(json.dumps(value, ensure_ascii=False, default=str))


def plain(value: Any) -> Any:
    """A value that any JSON reader takes: valid UTF-8, finite numbers, no types of our own."""
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, dict):
        return {_utf8(str(key)): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _utf8(text: str) -> str:
    """Lone surrogates, which JSON can spell and UTF-8 cannot hold, become "?"."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _as_bytes(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        return column.view(pa.binary())
    return column.view(pa.large_binary()) if pa.types.is_large_string(column.type) else column


def _parquet(part: Part, columns: Sequence[str] | None) -> Iterator[Rows]:
    with _native(part.path) as file:
        table = pq.ParquetFile(file)
        wanted = None if columns is None else list(columns)
        for batch in table.iter_batches(BATCH_ROWS, row_groups=part.row_groups, columns=wanted):
            yield ArrowRows(batch)


def _csv(path: str, columns: Sequence[str] | None) -> Iterator[Rows]:
    """Every value as bytes that may be no UTF-8, so that one bad row stops nobody."""
    names = column_names(path)
    broken: list[Broken] = []

    def skip(row: pacsv.InvalidRow) -> str:
        broken.append((row.text, f"{row.actual_columns} columns, not {row.expected_columns}"))
        return "skip"

    convert = pacsv.ConvertOptions(
        check_utf8=False,
        column_types={name: pa.binary() for name in names},
        include_columns=None if columns is None else list(columns),
        null_values=[""],
        strings_can_be_null=True,
    )
    parse = pacsv.ParseOptions(
        delimiter=_delimiter(path), newlines_in_values=True, invalid_row_handler=skip
    )
    header = 1
    with _open(path) as file:
        for data, lines in csv_blocks.blocks(path, file, _delimiter(path)):
            broken += lines
            if header and any(why.startswith("line 1:") for _, why in lines):
                raise Failed(f"{path}: cannot be read: the header, {lines[0][1]}")
            if not data.strip(b"\r\n"):
                continue
            read = pacsv.ReadOptions(
                use_threads=False,
                block_size=len(data),
                column_names=names,
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


def _json(path: str) -> Iterator[Rows]:
    with _open(path) as file:
        rows = _json_rows(path, file)
        while batch := list(itertools.islice(rows, BATCH_ROWS)):
            good = [row for row, _ in batch if row is not None]
            yield JsonRows(good, [error for _, error in batch if error is not None])


def _json_rows(path: str, file: IO[bytes]) -> Iterator[tuple[Row | None, Broken | None]]:
    """Each line that is not blank: an object, or why it is none."""
    for number, line in enumerate(file):
        text = line.decode("utf-8-sig" if number == 0 else "utf-8", errors="replace").strip()
        if number == 0 and text.startswith("["):
            raise BadUsage(f"{path}: is a JSON array; write one object a line (JSON Lines)")
        if not text:
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield None, (text, f"no JSON: {reason(error)}")
            continue
        if not isinstance(row, dict):
            yield None, (text, "no JSON object")
        elif musicbrainz.is_recording(row):
            yield musicbrainz.track(row), None
        else:
            yield row, None


def _native(path: str) -> pa.NativeFile:
    """A reader for Arrow, whose threads may outlive the interpreter: no Python file if possible."""
    name = url_to_fs(path)[1]
    return pa.OSFile(name) if files.is_local(path) else pa.PythonFile(files.open_input(path), "r")


@contextlib.contextmanager
def _open(path: str) -> Iterator[IO[bytes]]:
    """What a file of text holds, unpacked."""
    with files.open_input(path) as file:
        codec = CODECS.get(PurePosixPath(path.lower()).suffix)
        if path.lower().endswith(ARCHIVES):
            with tarfile.open(fileobj=file, mode="r|*") as archive:
                yield _dumped(path, archive)
        elif codec:
            yield io.BufferedReader(pa.CompressedInputStream(file, codec))
        else:
            yield file


def _dumped(path: str, archive: tarfile.TarFile) -> IO[bytes]:
    """The objects in the archive of a MusicBrainz dump; archives may be large and are read once."""
    for member in archive:
        found = archive.extractfile(member) if musicbrainz.FOLDER in member.name else None
        if found is not None:
            return found
    raise BadUsage(f"{path}: is no MusicBrainz dump: it holds nothing in {musicbrainz.FOLDER}")


def _delimiter(path: str) -> str:
    return "\t" if format_of(path) == "tsv" else ","


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Failed with the file's name for whatever is wrong with the file."""
    try:
        yield
    except _DAMAGE as error:
        raise Failed(f"{path}: cannot be read: {reason(error)}") from error


_DAMAGE = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    csv.Error,
    pa.ArrowException,
)
