"""`stemlode match`: a catalogue of tracks → pairs of a mixture and its instrumental, by title.

Thesis ch. 3.5.2, eq. 3.4. The catalogue is read twice. The first reading leaves a few bytes a
track: hashes of the keys that hold an instrumental, and hashes of track ids that may be there
twice. The second sends on only the tracks that these hashes let through, a few in a hundred, as
Arrow slices in buckets by key. Hashes only save work: what decides is compared as it is, so the
number of buckets, the order of the input and the workers change no byte of the output.
"""

if __name__ == "__main__":
    import sys

    from stemlode import run as run_verb

    sys.exit(run_verb("pipelines.match", sys.argv[1:]))

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsSingleton, TaggedOutput

from matching import rules
from matching.ids import digest
from matching.row_hashes import row_hashes
from matching.titles import fuzzy_batch, marker_batch
from pipelines import runs, schemas, tables, tracks
from pipelines.catalogue import Catalogue
from pipelines.catalogue_files import Part, Row
from pipelines.launch import launch
from pipelines.options import Verb, VerbOptions
from pipelines.runs import BadUsage

COUNTS = {  # tracks_read = rejected + empty_keys + instrumentals + mixtures
    "tracks_read": "rows of the catalogue",
    "rejected": "rows that are no track, or a track once more",
    "empty_keys": "tracks whose fuzzy title is empty, which match nothing",
    "instrumentals": "tracks with a key and a marker",
    "mixtures": "tracks with a key and no marker",
    "keys": "different keys (artist id, fuzzy title) that hold an instrumental",
    "songs": "different keys that gave candidates",
    "candidates": "pairs of a mixture and an instrumental",
}
KEYED = pa.schema(
    [*schemas.TRACK, pa.field("fuzzy_title", pa.string()), pa.field("marker", pa.string())]
)
KEY, ID = ("artist_id", "fuzzy_title"), ("track_id",)
PAIRS_AT_ONCE = 10_000
MOST_BUCKETS = 100_000
Slice = tuple[int, bytes]  # a bucket, and a table of it in Arrow's IPC format


class MatchOptions(VerbOptions):
    """What `stemlode match` offers beside its input and output."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--rule",
            choices=sorted(rules.RULES),
            default=rules.THESIS.name,
            help="what makes two tracks a pair",
        )
        parser.add_argument(
            "--columns",
            metavar="OURS=THEIRS,…",
            help="what the catalogue calls our columns, for instance title=name,duration_s=length; "
            f"ours are {', '.join(schemas.TRACK.names[:-1])}, of which an artist or an artist_id "
            "will do, and track_id, title and duration_s are needed; prune needs audio_uri",
        )
        parser.add_argument(
            "--buckets",
            type=int,
            default=64,
            help="how many groups the work is spread over; changes no result",
        )


class Survey(beam.DoFn):
    """Parts of the catalogue → hashes of all track ids, and of the keys of instrumentals."""

    def __init__(self, catalogue: Catalogue, buckets: int) -> None:
        self.catalogue, self.buckets = catalogue, buckets

    def process(self, part: Part) -> Iterator[Any]:
        """Yields (bucket, uint64 bytes) of ids, and tagged `keys` uint64 bytes."""
        for batch in self.catalogue.batches(part, needed_only=True):
            checked = tracks.check(batch)
            good = pa.array(checked.good)
            ids = row_hashes(checked.track_id.take(good))
            for bucket, rows in _by_bucket(ids, self.buckets):
                yield bucket, ids[rows].tobytes()
            titles = checked.title.take(good)
            marked = marker_batch(titles).is_valid()
            artists = checked.artist_id.take(good).filter(marked)
            keys = row_hashes(artists, fuzzy_batch(titles.filter(marked)))
            yield TaggedOutput("keys", np.unique(keys).tobytes())


class Select(beam.DoFn):
    """Parts of the catalogue → the tracks that may be in a pair, rejects and counts."""

    def __init__(self, catalogue: Catalogue, buckets: int) -> None:
        self.catalogue, self.buckets = catalogue, buckets

    def process(self, part: Part, keys: bytes, repeated: bytes) -> Iterator[Any]:
        """Yields slices by key, and tagged `repeated` slices by id, `rejects` and `counts`."""
        chosen, doubtful = [KEYED.empty_table()], [KEYED.empty_table()]
        for batch in self.catalogue.batches(part):
            checked = tracks.check(batch)
            yield TaggedOutput("counts", ("tracks_read", len(batch) + len(batch.rows.broken)))
            for row in tracks.rejects(batch, checked):
                yield TaggedOutput("rejects", row)

            good = pa.array(checked.good)
            titles, artists = checked.title.take(good), checked.artist_id.take(good)
            fuzzy, marker = fuzzy_batch(titles), marker_batch(titles)
            again = _among(row_hashes(checked.track_id.take(good)), repeated)
            wanted = _among(row_hashes(artists, fuzzy), keys) & np.asarray(pc.not_equal(fuzzy, ""))
            for count in _kinds(fuzzy.filter(~again), marker.filter(~again)):
                yield TaggedOutput("counts", count)
            for rows, found in ((wanted & ~again, chosen), (again, doubtful)):
                table = tracks.table(batch, checked, checked.good[rows])
                columns = [*table.columns, fuzzy.filter(rows), marker.filter(rows)]
                found.append(pa.table(columns, KEYED))
        yield from _slices(pa.concat_tables(chosen), KEY, self.buckets)
        for piece in _slices(pa.concat_tables(doubtful), ID, self.buckets):
            yield TaggedOutput("repeated", piece)


class Deduplicate(beam.DoFn):
    """Buckets of tracks whose ids may be there twice → one track an id, and the rest as rejects."""

    def __init__(self, buckets: int) -> None:
        self.buckets = buckets

    def process(self, bucket: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
        """Yields slices by key, and tagged `rejects` and `counts`."""
        table, further = tracks.once(_joined(bucket[1]))
        for row in further:
            yield TaggedOutput("rejects", row)
        for count in _kinds(table["fuzzy_title"], table["marker"]):
            yield TaggedOutput("counts", count)
        yield from _slices(table.filter(pc.not_equal(table["fuzzy_title"], "")), KEY, self.buckets)


class Pair(beam.DoFn):
    """Buckets of tracks by key → candidates."""

    def __init__(self, rule: rules.Rule) -> None:
        self.rule = rule

    def process(self, bucket: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
        """Yields rows of schemas.CANDIDATE, and tagged `counts`."""
        table = _joined(bucket[1])
        marked = table.filter(table["marker"].is_valid())
        yield TaggedOutput("counts", ("keys", marked.group_by(KEY).aggregate([]).num_rows))
        songs = set()
        mixtures, instrumentals = rules.pairs(table, self.rule)
        for start in range(0, len(mixtures), PAIRS_AT_ONCE):
            chunk = slice(start, start + PAIRS_AT_ONCE)
            mixes = table.take(mixtures[chunk]).to_pylist()
            others = table.take(instrumentals[chunk]).to_pylist()
            for mix, instrumental in zip(mixes, others, strict=True):
                row = candidate(mix, instrumental, self.rule)
                songs.add(row["song_id"])
                yield row
        yield TaggedOutput("counts", ("songs", len(songs)))
        yield TaggedOutput("counts", ("candidates", len(mixtures)))


def candidate(mix: Row, instrumental: Row, rule: rules.Rule) -> Row:
    """A row of schemas.CANDIDATE from two rows of KEYED that the rule has found to be a pair."""
    artist_id, fuzzy_title = mix["artist_id"], mix["fuzzy_title"]
    return {
        "pair_id": digest(mix["track_id"], instrumental["track_id"]),
        "song_id": digest(artist_id, fuzzy_title),
        "mix_track_id": mix["track_id"],
        "instrumental_track_id": instrumental["track_id"],
        "artist_id": artist_id,
        "fuzzy_title": fuzzy_title,
        "duration_difference_s": mix["duration_s"] - instrumental["duration_s"],
        "marker": instrumental["marker"],
        "rule": rule.name,
        "mix_audio_uri": mix["audio_uri"],
        "instrumental_audio_uri": instrumental["audio_uri"],
        "mix": {name: mix[name] for name in schemas.TRACK.names},
        "instrumental": {name: instrumental[name] for name in schemas.TRACK.names},
    }


def build(pipeline: beam.Pipeline, options: PipelineOptions, run: runs.Run) -> None:
    """The pipeline: catalogue → hashes → tracks that may be in a pair → candidates."""
    view = options.view_as(MatchOptions)
    catalogue, buckets = catalogue_of(options), view.buckets
    parts = pipeline | "Parts" >> beam.Create(catalogue.parts()) | "Spread" >> beam.Reshuffle()
    survey = parts | "Survey" >> beam.ParDo(Survey(catalogue, buckets)).with_outputs(
        "keys", main="ids"
    )
    keys = survey.keys | "AllKeys" >> beam.CombineGlobally(_union)
    repeated = (
        survey.ids
        | "GroupIds" >> beam.GroupByKey()
        | "Repeated" >> beam.Map(lambda bucket: _repeated(bucket[1]))
        | "AllRepeated" >> beam.CombineGlobally(_union)
    )
    selected = parts | "Select" >> beam.ParDo(
        Select(catalogue, buckets), AsSingleton(keys), AsSingleton(repeated)
    ).with_outputs("repeated", "rejects", "counts", main="tracks")
    once = (
        selected.repeated
        | "GroupRepeated" >> beam.GroupByKey()
        | "Deduplicate"
        >> beam.ParDo(Deduplicate(buckets)).with_outputs("rejects", "counts", main="tracks")
    )
    paired = (
        (selected.tracks, once.tracks)
        | "AllTracks" >> beam.Flatten()
        | "GroupKeys" >> beam.GroupByKey()
        | "Pair" >> beam.ParDo(Pair(rules.RULES[view.rule])).with_outputs("counts", main="pairs")
    )
    rejects = (selected.rejects, once.rejects) | "AllRejects" >> beam.Flatten()
    manifest = (
        paired.pairs
        | "Candidates" >> tables.WriteTable(run, "candidates", schemas.CANDIDATE, ["pair_id"]),
        rejects | "Rejects" >> tables.WriteTable(run, "rejects", schemas.REJECT, ["stage", "key"]),
    ) | "Manifest" >> beam.Flatten()
    counts = (
        pipeline | "Zeros" >> beam.Create([(name, 0) for name in COUNTS]),
        selected.counts,
        once.counts,
        paired.counts,
        rejects | "CountRejects" >> beam.Map(lambda _: ("rejected", 1)),
    ) | "Counts" >> beam.Flatten()
    _ = (manifest, counts) | tables.Finish(run)


def catalogue_of(options: PipelineOptions) -> Catalogue:
    """The catalogue that the options name."""
    return Catalogue(VERB.given(options)["catalog"], options.view_as(MatchOptions).columns)


def _kinds(fuzzy: pa.Array, marker: pa.Array) -> Iterator[tuple[str, int]]:
    """How many tracks have an empty key, are instrumentals, are mixtures."""
    keyed, marked = np.asarray(pc.not_equal(fuzzy, "")), np.asarray(pc.is_valid(marker))
    yield "empty_keys", int((~keyed).sum())
    yield "instrumentals", int((keyed & marked).sum())
    yield "mixtures", int((keyed & ~marked).sum())


def _slices(table: pa.Table, columns: Sequence[str], buckets: int) -> Iterator[Slice]:
    """A table cut into buckets by what its columns hold."""
    hashes = row_hashes(*(table[name].combine_chunks() for name in columns))
    for bucket, rows in _by_bucket(hashes, buckets):
        piece = table.take(pa.array(rows))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, piece.schema) as writer:
            writer.write_table(piece)
        yield bucket, sink.getvalue().to_pybytes()


def _joined(slices: Iterable[bytes]) -> pa.Table:
    return pa.concat_tables([pa.ipc.open_stream(piece).read_all() for piece in slices])


def _by_bucket(hashes: np.ndarray, buckets: int) -> Iterator[tuple[int, np.ndarray]]:
    """(bucket, rows) for every bucket that has any."""
    places = (hashes % np.uint64(buckets)).astype(np.int64)
    order = np.argsort(places, kind="stable")
    numbers, starts = np.unique(places[order], return_index=True)
    yield from zip(numbers.tolist(), np.split(order, starts[1:]), strict=True) if len(order) else ()


def _union(sets: Iterable[bytes]) -> bytes:
    """Sets of uint64, each as bytes in ascending order, in one."""
    return np.unique(np.frombuffer(b"".join(sets), np.uint64)).tobytes()


def _repeated(lists: Iterable[bytes]) -> bytes:
    """The numbers (uint64, as bytes) that are there more than once, in ascending order."""
    numbers, counts = np.unique(np.frombuffer(b"".join(lists), np.uint64), return_counts=True)
    return numbers[counts > 1].tobytes()


def _among(hashes: np.ndarray, ascending: bytes) -> np.ndarray:
    """Which of the numbers are in a set, bool; the set is uint64 as bytes in ascending order."""
    members = np.frombuffer(ascending, np.uint64)
    if members.size == 0:
        return np.zeros(len(hashes), bool)
    places = np.minimum(np.searchsorted(members, hashes), members.size - 1)
    return members[places] == hashes


def _check(options: PipelineOptions) -> None:
    """BadUsage or Failed before anything is written."""
    buckets = options.view_as(MatchOptions).buckets
    if not 1 <= buckets <= MOST_BUCKETS:
        raise BadUsage(f"--buckets {buckets}: between 1 and {MOST_BUCKETS:,}")
    catalogue_of(options).parts()


VERB = Verb(
    "match",
    "Find pairs of a recording and its instrumental in a catalogue, by artist, title and duration.",
    ("catalog",),
    build,
    MatchOptions,
    neutral=("buckets",),
)


def main(argv: Sequence[str]) -> int:
    """Run `stemlode match`; the exit status."""
    _check(VERB.parse(argv))
    return launch(VERB, argv)
