"""Rows of a catalogue as Tracks, column by column, and why some of them are none. Free of Beam."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matching.links import with_names
from matching.rules import LONG_S, Rule, read_titles
from matching.titles import artist_key_batch, marker_batch
from pipelines.catalogue import reading
from pipelines.catalogue.columns import first, flags, seconds, year
from pipelines.catalogue.formats.dialect import UNITS
from pipelines.catalogue.formats.rows import plain
from pipelines.catalogue.mapping import ARTIST_IDS, DURATION, IS_VIDEO, MILLISECONDS
from pipelines.catalogue.reading import RowBatch
from stemlode import schemas
from stemlode.ids import digest
from stemlode.schemas import reject
from stemlode.tables import Row

if TYPE_CHECKING:
    from pipelines.catalogue.aliases import Aliases

STAGE = "match"
NO_ID = "(no track_id)"
MESSAGES = {  # in the order in which they are looked for; a row's first one counts
    "bad_id": "an id is a float that stands for no whole number for certain",
    "no_track_id": "the track has no id",
    "no_title": "the track has no title",
    "no_artist": "the track has neither an artist nor an artist id",
    "bad_duration": "the duration is no positive number of seconds",
}
# Of the durations of good rows.
WHOLE_SECONDS, LONG = "whole_seconds", "long"
_ERRORS = list(MESSAGES)
KEYED = pa.schema(
    [
        *(schemas.TRACK.field(name) for name in ("track_id", "artist_id", "title", "duration_s")),
        pa.field(ARTIST_IDS, pa.list_(pa.string())),
        pa.field("work_id", pa.string()),
        pa.field("fuzzy_title", pa.string()),
        pa.field("marker", pa.string()),
        pa.field("other_titles", pa.string()),
        pa.field(IS_VIDEO, pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Tracks:
    """The columns that the rule looks at, and each row's error as an index of MESSAGES or -1."""

    track_id: pa.StringArray
    artist_id: pa.StringArray
    title: pa.StringArray
    duration_s: pa.DoubleArray
    error: np.ndarray

    @property
    def good(self) -> np.ndarray:
        """The rows without error, int64."""
        return np.flatnonzero(self.error < 0)


def check(batch: RowBatch, aliases: "Aliases | None" = None) -> Tracks:
    """Read the needed columns of a batch, whatever their types, and judge each row.

    Raises BadUsage where one holds what is no UTF-8.

    Where the artist's name is among the aliases, that id is taken instead of the row's own.
    """
    track_id, title, own, artist = (
        batch.text(name) for name in ("track_id", "title", "artist_id", "artist")
    )
    artist_id = _artist_ids(own, artist, aliases)
    duration_s = _durations(batch)
    error = np.full(len(batch), -1)
    for number, column in reversed([*enumerate((track_id, title, artist_id, duration_s), 1)]):
        error[np.asarray(pc.is_null(column))] = number
    error[batch.inexact("track_id") | batch.inexact("artist_id")] = 0
    return Tracks(track_id, artist_id, title, duration_s, error)


def needed(rule: Rule) -> tuple[str, ...]:
    """Our columns that a rule looks at."""
    further = ("album", ARTIST_IDS, "work_id", "recording_id")
    return (*reading.NEEDED, IS_VIDEO, *(further if rule.is_extended else ()))


def keyed(batch: RowBatch, tracks: Tracks, rule: Rule, rows: np.ndarray | None = None) -> pa.Table:
    """The good rows, or some of them, as a table with the schema KEYED: what makes their keys."""
    chosen = tracks.good if rows is None else rows
    return _keyed(batch, tracks, rule, pa.array(chosen, pa.int64()))


def named(batch: RowBatch, rule: Rule, rows: pa.Int64Array) -> dict[str, pa.Array]:
    """The columns of some rows, beside those of Tracks, that a rule's keys are made of, by name.

    Raises BadUsage where one holds what is no UTF-8.
    """
    if not rule.is_extended:
        return {}
    for name in ("work_id", ARTIST_IDS):
        batch.refuse_inexact(name, rows)
    found: dict[str, pa.Array] = {n: batch.text(n, rows) for n in ("album", "work_id")}
    return {**found, ARTIST_IDS: artist_lists(batch, rule, rows)}


def artist_lists(batch: RowBatch, rule: Rule, rows: pa.Int64Array) -> pa.ListArray:
    """The artists of some rows beside their own, as `matching.links` takes them."""
    lists = batch.texts(ARTIST_IDS, rows, reading.SEPARATOR)
    return with_names(lists, batch.text("artist", rows)) if rule.artist_names else lists


def marked(batch: RowBatch, tracks: Tracks, rule: Rule) -> pa.Table:
    """The same of those rows alone that have a marker."""
    good = pa.array(tracks.good, pa.int64())
    if not rule.is_extended:  # whose markers are found before its keys are made
        good = good.filter(marker_batch(tracks.title.take(good)).is_valid())
    table = _keyed(batch, tracks, rule, good)
    return table.filter(table["marker"].is_valid())


def _keyed(batch: RowBatch, tracks: Tracks, rule: Rule, rows: pa.Int64Array) -> pa.Table:
    columns = {name: getattr(tracks, name).take(rows) for name in KEYED.names[:4]}
    columns |= {
        ARTIST_IDS: pa.nulls(len(rows), pa.list_(pa.string())),
        "work_id": pa.nulls(len(rows), pa.string()),
        **named(batch, rule, rows),
    }
    albums = columns.get("album", columns["work_id"])
    said = read_titles(columns["title"], albums, rule)
    columns |= dict(zip(("fuzzy_title", "marker", "other_titles"), said, strict=True))
    columns[IS_VIDEO] = flags(batch.column(IS_VIDEO).take(rows))
    return pa.table([columns[name] for name in KEYED.names], KEYED)


def duration_counts(tracks: Tracks) -> Iterator[tuple[str, int]]:
    """How many good rows have a duration in whole seconds, or a very long one."""
    lengths = tracks.duration_s.take(pa.array(tracks.good, pa.int64())).to_numpy()
    yield WHOLE_SECONDS, int((lengths == np.floor(lengths)).sum())
    yield LONG, int((lengths > LONG_S).sum())


def error_counts(batch: RowBatch, tracks: Tracks) -> Iterator[tuple[str, int]]:
    """How many rows are rejected for each reason."""
    for number, error in enumerate(_ERRORS):
        yield error, int((tracks.error == number).sum())
    yield "bad_row", len(batch.rows.broken)


def releases(batch: RowBatch, tracks: Tracks) -> pa.Table:
    """The releases (artist_id, album) of the good rows, with their years; a row for each track."""
    if not (batch.has("album") and batch.has("release_year")):
        return releases_of(schemas.TRACK.empty_table())
    good = pa.array(tracks.good, pa.int64())
    columns = {
        "artist_id": tracks.artist_id.take(good),
        "album": batch.text("album", good, strict=False),
        "release_year": year(batch.text("release_year", good, strict=False)),
    }
    return releases_of(pa.table(columns))


def releases_of(tracks: pa.Table) -> pa.Table:
    """The same of a table with columns as in TRACK: year, artist_id, album."""
    chosen = tracks.select(["release_year", "artist_id", "album"])
    return chosen.rename_columns(["year", "artist_id", "album"]).drop_null()


def rejects(batch: RowBatch, tracks: Tracks) -> Iterator[Row]:
    """One Reject for each row with an error, and for each line that is no row."""
    wrong = np.flatnonzero(tracks.error >= 0)
    for row, record in zip(wrong, batch.records(wrong), strict=True):
        error = _ERRORS[tracks.error[row]]
        key = tracks.track_id[int(row)].as_py() or NO_ID
        yield reject(STAGE, key, error, f"{MESSAGES[error]}{_shown(error, record)}", record)
    for line, why in batch.rows.broken:
        yield reject(STAGE, NO_ID, "bad_row", f"the line is no row: {why}", {"line": plain(line)})


def table(batch: RowBatch, tracks: Tracks, rows: np.ndarray) -> pa.Table:
    """Some good rows as a table with the schema TRACK."""
    chosen = pa.array(rows, pa.int64())
    columns = {name: batch.text(name, chosen, strict=False) for name in _OTHERS}
    columns["audio_uri"] = _resolved(columns["audio_uri"], batch.path)
    columns["isrc"] = first(batch.texts("isrc", chosen, strict=False))
    columns["release_year"] = year(columns["release_year"])
    columns["extra"] = pa.array(batch.further(rows), pa.string())
    for name in ("track_id", "artist_id", "title", "duration_s"):
        columns[name] = getattr(tracks, name).take(chosen)
    return pa.table([columns[name] for name in schemas.TRACK.names], schemas.TRACK)


def record(track: Row) -> str:
    """A track with the schema TRACK (other columns do not count) as JSON, as its row was."""
    known = {name: track[name] for name in schemas.TRACK.names if name != "extra"}
    facts = {**json.loads(track["extra"] or "{}"), **known}
    present = {name: value for name, value in facts.items() if value is not None}
    return json.dumps(present, sort_keys=True, ensure_ascii=False)


def once(table: pa.Table) -> tuple[pa.Table, list[Row]]:
    """A table of tracks with one of each id, and a Reject for each further one.

    `table` has the schema TRACK and may have more columns. The track stays that sorts first by
    title, artist id and duration, then by album, year, recording and work, which SQL can say too,
    and then by its record.
    """
    counted = table.group_by("track_id").aggregate([([], "count_all")])
    ids = counted["track_id"].filter(pc.greater(counted["count_all"], 1))
    repeated = pc.is_in(table["track_id"], value_set=ids)
    rows = [(record(row), row) for row in table.filter(repeated).to_pylist()]
    rows.sort(key=lambda row: (*_order(row[1]), row[0]))
    kept: dict[str, Row] = {}
    further = [
        _duplicate(row["track_id"], text)
        for text, row in rows
        if kept.setdefault(row["track_id"], row) is not row
    ]
    first = pa.Table.from_pylist(list(kept.values()), table.schema)
    return pa.concat_tables([table.filter(pc.invert(repeated)), first]), further


def _order(track: Row) -> tuple[Any, ...]:
    first = (track["title"], track["artist_id"], track["duration_s"])
    texts = (track[name] or "" for name in ("recording_id", "work_id"))
    return (*first, track["album"] or "", track["release_year"] or 0, *texts)


def _duplicate(track_id: str, text: str) -> Row:
    """The Reject of a track whose id is taken; `text` is its record."""
    message = "another track with this id was kept: the one that sorts first, by its title first"
    return reject(STAGE, track_id, "duplicate_id", message, json.loads(text))


_OTHERS = [
    name
    for name in schemas.TRACK.names
    if name not in ("track_id", "artist_id", "title", "duration_s", "extra")
]


def _durations(batch: RowBatch) -> pa.DoubleArray:
    ours, unit = DURATION, batch.table.dialect.duration_unit or "s"
    if not batch.has(ours):
        ours, unit = MILLISECONDS, "ms"
    comma = batch.table.dialect.decimal_comma
    return seconds(batch.column(ours), UNITS[unit], decimal_comma=comma)


def _artist_ids(
    artist_id: pa.StringArray, artist: pa.StringArray, aliases: "Aliases | None"
) -> pa.StringArray:
    """Ids that the aliases have for a name, else as they stand, else derived from the name."""
    if artist_id.null_count == 0 and aliases is None:
        return artist_id
    looked_at = artist if aliases else pc.if_else(artist_id.is_null(), artist, None)
    keys = artist_key_batch(looked_at).dictionary_encode()
    derived = pc.if_else(artist_id.is_null(), keys.indices, None)
    wanted = set(derived.drop_null().unique().to_pylist())
    digests = [
        digest(key) if key and place in wanted else None
        for place, key in enumerate(keys.dictionary.to_pylist())
    ]
    given = pc.coalesce(artist_id, pa.array(digests, pa.string()).take(derived))
    if aliases is None:
        return given
    return pc.coalesce(aliases.ids_of(keys.dictionary).take(keys.indices), given)


def _resolved(uris: pa.StringArray, path: str) -> pa.StringArray:
    """Relative paths are relative to the catalogue file; to a table in a database, to nothing."""
    folder, in_folder, _ = path.rpartition("/")
    if not in_folder:
        return uris
    stays = pc.or_(pc.match_substring(uris, "://"), pc.starts_with(uris, "/"))
    return pc.if_else(stays, uris, pc.binary_join_element_wise(folder, uris, "/"))


def _shown(error: str, record: Row) -> str:
    """The value that is to blame, where there is one to show."""
    names = (DURATION, MILLISECONDS) if error == "bad_duration" else ()
    value = next((record[name] for name in names if record.get(name) is not None), None)
    return "" if value is None else f": {str(value)[:40]}"
