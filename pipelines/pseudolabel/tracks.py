"""The tracks to label: rows of a catalogue, or the files of a folder, each id once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsDict, AsSingleton, TaggedOutput

from pipelines.catalogue import rejections, scan, tracks
from pipelines.catalogue.formats.rows import CataloguePart
from pipelines.catalogue.reading import Catalogue
from pipelines.pseudolabel.plan import STAGE
from stemlode import runs, schemas, tables
from stemlode.audio import kinds
from stemlode.ids import digest
from stemlode.progress import meters
from stemlode.tables import Row

# Tracks that a worker takes at a time, decoding some ahead: an eighth, so that workers can share
# a small catalogue, within these.
FEWEST, MOST = 4, 32


def read(
    pipeline: beam.Pipeline,
    catalogue: Catalogue | None,
    music: str | None,
    *,
    allow_rejects: bool = False,
    follow: bool = True,
    say: Callable[[float], None] | None = None,
) -> tuple[beam.PCollection, beam.PCollection, beam.PCollection]:
    """Parts of some tracks each, (number, rows of schemas.TRACK); rejects; counts.

    Only references travel. Which part a track lies in depends on its id and their number alone.
    Of a catalogue of which most rows are rejected for one reason no track is given, unless that is
    allowed. `follow`: links may lead out of the folder of music. `say` is told how many seconds the
    tracks have in all, before any of them is given.
    """
    found = (
        _of_folder(pipeline, music or "", follow)
        if catalogue is None
        else _of_catalogue(pipeline, catalogue, allow_rejects)
    )
    once = (
        found.tracks
        | "ById" >> beam.Map(lambda row: (row["track_id"], row))
        | "SameIds" >> beam.GroupByKey()
        | "OnceEach" >> beam.FlatMap(_once).with_outputs("rejects", main="tracks")
    )
    seconds = (
        once.tracks
        | "Lengths" >> beam.Map(lambda row: row["duration_s"] or 0.0)
        | "AllSeconds" >> beam.CombineGlobally(sum)
    )
    parts = AsSingleton(
        once.tracks
        | "CountTracks" >> beam.combiners.Count.Globally()
        | "HowManyParts" >> beam.Map(_how_many_parts, AsSingleton(seconds), say)
    )
    placed = once.tracks | "Place" >> beam.Map(_placed, parts) | "Parts" >> beam.GroupByKey()
    rejects = (found.rejects, once.rejects) | "TrackRejects" >> beam.Flatten()
    counts = (
        found.counts,
        rejects | "CountUnread" >> beam.Map(lambda _: ("tracks_rejected", 1)),
    ) | "TrackCounts" >> beam.Flatten()
    return placed, rejects, counts


def _of_catalogue(pipeline: beam.Pipeline, catalogue: Catalogue, allow_rejects: bool) -> Any:
    found = (
        pipeline
        | "Catalogue" >> beam.Create(catalogue.parts())
        | "SpreadCatalogue" >> beam.Reshuffle()
        | "ReadTracks"
        >> beam.FlatMap(_rows, catalogue).with_outputs("rejects", "counts", main="tracks")
    )
    if allow_rejects:
        return found
    rows = found.counts | "RowCounts" >> beam.Values() | "CountRows" >> beam.CombineGlobally(sum)
    by_reason = (
        found.rejects
        | "Reasons" >> beam.Map(lambda row: (row["error"], (1, row)))
        | "Tally" >> beam.CombinePerKey(rejections.added)
    )
    judged = (
        pipeline
        | "Judge" >> beam.Create([catalogue.path])
        | "Verdict" >> beam.Map(_judged, AsSingleton(rows), AsDict(by_reason))
    )
    tracks = found.tracks | "OnceJudged" >> beam.FlatMap(
        lambda row, why: [] if why else [row], AsSingleton(judged)
    )
    return SimpleNamespace(tracks=tracks, rejects=found.rejects, counts=found.counts)


def _judged(catalog: str, rows: int, by_reason: dict[str, rejections.RejectTally]) -> str:
    """Why the catalogue is held back; empty where it is not."""
    return rejections.verdict(catalog, rows, by_reason) or ""


def held_back(
    catalog: str, run: runs.Run, counts: Mapping[str, float], outputs: Sequence[str]
) -> str | None:
    """The same of a run whose rejects are written."""
    names = [name for name in outputs if name.startswith("rejects-")]
    columns = ["stage", "key", "error", "record"]
    found = (row for n in names for row in tables.read_part(run.path(n), columns).to_pylist())
    return rejections.verdict(catalog, int(counts["tracks_read"]), rejections.tallied(found))


def _of_folder(pipeline: beam.Pipeline, folder: str, follow: bool) -> Any:
    listed = (
        pipeline
        | "Folder" >> beam.Create([folder])
        | "ListFiles"
        >> beam.FlatMap(scan.listed, {*kinds.EXTENSIONS}, follow=follow).with_outputs(
            "rejects", "counts", main="audio"
        )
    )
    read = (
        listed.audio
        | "SpreadFiles" >> beam.Reshuffle()
        | "ReadTags" >> beam.ParDo(scan.ReadTags(folder)).with_outputs("rejects", main="tracks")
    )
    rejects = (listed.rejects, read.rejects) | "FileRejects" >> beam.Flatten()
    named = rejects | "OurStage" >> beam.Map(lambda row: row | {"stage": STAGE})
    count = (listed.audio, listed.rejects) | "EveryFile" >> beam.Flatten()
    counts = count | "CountFiles" >> beam.Map(lambda _: ("tracks_read", 1))
    return SimpleNamespace(tracks=read.tracks, rejects=named, counts=counts)


def _rows(part: CataloguePart, catalogue: Catalogue) -> Iterator[Any]:
    for batch in catalogue.batches(part):
        checked = tracks.check(batch)
        yield TaggedOutput("counts", ("tracks_read", len(batch) + len(batch.rows.broken)))
        for row in tracks.rejects(batch, checked):
            yield TaggedOutput("rejects", row | {"stage": STAGE})
        yield from tracks.table(batch, checked, checked.good).to_pylist()


def _once(element: tuple[str, Iterable[Row]]) -> Iterator[Any]:
    rows = list(element[1])
    if len(rows) == 1:
        yield rows[0]
        return
    table, further = tracks.once(pa.Table.from_pylist(rows, schemas.TRACK))
    yield from table.to_pylist()
    for row in further:
        yield TaggedOutput("rejects", row | {"stage": STAGE})


def _how_many_parts(tracks: int, seconds: float, say: Callable[[float], None] | None) -> int:
    meters.expect("tracks", tracks)
    if say is not None:
        say(seconds)
    return max(1, -(-tracks // min(MOST, max(FEWEST, tracks // 8))))


def _placed(track: Row, parts: int) -> tuple[int, Row]:
    return int(digest(track["track_id"])[:8], 16) % parts, track
