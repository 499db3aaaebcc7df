"""`stemlode prune`: candidates → scored pairs, each with a decision and its reason.

Titles only propose; here the sound decides (thesis section 3.5.2, from "we strip out any silent
frames"). Only references travel: candidates are grouped by song, groups are placed into parts of a
bounded number of pairs by a plan that depends on nothing but the candidates, and each part's
result is a small file that a later attempt finds again. `--rescore` judges what was measured
before under other thresholds, without reading audio.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsSingleton

from matching.sound.decisions import Thresholds
from matching.sound.scores import Settings
from pipelines import estimates, unreachable
from pipelines.launch import carry_out, pipeline_of
from pipelines.options import ADDRESSES, Verb
from pipelines.prune import estimate, inputs, output, rescore, scoring
from pipelines.prune.options import ADDED, PruneOptions, settings_of, settle
from pipelines.prune.scoring import Heard, Listener
from pipelines.remote.runners import Named
from pipelines.remote.workers import AUDIO
from stemlode import files, runs, tables
from stemlode.addresses.rules import NOT_OPENED
from stemlode.ids import digest
from stemlode.progress import meters
from stemlode.retry import patiently, stores_of
from stemlode.runs import BadUsage
from stemlode.schemas import reject
from stemlode.tables import Row

METERED = ("audio_seconds", "decode_ms")  # by the decoder itself


class Score(beam.DoFn):
    """The candidates of a part → rows of schemas.SCORED_PAIR; further outputs as in `output`."""

    def __init__(self, run: runs.Run, settings: Settings, thresholds: Thresholds) -> None:
        self.run = run
        self.listener = Listener(settings, thresholds, run.rules)

    def setup(self) -> None:
        self.listener.stores = stores_of(self.run)

    def process(self, part: tuple[int, Iterable[Row]]) -> Iterator[Any]:
        rows = sorted(part[1], key=lambda row: (row["song_id"], row["pair_id"]))
        heard = self._part(rows)
        for row in rows:
            pair_id = row["pair_id"]
            yield from output.outputs(row | heard.measures[pair_id], heard.seconds.get(pair_id))
        for item in heard.unreadable.items():
            yield beam.pvalue.TaggedOutput("rejects", item)
        uris = {row[f"{role}_audio_uri"] for row in rows for role in scoring.ROLES}
        counts = work_of(heard) | {unreachable.TRIED: len(uris - {None, ""})}
        for name, number in counts.items():
            yield beam.pvalue.TaggedOutput("counts", (name, number))

    def teardown(self) -> None:
        self.listener.close()

    def _part(self, rows: list[Row]) -> Heard:
        """A part's result: what an earlier attempt kept of it, and what is made now.

        Songs of which all files were opened are kept; the next attempt tries the others again.
        """
        name = digest(*(json.dumps(row, sort_keys=True) for row in rows))
        path = self.run.path(runs.PARTS, f"{name}.json")
        kept = Heard(**json.loads(files.read_bytes(path))) if files.exists(path) else Heard()
        left = [row for row in rows if row["pair_id"] not in kept.measures]
        meters.step("pairs", len(rows) - len(left), held=True)
        if not left:
            return kept
        now, passing = Heard(), Heard()
        for song_id, song in groupby(left, key=lambda row: row["song_id"]):
            pairs = [*song]
            with meters.item("pairs", song_id, len(pairs)):
                heard = self.listener.hear(pairs)
            missed = any(row["error"] in NOT_OPENED for row in heard.unreadable.values())
            (passing if missed else now).add(heard)
        attempt = Heard()
        for heard in (now, passing):
            attempt.add(heard)
        for counter, number in work_of(attempt).items():  # as a runner shows it
            if counter not in METERED:
                meters.add(counter, number)
        if now.measures:
            kept.add(now)
            data = json.dumps(dataclasses.asdict(kept), sort_keys=True).encode()
            patiently(lambda: files.write_bytes(path, data), path)
        kept.add(passing)
        return kept


def work_of(heard: Heard) -> dict[str, int]:
    """What listening took and found out of files, as it is counted."""
    times = (heard.decoded_s, heard.decode_ms, heard.score_ms)
    found = (heard.tracks, heard.lengths_differ, heard.ends_missing)
    return dict(zip((*output.WORK, *output.FILES), (*map(round, times), *found), strict=True))


def place(song: tuple[str, Iterable[Row]], parts: dict[str, int], most: int) -> Iterator[Any]:
    """A song's candidates, each with the number of its part; what comes again is a reject."""
    song_id, rows = song
    once: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: json.dumps(row, sort_keys=True)):
        if once.setdefault(row["pair_id"], row) is not row:
            message = "the pair is there more than once; the first of its rows counts"
            found = reject("prune", row["pair_id"], "duplicate", message, row)
            yield beam.pvalue.TaggedOutput("rejects", (row["pair_id"], found))
    meters.expect("pairs", len(once))
    for number, group in enumerate(scoring.groups(once.values(), most)):
        yield from ((parts[song_id] + number, row) for row in group)


def build(pipeline: beam.Pipeline, options: PipelineOptions, run: runs.Run) -> None:
    """The pipeline: candidates → songs → parts → scored pairs and rejects."""
    view = options.view_as(PruneOptions)
    settings, window = settings_of(options)
    if view.rescore:
        rescore.build(pipeline, view.rescore, window, run)
        return
    most = view.pairs_per_part
    songs = (
        pipeline
        | "Tables" >> beam.Create(tables.parts(VERB.given(options)["candidates"], "candidates"))
        | "SpreadTables" >> beam.Reshuffle()
        | "ReadCandidates" >> beam.FlatMap(tables.rows)
        | "KeyBySong" >> beam.Map(lambda row: (row["song_id"], row))
        | "Songs" >> beam.GroupByKey()
    )
    planned = AsSingleton(
        songs
        | "CountPairs" >> beam.MapTuple(lambda song_id, rows: (song_id, sum(1 for _ in rows)))
        | "AllSongs" >> beam.combiners.ToList()
        | "Plan" >> beam.Map(scoring.plan, most)
    )
    placed = songs | "Place" >> beam.FlatMap(place, planned, most).with_outputs(
        "rejects", main="placed"
    )
    found = (
        placed.placed
        | "Parts" >> beam.GroupByKey()
        | "Score"
        >> beam.ParDo(Score(run, settings, window)).with_outputs(*output.TAGS, main="pairs")
    )
    rejects = (placed.rejects, found.rejects) | "Rejected" >> beam.Flatten()
    held_back = functools.partial(
        unreachable.verdict, limit=unreachable.Limit(view.max_unreachable)
    )
    output.write(run, found.pairs, rejects, found.counts, found.lengths, [runs.PARTS], held_back)


def _opens(options: PipelineOptions) -> Iterator[Named]:
    """What workers open: the candidates' audio."""
    if not options.view_as(PruneOptions).rescore:
        for path in tables.parts(VERB.given(options)["candidates"], "candidates"):
            held = tables.read_part(path, [*inputs.URIS])
            for name in inputs.URIS:
                yield from ((name, uri) for uri in held[name].to_pylist() if uri)


VERB = Verb(
    "prune",
    "Listen to candidates: align, compare, and keep those that differ by their vocals.",
    (),
    build,
    PruneOptions,
    optional_inputs=("candidates",),
    neutral=(
        *("pairs_per_part", "thresholds", "rescore", *estimates.OPTIONS),
        *unreachable.OPTIONS,
        *ADDRESSES,
    ),
    dry=("estimate",),
    added=ADDED,
    decodes=True,
    imports={"scipy": "", **AUDIO},
    opens=_opens,
)
parser = VERB.parser


def main(argv: Sequence[str]) -> int:
    """Run `stemlode prune`; the exit status."""
    options = VERB.parse(argv)
    given = VERB.given(options)
    settle(options, argv, given)
    view = options.view_as(PruneOptions)
    unreachable.check(view.max_unreachable)
    if view.rescore:
        if view.retry_rejects:
            raise BadUsage("--retry-rejects needs the audio, which --rescore does not read")
        inputs.check_scored(view.rescore)
        return carry_out(VERB, options, {"rescore": view.rescore}, pipeline_of(VERB, options))
    inputs.check(given["candidates"])
    if view.estimate:
        allowed, follow = view.allow_uri or (), not view.no_follow_links
        rules = runs.rules([given["candidates"]], [], allowed, follow=follow)
        listener = Listener(*settings_of(options), rules)
        rows = estimate.rows(given["candidates"])
        prices = estimates.prices_of(view.prices)
        found = estimate.lines(rows, listener, view.pairs_per_part, prices)
        print("\n".join(map(runs.on_one_line, found)))
        return 0
    return carry_out(VERB, options, given, pipeline_of(VERB, options))
