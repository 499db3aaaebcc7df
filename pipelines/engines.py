"""`stemlode match` by SQL: DuckDB on files or BigQuery on tables find what the pipeline finds.

The SQL decides which tracks pair. What a row of the catalogue becomes, a Track or a Reject, is left
to `pipelines.tracks`, as in the pipeline, so the files written are the same to the byte.
"""

import datetime
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from pipelines import (
    catalogue,
    catalogue_files,
    files,
    match_record,
    originals,
    runs,
    schemas,
    tables,
    tracks,
)
from pipelines.catalogue import ARTIST_IDS, Batch, Catalogue
from pipelines.catalogue_files import ArrowRows, Row
from pipelines.match_record import Task
from sql import on_bigquery, on_duckdb
from sql.match import Found, NotPlain
from sql.names import Unsafe, is_query

MEMORY = "1GiB"
PLACE = "place"  # a row's number in the catalogue
CHECKED = ("track_id", "artist_id", "title", "duration_s")  # what tracks.check reads
RELEASE = ("album", "release_year")  # what no rule needs, but the count of releases by year


@dataclass(frozen=True)
class Limits:
    """What DuckDB may use: memory before it spills, threads (one a core), a folder to spill to."""

    memory: str = MEMORY
    threads: int | None = None
    spill: str | None = None


@dataclass(frozen=True)
class Matched:
    """What an engine found, the tracks that it named (schema TRACK), and the Rejects."""

    found: Found
    tracks: pa.Table
    rejects: list[Row]
    rows_read: int


def by_duckdb(given: Catalogue, task: Task, limits: Limits = Limits()) -> Matched:
    """Match a catalogue of files inside this process.

    Local Parquet files of one schema are read by DuckDB itself; of others it gets a copy of the
    columns that the rule looks at. Raises BadUsage and Failed as reading a catalogue does, and
    Failed where memory or disk do not suffice.
    """
    parts = given.parts()
    with _spill(limits.spill) as folder:
        try:
            try:
                return _as_it_stands(given, task, limits, folder)
            except NotPlain:
                return _by_copy(given, parts, task, limits, folder)
        except duckdb.InterruptException as error:
            raise KeyboardInterrupt from error
        except duckdb.Error as error:
            raise runs.Failed(f"--catalog {given.path}: DuckDB: {runs.reason(error)}") from error


@contextmanager
def bigquery_table(
    given: str, columns: str | None, project: str | None, endpoint: str | None
) -> Iterator["InBigQuery"]:
    """A table (`project.dataset.table`) or a query (`SELECT …`) in BigQuery, to be matched there.

    `columns` maps columns as for a Catalogue; `endpoint` is a server other than Google's. Raises
    BadUsage where that is no catalogue, Failed where BigQuery refuses.
    """
    mapped = catalogue.mapping(columns)
    with _one_line(given), closing(on_bigquery.connect(project, endpoint)) as client:
        source = on_bigquery.source(client, given, mapped)
        yield InBigQuery(client, given, source, storage_api=endpoint is None)


@dataclass(frozen=True)
class InBigQuery:
    """A catalogue in BigQuery. `storage_api`: a faster way to fetch, which only Google has."""

    client: bigquery.Client
    given: str
    source: on_bigquery.Source
    storage_api: bool = True

    def modified(self) -> str:
        """When the tables that it reads were last changed: what tells whether it has changed."""
        read = [self.given]
        if is_query(self.given):
            config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
            job = self.client.query(f"SELECT * FROM {self.source.relation}", job_config=config)
            read = job.referenced_tables or []
        times = [self.client.get_table(table).modified for table in read]
        known = [time for time in times if isinstance(time, datetime.datetime)]
        return max(known).isoformat() if known else ""

    def bytes_billed(self, task: Task) -> int:
        """What `match` would be billed for, by BigQuery's own dry run."""
        return on_bigquery.estimate(
            self.client,
            self.source,
            task.rule,
            most_per_key=task.most_per_key,
            aliases=task.aliases_parameter,
        )

    def match(self, task: Task, maximum_bytes_billed: int | None = None) -> Matched:
        """Match it by one query job, which BigQuery refuses if it would bill more than that."""
        found = on_bigquery.find(
            self.client,
            self.source,
            task.rule,
            most_per_key=task.most_per_key,
            aliases=task.aliases_parameter,
            maximum_bytes_billed=maximum_bytes_billed,
            storage_api=self.storage_api,
        )
        names = {ours: self.source.columns.get(ours, ours) for ours in catalogue.COLUMNS}
        names = {ours: theirs for ours, theirs in names.items() if theirs in self.source.kinds}
        if catalogue.DURATION not in self.source.columns:
            names.pop(catalogue.DURATION, None)
        batches = (Batch(self.given, ArrowRows(b), names) for b in found.records.to_batches())
        named, rejects = _sorted_out(batches, task)
        return Matched(found, named, rejects, found.counts["tracks_read"])


def write(run: runs.Run, task: Task, matched: Matched, engine: str) -> None:
    """Write a run's tables, and finish it."""
    kept, further = tracks.once(matched.tracks)
    rejects = pa.Table.from_pylist([*matched.rejects, *further], schemas.REJECT)
    found = candidates(matched.found.candidates, kept)
    chosen = originals.likeliest(found) if task.one_to_one else found
    written = [
        tables.write(run, name, piece)
        for table, rows, order in (
            ("candidates", chosen, ["pair_id"]),
            ("rejects", rejects, ["stage", "key"]),
        )
        for name, piece in tables.cut(table, rows, order)
    ]
    totals = dict(matched.found.counts)
    others = rejects.num_rows + totals["empty_keys"] + totals["instrumentals"]
    totals |= {
        "tracks_read": matched.rows_read,
        "rejected": rejects.num_rows,
        "mixtures": matched.rows_read - others,
        "songs": len(pc.unique(chosen["song_id"])),
        "candidates": chosen.num_rows,
        "not_chosen": found.num_rows - chosen.num_rows,
    }
    match_record.finish(
        run,
        task,
        totals,
        {row["path"]: row["sha256"] for row in written},
        matched.found.large.to_pylist(),
        matched.found.releases,
        engine=engine,
        **matched.found.facts,
    )


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


@contextmanager
def _spill(folder: str | None) -> Iterator[Path]:
    """A new folder for what does not fit into memory, removed at the end."""
    try:
        with tempfile.TemporaryDirectory(prefix="stemlode-", dir=folder) as inner:
            yield Path(inner)
    except FileNotFoundError as error:
        raise runs.BadUsage(f"--spill {folder}: no such folder") from error


@contextmanager
def _one_line(given: str) -> Iterator[None]:
    """What BigQuery and its client raise as the user's one line."""
    try:
        yield
    except (Unsafe, NotPlain) as error:
        raise runs.BadUsage(f"--catalog {given}: {error}") from error
    except (GoogleAPIError, GoogleAuthError) as error:
        raise runs.Failed(f"--catalog {given}: BigQuery: {runs.reason(error)}") from error


# Files that DuckDB reads itself


def _as_it_stands(given: Catalogue, task: Task, limits: Limits, folder: Path) -> Matched:
    paths = given.files()
    names = _plain_columns(given, paths)
    needed = {ours: names[ours] for ours in _wanted(task) if ours in names}
    local = [str(files.system(path)[1]) for path in paths]
    found = _find(local, needed, task, limits, folder)
    by_path = dict(zip(local, paths, strict=True))
    records = found.records.drop([on_duckdb.PATH])
    origins = found.records[on_duckdb.PATH]
    batches = (
        Batch(by_path[path], ArrowRows(batch), names)
        for path in sorted(pc.unique(origins).to_pylist())
        for batch in records.filter(pc.equal(origins, path)).to_batches()
    )
    named, rejects = _sorted_out(batches, task)
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


def _find(
    paths: list[str], columns: dict[str, str], task: Task, limits: Limits, folder: Path
) -> Found:
    return on_duckdb.find(
        paths,
        columns,
        task.rule,
        most_per_key=task.most_per_key,
        aliases=task.aliases_parameter,
        memory=limits.memory,
        threads=limits.threads,
        spill=str(folder),
    )


def _sorted_out(batches: Iterable[Batch], task: Task) -> tuple[pa.Table, list[Row]]:
    """Rows as Tracks, and those that are none as Rejects."""
    named = [schemas.TRACK.empty_table()]
    rejects: list[Row] = []
    for batch in batches:
        checked = tracks.check(batch, task.aliases)
        named.append(tracks.table(batch, checked, checked.good))
        rejects += tracks.rejects(batch, checked)
    return pa.concat_tables(named), rejects


# Files that DuckDB gets a copy of


def _by_copy(
    given: Catalogue,
    parts: list[catalogue_files.Part],
    task: Task,
    limits: Limits,
    folder: Path,
) -> Matched:
    copy = folder / "tracks.parquet"
    schema = _copied(0, Batch("", ArrowRows(pa.record_batch({})), {}), task).schema
    with pq.ParquetWriter(copy, schema, compression="none") as writer:
        for start, batch in _numbered(given, parts, _wanted(task)):
            writer.write_table(_copied(start, batch, task))
    found = _find([str(copy)], {n: n for n in schema.names if n != PLACE}, task, limits, folder)
    places = np.sort(found.records[PLACE].to_numpy())

    named = [schemas.TRACK.empty_table()]
    rejects: list[Row] = []
    rows_read = 0
    for start, batch in _numbered(given, parts):
        first, end = np.searchsorted(places, [start, start + len(batch)])
        checked = tracks.check(batch, task.aliases)
        named.append(tracks.table(batch, checked, places[first:end] - start))
        rejects += tracks.rejects(batch, checked)
        rows_read += len(batch) + len(batch.rows.broken)
    return Matched(found, pa.concat_tables(named), rejects, rows_read)


def _numbered(
    given: Catalogue, parts: list[catalogue_files.Part], columns: tuple[str, ...] | None = None
) -> Iterator[tuple[int, Batch]]:
    """All batches of a catalogue, each with the number of its first row."""
    start = 0
    for part in parts:
        for batch in given.batches(part, columns):
            yield start, batch
            start += len(batch)


def _copied(start: int, batch: Batch, task: Task) -> pa.Table:
    """The good rows of a batch, those columns that the rule looks at, and PLACE."""
    checked = tracks.check(batch, task.aliases)
    good = pa.array(checked.good, pa.int64())
    columns = {name: getattr(checked, name) for name in CHECKED}
    for name in set(_wanted(task)) - {*catalogue.NEEDED, *RELEASE, ARTIST_IDS}:
        columns[name] = tracks.text(batch.column(name))
    columns["album"] = tracks.text(batch.column("album"))
    columns["release_year"] = tracks.year(tracks.text(batch.column("release_year")))
    if task.rule.is_extended:
        columns[ARTIST_IDS] = tracks.lists(batch.lists(ARTIST_IDS))
    taken = {name: column.take(good) for name, column in columns.items()}
    return pa.table({**taken, PLACE: pc.add(good, start)})


def _wanted(task: Task) -> tuple[str, ...]:
    """Our columns that the statement looks at."""
    return tuple(dict.fromkeys((*tracks.needed(task.rule), *RELEASE)))
