"""Which sample goes to which shard, decided from ids and sizes alone, in pieces. No audio."""

from collections.abc import Iterable
from itertools import accumulate

import apache_beam as beam
from apache_beam.pvalue import AsDict

from pipelines import shards
from pipelines.shards import Sample

Bucket = tuple[str, str]  # split, first digits of the sample id
Numbered = tuple[str, int]  # split, number of the shard


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
    numbers = shards.plan_shards(sizes, shard_bytes, before[bucket])
    return [((bucket[0], n), sample) for n, sample in zip(numbers, samples, strict=True)]


def _renumbered(
    split: str, numbers: Iterable[int], first: dict[str, int]
) -> list[tuple[Numbered, int]]:
    start = first.get(split, 0)
    return [((split, n), start + rank) for n, rank in shards.renumber(numbers).items()]
