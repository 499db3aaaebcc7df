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
    if "splits" in given:
        found = found | "Listed" >> beam.Map(_listed, sides.read_list(given["splits"]))
    return found, (read.counts, counted) | "ReadCounts" >> beam.Flatten()


def songs_in_folders(given: dict[str, str], layout: str, grouping: str) -> list[Song]:
    """The songs of --stems, --vocals and --instrumentals; BadUsage where one has no such layout."""
    found = []
    if "stems" in given:
        found += layouts.read(given["stems"], layout, grouping, given.get("mapping"))
    for name, source in (("vocals", "vocals"), ("instrumentals", "accompaniment")):
        if name in given:
            found += layouts.unpaired(given[name], source, name)
    return found


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
