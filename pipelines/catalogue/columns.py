"""What a catalogue's columns hold, read as what they mean."""

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.catalogue.formats.rows import SEPARATOR, as_text, plain

NUMBER = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$"


def text(column: pa.Array) -> pa.StringArray:
    """A column of any type as text: null where it is empty, U+FFFD for what is no UTF-8."""
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        column = column.cast(pa.large_binary()).view(pa.large_string())
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        strings = column.cast(pa.string())
    except pa.ArrowException:  # lists, structs and the like
        strings = pa.array([as_text(value) for value in column.to_pylist()], pa.string())
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        strings = pa.array([plain(value) for value in strings.cast(pa.binary()).to_pylist()])
    return pc.if_else(pc.equal(strings, ""), None, strings)


def lists(column: pa.Array) -> pa.ListArray:
    """A column of lists of any type, or of text with a separator, as lists of trimmed text."""
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        column = pc.split_pattern(text(column), SEPARATOR)
    lists = column.cast(pa.large_list(column.type.value_type))
    entries = pc.ascii_trim(text(lists.values), " \t\n\v\f\r")
    whole = pa.LargeListArray.from_arrays(lists.offsets, entries, mask=lists.is_null())
    return whole.cast(pa.list_(pa.string()))


def seconds(column: pa.Array) -> pa.DoubleArray:
    """A column of durations as float64: null where it holds no finite number above zero."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        numbers = column.cast(pa.float64(), safe=False)
    else:
        strings = text(column)
        trimmed = pc.ascii_trim(strings, " \t\n\v\f\r")
        numbers = pc.if_else(pc.match_substring_regex(strings, NUMBER), trimmed, None).cast(
            pa.float64()
        )
    is_length = pc.and_(pc.is_finite(numbers), pc.greater(numbers, 0))
    return pc.if_else(is_length, numbers, None)


def year(texts: pa.StringArray) -> pa.Int32Array:
    """The year of a year or of a date that begins with one."""
    found = pc.struct_field(pc.extract_regex(texts, r"^\s*(?P<year>\d{4})(?:\D.*)?$"), "year")
    return found.cast(pa.int32())
