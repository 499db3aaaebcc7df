"""What `stemlode prune` reads, looked at before the work begins. Free of Beam."""

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import files, runs, schemas, tables
from pipelines.runs import BadUsage, Failed

URIS = ("mix_audio_uri", "instrumental_audio_uri")


def check(folder: str) -> None:
    """BadUsage where none of a folder's candidates could be listened to, naming the column."""
    footers = _footers(folder, "candidates", schemas.CANDIDATE, "--candidates")
    rows = sum(footer.num_rows for footer in footers)
    for name in URIS:
        if rows and sum(_nulls(footer, name) for footer in footers) == rows:
            raise BadUsage(
                f"--candidates {folder}: {name} is empty in all {rows:,} rows; give the catalogue "
                "a column audio_uri (README) and run match again"
            )


def check_scored(folder: str) -> None:
    """BadUsage where a folder's scored pairs lack what decisions depend on."""
    _footers(folder, "pairs", schemas.SCORED_PAIR, "--rescore")


def _footers(folder: str, name: str, schema: pa.Schema, option: str) -> list[pq.FileMetaData]:
    """The footers of a table's files, all of which have the schema's columns."""
    found = [_footer(path) for path in tables.parts(folder, name)]
    for footer in found:
        names = footer.schema.to_arrow_schema().names
        missing = [column for column in schema.names if column not in names]
        if missing:
            raise BadUsage(
                f"{option} {folder}: its {name} have no column {', '.join(missing)}; "
                "write them again with this version of Stemlode"
            )
    return found


def _nulls(footer: pq.FileMetaData, column: str) -> int:
    """How many values are known to be null."""
    groups = [footer.row_group(n) for n in range(footer.num_row_groups)]
    chunks = [group.column(n) for group in groups for n in range(group.num_columns)]
    stated = [chunk.statistics for chunk in chunks if chunk.path_in_schema == column]
    return sum(s.null_count for s in stated if s is not None and s.has_null_count)


def _footer(path: str) -> pq.FileMetaData:
    try:
        with files.open_input(path) as file:
            return pq.read_metadata(file)
    except (OSError, pa.ArrowException) as error:
        raise Failed(f"{path}: unreadable table: {runs.reason(error)}") from error
