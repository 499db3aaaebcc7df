"""On which side of the split each recording of a corpus lands, and which have none."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsList, TaggedOutput

from pipelines import append, joining, recordings, runs, schemas, sides, tables
from pipelines.encoding import PARTS
from pipelines.rejects import reject
from pipelines.sides import Known, Side

LANDMARKS = "landmarks"


def alike(
    found: beam.PCollection, fingerprints: str, run: runs.Run, held: append.Held
) -> tuple[beam.PCollection, beam.PCollection]:
    """(song id, song id, why) of songs that hold the same recording, and the tables of landmarks
    by which songs that are added later are held against these."""
    if fingerprints == "off":
        nothing = found.pipeline | "NoFingerprints" >> beam.Create([])
        return nothing, nothing
    before = tables.parts(run.output, LANDMARKS) if held.kind else []
    same, sketches = joining.matches(found, run, PARTS, before)
    new = sketches | "NewSketches" >> beam.Filter(lambda row: held.wants(row["recording_id"]))
    written = new | "SketchTable" >> tables.WriteTable(
        run, f"{LANDMARKS}{held.suffix}", schemas.LANDMARKS, ["recording_id", "source"]
    )
    return same, written


def grouped(
    found: beam.PCollection, alike: AsList, held: append.Held
) -> tuple[beam.PCollection, beam.PCollection]:
    """(recording, its side of the split), and a reject for every one that cannot have any."""
    groups = (
        found
        | "Known" >> beam.Map(lambda recording: (None, recordings.known(recording)))
        | "AllKnown" >> beam.GroupByKey()
        | "Sides" >> beam.FlatMap(_sides, alike, held)
    )
    by_song = found | "BySong" >> beam.Map(lambda recording: (recording.song_id, recording))
    joined = (
        {"found": by_song, "side": groups}
        | "JoinGroups" >> beam.CoGroupByKey()
        | "Once" >> beam.FlatMap(_once, held).with_outputs("rejects", main="grouped")
    )
    return joined.grouped, joined.rejects


def _sides(
    known: tuple[None, Iterable[Known]], alike: list[tuple[str, str, str]], held: append.Held
) -> list[tuple[str, Side]]:
    found = [*known[1]]
    songs = {recording.song_id for recording in found}
    sided = held.frozen(sides.sides([*found, *held.known()], alike))
    return [(song, sided[song]) for song in sorted(songs)]


def _once(song: tuple[str, dict[str, list[Any]]], held: append.Held) -> Iterator[Any]:
    seen = set()
    (side,) = song[1]["side"]
    for recording in sorted(song[1]["found"], key=repr):
        facts = dataclasses.asdict(recording)
        if not held.wants(recording.recording_id):
            continue
        if not side.group:
            message = f"would join songs of two splits: {'; '.join(side.joined)}"
            row = reject("corpus", recording.name, "two_sides", message, facts)
            yield TaggedOutput("rejects", row)
        elif recording.recording_id in seen:
            row = reject("corpus", recording.name, "duplicate", "came before", facts)
            yield TaggedOutput("rejects", row)
        else:
            seen.add(recording.recording_id)
            yield recording, side
