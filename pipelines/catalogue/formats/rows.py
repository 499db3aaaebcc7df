"""A batch of a catalogue's rows as they stand, whatever file they are from. Free of Beam."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.catalogue.formats.spans import Span
from stemlode.runs import BadUsage
from stemlode.tables import Row

BATCH_ROWS = 1 << 16
PART_ROWS = 1 << 20
EXACT, EXACT_32 = 2.0**53, 2.0**24  # below, a whole float64 or float32 stands for one integer

Broken = tuple[str, str]  # a line that is no row, and why


@dataclass(frozen=True)
class CataloguePart:
    """What one worker reads at a time: a file, some row groups of a Parquet file, or a span of
    bytes of a file of lines."""

    path: str
    row_groups: tuple[int, ...] | None = None
    first: int = 0  # the number of its first row in the file; of a span not known
    span: Span | None = None


class Rows(Protocol):
    """A batch of rows."""

    broken: list[Broken]

    def __len__(self) -> int: ...

    def column(self, name: str) -> pa.Array:
        """A column of text, or of the type it has in the file; nulls where it is missing."""

    def inexact(self, name: str) -> np.ndarray:
        """Where a column holds floats that stand for no whole number for certain, bool."""

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
        columns = [_values(name, chosen.column(name)) for name in chosen.schema.names]
        return [
            dict(zip(chosen.schema.names, row, strict=True)) for row in zip(*columns, strict=True)
        ]

    def inexact(self, name: str) -> np.ndarray:
        column = self.column(name)
        found = np.zeros(len(self), bool)
        if pa.types.is_large_list(column.type):
            rows, column = np.asarray(pc.list_parent_indices(column)), pc.list_flatten(column)
        else:
            rows = np.arange(len(self))
        if pa.types.is_floating(column.type):
            found[rows[_inexact(column)]] = True
        return found


@dataclass
class JsonRows:
    """Rows that are JSON objects: any value may have any type, and any name may be missing."""

    objects: list[Row]
    broken: list[Broken] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.objects)

    def column(self, name: str) -> pa.Array:
        return pa.array([as_text(row.get(name)) for row in self.objects], pa.string())

    def inexact(self, name: str) -> np.ndarray:
        return np.array([_is_inexact(row.get(name)) for row in self.objects], bool)

    def records(self, rows: np.ndarray) -> list[Row]:
        return [self.objects[row] for row in rows]


def as_text(value: Any) -> str | None:
    """Any value of a JSON file or of a nested column as text; whole numbers without a fraction."""
    if value is None or isinstance(value, str):
        return None if value is None else _utf8(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
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


def _inexact(floats: pa.Array) -> np.ndarray:
    numbers = floats.cast(pa.float64()).to_numpy(zero_copy_only=False)
    most = EXACT if floats.type == pa.float64() else EXACT_32
    with np.errstate(invalid="ignore"):
        exact = (np.abs(numbers) < most) & (numbers == np.floor(numbers))
    return ~(exact | np.isnan(numbers))


def _is_inexact(value: Any) -> bool:
    if isinstance(value, list):
        return any(_is_inexact(entry) for entry in value)
    if not isinstance(value, float) or np.isnan(value):
        return False
    return not (value.is_integer() and abs(value) < EXACT)


def _values(name: str, column: pa.Array) -> list[Any]:
    """A column's values as Python has them, as text where it has none such.

    Bytes in place of text that is no UTF-8: a file may break its promise. Raises BadUsage for a
    type that nothing can be made of.
    """
    makers: list[Callable[[], list[Any]]] = [
        column.to_pylist,
        lambda: _as_bytes(column).to_pylist(),  # text that is none
        lambda: column.cast(pa.string()).to_pylist(),  # dates beyond those that Python knows
        lambda: column.cast(pa.int64()).to_pylist(),  # time zones that nobody knows
    ]
    for make in makers:
        try:
            return make()
        except (ValueError, OverflowError, KeyError, pa.ArrowException):
            continue
    raise BadUsage(f"column {name} holds {column.type}, of which nothing can be made; leave it out")


def _as_bytes(column: pa.Array) -> pa.Array:
    """Text as bytes, in lists and structs too."""
    kind = column.type
    if pa.types.is_string(kind):
        return column.view(pa.binary())
    if pa.types.is_large_string(kind):
        return column.view(pa.large_binary())
    if pa.types.is_large_list(kind):
        inner = _as_bytes(column.values)
        return pa.LargeListArray.from_arrays(column.offsets, inner, mask=column.is_null())
    if pa.types.is_struct(kind):
        inner = [_as_bytes(field) for field in column.flatten()]
        names = [field.name for field in kind]
        return pa.StructArray.from_arrays(inner, names, mask=column.is_null())
    return column
