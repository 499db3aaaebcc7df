"""`stemlode prune`: candidates → scored pairs, each with a decision and its reason.

Titles only propose; here the sound decides (thesis section 3.5.2, from "we strip out any silent
frames"). Only references travel: candidates are grouped by song, songs are placed into parts of a
bounded number of pairs by a plan that depends on nothing but the candidates, and each part's
result is a small file that a later attempt finds again.
"""

if __name__ == "__main__":
    import sys

    from stemlode import run as run_verb

    sys.exit(run_verb("pipelines.prune", sys.argv[1:]))

import argparse
import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsSingleton, TaggedOutput

from matching import alignment, decisions, difference, silence
from matching.decisions import Thresholds
from matching.ids import digest
from matching.scores import Settings
from pipelines import files, runs, schemas, tables
from pipelines.launch import launch
from pipelines.options import Verb, VerbOptions
from pipelines.patience import patiently
from pipelines.runs import BadUsage
from pipelines.scoring import Heard, Listener, Row

PARTS = "_parts"
PAIRS_PER_PART = 32
COUNTS = ("candidates", "unreadable", "too_similar", "too_different", "kept", "rejected")
HOURS = ("hours_kept", "hours_dropped", "hours_decoded")


class PruneOptions(VerbOptions):
    """How recordings are compared, and which pairs are kept."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--d-min",
            type=float,
            default=decisions.D_MIN,
            help="pairs whose normalised difference is below this are too similar",
        )
        parser.add_argument(
            "--d-max",
            type=float,
            default=decisions.D_MAX,
            help="pairs whose normalised difference is not below this are too different",
        )
        parser.add_argument(
            "--trim-db",
            type=float,
            default=silence.TRIM_DB,
            help="sound this far below the loudest is silence, and stripped at both ends",
        )
        parser.add_argument(
            "--sample-rate",
            type=int,
            default=difference.SAMPLE_RATE,
            help="rate in Hz at which recordings are compared, in mono",
        )
        parser.add_argument(
            "--n-fft", type=int, default=difference.N_FFT, help="samples of an STFT window"
        )
        parser.add_argument(
            "--hop-length",
            type=int,
            default=difference.HOP_LENGTH,
            help="samples from one STFT window to the next",
        )
        parser.add_argument(
            "--max-offset",
            type=float,
            default=alignment.MAX_OFFSET_S,
            help="seconds by which an instrumental may be shifted",
        )
        parser.add_argument(
            "--pairs-per-part",
            type=int,
            default=PAIRS_PER_PART,
            help="pairs that are scored between two saved states",
        )


def settings_of(options: PipelineOptions) -> tuple[Settings, Thresholds]:
    """Raises BadUsage for an option that makes no sense."""
    view = options.view_as(PruneOptions)
    if not 0 <= view.d_min <= view.d_max < math.inf:
        raise BadUsage(f"--d-min {view.d_min:g}, --d-max {view.d_max:g}: need 0 ≤ d-min ≤ d-max")
    if not 0 < view.trim_db < math.inf:
        raise BadUsage(f"--trim-db {view.trim_db:g}: a number of dB above 0")
    if not 1000 <= view.sample_rate <= 192_000:
        raise BadUsage(f"--sample-rate {view.sample_rate}: between 1000 and 192000 Hz")
    if not 16 <= view.n_fft <= 65_536:
        raise BadUsage(f"--n-fft {view.n_fft}: between 16 and 65536 samples")
    if not 1 <= view.hop_length <= view.n_fft:
        raise BadUsage(f"--hop-length {view.hop_length}: between 1 and --n-fft {view.n_fft}")
    if not 0 <= view.max_offset < math.inf:
        raise BadUsage(f"--max-offset {view.max_offset:g}: a number of seconds, 0 or more")
    if view.pairs_per_part < 1:
        raise BadUsage(f"--pairs-per-part {view.pairs_per_part}: at least 1")
    settings = Settings(
        view.sample_rate, view.n_fft, view.hop_length, view.trim_db, view.max_offset
    )
    return settings, Thresholds(view.d_min, view.d_max)


def plan(songs: Iterable[tuple[str, int]], pairs_per_part: int) -> dict[str, int]:
    """Song id → number of its part, for (song id, pairs) in any order.

    Songs are taken in the order of their ids, which are hashes and so as good as shuffled. A part
    holds at most `pairs_per_part` pairs, or a single song that has more.
    """
    parts: dict[str, int] = {}
    part, held = 0, 0
    for song_id, pairs in sorted(songs):
        if held and held + pairs > pairs_per_part:
            part, held = part + 1, 0
        parts[song_id] = part
        held += pairs
    return parts


class Score(beam.DoFn):
    """The candidates of a part → rows of schemas.SCORED_PAIR.

    Further outputs: `rejects` (track id, row of schemas.REJECT), `counts` (name, number) and
    `lengths` (name, seconds).
    """

    def __init__(self, run: runs.Run, settings: Settings, thresholds: Thresholds) -> None:
        self.run = run
        self.listener = Listener(settings, thresholds)

    def process(self, part: tuple[int, Iterable[Row]]) -> Iterator[Any]:
        rows = sorted(part[1], key=lambda row: (row["song_id"], row["pair_id"]))
        heard = self._part(rows)
        for row in rows:
            scored = row | heard.measures[row["pair_id"]]
            Metrics.counter("prune", scored["decision"]).inc()
            yield scored
            yield TaggedOutput("counts", ("candidates", 1))
            yield TaggedOutput("counts", (scored["decision"], 1))
            if scored["decision"] != "unreadable":
                kept = scored["decision"] == "kept"
                length = heard.seconds[row["pair_id"]]
                yield TaggedOutput("lengths", ("hours_kept" if kept else "hours_dropped", length))
        for item in heard.unreadable.items():
            yield TaggedOutput("rejects", item)
        yield TaggedOutput("lengths", ("hours_decoded", heard.decoded_s))

    def _part(self, rows: list[Row]) -> Heard:
        """A part's result: an earlier attempt's, or made now and kept."""
        name = digest(*(json.dumps(row, sort_keys=True) for row in rows))
        path = self.run.path(PARTS, f"{name}.json")
        if files.exists(path):
            return Heard(**json.loads(files.read_bytes(path)))
        heard = Heard()
        for _, song in groupby(rows, key=lambda row: row["song_id"]):
            one = self.listener.hear(song)
            heard.measures |= one.measures
            heard.unreadable |= one.unreadable
            heard.seconds |= one.seconds
            heard.decoded_s += one.decoded_s
            Metrics.counter("prune", "audio_seconds").inc(round(one.decoded_s))
            Metrics.counter("prune", "decode_ms").inc(round(one.decode_ms))
        data = json.dumps(dataclasses.asdict(heard), sort_keys=True).encode()
        patiently(lambda: files.write_bytes(path, data), path)
        return heard


def build(pipeline: beam.Pipeline, options: PipelineOptions, run: runs.Run) -> None:
    """The pipeline: candidates → parts → scored pairs and rejects."""
    settings, thresholds = settings_of(options)
    candidates = (
        pipeline
        | "Tables" >> beam.Create(tables.parts(VERB.given(options)["candidates"], "candidates"))
        | "SpreadTables" >> beam.Reshuffle()
        | "ReadCandidates" >> beam.FlatMap(tables.rows)
    )
    planned = AsSingleton(
        candidates
        | "Songs" >> beam.Map(lambda row: row["song_id"])
        | "CountPairs" >> beam.combiners.Count.PerElement()
        | "AllSongs" >> beam.combiners.ToList()
        | "Plan" >> beam.Map(plan, options.view_as(PruneOptions).pairs_per_part)
    )
    scored = (
        candidates
        | "Place" >> beam.Map(lambda row, parts: (parts[row["song_id"]], row), planned)
        | "Parts" >> beam.GroupByKey()
        | "Score"
        >> beam.ParDo(Score(run, settings, thresholds)).with_outputs(
            "rejects", "counts", "lengths", main="pairs"
        )
    )
    rejected = (  # the same track may be in the candidates of two songs
        scored.rejects
        | "GroupRejects" >> beam.GroupByKey()
        | "OnceATrack" >> beam.Map(lambda track: min(track[1], key=lambda row: row["record"]))
    )
    manifest = (
        scored.pairs | "Pairs" >> tables.WriteTable(run, "pairs", schemas.SCORED_PAIR, ["pair_id"]),
        rejected | "Rejects" >> tables.WriteTable(run, "rejects", schemas.REJECT, ["stage", "key"]),
    ) | "Manifest" >> beam.Flatten()
    hours = (  # summed in whole microseconds, so that the order does not matter
        (pipeline | "NoLengths" >> beam.Create([(name, 0.0) for name in HOURS]), scored.lengths)
        | "Lengths" >> beam.Flatten()
        | "Microseconds" >> beam.MapTuple(lambda name, seconds: (name, round(seconds * 1e6)))
        | "AddUpLengths" >> beam.CombinePerKey(sum)
        | "Hours" >> beam.MapTuple(lambda name, time_us: (name, time_us / 3.6e9))
    )
    counts = (
        pipeline | "Zeros" >> beam.Create([(name, 0) for name in COUNTS]),
        scored.counts,
        hours,
        rejected | "CountRejects" >> beam.Map(lambda _: ("rejected", 1)),
    ) | "Counts" >> beam.Flatten()
    _ = (manifest, counts) | tables.Finish(run, clear=[PARTS])


VERB = Verb(
    "prune",
    "Listen to candidates: align, compare, and keep those that differ by their vocals.",
    ("candidates",),
    build,
    PruneOptions,
    neutral=("pairs_per_part",),
)


def main(argv: Sequence[str]) -> int:
    """Run `stemlode prune`; the exit status."""
    options = VERB.parse(argv)
    settings_of(options)
    tables.parts(VERB.given(options)["candidates"], "candidates")
    return launch(VERB, argv)
