"""Maps of the tables as they lie on disk: lists of entries, `key` and `value` each.

Many readers of Parquet have no type for a map; all of them have lists and structs. In memory a
map stays one, whatever it was read from.
"""

import pyarrow as pa


def stored(table: pa.Table) -> pa.Table:
    """A table with its maps as lists of entries."""
    fields = [stored_field(field) for field in table.schema]
    return table.cast(pa.schema(fields, table.schema.metadata))


def stored_field(field: pa.Field) -> pa.Field:
    """A column as it lies on disk."""
    kind = field.type
    return field.with_type(entries(kind)) if pa.types.is_map(kind) else field


def entries(kind: pa.MapType) -> pa.ListType:
    """The list of entries that stands for a map."""
    return pa.list_(pa.struct([pa.field("key", kind.key_type, False), ("value", kind.item_type)]))


def from_entries(column: pa.ChunkedArray, kind: pa.MapType) -> pa.ChunkedArray:
    """Lists of entries as maps, without a copy; pyarrow.ArrowException where they are others."""
    chunks = [
        pa.Array.from_buffers(
            kind, len(chunk), chunk.buffers()[:2], offset=chunk.offset, children=[chunk.values]
        )
        for chunk in column.cast(entries(kind)).chunks
    ]
    return pa.chunked_array(chunks, kind)
