"""What a catalogue's columns hold, read as what they mean."""

import ast
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.catalogue.formats.rows import EXACT, as_text
from sql.durations import FORMS, NUMBER, Form

WHITESPACE = " \t\n\v\f\r"
YES = ("true", "yes", "1")
WRITTEN = r"^\s*\[(?s:.*)\]\s*$"  # a list in a text
_ENTRY = r"""\s*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-+.\w]+)\s*"""
_PYTHON = re.compile(rf"\s*\[(?:{_ENTRY}(?:,{_ENTRY})*,?)?\s*\]\s*", re.DOTALL)
_PER = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # Arrow's units in a second


class NotUtf8(ValueError):
    """A value that is no text: `row`, its place in the array, and the bytes from there on."""

    def __init__(self, row: int, values: list[bytes | None]) -> None:
        super().__init__(f"row {row}: {values[0]!r}")
        self.row, self.values = row, values

    @property
    def sample(self) -> bytes:
        """The values, a line each."""
        return b"\n".join(value for value in self.values if value)


def text(column: pa.Array, encoding: str | None = None, *, strict: bool = False) -> pa.StringArray:
    """A column of any type as text, null where it is empty.

    `encoding` is that of bytes, UTF-8 where it is None. What is no text raises NotUtf8, or if not
    `strict`, has its bytes escaped (`\\xff`).
    """
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        if encoding is not None:
            column = _decoded(column, encoding, strict)
        else:
            column = column.cast(pa.large_binary()).view(pa.large_string())
    if pa.types.is_floating(column.type):
        return _without_points(column)
    try:
        strings = column.cast(pa.string())
    except pa.ArrowException:  # lists, structs and the like
        strings = pa.array([as_text(value) for value in column.to_pylist()], pa.string())
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        strings = _decoded(strings.cast(pa.binary()), "utf-8", strict)
    return pc.if_else(pc.equal(strings, ""), None, strings)


def _without_points(column: pa.Array) -> pa.StringArray:
    """Floats as text; whole ones, which pandas makes of integers beside nulls, as integers."""
    numbers = column.cast(pa.float64())
    known = pc.if_else(pc.is_nan(numbers), None, numbers)
    whole = pc.and_(pc.equal(known, pc.floor(known)), pc.less(pc.abs(known), EXACT))
    integers = pc.if_else(whole, known, None).cast(pa.int64()).cast(pa.string())
    return pc.coalesce(integers, pc.if_else(pc.is_nan(column), None, column).cast(pa.string()))


def _decoded(column: pa.Array, encoding: str, strict: bool) -> pa.StringArray:
    found: list[str | None] = []
    values = column.to_pylist()
    for row, value in enumerate(values):
        try:
            found.append(None if value is None else value.decode(encoding))
        except UnicodeDecodeError as error:
            if strict:
                raise NotUtf8(row, values[row:]) from error
            found.append(value.decode(encoding, errors="backslashreplace"))
    return pa.array(found, pa.string())


def lists(
    column: pa.Array, separator: str | None, encoding: str | None = None, *, strict: bool = False
) -> pa.ListArray:
    """A column of lists of any type, or of text, as lists of trimmed text.

    A text is a list as JSON or Python write it (`["a", "b"]`, `['a', 'b']`), else what the
    separator parts. `encoding` and `strict` are as for `text`.
    """
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        column = _parted(text(column, encoding, strict=strict), separator)
    lists = column.cast(pa.large_list(column.type.value_type))
    try:
        entries = pc.ascii_trim(text(lists.values, encoding, strict=strict), WHITESPACE)
    except NotUtf8 as error:
        places = np.asarray(lists.offsets)
        raise NotUtf8(int(np.searchsorted(places, error.row, "right")) - 1, error.values) from error
    whole = pa.LargeListArray.from_arrays(lists.offsets, entries, mask=lists.is_null())
    return whole.cast(pa.list_(pa.string()))


def first(lists: pa.ListArray) -> pa.StringArray:
    """The first entry of each list that is not empty; null where there is none."""
    rows, entries = pc.list_parent_indices(lists), pc.list_flatten(lists)
    is_there = pc.fill_null(pc.not_equal(entries, ""), False)
    rows, entries = rows.filter(is_there).to_numpy(), entries.filter(is_there)
    kept, places = np.unique(rows, return_index=True)
    found = np.full(len(lists), -1)
    found[kept] = places
    return entries.take(pa.array(found, mask=found < 0))


def _parted(texts: pa.StringArray, separator: str | None) -> pa.ListArray:
    written = pc.fill_null(pc.match_substring_regex(texts, WRITTEN), False)
    parted = pc.split_pattern(texts, separator) if separator else _alone(texts)
    if not pc.any(written).as_py():
        return parted
    found = parted.to_pylist()
    for row in np.flatnonzero(written):
        listed = _listed(texts[int(row)].as_py())
        found[row] = found[row] if listed is None else listed
    return pa.array(found, pa.list_(pa.string()))


def _alone(texts: pa.StringArray) -> pa.ListArray:
    """Each text as a list of itself."""
    known = texts.is_valid()
    places = np.concatenate([[0], np.cumsum(np.asarray(known))])
    mask = pc.invert(known)
    return pa.ListArray.from_arrays(pa.array(places, pa.int32()), texts.drop_null(), mask=mask)


def _listed(text: str) -> list[str | None] | None:
    """The entries of a list that JSON or Python wrote; None where it is none of theirs."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if not _PYTHON.fullmatch(text):
            return None
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    return [as_text(entry) for entry in value] if isinstance(value, list) else None


def flags(column: pa.Array) -> pa.BooleanArray:
    """A column of any type as yes or no; what is not said is no."""
    if pa.types.is_boolean(column.type):
        return pc.fill_null(column, False)
    texts = pc.utf8_lower(pc.ascii_trim(text(column), WHITESPACE))
    return pc.fill_null(pc.is_in(texts, value_set=pa.array(YES)), False)


def seconds(
    column: pa.Array, per_second: int = 1, *, decimal_comma: bool = False
) -> pa.DoubleArray:
    """A column of durations as float64: null where it holds no finite number above zero.

    Plain numbers are of units that are `per_second` in a second. What says its units itself is
    read so: `M:SS` and `H:MM:SS`, ISO 8601 (`PT3M25S`), and Arrow's own durations. With a decimal
    comma a text has no point.
    """
    kind = column.type
    if pa.types.is_duration(kind):
        numbers = pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), _PER[kind.unit])
    elif pa.types.is_temporal(kind):  # a date, or a time of day, in which Excel writes 3:25 too
        numbers = pa.nulls(len(column), pa.float64())
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = _in_seconds(column.cast(pa.float64(), safe=False), per_second)
    else:
        texts = pc.ascii_trim(text(column), WHITESPACE)
        if decimal_comma:
            texts = pc.if_else(pc.match_substring(texts, "."), None, texts)
            texts = pc.replace_substring(texts, ",", ".")
        plain_numbers = pc.if_else(pc.match_substring_regex(texts, NUMBER), texts, None)
        numbers = pc.coalesce(
            _in_seconds(plain_numbers.cast(pa.float64()), per_second),
            *(_in_units(texts, form) for form in FORMS),
        )
    is_length = pc.and_(pc.is_finite(numbers), pc.greater(numbers, 0))
    return pc.if_else(is_length, numbers, None)


def _in_seconds(numbers: pa.DoubleArray, per_second: int) -> pa.DoubleArray:
    return numbers if per_second == 1 else pc.divide(numbers, float(per_second))


def _in_units(texts: pa.StringArray, form: Form) -> pa.DoubleArray:
    """Texts of this form in seconds, null for others."""
    rows = pc.fill_null(pc.match_substring_regex(texts, form.pattern), False)
    nothing = pa.nulls(len(texts), pa.float64())
    if not pc.any(rows).as_py():
        return nothing
    chosen = texts.filter(rows)
    total = pa.array(np.zeros(len(chosen)))
    for group, size in enumerate(form.seconds, 1):
        said = pc.replace_substring_regex(chosen, form.pattern, rf"\{group}")
        numbers = pc.replace_substring(pc.if_else(pc.equal(said, ""), "0", said), ",", ".")
        total = pc.add(total, pc.multiply(numbers.cast(pa.float64()), float(size)))
    return pc.replace_with_mask(nothing, rows, total)


def year(texts: pa.StringArray) -> pa.Int32Array:
    """The year of a year or of a date that begins with one."""
    found = pc.struct_field(pc.extract_regex(texts, r"^\s*(?P<year>\d{4})(?:\D.*)?$"), "year")
    return found.cast(pa.int32())
