"""Which group of songs each recording of a corpus belongs to, and which cannot have any.

Songs that hold the same recording are found by fingerprints. Only landmarks travel: a few numbers
for every second of sound.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict, AsList, TaggedOutput

from matching.sound import fingerprints
from pipelines import transforms
from pipelines.corpus import append, artists, splits
from pipelines.corpus.splits import SplitFacts
from pipelines.samples import chunks
from pipelines.samples.chunks import AlignedSource
from pipelines.samples.recordings import Recording, stamps
from stemlode import files, runs, schemas, tables
from stemlode.audio import AudioError
from stemlode.ids import digest
from stemlode.progress import meters
from stemlode.retry import Unreachable, reach_all, stores_of
from stemlode.schemas import reject

LANDMARKS = "landmarks"
_BLOCK_FRAMES = 30 * fingerprints.RATE


@dataclasses.dataclass(frozen=True)
class Sketched:
    """What fingerprints say of recordings.

    Args:
        alike: (song id, song id, why) of songs that hold the same recording.
        missed: (recording id, (address, why)) of those that could not be read.
        tables: manifest rows of the landmarks by which songs that are added later are held
            against these.
    """

    alike: beam.PCollection
    missed: beam.PCollection
    tables: beam.PCollection


def alike(found: beam.PCollection, fingerprints: str, run: runs.Run, held: append.Held) -> Sketched:
    """Which songs hold the same recording; nothing where `fingerprints` is "off"."""
    if fingerprints == "off":
        nothing = found.pipeline | "NoFingerprints" >> beam.Create([])
        return Sketched(nothing, nothing, nothing)
    before = tables.parts(run.output, LANDMARKS) if held.kind else []
    same, sketched = _matches(found, run, before)
    new = sketched.rows | "NewSketches" >> beam.Filter(lambda row: held.wants(row["recording_id"]))
    written = new | "SketchTable" >> transforms.WriteTable(
        run, f"{LANDMARKS}{held.suffix}", schemas.LANDMARKS, ["recording_id", "source"]
    )
    return Sketched(same, sketched.missed, written)


def grouped(
    found: beam.PCollection, alike: AsList, held: append.Held, *, by_artist: bool
) -> tuple[beam.PCollection, beam.PCollection, beam.PCollection]:
    """(recording, its group), a reject for every one that cannot have any, and counts."""
    groups = (
        found
        | "Known" >> beam.Map(lambda recording: (None, splits.facts_of(recording)))
        | "AllKnown" >> beam.GroupByKey()
        | "SplitGroups"
        >> beam.FlatMap(_split_groups, alike, held, by_artist).with_outputs("counts", main="groups")
    )
    by_song = found | "BySong" >> beam.Map(lambda recording: (recording.song_id, recording))
    joined = (
        {"found": by_song, "group": groups.groups}
        | "JoinGroups" >> beam.CoGroupByKey()
        | "Once" >> beam.FlatMap(_once, held).with_outputs("rejects", main="grouped")
    )
    return joined.grouped, joined.rejects, groups.counts


def _matches(
    found: beam.PCollection, run: runs.Run, before: Sequence[str]
) -> tuple[beam.PCollection, Any]:
    """Recordings → (song id, song id, why) of songs that hold one recording, and what `_sketches`
    gives. `before` are tables of the sketches that a corpus holds already."""
    sketched = found | "Sketch" >> beam.FlatMap(sketches, run).with_outputs("missed", main="rows")
    known = (
        found.pipeline
        | "TablesBefore" >> beam.Create(before)
        | "SketchesBefore" >> beam.FlatMap(tables.rows)
    )
    every = (sketched.rows, known) | "AllSketches" >> beam.Flatten()
    sizes = every | "SketchSizes" >> beam.Map(
        lambda row: (_sound(row), (row["song_id"], len(row["values"])))
    )
    alike = (
        every
        | "Landmarks" >> beam.FlatMap(_landmarks)
        | "ByLandmark" >> beam.GroupByKey()
        | "Coincidences" >> beam.FlatMap(_coincidences)
        | "Shared" >> beam.CombinePerKey(sum)
        | "Enough" >> beam.FlatMap(_enough, AsDict(sizes))
        | "ByPair" >> beam.GroupByKey()
        | "BestShift" >> beam.MapTuple(_best)
    )
    return alike, sketched


def sketches(recording: Recording, run: runs.Run) -> Iterator[Any]:
    """Rows of schemas.LANDMARKS of a recording's sounds; `missed` where one cannot be reached,
    lest it come to a corpus without having been held against the others.

    Sketches are kept among the run's parts, for an attempt that comes after. A sound that does not
    decode has no landmarks: what reads it next says why.
    """
    rows = []
    for source, parts in _sounds(recording).items():
        make = functools.partial(_sketch, parts, run)
        try:
            with (
                meters.item("fingerprints", recording.name),
                stores_of(run).files([part.uri for part in parts]),
            ):
                held = reach_all(make, f"--output {run.output}")
        except Unreachable as error:
            yield TaggedOutput("missed", (recording.recording_id, (error.uri, str(error))))
            return
        rows.append(
            {
                "recording_id": recording.recording_id,
                "source": source,
                "song_id": recording.song_id,
                "values": [value for value, _ in held],
                "frames": [frame for _, frame in held],
            }
        )
    yield from rows


def _split_groups(
    known: tuple[None, Iterable[SplitFacts]],
    alike: list[tuple[str, str, str]],
    held: append.Held,
    by_artist: bool,
) -> Iterator[Any]:
    found = [*known[1]]
    facts = [*found, *held.known()]
    grouped = held.frozen(splits.split_groups(facts, alike))
    if by_artist:
        grouped, counts = artists.together(grouped, facts, held)
        yield from (TaggedOutput("counts", count) for count in counts.items())
    for song in sorted({recording.song_id for recording in found}):
        yield song, grouped[song]


def _once(song: tuple[str, dict[str, list[Any]]], held: append.Held) -> Iterator[Any]:
    seen = set()
    (group,) = song[1]["group"]
    for recording in sorted(song[1]["found"], key=repr):
        facts = dataclasses.asdict(recording)
        if not held.wants(recording.recording_id):
            continue
        if not group.group:
            message = f"would join songs of two splits: {'; '.join(group.joined)}"
            row = reject("corpus", recording.name, "two_sides", message, facts)
            yield TaggedOutput("rejects", row)
        elif recording.recording_id in seen:
            row = reject("corpus", recording.name, "duplicate", "came before", facts)
            yield TaggedOutput("rejects", row)
        else:
            seen.add(recording.recording_id)
            yield recording, group


def _sketch(sources: list[AlignedSource], run: runs.Run) -> list[list[int]]:
    name = digest(json.dumps([repr(sources), [stamps(source.uri) for source in sources]]))
    path = run.path(runs.PARTS, f"{name}.landmarks")
    if files.exists(path):
        meters.was_held()
        return json.loads(files.read_bytes(path))
    try:
        held = [list(mark) for mark in fingerprints.landmarks(_blocks(sources))]
    except AudioError:
        return []
    files.write_bytes(path, json.dumps(held).encode())
    return held


def _sound(row: dict[str, Any]) -> str:
    """A short name: coincidences are many, and carry two of them."""
    return digest(row["song_id"], row["recording_id"], row["source"])[:16]


def _landmarks(row: dict[str, Any]) -> Iterator[tuple[int, tuple[str, int]]]:
    for value, frame in zip(row["values"], row["frames"], strict=True):
        yield value, (_sound(row), frame)


def _sounds(recording: Recording) -> dict[str, list[AlignedSource]]:
    """What to know a recording by: a pair's two tracks, a multitrack's mixture or their sum."""
    if recording.fault or not all(p.uri for parts in recording.parts.values() for p in parts):
        return {}
    parts = dict(recording.parts)
    if recording.kind != "pair":
        whole = parts.get("mixture") or tuple(p for held in parts.values() for p in held)
        parts = {"mixture": whole}
    return {
        name: [
            AlignedSource(str(n), p.uri, 0, p.gain, stream=p.stream, channel=p.channel)
            for n, p in enumerate(held)
        ]
        for name, held in parts.items()
    }


def _blocks(sources: list[AlignedSource]) -> Iterator[np.ndarray]:
    """The sum of sources, mono at the fingerprints' rate."""
    cut = chunks.cut(
        sources,
        sample_rate=fingerprints.RATE,
        channels=1,
        chunk_frames=_BLOCK_FRAMES,
        until="",
        counted=False,  # but by `fingerprints_ms`
    )
    for chunk in cut:
        yield np.sum(list(chunk.values()), axis=0)[0]


def _coincidences(
    element: tuple[int, Iterable[tuple[str, int]]],
) -> Iterator[tuple[tuple[str, str, int], int]]:
    for found in fingerprints.coincidences(element[1]):
        yield found, 1


def _enough(
    element: tuple[tuple[str, str, int], int], sizes: dict[str, tuple[str, int]]
) -> list[tuple[tuple[str, str], tuple[int, int]]]:
    (first, second, shift), shared = element
    (song, size), (other, other_size) = sizes[first], sizes[second]
    if song == other or not fingerprints.enough(shared, size, other_size):
        return []
    if other < song:
        song, other, shift = other, song, -shift
    return [((song, other), (shared, -shift))]


def _best(songs: tuple[str, str], found: Iterable[tuple[int, int]]) -> tuple[str, str, str]:
    shared, minus = max(found)
    return *songs, fingerprints.reason(shared, -minus)
