"""A batch of a catalogue's rows as they stand, whatever file they are from. Free of Beam."""

import json
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from stemlode.tables import Row

BATCH_ROWS = 1 << 16
PART_ROWS = 1 << 20

Broken = tuple[str, str]  # a line that is no row, and why


@dataclass(frozen=True)
class CataloguePart:
    """What one worker reads at a time: a file, or some row groups of a Parquet file."""

    path: str
    row_groups: tuple[int, ...] | None = None
    first: int = 0  # the number of its first row in the file


class Rows(Protocol):
    """A batch of rows."""

    broken: list[Broken]

    def __len__(self) -> int: ...

    def column(self, name: str) -> pa.Array:
        """A column of text, or of the type it has in the file; nulls where it is missing."""

    def records(self, rows: np.ndarray) -> list[Row]:
        """Some rows with all their columns."""


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
        return value.decode("utf-8", errors="backslashreplace")  # escapes what is no text
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
