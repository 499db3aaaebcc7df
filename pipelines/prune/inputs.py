"""What `stemlode prune` reads, looked at before the work begins. Free of Beam."""

import pyarrow as pa
import pyarrow.parquet as pq

from stemlode import schemas, tables
from stemlode.runs import BadUsage

URIS = ("mix_audio_uri", "instrumental_audio_uri")


def check(folder: str) -> None:
    """BadUsage where none of a folder's candidates could be listened to, naming the column."""
    footers = _footers(folder, "candidates", schemas.CANDIDATE, "--candidates")
    rows = sum(footer.num_rows for footer in footers)
    for name in URIS:
        if rows and sum(_nulls(footer, name) for footer in footers) == rows:
            raise BadUsage(
                f"--candidates {folder}: {name} is empty in all {rows:,} rows; give the catalogue "
                "a column audio_uri (docs/catalogues.md) and run match again"
            )


def check_scored(folder: str) -> None:
    """BadUsage where a folder's scored pairs lack what decisions depend on."""
    _footers(folder, "pairs", schemas.SCORED_PAIR, "--rescore")


def _footers(folder: str, name: str, schema: pa.Schema, option: str) -> list[pq.FileMetaData]:
    """The footers of a table's files, all of which have the schema's columns."""
    found = [tables.footer(path) for path in tables.parts(folder, name)]
    for footer in found:
        names = footer.schema.to_arrow_schema().names
        if missing := schemas.lacking(schema, names):
            raise BadUsage(
                f"{option} {folder}: its {name} have no column {', '.join(missing)}; "
                "write them again with this version of Stemlode"
            )
        for field in schema:
            if field.name not in names:
                continue
            kind = _plain(footer.schema.to_arrow_schema().field(field.name).type)
            if kind != _plain(field.type):
                raise BadUsage(
                    f"{option} {folder}: column {field.name} of its {name} is {kind}, "
                    f"not {_plain(field.type)}"
                )
            empty = 0 if field.nullable else _nulls(footer, field.name)
            if empty:
                raise BadUsage(
                    f"{option} {folder}: column {field.name} of its {name} is empty in "
                    f"{empty:,} rows"
                )
    return found


def _plain(kind: pa.DataType) -> str:
    """A type's name; strings are strings, and what holds others is one whatever it holds."""
    if pa.types.is_struct(kind):
        return "struct"
    if pa.types.is_map(kind):
        return "map"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return "list"
    if pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return "string"
    return str(kind)


def _nulls(footer: pq.FileMetaData, column: str) -> int:
    """How many values are known to be null; of a struct, how many structs at most."""
    groups = [footer.row_group(n) for n in range(footer.num_row_groups)]
    found = 0
    for group in groups:
        chunks = [group.column(n) for n in range(group.num_columns)]
        stated = [
            chunk.statistics.null_count if chunk.statistics else 0
            for chunk in chunks
            if chunk.path_in_schema.split(".")[0] == column
        ]
        found += min(stated, default=0)
    return found
