"""Verified pairs and multitrack songs → shards and an index.

Only references travel between the steps. Each song is read, aligned, cut and encoded once, into a
part file; the shards are planned from sample ids and sizes; each shard is copied together from
byte ranges of part files. Every step skips what an earlier attempt has finished.
"""

if __name__ == "__main__":
    import sys

    from stemlode import run as run_verb

    sys.exit(run_verb("pipelines.corpus", sys.argv[1:]))

import argparse
import contextlib
import dataclasses
import functools
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from types import ModuleType
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsDict, AsList, TaggedOutput

from pipelines import (
    append,
    files,
    joining,
    layouts,
    layouts_grouping,
    parquet_shards,
    recordings,
    runs,
    schemas,
    shards,
    sides,
    splits,
    tables,
)
from pipelines.audio import AudioError
from pipelines.launch import launch
from pipelines.layouts_songs import Song
from pipelines.options import Verb, VerbOptions
from pipelines.recordings import Facts, Recording, Shape
from pipelines.rejects import reject
from pipelines.runs import BadUsage, Failed
from pipelines.shards import Sample, parse_bytes
from pipelines.sides import Known, Side

PARTS, LANDMARKS = "_parts", "landmarks"
FORMATS = ("webdataset", "parquet")
LONGEST_CHUNK_S = 3600.0  # a chunk is held in memory
MOST_COPIES = 100
Bucket = tuple[str, str]  # split, first digits of the sample id
Numbered = tuple[str, int]  # split, number of the shard


def parse_rate(text: str) -> int | None:
    """A sample rate in Hz, None for `native`; BadUsage for anything else."""
    if text.strip().lower() == "native":
        return None
    if not re.fullmatch(r"\d{4,6}", text) or not 1000 <= int(text) <= 655_350:
        raise BadUsage(f"--sample-rate {text}: write a rate in Hz, or native")
    return int(text)


class CorpusOptions(VerbOptions):
    """How songs are cut, stored and split."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--append",
            action="store_true",
            help="add the songs of these inputs that a finished corpus does not hold",
        )
        parser.add_argument(
            "--retry-rejects",
            action="store_true",
            help="try only those again that a finished corpus rejected",
        )
        parser.add_argument(
            "--chunk-seconds",
            type=float,
            default=12.0,
            help="length of the chunks that songs are cut into",
        )
        parser.add_argument(
            "--sample-rate",
            default="44100",
            help="rate of every sample in Hz, or native: that of each song's mixture",
        )
        parser.add_argument("--channels", type=int, default=2, help="channels of every sample")
        parser.add_argument(
            "--shard-bytes",
            default="256MiB",
            help="size at which a shard is full; it exceeds this by less than one sample",
        )
        parser.add_argument(
            "--format",
            choices=FORMATS,
            default=FORMATS[0],
            help="WebDataset tars, or Parquet with the audio in large_binary",
        )
        parser.add_argument(
            "--flac-bits", type=int, choices=(16, 24), default=16, help="resolution of every sample"
        )
        parser.add_argument(
            "--split",
            default="train=0.9,valid=0.05,test=0.05",
            help="shares of the songs; a song is never on two sides",
        )
        parser.add_argument(
            "--layout",
            choices=("auto", *layouts.LAYOUTS),
            default="auto",
            help="how the songs of --stems lie in their folders",
        )
        parser.add_argument(
            "--sources",
            choices=tuple(layouts_grouping.GROUPINGS),
            default="own",
            help="what stems are summed into: vocals and accompaniment; MUSDB18's four; five, "
            "with guitar; or as they are",
        )
        parser.add_argument(
            "--window-seconds",
            type=float,
            default=6.0,
            help="length of the windows in which sources are salient or not; 0 keeps every chunk",
        )
        parser.add_argument(
            "--fingerprints",
            choices=("on", "off"),
            default="on",
            help="whether songs that hold the same recording are kept on one side of the split",
        )
        parser.add_argument(
            "--augment",
            type=int,
            default=0,
            metavar="COPIES",
            help="copies of every multitrack of train with effects on its stems, drawn by --seed",
        )
        parser.add_argument(
            "--seed", type=int, default=0, help="draws the split and the effects anew"
        )


@dataclasses.dataclass(frozen=True)
class Plan:
    """The options, understood."""

    shape: Shape
    format: str  # one of FORMATS
    shard_bytes: int
    ratios: dict[str, float]
    seed: int
    copies: int  # with effects, of every multitrack of train


def plan_of(options: PipelineOptions) -> Plan:
    """Raises BadUsage for an option that makes no sense."""
    view = options.view_as(CorpusOptions)
    if not 0.1 <= view.chunk_seconds <= LONGEST_CHUNK_S:
        longest = f"{LONGEST_CHUNK_S:g} s"
        raise BadUsage(f"--chunk-seconds {view.chunk_seconds:g}: from 0.1 s to {longest}")
    if not (view.window_seconds == 0 or 0.1 <= view.window_seconds <= LONGEST_CHUNK_S):
        raise BadUsage(f"--window-seconds {view.window_seconds:g}: 0, or from 0.1 s to 3600 s")
    if not 1 <= view.channels <= 8:
        raise BadUsage(f"--channels {view.channels}: between 1 and 8")
    if not 0 <= view.augment <= MOST_COPIES:
        raise BadUsage(f"--augment {view.augment}: between 0 and {MOST_COPIES} copies")
    if view.augment and importlib.util.find_spec("pedalboard") is None:
        raise BadUsage("--augment needs pedalboard: pip install 'stemlode[augment]'")
    if view.augment and view.channels > 2:
        raise BadUsage("--augment: the effects take --channels 1 or 2")
    return Plan(
        Shape(
            view.chunk_seconds,
            parse_rate(view.sample_rate),
            view.channels,
            view.flac_bits,
            view.window_seconds,
        ),
        view.format,
        parse_bytes(view.shard_bytes),
        splits.parse_ratios(view.split),
        view.seed,
        view.augment,
    )


class Encode(beam.DoFn):
    """A recording and its side of the split → its samples in a part file, or one reject.

    Main output: shards.Sample; further outputs `rejects`, `songs` and `counts`.
    """

    def __init__(self, run: runs.Run, plan: Plan) -> None:
        self.run, self.plan = run, plan

    def process(self, element: tuple[Recording, Side]) -> Iterator[Any]:
        recording, side = element
        split = side.split or splits.split_of(side.group, self.plan.ratios, self.plan.seed)
        try:
            if recording.split not in (None, split):
                elsewhere = f"listed in {recording.split}, and {split} holds the same song"
                raise recordings.Unusable("two_sides", f"{elsewhere}: {'; '.join(side.joined)}")
            samples, facts = joining.patiently(lambda: self._part(recording, split, side.group))
        except AudioError as error:
            record, cause = dataclasses.asdict(recording), getattr(error, "cause", "unusable")
            yield TaggedOutput(
                "rejects", reject("corpus", recording.name, cause, str(error), record)
            )
        else:
            yield from samples
            yield TaggedOutput("songs", _song_row(recording, split, side, facts))
            yield TaggedOutput("counts", ("recordings", 1))
            yield TaggedOutput("counts", ("left_out", facts.left_out))
            if split == "train":
                yield from self._copies(recording, side)

    def _copies(self, recording: Recording, side: Side) -> Iterator[Any]:
        """The samples of a recording's augmented copies; a copy may turn out all but silent."""
        if not self.plan.copies:
            return
        from pipelines import copies  # noqa: PLC0415 (its library is an extra)

        for copy in copies.of(recording, self.plan.copies, self.plan.seed):
            try:
                samples, facts = joining.patiently(
                    functools.partial(self._part, copy, "train", side.group)
                )
            except recordings.Unusable:
                yield TaggedOutput("counts", ("copies_unusable", 1))
            else:
                yield from samples
                yield TaggedOutput("songs", _song_row(copy, "train", side, facts))
                yield TaggedOutput("counts", ("copies", 1))
                yield TaggedOutput("counts", ("left_out", facts.left_out))

    def _part(self, recording: Recording, split: str, group: str) -> tuple[list[Sample], Facts]:
        maker = _maker(recording)
        name = maker.fingerprint(recording, split, group, self.plan.shape)
        path = self.run.path(PARTS, f"{name}.part")
        with _writing(self.run):
            if (held := shards.read_part(path)) is not None:
                return held, Facts(**json.loads(files.read_bytes(f"{path}.facts")))
            facts = Facts()
            samples = maker.samples(recording, split, group, self.plan.shape, facts)
            held = shards.write_part(path, self._noting(samples, facts, f"{path}.facts"))
        return held, facts

    @staticmethod
    def _noting(samples: Iterator[Any], facts: Facts, path: str) -> Iterator[Any]:
        """The samples; then, before their part file is whole, their facts beside it."""
        yield from samples
        files.write_bytes(path, json.dumps(dataclasses.asdict(facts)).encode())


def _maker(recording: Recording) -> ModuleType:
    """What makes a recording's samples: `recordings`, or `copies` for an augmented copy."""
    if not recording.augmentation:
        return recordings
    from pipelines import copies  # noqa: PLC0415 (its library is an extra)

    return copies


def _song_row(recording: Recording, split: str, side: Side, facts: Facts) -> dict[str, Any]:
    """A row of schemas.SONG."""
    return {
        "recording_id": recording.recording_id,
        "song_id": recording.song_id,
        "name": recording.name,
        "kind": recording.kind,
        "split": split,
        "split_group": side.group,
        "joined": list(side.joined) or None,
        **dataclasses.asdict(facts),
    }


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
            with _writing(self.run):
                sha256 = parquet_shards.write_shard(self.run.path(name), samples, note)
            offsets = list(range(len(samples)))
        else:
            name = shards.shard_name(split, number)
            with _writing(self.run):
                sha256 = shards.write_shard(self.run.path(name), samples)
            offsets = shards.offsets(samples)
        for sample, offset in zip(samples, offsets, strict=True):
            row = {**sample.row, "shard": name, "offset": offset, "size": sample.size}
            yield TaggedOutput("index", row)
        yield {"path": name, "sha256": sha256}


def build(pipeline: beam.Pipeline, options: PipelineOptions, run: runs.Run) -> None:
    """The pipeline: recordings → part files → plan → shards → index."""
    plan, given, held = plan_of(options), VERB.given(options), append.held(run)
    found, kept_counts = _recordings(pipeline, given, options)
    alike, sketch_files = _alike(found, options, run, held)
    grouped, unsided = _grouped(found, AsList(alike), held)
    encoded = grouped | "Encode" >> beam.ParDo(Encode(run, plan)).with_outputs(
        "rejects", "songs", "counts", main="samples"
    )
    planned, numbers = _planned(encoded.samples, plan.shard_bytes, held.shards)
    written = (
        planned
        | "GroupShards" >> beam.GroupByKey()
        | "WriteShards"
        >> beam.ParDo(WriteShard(run, plan.format), AsDict(numbers)).with_outputs(
            "index", main="shards"
        )
    )
    rejects = (encoded.rejects, unsided, _left(found, held)) | "AllRejects" >> beam.Flatten()
    index_files = written.index | "Index" >> tables.WriteTable(
        run, f"index{held.suffix}", schemas.INDEX, ["sample_id"]
    )
    reject_files = rejects | "Rejects" >> tables.WriteTable(
        run, f"rejects{held.suffix}", schemas.REJECT, ["stage", "key"]
    )
    song_files = encoded.songs | "SongTable" >> tables.WriteTable(
        run, f"songs{held.suffix}", schemas.SONG, ["recording_id"]
    )
    manifest = (
        written.shards,
        index_files,
        song_files,
        sketch_files,
        reject_files,
    ) | "Manifest" >> beam.Flatten()
    counts = (
        _new_counts(found, held) if held.kind else kept_counts,
        encoded.counts,
        rejects | "CountRejects" >> beam.Map(lambda _: ("rejected", 1)),
        written.shards | "CountShards" >> beam.Map(lambda _: ("shards", 1)),
        written.index | "CountSamples" >> beam.FlatMap(_sample_counts),
        _hours(written.index),
        _songs(written.index),
    ) | "Counts" >> beam.Flatten()
    _ = (manifest, counts) | tables.Finish(run, clear=[PARTS])


def _recordings(
    pipeline: beam.Pipeline, given: dict[str, str], options: PipelineOptions
) -> tuple[beam.PCollection, beam.PCollection]:
    """Every recording that was given, and how many of which kind."""
    read = (
        pipeline
        | "Tables" >> beam.Create(tables.parts(given["pairs"], "pairs") if "pairs" in given else [])
        | "SpreadTables" >> beam.Reshuffle()
        | "ReadPairs" >> beam.FlatMap(_kept_pairs).with_outputs("counts", main="pairs")
    )
    songs = recordings.of_songs(_songs_in_folders(given, options))
    unpaired = sum(song.kind == "unpaired" for song in songs)
    zeros = ["pairs", "recordings", "songs", "samples", "shards", "rejected", "left_out"]
    numbers = [*((name, 0) for name in zeros), ("multitracks", len(songs) - unpaired)]
    counted = pipeline | "Counted" >> beam.Create([*numbers, ("unpaired", unpaired)])
    stems = pipeline | "Multitracks" >> beam.Create(songs)
    found = (read.pairs, stems) | "Recordings" >> beam.Flatten()
    if "splits" in given:
        found = found | "Listed" >> beam.Map(_listed, sides.read_list(given["splits"]))
    return found, (read.counts, counted) | "ReadCounts" >> beam.Flatten()


def _songs_in_folders(given: dict[str, str], options: PipelineOptions) -> list[Song]:
    """The songs of --stems, --vocals and --instrumentals; BadUsage where one has no such layout."""
    view = options.view_as(CorpusOptions)
    found = []
    if "stems" in given:
        found += layouts.read(given["stems"], view.layout, view.sources, given.get("mapping"))
    for name, source in (("vocals", "vocals"), ("instrumentals", "accompaniment")):
        if name in given:
            found += layouts.unpaired(given[name], source, name)
    return found


def _listed(recording: Recording, lists: dict[str, str]) -> Recording:
    return dataclasses.replace(recording, split=sides.listed(_known(recording), lists))


def _known(recording: Recording) -> Known:
    return Known(
        recording.recording_id,
        recording.song_id,
        recording.name,
        recording.track_ids,
        recording.split,
    )


def _kept_pairs(path: str) -> Iterator[Any]:
    """The recordings of one file of verified pairs."""
    for row in tables.rows(path):
        if row["decision"] == "kept":
            yield TaggedOutput("counts", ("pairs", 1))
            yield recordings.of_pair(row)
        else:
            yield TaggedOutput("counts", ("pairs_not_kept", 1))


def _alike(
    found: beam.PCollection, options: PipelineOptions, run: runs.Run, held: append.Held
) -> tuple[beam.PCollection, beam.PCollection]:
    """(song id, song id, why) of songs that hold the same recording, and the tables of landmarks
    by which songs that are added later are held against these."""
    if options.view_as(CorpusOptions).fingerprints == "off":
        nothing = found.pipeline | "NoFingerprints" >> beam.Create([])
        return nothing, nothing
    before = tables.parts(run.output, LANDMARKS) if held.kind else []
    alike, sketches = joining.matches(found, run, PARTS, before)
    new = sketches | "NewSketches" >> beam.Filter(lambda row: held.wants(row["recording_id"]))
    written = new | "SketchTable" >> tables.WriteTable(
        run, f"{LANDMARKS}{held.suffix}", schemas.LANDMARKS, ["recording_id", "source"]
    )
    return alike, written


def _new_counts(found: beam.PCollection, held: append.Held) -> beam.PCollection:
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


def _left(found: beam.PCollection, held: append.Held) -> beam.PCollection:
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


def _grouped(
    found: beam.PCollection, alike: AsList, held: append.Held
) -> tuple[beam.PCollection, beam.PCollection]:
    """(recording, its side of the split), and a reject for every one that cannot have any."""
    groups = (
        found
        | "Known" >> beam.Map(lambda recording: (None, _known(recording)))
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


def _planned(
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


@contextlib.contextmanager
def _writing(run: runs.Run) -> Iterator[None]:
    """One line for a disk that fills up; what is finished stays for the next run."""
    try:
        yield
    except OSError as error:
        line = f"--output {run.output}: {runs.reason(error)}; run again to resume"
        raise Failed(line) from error


def _check(options: PipelineOptions) -> None:
    """BadUsage before anything is written."""
    plan_of(options)
    given = VERB.given(options)
    if not {*given} & {"pairs", "stems", "vocals", "instrumentals"}:
        raise BadUsage(
            "stemlode corpus needs --pairs, --stems, --vocals or --instrumentals (see --help)"
        )
    if "mapping" in given and "stems" not in given:
        raise BadUsage("--mapping says how --stems lies, which is not given")
    if "splits" in given:
        sides.read_list(given["splits"])
    if "pairs" in given and runs.fingerprintable(given["pairs"]):
        tables.parts(given["pairs"], "pairs")
    folders = [name for name in ("stems", "vocals", "instrumentals") if name in given]
    if all(runs.fingerprintable(given[name]) for name in folders):
        _songs_in_folders(given, options)


VERB = Verb(
    "corpus",
    "Cut verified pairs and multitrack songs into chunks, and store them as WebDataset shards "
    "with an index.",
    (),
    build,
    CorpusOptions,
    neutral=("append", "retry_rejects"),
    optional_inputs=("pairs", "stems", "mapping", "vocals", "instrumentals", "splits"),
)


def main(argv: Sequence[str]) -> int:
    """Run `stemlode corpus`; the exit status."""
    options = VERB.parse(argv)
    _check(options)
    view = options.view_as(CorpusOptions)
    if view.append and view.retry_rejects:
        raise BadUsage(
            "--append tries the rejects of its inputs as well: leave --retry-rejects out"
        )
    if not (view.append or view.retry_rejects):
        return launch(VERB, argv)
    kind = append.APPEND if view.append else append.RETRY
    return launch(VERB, argv, start=functools.partial(append.start, kind=kind))
