"""The last steps of a corpus: samples in part files → shards, index, counts, card, manifest.

Shared by all that writes corpora, so that any of them is read, verified and trained on alike.
Which sample goes to which shard is decided from ids and sizes alone, in pieces.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsDict, TaggedOutput

from pipelines import transforms, unreachable
from pipelines.corpus import append, cards
from pipelines.unreachable import Limit
from stemlode import files, runs, schemas, tables
from stemlode.progress import meters
from stemlode.retry import patiently
from stemlode.runs import Failed
from stemlode.shards import parquet, tar
from stemlode.shards.tar import Sample

CAUSES = 5  # of rejects that are named where nothing came of the inputs
Bucket = tuple[str, str]  # split, first digits of the sample id
Numbered = tuple[str, int]  # split, number of the shard


class WriteShard(beam.DoFn):
    """The samples of a shard → the shard, its manifest row, and `index` rows.

    Where too many files are missing there is none: the parts wait for those that can be had.
    """

    def __init__(self, run: runs.Run, format: str, limit: Limit) -> None:
        self.run, self.is_parquet, self.limit = run, format == "parquet", limit

    def process(
        self,
        element: tuple[Numbered, Iterable[Sample]],
        numbers: dict[Numbered, int],
        counts: dict[str, int],
    ) -> Iterator[Any]:
        if self.limit.is_passed(counts):
            return
        numbered, unsorted = element
        samples = sorted(unsorted, key=lambda sample: sample.row["sample_id"])
        split, number = numbered[0], numbers[numbered]
        if self.is_parquet:
            name = parquet.shard_name(split, number)
            note = self.run.path(runs.PARTS, f"{split}-{number:05d}.json")
            write = functools.partial(parquet.write_shard, self.run.path(name), samples, note)
            rows = functools.partial(parquet.rows, self.run.path(name), samples, name)
        else:
            name = tar.shard_name(split, number)
            write = functools.partial(tar.write_shard, self.run.path(name), samples)
            rows = functools.partial(tar.rows, samples, name)
        sha256 = patiently(write, f"--output {self.run.output}")
        tar.release(samples)
        meters.step("shards")
        for row in patiently(lambda: list(rows()), f"--output {self.run.output}"):
            yield TaggedOutput("index", row)
        yield {"path": name, "sha256": sha256}


def write(
    run: runs.Run,
    samples: beam.PCollection,
    *,
    songs: beam.PCollection,
    rejects: beam.PCollection,
    counts: beam.PCollection,
    further: beam.PCollection,
    shard_bytes: int,
    format: str,
    held: append.Held,
    limit: Limit,
    notes: Callable[[Mapping[str, float]], list[str]] | None = None,
    held_back: transforms.HeldBack | None = None,
    again: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Plan and write the shards and all tables, then finish the run.

    Args:
        samples: `tar.Sample`, each once.
        songs, rejects: rows of schemas.SONG and schemas.REJECT.
        counts: (name, number) of what came in; those of what goes out are added.
        further: manifest rows of further tables that are written already.
        held: what the corpus holds before this run; append.Held() for nothing.
        limit: when the run is no success because of files that were not reached.
        notes: what the user should know, from all counts.
        held_back: why else the run is no success, but for a corpus of nothing, which is none.
        again, facts: as for transforms.Finish.
    """
    into_shards, numbers = planned(samples, shard_bytes, held.shards)
    rejected = rejects | "CountRejects" >> beam.FlatMap(transforms.reject_counts)
    reached = (
        (counts, rejected)
        | "CountsBefore" >> beam.Flatten()
        | "OfReaching" >> beam.Filter(lambda count: count[0] in limit.counts())
        | "Reached" >> beam.CombinePerKey(sum)
    )
    written = (
        into_shards
        | "GroupShards" >> beam.GroupByKey()
        | "WriteShards"
        >> beam.ParDo(
            WriteShard(run, format, limit), AsDict(numbers), AsDict(reached)
        ).with_outputs("index", main="shards")
    )
    suffix = held.suffix
    rows = written.index
    if held.index:
        older = samples.pipeline | "OlderIndex" >> beam.Create(held.index)
        rows = (rows, older | "OlderRows" >> beam.FlatMap(_dicts)) | "AllRows" >> beam.Flatten()
    index_files = rows | "Index" >> transforms.WriteTable(
        run, f"index{suffix}", schemas.INDEX, ["sample_id"]
    )
    reject_files = rejects | "Rejects" >> transforms.WriteTable(
        run, f"rejects{suffix}", schemas.REJECT, ["stage", "key"]
    )
    song_files = songs | "SongTable" >> transforms.WriteTable(
        run, f"songs{suffix}", schemas.SONG, ["recording_id"]
    )
    manifest = (
        written.shards, index_files, song_files, further, reject_files,
    ) | "Manifest" >> beam.Flatten()  # fmt: skip
    every = (
        counts,
        rejected,
        written.shards | "CountShards" >> beam.Map(lambda _: ("shards", 1)),
        written.index | "CountSamples" >> beam.FlatMap(_sample_counts),
        _hours(written.index),
        _songs(written.index),
    ) | "Counts" >> beam.Flatten()
    why = functools.partial(_held_back, held_back, limit, grows=bool(held.kind))
    _ = (manifest, every) | transforms.Finish(
        run, [runs.PARTS], notes, why, again=again, facts=facts, cards=cards.write
    )


def _held_back(
    other: transforms.HeldBack | None,
    limit: Limit,
    run: runs.Run,
    counts: Mapping[str, float],
    outputs: Sequence[str],
    *,
    grows: bool,
) -> str | None:
    """Why a run is no success; a corpus that grows may grow by nothing."""
    why = other(run, counts, outputs) if other else None
    nothing = not grows and not counts.get("samples")
    why = why or unreachable.verdict(run, counts, outputs, limit, nothing_came=nothing)
    return why or (nothing_came(run, counts, outputs) if nothing else None)


def nothing_came(run: runs.Run, counts: Mapping[str, float], outputs: Sequence[str]) -> str | None:
    """Why a corpus is none: it holds no sample. None where it holds any."""
    if counts.get("samples"):
        return None
    found: Counter[str] = Counter()
    for name in outputs:
        if name.startswith("rejects-"):
            found.update(tables.count_by(tables.read_part(run.path(name), ["error"]), "error"))
    most = [f"{cause} ({count:,})" for cause, count in found.most_common(CAUSES)]
    why = f"rejected because: {', '.join(most)}" if most else "its inputs hold nothing to cut"
    return f"--output {run.output}: {run.verb} gave no sample; {why}"


def check_holds(folder: str) -> None:
    """Failed where a finished corpus holds no sample, as those of before might."""
    if files.exists(files.join(folder, runs.SUCCESS)):
        record = runs.record(folder)
        run = runs.Run(record["verb"], folder, {}, {}, 0.0)
        if why := nothing_came(run, record["counts"], record["outputs"]):
            raise Failed(why)


def planned(
    samples: beam.PCollection, shard_bytes: int, first: dict[str, int]
) -> tuple[beam.PCollection, beam.PCollection]:
    """((split, shard number), sample), and the numbers' renumbering without gaps, from the
    `first` of each split on.

    Samples are spread over buckets by the first digits of their ids. A bucket's samples are
    planned by themselves, from the bytes of all buckets before it.
    """
    by_bucket = samples | "ByBucket" >> beam.Map(lambda sample: (_bucket(sample), sample))
    before = (
        samples
        | "Sizes" >> beam.Map(lambda sample: (_bucket(sample), sample.size))
        | "BucketBytes" >> beam.CombinePerKey(sum)
        | "BySplit" >> beam.MapTuple(lambda bucket, size: (bucket[0], (bucket[1], size)))
        | "SplitBuckets" >> beam.GroupByKey()
        | "BytesBefore" >> beam.FlatMapTuple(_bytes_before)
    )
    planned = (
        by_bucket
        | "Buckets" >> beam.GroupByKey()
        | "PlanShards" >> beam.FlatMap(_plan_bucket, AsDict(before), shard_bytes)
    )
    numbers = (
        planned
        | "Numbers" >> beam.Keys()
        | "UsedNumbers" >> beam.Distinct()
        | "NumbersBySplit" >> beam.GroupByKey()
        | "Renumber" >> beam.FlatMap(lambda one: _renumbered(one[0], one[1], first))
    )
    return planned, numbers


def _dicts(path: str) -> Iterator[dict[str, Any]]:
    """The rows of one file of an index, as they are made here."""
    for batch in tables.read_part(path).to_batches(max_chunksize=1024):
        yield from batch.to_pylist(maps_as_pydicts="strict")


def _sample_counts(row: dict[str, Any]) -> list[tuple[str, int]]:
    return [("samples", 1), (f"samples_{row['split']}", 1), ("bytes", row["size"])]


def _hours(index: beam.PCollection) -> beam.PCollection:
    """Hours of the corpus, and by split, kind and what was mended; summed in whole µs, so that no
    order shows."""
    return (
        index
        | "Microseconds" >> beam.FlatMap(_microseconds)
        | "SumTime" >> beam.CombinePerKey(sum)
        | "Hours" >> beam.MapTuple(lambda name, time_us: (name, round(time_us / 3.6e9, 6)))
    )


def _microseconds(row: dict[str, Any]) -> list[tuple[str, int]]:
    time_us = round(row["duration_s"] * 1e6)
    mended = (row.get("repaired") or "").split("+")
    names = [f"hours_repaired_{repair}" for repair in mended if repair]
    return [
        (n, time_us) for n in ("hours", f"hours_{row['split']}", f"hours_{row['kind']}", *names)
    ]


def _songs(index: beam.PCollection) -> beam.PCollection:
    return (
        index
        | "SongIds" >> beam.Map(lambda row: row["song_id"])
        | "Songs" >> beam.Distinct()
        | "CountSongs" >> beam.Map(lambda _: ("songs", 1))
    )


def _bucket(sample: Sample) -> Bucket:
    return sample.row["split"], sample.row["sample_id"][:3]


def _bytes_before(split: str, buckets: Iterable[tuple[str, int]]) -> list[tuple[Bucket, int]]:
    ordered = sorted(buckets)
    starts = accumulate((size for _, size in ordered[:-1]), initial=0)
    return [((split, name), start) for (name, _), start in zip(ordered, starts, strict=True)]


def _plan_bucket(
    element: tuple[Bucket, Iterable[Sample]], before: dict[Bucket, int], shard_bytes: int
) -> list[tuple[Numbered, Sample]]:
    bucket, unsorted = element
    samples = sorted(unsorted, key=lambda sample: sample.row["sample_id"])
    sizes = [sample.size for sample in samples]
    numbers = tar.plan_shards(sizes, shard_bytes, before[bucket])
    return [((bucket[0], n), sample) for n, sample in zip(numbers, samples, strict=True)]


def _renumbered(
    split: str, numbers: Iterable[int], first: dict[str, int]
) -> list[tuple[Numbered, int]]:
    start = first.get(split, 0)
    found = tar.renumber(numbers)
    meters.expect("shards", len(found))
    return [((split, n), start + rank) for n, rank in found.items()]
