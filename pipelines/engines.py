"""`stemlode match` by SQL: DuckDB on files or BigQuery on tables find what the pipeline finds.

The SQL decides which tracks pair. What a row of the catalogue becomes, a Track or a Reject, is left
to `pipelines.tracks`, as in the pipeline, so the files written are the same to the byte.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from google.api_core.exceptions import GoogleAPIError
from google.cloud import bigquery

from matching.rules import Rule
from pipelines import catalogue, catalogue_files, files, runs, schemas, tables, tracks
from pipelines.catalogue import Batch, Catalogue
from pipelines.catalogue_files import ArrowRows, Row
from sql import on_bigquery, on_duckdb
from sql.match import Found, NotPlain
from sql.names import Unsafe

MEMORY = "1GiB"
PLACE = "place"  # a row's number in the catalogue
COPY = pa.schema(
    [
        ("track_id", pa.string()),
        ("artist_id", pa.string()),
        ("title", pa.string()),
        ("duration_s", pa.float64()),
        (PLACE, pa.int64()),
    ]
)


@dataclass(frozen=True)
class Matched:
    """What an engine found, the tracks that it named (schema TRACK), and the Rejects."""

    found: Found
    tracks: pa.Table
    rejects: list[Row]
    rows_read: int


def by_duckdb(
    given: Catalogue, rule: Rule, *, memory: str = MEMORY, threads: int | None = None
) -> Matched:
    """Match a catalogue of files inside this process.

    Local Parquet files of one schema are read by DuckDB itself; of others it gets a copy of the
    columns that the rule looks at. `memory` is what DuckDB may hold before it spills to the folder
    for temporary files; `threads` are one a core by default. Raises BadUsage and Failed as reading
    a catalogue does, and Failed where memory or disk do not suffice.
    """
    parts = given.parts()
    with tempfile.TemporaryDirectory(prefix="stemlode-") as folder:
        limits = {"memory": memory, "threads": threads, "spill": folder}
        try:
            try:
                return _as_it_stands(given, rule, limits)
            except NotPlain:
                return _by_copy(given, parts, rule, Path(folder), limits)
        except duckdb.Error as error:
            raise runs.Failed(f"--catalog {given.path}: DuckDB: {runs.reason(error)}") from error


def by_bigquery(
    client: bigquery.Client,
    given: str,
    columns: str | None,
    rule: Rule,
    *,
    maximum_bytes_billed: int | None = None,
    storage_api: bool = True,
) -> Matched:
    """Match a table (`project.dataset.table`) or a query (`SELECT …`) in BigQuery, by one job.

    `columns` maps columns as for a Catalogue. Raises BadUsage where that is no catalogue, Failed
    where BigQuery refuses, for instance to bill more than `maximum_bytes_billed`.
    """
    mapped = catalogue.mapping(columns)
    try:
        source = on_bigquery.source(client, given, mapped)
        found = on_bigquery.find(
            client,
            source,
            rule,
            maximum_bytes_billed=maximum_bytes_billed,
            storage_api=storage_api,
        )
    except (Unsafe, NotPlain) as error:
        raise runs.BadUsage(f"--catalog {given}: {error}") from error
    except GoogleAPIError as error:
        raise runs.Failed(f"--catalog {given}: BigQuery: {runs.reason(error)}") from error
    names = {ours: mapped.get(ours, ours) for ours in catalogue.COLUMNS}
    names = {ours: theirs for ours, theirs in names.items() if theirs in source.kinds}
    batches = (Batch(given, ArrowRows(batch), names) for batch in found.records.to_batches())
    named, rejects = _sorted_out(batches)
    return Matched(found, named, rejects, found.counts["tracks_read"])


def write(run: runs.Run, matched: Matched, rule: Rule) -> None:
    """Write a run's tables, and finish it."""
    kept, further = tracks.once(matched.tracks)
    rejects = pa.Table.from_pylist([*matched.rejects, *further], schemas.REJECT)
    written = [
        tables.write(run, name, candidates(piece, kept))
        for name, piece in tables.cut("candidates", matched.found.candidates, ["pair_id"])
    ]
    written += [
        tables.write(run, name, piece)
        for name, piece in tables.cut("rejects", rejects, ["stage", "key"])
    ]
    outputs = {row["path"]: row["sha256"] for row in written}
    run.finish(_counts(matched, rejects.num_rows), outputs, **matched.found.facts)


def candidates(found: pa.Table, kept: pa.Table) -> pa.Table:
    """Pairs as rows of schemas.CANDIDATE, with both tracks."""
    columns = {name: found[name] for name in found.schema.names}
    for side in ("mix", "instrumental"):
        rows = pc.index_in(found[f"{side}_track_id"], value_set=kept["track_id"].combine_chunks())
        if rows.null_count:
            raise runs.Failed("the catalogue changed while it was read; run again")
        whole = kept.take(rows).combine_chunks()
        parts = [column.combine_chunks() for column in whole.columns]
        columns[side] = pa.StructArray.from_arrays(parts, fields=list(schemas.TRACK))
        columns[f"{side}_audio_uri"] = whole["audio_uri"]
    return pa.table([columns[name] for name in schemas.CANDIDATE.names], schemas.CANDIDATE)


def _counts(matched: Matched, rejected: int) -> dict[str, int]:
    """The pipeline's counts (see match.COUNTS)."""
    counts = matched.found.counts
    others = rejected + counts["empty_keys"] + counts["instrumentals"]
    return {
        "tracks_read": matched.rows_read,
        "rejected": rejected,
        "empty_keys": counts["empty_keys"],
        "instrumentals": counts["instrumentals"],
        "mixtures": matched.rows_read - others,
        "keys": counts["keys"],
        "songs": len(pc.unique(matched.found.candidates["song_id"])),
        "candidates": matched.found.candidates.num_rows,
    }


# Files that DuckDB reads itself


def _as_it_stands(given: Catalogue, rule: Rule, limits: Mapping[str, Any]) -> Matched:
    paths = given.files()
    names = _plain_columns(given, paths)
    needed = {ours: names[ours] for ours in catalogue.NEEDED if ours in names}
    local = [str(files.system(path)[1]) for path in paths]
    found = on_duckdb.find(local, needed, rule, **limits)
    by_path = dict(zip(local, paths, strict=True))
    records = found.records.drop([on_duckdb.PATH])
    origins = found.records[on_duckdb.PATH]
    batches = (
        Batch(by_path[path], ArrowRows(batch), names)
        for path in sorted(pc.unique(origins).to_pylist())
        for batch in records.filter(pc.equal(origins, path)).to_batches()
    )
    named, rejects = _sorted_out(batches)
    return Matched(found, named, rejects, found.counts["tracks_read"])


def _plain_columns(given: Catalogue, paths: list[str]) -> dict[str, str]:
    """What the files call our columns; NotPlain where DuckDB would not read what Arrow reads."""
    for path in paths:
        if not files.is_local(path) or catalogue_files.format_of(path) != "parquet":
            raise NotPlain(f"{path} is no local Parquet file")
        if not all(_is_plain(field.type) for field in pq.read_schema(files.system(path)[1])):
            raise NotPlain(f"{path} has a column of an unusual type")
    found = [given.names(path) for path in paths]
    if any(names != found[0] for names in found):
        raise NotPlain("the files have different columns")
    return found[0]


def _is_plain(kind: pa.DataType) -> bool:
    """Types whose values come out of DuckDB as they come out of Arrow."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_plain(kind.value_type)
    if pa.types.is_struct(kind):
        return all(_is_plain(field.type) for field in kind)
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_integer,
        pa.types.is_float32,
        pa.types.is_float64,
        pa.types.is_boolean,
        pa.types.is_date32,
    )
    return any(test(kind) for test in tests)


def _sorted_out(batches: Iterable[Batch]) -> tuple[pa.Table, list[Row]]:
    """Rows as Tracks, and those that are none as Rejects."""
    named = [schemas.TRACK.empty_table()]
    rejects: list[Row] = []
    for batch in batches:
        checked = tracks.check(batch)
        named.append(tracks.table(batch, checked, checked.good))
        rejects += tracks.rejects(batch, checked)
    return pa.concat_tables(named), rejects


# Files that DuckDB gets a copy of


def _by_copy(
    given: Catalogue,
    parts: list[catalogue_files.Part],
    rule: Rule,
    folder: Path,
    limits: Mapping[str, Any],
) -> Matched:
    copy = folder / "tracks.parquet"
    with pq.ParquetWriter(copy, COPY, compression="none") as writer:
        for start, batch in _numbered(given, parts, needed_only=True):
            writer.write_table(_needed(start, tracks.check(batch)))
    needed = {name: name for name in COPY.names if name != PLACE}
    found = on_duckdb.find([str(copy)], needed, rule, **limits)
    places = np.sort(found.records[PLACE].to_numpy())

    named = [schemas.TRACK.empty_table()]
    rejects: list[Row] = []
    rows_read = 0
    for start, batch in _numbered(given, parts):
        first, end = np.searchsorted(places, [start, start + len(batch)])
        checked = tracks.check(batch)
        named.append(tracks.table(batch, checked, places[first:end] - start))
        rejects += tracks.rejects(batch, checked)
        rows_read += len(batch) + len(batch.rows.broken)
    return Matched(found, pa.concat_tables(named), rejects, rows_read)


def _numbered(
    given: Catalogue, parts: list[catalogue_files.Part], *, needed_only: bool = False
) -> Iterator[tuple[int, Batch]]:
    """All batches of a catalogue, each with the number of its first row."""
    start = 0
    for part in parts:
        for batch in given.batches(part, needed_only=needed_only):
            yield start, batch
            start += len(batch)


def _needed(start: int, checked: tracks.Tracks) -> pa.Table:
    """The good rows of a batch, what the rule looks at."""
    good = pa.array(checked.good, pa.int64())
    columns = [getattr(checked, name).take(good) for name in COPY.names if name != PLACE]
    return pa.table([*columns, pc.add(good, start)], COPY)
