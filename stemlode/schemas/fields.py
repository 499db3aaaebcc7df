"""Columns of the tables: a type, a unit and a sentence each."""

import pyarrow as pa

SECONDS, DECIBELS, HERTZ, BYTES, NONE = "s", "dB", "Hz", "bytes", ""

_TYPES = {
    "str": pa.string(),
    "f64": pa.float64(),
    "i64": pa.int64(),
    "i32": pa.int32(),
    "bool": pa.bool_(),
    "strs": pa.list_(pa.string()),
    "f64s": pa.list_(pa.float64()),
    "i32s": pa.list_(pa.int32()),
    "spans": pa.list_(pa.list_(pa.float64(), 2)),
    "pieces": pa.list_(pa.list_(pa.float64(), 4)),
    "str→f64": pa.map_(pa.string(), pa.float64()),
    "str→f64s": pa.map_(pa.string(), pa.list_(pa.float64())),
    "str→member": pa.map_(
        pa.string(),
        pa.struct(
            {
                "offset": pa.int64(),
                "size": pa.int64(),
                "seek_step": pa.int32(),
                "seek_points": pa.list_(pa.int32()),
            }
        ),
    ),
    "str→str": pa.map_(pa.string(), pa.string()),
}


def field(
    name: str, kind: str, unit: str, sentence: str, *, required: bool = False, since: str = ""
) -> pa.Field:
    """`since` is the release that brought the column; empty for those of the first one."""
    facts = {"unit": unit, "description": sentence} | ({"since": since} if since else {})
    return pa.field(name, _TYPES[kind], not required, facts)
