"""The last steps of a corpus: samples in part files → shards, index, counts, manifest.

Shared by all that writes corpora, so that any of them is read, verified and trained on alike.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsDict, TaggedOutput

from pipelines import append, parquet_shards, runs, schemas, shard_plan, shards, tables
from pipelines.encoding import PARTS, writing
from pipelines.shard_plan import Numbered
from pipelines.shards import Sample


class WriteShard(beam.DoFn):
    """The samples of a shard → the shard, its manifest row, and `index` rows."""

    def __init__(self, run: runs.Run, format: str) -> None:
        self.run, self.is_parquet = run, format == "parquet"

    def process(
        self, element: tuple[Numbered, Iterable[Sample]], numbers: dict[Numbered, int]
    ) -> Iterator[Any]:
        numbered, unsorted = element
        samples = sorted(unsorted, key=lambda sample: sample.row["sample_id"])
        split, number = numbered[0], numbers[numbered]
        if self.is_parquet:
            name = parquet_shards.shard_name(split, number)
            note = self.run.path(PARTS, f"{split}-{number:05d}.json")
            with writing(self.run):
                sha256 = parquet_shards.write_shard(self.run.path(name), samples, note)
            offsets = list(range(len(samples)))
        else:
            name = shards.shard_name(split, number)
            with writing(self.run):
                sha256 = shards.write_shard(self.run.path(name), samples)
            offsets = shards.offsets(samples)
        for sample, offset in zip(samples, offsets, strict=True):
            row = {**sample.row, "shard": name, "offset": offset, "size": sample.size}
            yield TaggedOutput("index", row)
        yield {"path": name, "sha256": sha256}


def write(
    run: runs.Run,
    samples: beam.PCollection,
    *,
    songs: beam.PCollection,
    rejects: beam.PCollection,
    counts: beam.PCollection,
    files: beam.PCollection,
    shard_bytes: int,
    format: str,
    held: append.Held,
) -> None:
    """Plan and write the shards and all tables, then finish the run.

    Args:
        samples: shards.Sample, each once.
        songs, rejects: rows of schemas.SONG and schemas.REJECT.
        counts: (name, number) of what came in; those of what goes out are added.
        files: manifest rows of further tables that are written already.
        held: what the corpus holds before this run; append.Held() for nothing.
    """
    planned, numbers = shard_plan.planned(samples, shard_bytes, held.shards)
    written = (
        planned
        | "GroupShards" >> beam.GroupByKey()
        | "WriteShards"
        >> beam.ParDo(WriteShard(run, format), AsDict(numbers)).with_outputs("index", main="shards")
    )
    suffix = held.suffix
    index_files = written.index | "Index" >> tables.WriteTable(
        run, f"index{suffix}", schemas.INDEX, ["sample_id"]
    )
    reject_files = rejects | "Rejects" >> tables.WriteTable(
        run, f"rejects{suffix}", schemas.REJECT, ["stage", "key"]
    )
    song_files = songs | "SongTable" >> tables.WriteTable(
        run, f"songs{suffix}", schemas.SONG, ["recording_id"]
    )
    manifest = (
        written.shards, index_files, song_files, files, reject_files,
    ) | "Manifest" >> beam.Flatten()  # fmt: skip
    every = (
        counts,
        rejects | "CountRejects" >> beam.Map(lambda _: ("rejected", 1)),
        written.shards | "CountShards" >> beam.Map(lambda _: ("shards", 1)),
        written.index | "CountSamples" >> beam.FlatMap(_sample_counts),
        _hours(written.index),
        _songs(written.index),
    ) | "Counts" >> beam.Flatten()
    _ = (manifest, every) | tables.Finish(run, clear=[PARTS])


def _sample_counts(row: dict[str, Any]) -> list[tuple[str, int]]:
    return [("samples", 1), (f"samples_{row['split']}", 1), ("bytes", row["size"])]


def _hours(index: beam.PCollection) -> beam.PCollection:
    """Hours of the corpus, and by split and kind; summed in whole µs, so that no order shows."""
    return (
        index
        | "Microseconds" >> beam.FlatMap(_microseconds)
        | "SumTime" >> beam.CombinePerKey(sum)
        | "Hours" >> beam.MapTuple(lambda name, time_us: (name, round(time_us / 3.6e9, 6)))
    )


def _microseconds(row: dict[str, Any]) -> list[tuple[str, int]]:
    time_us = round(row["duration_s"] * 1e6)
    return [(n, time_us) for n in ("hours", f"hours_{row['split']}", f"hours_{row['kind']}")]


def _songs(index: beam.PCollection) -> beam.PCollection:
    return (
        index
        | "SongIds" >> beam.Map(lambda row: row["song_id"])
        | "Songs" >> beam.Distinct()
        | "CountSongs" >> beam.Map(lambda _: ("songs", 1))
    )
