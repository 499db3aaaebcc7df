"""`stemlode match` by SQL: DuckDB on files or BigQuery on tables find what the pipeline finds.

The SQL decides which tracks pair. What a row of the catalogue becomes, a Track or a Reject, is left
to `pipelines.catalogue.tracks`, as in the pipeline, so the files written are the same to the byte.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.catalogue import reading, tracks
from pipelines.catalogue.columns import flags, year
from pipelines.catalogue.formats.rows import ArrowRows, CataloguePart
from pipelines.catalogue.mapping import ARTIST_IDS, IS_VIDEO
from pipelines.catalogue.reading import Catalogue, RowBatch, Table
from pipelines.catalogue.sources.files import format_of
from pipelines.match.output import Matched, sorted_out
from pipelines.match.record import Task
from sql import on_duckdb
from sql.match import Found, NotPlain
from stemlode import files, runs, schemas
from stemlode.progress import meters
from stemlode.tables import Row

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
def _spill(folder: str | None) -> Iterator[Path]:
    """A new folder for what does not fit into memory, removed at the end."""
    try:
        with tempfile.TemporaryDirectory(prefix="stemlode-", dir=folder) as inner:
            yield Path(inner)
    except FileNotFoundError as error:
        raise runs.BadUsage(f"--spill {folder}: no such folder") from error


# Files that DuckDB reads itself


def _as_it_stands(given: Catalogue, task: Task, limits: Limits, folder: Path) -> Matched:
    paths = given.files()
    table = _plain_table(given, paths)
    needed = {ours: table.names[ours] for ours in _wanted(task) if ours in table.names}
    local = [str(files.system(path)[1]) for path in paths]
    found = _find(local, needed, task, limits, folder)
    by_path = dict(zip(local, paths, strict=True))
    records = found.records.drop([on_duckdb.PATH])
    origins = found.records[on_duckdb.PATH]
    batches = (
        RowBatch(by_path[path], ArrowRows(batch), table)
        for path in sorted(pc.unique(origins).to_pylist())
        for batch in records.filter(pc.equal(origins, path)).to_batches()
    )
    named, rejects = sorted_out(batches, task)
    return Matched(found, named, rejects, found.counts["tracks_read"])


def _plain_table(given: Catalogue, paths: list[str]) -> Table:
    """What the files call our columns; NotPlain where DuckDB would not read what Arrow reads."""
    if given.dialect.catalog_format:
        raise NotPlain("the files are of a source with columns of its own")
    for path in paths:
        if not files.is_local(path) or format_of(path) != "parquet":
            raise NotPlain(f"{path} is not a local Parquet file")
        schema = pq.read_schema(files.system(path)[1])
        lists = given.table(path).names.get(ARTIST_IDS)
        if lists is not None and not pa.types.is_nested(schema.field(lists).type):
            raise NotPlain("a list is written as text")
        if not _are_plain(schema):
            raise NotPlain(f"{path} has a column of an unusual type, or two of nearly one name")
    found = [given.table(path) for path in paths]
    if any(table != found[0] for table in found):
        raise NotPlain("the files have different columns")
    if found[0].shared:
        raise NotPlain("some columns are in no file")
    if given.dialect.duration_unit or given.dialect.decimal_comma:
        raise NotPlain("durations are written otherwise")
    return found[0]


def _are_plain(fields: Iterable[pa.Field]) -> bool:
    """Whether all have types that are plain, and names that DuckDB tells apart."""
    found = list(fields)
    names = {field.name.lower() for field in found}
    return len(names) == len(found) and all(_is_plain(field.type) for field in found)


def _is_plain(kind: pa.DataType) -> bool:
    """Types whose values come out of DuckDB as they come out of Arrow."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_plain(kind.value_type)
    if pa.types.is_struct(kind):
        return _are_plain(kind)
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
        told=_told,
    )


def _told(done: int, more: int) -> None:
    meters.step("steps", done)
    meters.expect("steps", more)


# Files that DuckDB gets a copy of


def _by_copy(
    given: Catalogue,
    parts: list[CataloguePart],
    task: Task,
    limits: Limits,
    folder: Path,
) -> Matched:
    copy = folder / "tracks.parquet"
    schema = _copied(0, RowBatch("", ArrowRows(pa.record_batch({})), Table({})), task).schema
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
    given: Catalogue, parts: list[CataloguePart], columns: tuple[str, ...] | None = None
) -> Iterator[tuple[int, RowBatch]]:
    """All batches of a catalogue, each with the number of its first row."""
    start = 0
    for part in parts:
        for batch in given.batches(part, columns):
            yield start, batch
            start += len(batch)


def _copied(start: int, batch: RowBatch, task: Task) -> pa.Table:
    """The good rows of a batch, those columns that the rule looks at, and PLACE."""
    checked = tracks.check(batch, task.aliases)
    good = pa.array(checked.good, pa.int64())
    columns = {name: getattr(checked, name).take(good) for name in CHECKED}
    named = tracks.named(batch, task.rule, good)
    columns |= {name: named[name] for name in {*named} & {*_wanted(task)}}
    columns[IS_VIDEO] = flags(batch.column(IS_VIDEO).take(good))
    for name in {*_wanted(task)} - {*reading.NEEDED, *columns, ARTIST_IDS}:
        columns[name] = batch.text(name, good, strict=False)
    columns["release_year"] = year(columns["release_year"])
    return pa.table({**columns, PLACE: pc.add(good, start)})


def _wanted(task: Task) -> tuple[str, ...]:
    """Our columns that the statement looks at."""
    return tuple(dict.fromkeys((*tracks.needed(task.rule), *RELEASE)))
