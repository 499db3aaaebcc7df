"""Every recording that `stemlode corpus` is given: pairs, multitracks, unpaired songs."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from pipelines import layouts, recordings, sides, tables
from pipelines.layouts_songs import Song
from pipelines.recordings import Recording


def read(
    pipeline: beam.Pipeline, given: dict[str, str], layout: str, grouping: str
) -> tuple[beam.PCollection, beam.PCollection]:
    """Every recording that was given, and how many of which kind."""
    read = (
        pipeline
        | "Tables" >> beam.Create(tables.parts(given["pairs"], "pairs") if "pairs" in given else [])
        | "SpreadTables" >> beam.Reshuffle()
        | "ReadPairs" >> beam.FlatMap(_kept_pairs).with_outputs("counts", main="pairs")
    )
    songs = recordings.of_songs(songs_in_folders(given, layout, grouping))
    unpaired = sum(song.kind == "unpaired" for song in songs)
    zeros = ["pairs", "recordings", "songs", "samples", "shards", "rejected", "left_out"]
    numbers = [*((name, 0) for name in zeros), ("multitracks", len(songs) - unpaired)]
    counted = pipeline | "Counted" >> beam.Create([*numbers, ("unpaired", unpaired)])
    stems = pipeline | "Multitracks" >> beam.Create(songs)
    found = (read.pairs, stems) | "Recordings" >> beam.Flatten()
    counts = [read.counts, counted]
    if "splits" in given:
        lists = sides.read_list(given["splits"])
        counts.append(_used_entries(found, lists))
        found = found | "Listed" >> beam.Map(_listed, lists)
    return found, tuple(counts) | "ReadCounts" >> beam.Flatten()


def songs_in_folders(given: dict[str, str], layout: str, grouping: str) -> list[Song]:
    """The songs of --stems, --vocals and --instrumentals; BadUsage where one has no such layout."""
    found = []
    if "stems" in given:
        found += layouts.read(given["stems"], layout, grouping, given.get("mapping"))
    for name, source in (("vocals", "vocals"), ("instrumentals", "accompaniment")):
        if name in given:
            found += layouts.unpaired(given[name], source, name)
    return found


def _used_entries(found: beam.PCollection, lists: dict[str, str]) -> beam.PCollection:
    """How long the list of splits is, and how many of its entries name something that is there."""
    used = (
        found
        | "Entries" >> beam.FlatMap(lambda one: lists.keys() & {*sides.keys(recordings.known(one))})
        | "UsedEntries" >> beam.Distinct()
        | "CountUsed" >> beam.Map(lambda _: ("split_entries_used", 1))
    )
    numbers = [("split_entries", len(lists)), ("split_entries_used", 0)]
    return (used, found.pipeline | "List" >> beam.Create(numbers)) | "ListCounts" >> beam.Flatten()


def _listed(recording: Recording, lists: dict[str, str]) -> Recording:
    return dataclasses.replace(recording, split=sides.listed(recordings.known(recording), lists))


def _kept_pairs(path: str) -> Iterator[Any]:
    """The recordings of one file of verified pairs."""
    for row in tables.rows(path):
        if row["decision"] == "kept":
            yield TaggedOutput("counts", ("pairs", 1))
            yield recordings.of_pair(row)
        else:
            yield TaggedOutput("counts", ("pairs_not_kept", 1))
