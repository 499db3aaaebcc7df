"""`stemlode match` as a Beam pipeline.

The catalogue is read twice. The first reading leaves a few bytes a track: hashes of the keys that
hold an instrumental, and hashes of track ids that may be there twice. The second sends on only the
tracks that these hashes let through, a few in a hundred, as Arrow slices in buckets by key. Hashes
only save work: what decides is compared as it is, so the number of buckets, the order of the input
and the workers change no byte of the output.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import AsDict, AsList, AsSingleton, TaggedOutput

from matching import originals, rules
from matching.extended import unknown_words
from matching.links import links, preferred
from matching.row_hashes import row_hashes
from pipelines import transforms
from pipelines.catalogue import rejections, tracks
from pipelines.catalogue.formats.rows import CataloguePart
from pipelines.catalogue.mapping import ARTIST_IDS, IS_VIDEO
from pipelines.catalogue.reading import Catalogue, RowBatch
from pipelines.match import record
from pipelines.match.record import COUNTS, Task
from stemlode import runs, schemas
from stemlode.progress import meters
from stemlode.tables import Row

SAID = ("fuzzy_title", "marker", "other_titles", IS_VIDEO)  # by a title, and of it
FOUND = pa.schema([*schemas.TRACK, *(tracks.KEYED.field(name) for name in SAID)])
DOUBTFUL = FOUND.append(tracks.KEYED.field(ARTIST_IDS))
LINKED = pa.schema([*FOUND, pa.field("link_artist", pa.string()), pa.field("link", pa.string())])
KEY, ID = ("link_artist", "link"), ("track_id",)
PAIRS_AT_ONCE = 10_000
Slice = tuple[int, bytes]  # a bucket, and a table of it in Arrow's IPC format


class HashTracks(beam.DoFn):
    """Parts of the catalogue → hashes of all track ids, and of the keys of instrumentals."""

    def __init__(self, catalogue: Catalogue, task: Task, buckets: int) -> None:
        self.catalogue, self.task, self.buckets = catalogue, task, buckets
        self.rule = task.rule

    def process(self, part: CataloguePart) -> Iterator[Any]:
        """Yields (bucket, uint64 bytes) of ids, and tagged `keys` uint64 bytes."""
        for batch in self.catalogue.batches(part, tracks.needed(self.rule)):
            meters.step("rows", len(batch))
            meters.expect("rows again", len(batch))
            checked = tracks.check(batch, self.task.aliases)
            ids = row_hashes(checked.track_id.take(pa.array(checked.good)))
            for bucket, rows in _by_bucket(ids, self.buckets):
                yield bucket, ids[rows].tobytes()
            marked = tracks.marked(batch, checked, self.rule)
            _, artists, keys = links(marked, self.rule)
            yield TaggedOutput("keys", np.unique(row_hashes(artists, keys)).tobytes())


class Select(beam.DoFn):
    """Parts of the catalogue → the tracks that may be in a pair, rejects and counts."""

    def __init__(self, catalogue: Catalogue, task: Task, buckets: int) -> None:
        self.catalogue, self.task, self.buckets = catalogue, task, buckets
        self.rule = task.rule

    def process(self, part: CataloguePart, keys: bytes, repeated: bytes) -> Iterator[Any]:
        """Yields slices by key, tagged `repeated` slices by id, `rejects`, `counts`, `releases`
        and `words`."""
        chosen, doubtful = [LINKED.empty_table()], [DOUBTFUL.empty_table()]
        for batch in self.catalogue.batches(part):
            checked = tracks.check(batch, self.task.aliases)
            meters.step("rows again", len(batch))
            yield TaggedOutput("counts", ("tracks_read", len(batch) + len(batch.rows.broken)))
            for count in tracks.duration_counts(checked):
                yield TaggedOutput("counts", count)
            for row in tracks.rejects(batch, checked):
                yield TaggedOutput("rejects", row)
            for releases in _releases(tracks.releases(batch, checked), "every"):
                yield TaggedOutput("releases", releases)

            keyed = tracks.keyed(batch, checked, self.rule)
            again = _among(row_hashes(keyed["track_id"].combine_chunks()), repeated)
            for count in _kinds(keyed.filter(~again)):
                yield TaggedOutput("counts", count)
            for word in _words(keyed.filter(~again)):
                yield TaggedOutput("words", word)
            rows, artists, links_ = links(keyed, self.rule)
            wanted = _among(row_hashes(artists, links_), keys) & ~again[rows]
            chosen.append(
                _linked(
                    _found(batch, checked, keyed, rows[wanted]),
                    artists.filter(pa.array(wanted)),
                    links_.filter(pa.array(wanted)),
                )
            )
            places = np.flatnonzero(again)
            lists = keyed[ARTIST_IDS].take(pa.array(places))
            found = _found(batch, checked, keyed, places)
            doubtful.append(found.append_column(DOUBTFUL.field(ARTIST_IDS), lists))
        yield from _slices(pa.concat_tables(chosen), KEY, self.buckets)
        for piece in _slices(pa.concat_tables(doubtful), ID, self.buckets):
            yield TaggedOutput("repeated", piece)


class Deduplicate(beam.DoFn):
    """Buckets of tracks whose ids may be there twice → one track an id, and the rest as rejects."""

    def __init__(self, rule: rules.Rule, buckets: int) -> None:
        self.rule, self.buckets = rule, buckets

    def process(self, bucket: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
        """Yields slices by key, and tagged `rejects`, `counts` and `words`."""
        table, further = tracks.once(_joined(bucket[1]))
        for row in further:
            yield TaggedOutput("rejects", row)
        for count in _kinds(table):
            yield TaggedOutput("counts", count)
        for word in _words(table):
            yield TaggedOutput("words", word)
        rows, artists, keys = links(table, self.rule)
        found = table.select(FOUND.names).take(pa.array(rows))
        yield from _slices(_linked(found, artists, keys), KEY, self.buckets)


class Propose(beam.DoFn):
    """Buckets of tracks by key → candidates."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def process(self, bucket: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
        """Yields rows of schemas.CANDIDATE, and tagged `counts`, `large` keys and `releases`."""
        table = _joined(bucket[1])
        marked = table.filter(table["marker"].is_valid())
        yield TaggedOutput("counts", ("keys", marked.group_by(KEY).aggregate([]).num_rows))
        for releases in _releases(tracks.releases_of(marked), "some"):
            yield TaggedOutput("releases", releases)

        keyed = pa.table(
            {
                "artist_id": table["link_artist"],
                "fuzzy_title": table["link"],
                "marker": table["marker"],
                "duration_s": table["duration_s"],
            }
        )
        mixtures, instrumentals, large = rules.sweep(keyed, self.task.rule, self.task.most_per_key)
        for row in large.to_pylist():
            yield TaggedOutput("large", row)
        if self.task.rule.is_extended:
            other = _differ(table["recording_id"], mixtures, instrumentals)
            mixtures, instrumentals = mixtures[other], instrumentals[other]
        alike = ~_differ(table[IS_VIDEO], mixtures, instrumentals)
        mixtures, instrumentals = mixtures[alike], instrumentals[alike]
        for start in range(0, len(mixtures), PAIRS_AT_ONCE):
            chunk = slice(start, start + PAIRS_AT_ONCE)
            mixes = table.take(pa.array(mixtures[chunk])).to_pylist()
            others = table.take(pa.array(instrumentals[chunk])).to_pylist()
            for mix, instrumental in zip(mixes, others, strict=True):
                yield record.candidate(mix, instrumental, mix["link_artist"], self.task.rule)


def build(
    pipeline: beam.Pipeline,
    catalogue: Catalogue,
    task: Task,
    buckets: int,
    run: runs.Run,
    *,
    allow_rejects: bool,
) -> None:
    """The pipeline: catalogue → hashes → tracks that may be in a pair → candidates.

    Its last step fails where most rows are rejects, unless these are allowed.
    """
    rule = task.rule
    parts = pipeline | "Parts" >> beam.Create(catalogue.parts()) | "Spread" >> beam.Reshuffle()
    survey = parts | "Survey" >> beam.ParDo(HashTracks(catalogue, task, buckets)).with_outputs(
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
        Select(catalogue, task, buckets), AsSingleton(keys), AsSingleton(repeated)
    ).with_outputs("repeated", "rejects", "counts", "releases", "words", main="tracks")
    once = (
        selected.repeated
        | "GroupRepeated" >> beam.GroupByKey()
        | "Deduplicate"
        >> beam.ParDo(Deduplicate(rule, buckets)).with_outputs(
            "rejects", "counts", "words", main="tracks"
        )
    )
    paired = (
        (selected.tracks, once.tracks)
        | "AllTracks" >> beam.Flatten()
        | "GroupKeys" >> beam.GroupByKey()
        | "Pair"
        >> beam.ParDo(Propose(task)).with_outputs("counts", "large", "releases", main="pairs")
    )
    candidates = paired.pairs
    if rule.is_extended:  # two tracks may meet under several keys
        candidates = candidates | "OncePair" >> _Least("pair_id", _by_artist)
    found = candidates
    if task.one_to_one:
        candidates = found | "OneToOne" >> _Least("instrumental_track_id", originals.rank)
    songs = candidates | "Songs" >> beam.Map(lambda row: row["song_id"])
    rejects = (selected.rejects, once.rejects) | "AllRejects" >> beam.Flatten()
    manifest = (
        candidates
        | "Candidates" >> transforms.WriteTable(run, "candidates", schemas.CANDIDATE, ["pair_id"]),
        rejects
        | "Rejects" >> transforms.WriteTable(run, "rejects", schemas.REJECT, ["stage", "key"]),
    ) | "Manifest" >> beam.Flatten()
    counts = (
        pipeline | "Zeros" >> beam.Create([(name, 0) for name in COUNTS]),
        selected.counts,
        once.counts,
        paired.counts,
        rejects | "CountRejects" >> beam.Map(lambda _: ("rejected", 1)),
        candidates | "CountCandidates" >> beam.Map(lambda _: ("candidates", 1)),
        found | "CountFound" >> beam.Map(lambda _: ("not_chosen", 1)),
        candidates | "CountChosen" >> beam.Map(lambda _: ("not_chosen", -1)),
        songs | "EachSong" >> beam.Distinct() | "CountSongs" >> beam.Map(lambda _: ("songs", 1)),
    ) | "Counts" >> beam.Flatten()
    by_reason = (
        selected.rejects
        | "Reasons" >> beam.Map(lambda row: (row["error"], (1, row)))
        | "Tally" >> beam.CombinePerKey(rejections.added)
    )
    releases = (
        (selected.releases, paired.releases)
        | "AllReleases" >> beam.Flatten()
        | "EachYear" >> beam.CombinePerKey(_union)
        | "CountReleases" >> beam.MapTuple(lambda key, found: (key, len(found) // 8))
    )
    words = (
        (selected.words, once.words)
        | "AllWords" >> beam.Flatten()
        | "CountWords" >> beam.CombinePerKey(sum)
        | "MostWords" >> beam.combiners.Top.Of(rules.MOST_WORDS, key=record.often, reverse=True)
    )
    _ = (
        pipeline
        | "TheEnd" >> beam.Create([None])
        | "Finish"
        >> beam.Map(
            _finish,
            run,
            task,
            None if allow_rejects else catalogue.path,
            AsList(manifest),
            AsDict(counts | "AddUp" >> beam.CombinePerKey(sum)),
            AsList(paired.large),
            AsDict(releases),
            AsSingleton(words),
            AsDict(by_reason),
        )
    )


def _finish(
    _: None,
    run: runs.Run,
    task: Task,
    judged: str | None,
    manifest: list[Row],
    totals: dict[str, int],
    large: list[Row],
    releases: dict[tuple[str, int], int],
    words: list[tuple[str, int]],
    by_reason: dict[str, rejections.RejectTally],
) -> None:
    """The last step waits for all others; a remote launcher may be gone by then.

    `judged` is the catalogue whose rejects may hold the run back.
    """
    outputs = {row["path"]: row["sha256"] for row in manifest}
    years = {year for _, year in releases}
    by_year = {y: (releases.get(("every", y), 0), releases.get(("some", y), 0)) for y in years}
    held_back = judged and rejections.verdict(judged, totals["tracks_read"], by_reason)
    record.finish(run, task, totals, outputs, large, by_year, dict(words), held_back, engine="beam")


class _Least(beam.PTransform):
    """Rows → of those with one value in a column, the least by an order."""

    def __init__(self, column: str, order: Any) -> None:
        super().__init__()
        self.column, self.order = column, order

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        column, order = self.column, self.order
        return (
            rows
            | "By" >> beam.Map(lambda row: (row[column], row))
            | "Group" >> beam.GroupByKey()
            | "Least" >> beam.Map(lambda group: min(group[1], key=order))
        )


def _by_artist(row: Row) -> tuple[bool, str]:
    return preferred(row["artist_id"])


def _found(batch: RowBatch, checked: tracks.Tracks, keyed: pa.Table, rows: np.ndarray) -> pa.Table:
    """Some of the good rows with all their columns, keys and markers (schema FOUND)."""
    table = tracks.table(batch, checked, checked.good[rows])
    own = keyed.select(SAID).take(pa.array(rows, pa.int64()))
    return pa.table([*table.columns, *own.columns], FOUND)


def _linked(found: pa.Table, artists: pa.Array, keys: pa.Array) -> pa.Table:
    return pa.table([*found.columns, artists, keys], LINKED)


def _differ(column: pa.ChunkedArray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where a column's values are not known to be the same, bool."""
    first, second = (column.take(pa.array(rows)) for rows in (one, other))
    return ~np.asarray(pc.fill_null(pc.equal(first, second), False), bool)


def _releases(table: pa.Table, kind: str) -> Iterator[tuple[tuple[str, int], bytes]]:
    """((kind, year), hashes of the year's releases) of a table year, artist_id, album."""
    columns = (table[name].combine_chunks() for name in ("artist_id", "album"))
    hashes, years = row_hashes(*columns), table["year"].to_numpy()
    for year in np.unique(years).tolist():
        yield (kind, year), np.unique(hashes[years == year]).tobytes()


def _kinds(keyed: pa.Table) -> Iterator[tuple[str, int]]:
    """How many tracks have an empty key, are instrumentals, are mixtures."""
    has_key = np.asarray(pc.not_equal(keyed["fuzzy_title"], ""), bool)
    marked = np.asarray(pc.is_valid(keyed["marker"]), bool)
    yield "empty_keys", int((~has_key).sum())
    yield "instrumentals", int((has_key & marked).sum())
    yield "mixtures", int((has_key & ~marked).sum())


def _words(keyed: pa.Table) -> Iterator[tuple[str, int]]:
    """Words beside the markers of instrumentals that the rule does not know, and how many."""
    unknown = unknown_words(keyed["fuzzy_title"].filter(pc.is_valid(keyed["marker"])))
    yield from zip(*unknown.to_pydict().values(), strict=True)


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
