"""Arrow's many types as the few that the rest reads, cast once where a file is opened. No Beam."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def settled(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch without views, run ends, dictionaries and extensions, and with one kind of lists."""
    if all(settled_type(kind) == kind for kind in batch.schema.types):
        return batch
    columns = [_settled(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def settled_type(kind: pa.DataType) -> pa.DataType:
    """What `settled` makes of a type."""
    t = pa.types
    found = kind
    if isinstance(kind, pa.UuidType):
        found = pa.string()
    elif isinstance(kind, pa.BaseExtensionType):
        found = settled_type(kind.storage_type)
    elif t.is_run_end_encoded(kind) or t.is_dictionary(kind):
        found = settled_type(kind.value_type)
    elif _is_list(kind):
        found = pa.large_list(settled_type(kind.value_type))
    elif t.is_struct(kind):
        found = pa.struct([(field.name, settled_type(field.type)) for field in kind])
    elif t.is_string_view(kind):
        found = pa.string()
    elif t.is_binary_view(kind) or t.is_fixed_size_binary(kind):
        found = pa.binary()
    elif t.is_float16(kind):
        found = pa.float32()
    return found


def _settled(column: pa.Array) -> pa.Array:
    kind, wanted = column.type, settled_type(column.type)
    if kind == wanted:
        found = column
    elif isinstance(kind, pa.UuidType):
        found = pa.array([None if u is None else str(u) for u in column.to_pylist()], pa.string())
    elif isinstance(kind, pa.BaseExtensionType):
        found = _settled(column.storage)
    elif pa.types.is_run_end_encoded(kind):
        found = _settled(pc.run_end_decode(column))
    elif pa.types.is_dictionary(kind):
        found = _settled(column.dictionary_decode())
    elif _is_list(kind):  # not by a cast, which loses entries of views beside nulls
        sizes = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
        offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int64())
        entries = _settled(pc.list_flatten(column))
        found = pa.LargeListArray.from_arrays(offsets, entries, mask=column.is_null())
    elif pa.types.is_struct(kind):
        fields = [_settled(field) for field in column.flatten()]
        found = pa.StructArray.from_arrays(fields, fields=[*wanted], mask=column.is_null())
    else:
        found = column.cast(wanted)
    return found


def _is_list(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
        pa.types.is_fixed_size_list,
    )
    return any(test(kind) for test in tests)
