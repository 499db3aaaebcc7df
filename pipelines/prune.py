"""`stemlode prune`: candidates → scored pairs, each with a decision and its reason.

Titles only propose; here the sound decides (thesis section 3.5.2, from "we strip out any silent
frames"). Only references travel: candidates are grouped by song, groups are placed into parts of a
bounded number of pairs by a plan that depends on nothing but the candidates, and each part's
result is a small file that a later attempt finds again. `--rescore` judges what was measured
before under other thresholds, without reading audio.
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
from apache_beam.pvalue import AsSingleton

from matching import alignment, decisions, difference, silence
from matching.decisions import Thresholds
from matching.ids import digest
from matching.scores import Settings
from pipelines import (
    files,
    grouping,
    prune_estimate,
    rescore,
    runs,
    scored,
    tables,
    thresholds,
)
from pipelines.launch import carry_out, pipeline_of
from pipelines.options import Verb, VerbOptions
from pipelines.patience import patiently
from pipelines.runs import BadUsage
from pipelines.scoring import Heard, Listener, Row

PARTS = "_parts"


class PruneOptions(VerbOptions):
    """How recordings are compared, and which pairs are kept."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--d-min",
            type=float,
            help="pairs whose normalised difference is below this are too similar "
            f"(default: {decisions.D_MIN})",
        )
        add(
            "--d-max",
            type=float,
            help="pairs whose normalised difference is not below this are too different "
            f"(default: {decisions.D_MAX})",
        )
        add(
            "--thresholds",
            metavar="FILE",
            help="take both from a file that `stemlode review` wrote",
        )
        add(
            "--rescore",
            metavar="FOLDER",
            help="instead of --candidates: judge the pairs of an earlier run of prune again, by "
            "what it measured; no audio is read",
        )
        add(
            "--estimate",
            action="store_true",
            help="write nothing; listen to a few pairs and print what all of them would cost",
        )
        add(
            "--trim-db",
            type=float,
            default=silence.TRIM_DB,
            help="sound this far below the loudest is silence, and stripped at both ends",
        )
        add(
            "--sample-rate",
            type=int,
            default=difference.SAMPLE_RATE,
            help="rate in Hz at which recordings are compared, in mono",
        )
        add("--n-fft", type=int, default=difference.N_FFT, help="samples of an STFT window")
        add(
            "--hop-length",
            type=int,
            default=difference.HOP_LENGTH,
            help="samples from one STFT window to the next",
        )
        add(
            "--max-offset",
            type=float,
            default=alignment.MAX_OFFSET_S,
            help="seconds by which an instrumental may be shifted",
        )
        add(
            "--pairs-per-part",
            type=int,
            default=grouping.PAIRS_PER_PART,
            help="pairs that are scored between two saved states; larger groups are split",
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


class Score(beam.DoFn):
    """The candidates of a part → rows of schemas.SCORED_PAIR; further outputs as in `scored`."""

    def __init__(self, run: runs.Run, settings: Settings, thresholds: Thresholds) -> None:
        self.run = run
        self.listener = Listener(settings, thresholds)

    def process(self, part: tuple[int, Iterable[Row]]) -> Iterator[Any]:
        rows = sorted(part[1], key=lambda row: (row["song_id"], row["pair_id"]))
        heard = self._part(rows)
        for row in rows:
            pair_id = row["pair_id"]
            yield from scored.outputs(row | heard.measures[pair_id], heard.seconds.get(pair_id))
        for item in heard.unreadable.items():
            yield beam.pvalue.TaggedOutput("rejects", item)
        yield scored.length("hours_decoded", heard.decoded_s)
        yield scored.length("seconds_decoding", heard.decode_ms / 1000)
        yield scored.length("seconds_scoring", heard.score_ms / 1000)

    def teardown(self) -> None:
        self.listener.close()

    def _part(self, rows: list[Row]) -> Heard:
        """A part's result: an earlier attempt's, or made now and kept."""
        name = digest(*(json.dumps(row, sort_keys=True) for row in rows))
        path = self.run.path(PARTS, f"{name}.json")
        if files.exists(path):
            return Heard(**json.loads(files.read_bytes(path)))
        heard = Heard()
        for _, song in groupby(rows, key=lambda row: row["song_id"]):
            one = self.listener.hear(song)
            heard.add(one)
            Metrics.counter("prune", "audio_seconds").inc(round(one.decoded_s))
            Metrics.counter("prune", "decode_ms").inc(round(one.decode_ms))
            Metrics.counter("prune", "score_ms").inc(round(one.score_ms))
        data = json.dumps(dataclasses.asdict(heard), sort_keys=True).encode()
        patiently(lambda: files.write_bytes(path, data), path)
        return heard


def place(song: tuple[str, Iterable[Row]], parts: dict[str, int], most: int) -> Iterator[Any]:
    """A song's candidates, each with the number of its part."""
    song_id, rows = song
    for number, group in enumerate(grouping.groups(rows, most)):
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
        | "Plan" >> beam.Map(grouping.plan, most)
    )
    found = (
        songs
        | "Place" >> beam.FlatMap(place, planned, most)
        | "Parts" >> beam.GroupByKey()
        | "Score"
        >> beam.ParDo(Score(run, settings, window)).with_outputs(*scored.TAGS, main="pairs")
    )
    scored.write(run, found.pairs, found.rejects, found.counts, found.lengths, clear=[PARTS])


VERB = Verb(
    "prune",
    "Listen to candidates: align, compare, and keep those that differ by their vocals.",
    (),
    build,
    PruneOptions,
    optional_inputs=("candidates",),
    neutral=("pairs_per_part", "thresholds", "rescore", "estimate"),
    dry=("estimate",),
)


def main(argv: Sequence[str]) -> int:
    """Run `stemlode prune`; the exit status."""
    options = VERB.parse(argv)
    given = VERB.given(options)
    _settle(options, argv, given)
    view = options.view_as(PruneOptions)
    if view.rescore:
        inputs = {"rescore": view.rescore}
        return carry_out(VERB, options, inputs, pipeline_of(VERB, options))
    parts = tables.parts(given["candidates"], "candidates")
    if view.estimate:
        rows = (row for part in parts for row in tables.rows(part))
        listener = Listener(*settings_of(options))
        print("\n".join(prune_estimate.lines(rows, listener, view.pairs_per_part)))
        return 0
    return carry_out(VERB, options, given, pipeline_of(VERB, options))


def _settle(options: PipelineOptions, argv: Sequence[str], given: dict[str, str]) -> None:
    """Fill in what other options and files say; BadUsage where they contradict each other."""
    view = options.view_as(PruneOptions)
    if bool(view.rescore) == ("candidates" in given):
        if view.rescore:
            raise BadUsage("--rescore takes the place of --candidates: give one of them")
        raise BadUsage("stemlode prune needs --candidates or --rescore (see --help)")
    if view.thresholds is not None:
        if view.d_min is not None or view.d_max is not None:
            raise BadUsage("--thresholds holds what --d-min and --d-max say: give one or the other")
        window = thresholds.read(view.thresholds)
        view.d_min, view.d_max = window.d_min, window.d_max
    view.d_min = decisions.D_MIN if view.d_min is None else view.d_min
    view.d_max = decisions.D_MAX if view.d_max is None else view.d_max
    if view.rescore:
        words = [word.split("=", maxsplit=1)[0] for word in argv]
        name = next((n for n in ("estimate", *rescore.MEASURED) if _flag(n) in words), None)
        if name:
            raise BadUsage(f"{_flag(name)} needs the audio, which --rescore does not read")
        view.rescore = files.absolute(view.rescore)
        for option, value in rescore.options_of(view.rescore).items():
            setattr(view, option, value)
    settings_of(options)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
