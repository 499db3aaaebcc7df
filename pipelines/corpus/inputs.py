"""Every recording that `stemlode corpus` is given: pairs, multitracks, unpaired songs."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from pipelines.corpus import splits
from pipelines.corpus.append import Held
from pipelines.corpus.splits import SplitFacts
from pipelines.samples import recordings
from pipelines.samples.recordings import Recording
from stemlode import tables
from stemlode.addresses.rules import Rules
from stemlode.layouts import folders
from stemlode.layouts.songs import Song
from stemlode.progress import meters
from stemlode.tables import Row

_OF_SPLITS = ["pair_id", "song_id", "mix_track_id", "instrumental_track_id", "mix", "instrumental"]
_OF_SPLITS += ["decision", "repaired"]


def read(
    pipeline: beam.Pipeline,
    given: dict[str, str],
    layout: str,
    grouping: str,
    rules: Rules,
    usable: Callable[[Row], bool],
) -> tuple[beam.PCollection, beam.PCollection]:
    """Every recording that was given, and how many of which kind. `usable`: which pairs count."""
    read = (
        pipeline
        | "Tables" >> beam.Create(tables.parts(given["pairs"], "pairs") if "pairs" in given else [])
        | "SpreadTables" >> beam.Reshuffle()
        | "ReadPairs" >> beam.FlatMap(_pairs, rules, usable).with_outputs("counts", main="pairs")
    )
    songs = recordings.of_songs(songs_in_folders(given, layout, grouping))
    meters.expect("recordings", len(songs))
    unpaired = sum(song.kind == "unpaired" for song in songs)
    zeros = ["pairs", "recordings", "songs", "samples", "shards", "rejected", "left_out"]
    numbers = [*((name, 0) for name in zeros), ("multitracks", len(songs) - unpaired)]
    counted = pipeline | "Counted" >> beam.Create([*numbers, ("unpaired", unpaired)])
    stems = pipeline | "Multitracks" >> beam.Create(songs)
    found = (read.pairs, stems) | "Recordings" >> beam.Flatten()
    counts = [read.counts, counted]
    if "splits" in given:
        lists = splits.read_list(given["splits"])
        counts.append(_used_entries(found, lists))
        found = found | "Listed" >> beam.Map(_listed, lists)
    return found, tuple(counts) | "ReadCounts" >> beam.Flatten()


def facts(
    given: dict[str, str], songs: Iterable[Song], usable: Callable[[Row], bool]
) -> Iterator[SplitFacts]:
    """What decides the splits of all recordings, by tables and names alone."""
    lists = splits.read_list(given["splits"]) if "splits" in given else {}
    for path in tables.parts(given["pairs"], "pairs") if "pairs" in given else ():
        for batch in tables.read_part(path, _OF_SPLITS).to_batches():
            for row in filter(usable, batch.to_pylist()):
                track_ids = (row["mix_track_id"], row["instrumental_track_id"])
                artist = recordings.artist_of(row)
                pair_id = row["pair_id"]
                fact = SplitFacts(pair_id, row["song_id"], pair_id, track_ids, None, artist)
                yield dataclasses.replace(fact, split=splits.listed(fact, lists))
    for fact in map(splits.facts_of, recordings.of_songs(songs)):
        yield dataclasses.replace(fact, split=splits.listed(fact, lists))


def songs_in_folders(given: dict[str, str], layout: str, grouping: str) -> list[Song]:
    """The songs of --stems, --vocals and --instrumentals; BadUsage where one has no such layout."""
    found = []
    if "stems" in given:
        found += folders.read(given["stems"], layout, grouping, given.get("mapping"))
    for name, source in (("vocals", "vocals"), ("instrumentals", "accompaniment")):
        if name in given:
            found += folders.unpaired(given[name], source, name)
    return found


def new_counts(found: beam.PCollection, held: Held) -> beam.PCollection:
    """How many recordings of which kind are new to a corpus, and not among its rejects."""
    names = {"pair": "pairs", "unpaired": "unpaired"}
    rejected = held.rejected()
    return (
        found
        | "New" >> beam.Filter(lambda recording: held.wants(recording.recording_id))
        | "NewIds" >> beam.Map(lambda recording: (recording.recording_id, recording.kind))
        | "NewOnes" >> beam.Distinct()
        | "Unknown" >> beam.Filter(lambda new: new[0] not in rejected)
        | "CountNew" >> beam.Map(lambda new: (names.get(new[1], "multitracks"), 1))
    )


def left(found: beam.PCollection, held: Held) -> beam.PCollection:
    """Rejects of a corpus that an addition does not try again."""
    tried = (
        found
        | "Tried" >> beam.Filter(lambda recording: held.wants(recording.recording_id))
        | "TriedIds" >> beam.Map(lambda recording: (recording.recording_id, None))
    )
    before = found.pipeline | "RejectsBefore" >> beam.Create(held.rejects)
    return (
        {"tried": tried, "before": before}
        | "JoinRejects" >> beam.CoGroupByKey()
        | "NotTried" >> beam.FlatMap(lambda one: [] if one[1]["tried"] else one[1]["before"])
        | "RejectRows" >> beam.Map(json.loads)
    )


def _used_entries(found: beam.PCollection, lists: dict[str, str]) -> beam.PCollection:
    """How long the list of splits is, and how many of its entries name something that is there."""
    used = (
        found
        | "Entries" >> beam.FlatMap(lambda one: lists.keys() & {*splits.keys(splits.facts_of(one))})
        | "UsedEntries" >> beam.Distinct()
        | "CountUsed" >> beam.Map(lambda _: ("split_entries_used", 1))
    )
    numbers = [("split_entries", len(lists)), ("split_entries_used", 0)]
    return (used, found.pipeline | "List" >> beam.Create(numbers)) | "ListCounts" >> beam.Flatten()


def _listed(recording: Recording, lists: dict[str, str]) -> Recording:
    return dataclasses.replace(recording, split=splits.listed(splits.facts_of(recording), lists))


def _pairs(path: str, rules: Rules, usable: Callable[[Row], bool]) -> Iterator[Any]:
    """The recordings of one file of verified pairs."""
    for row in tables.rows(path):
        if usable(row):
            meters.expect("recordings", 1)
            yield TaggedOutput("counts", ("pairs", 1))
            yield recordings.of_pair(row, rules)
        else:
            yield TaggedOutput("counts", ("pairs_not_kept", 1))
