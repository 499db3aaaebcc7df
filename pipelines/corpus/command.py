"""Verified pairs and multitrack songs → shards and an index.

Only references travel between the steps. Each song is read, aligned, cut and encoded once, into a
part file; the shards are planned from sample ids and sizes; each shard is copied together from
byte ranges of part files. Every step skips what an earlier attempt has finished.
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsDict, AsList

from pipelines import estimates, unreachable
from pipelines.corpus import (
    append,
    artists,
    cards,
    estimate,
    grouping,
    inputs,
    needs,
    output,
    splits,
)
from pipelines.corpus.encode import Encode
from pipelines.corpus.options import ADDED, CorpusOptions, plan_of
from pipelines.launch import launch
from pipelines.options import ADDRESSES, SharedOptions, Verb
from pipelines.remote.runners import Named
from pipelines.remote.workers import AUDIO
from pipelines.samples import recordings
from stemlode import files, runs, tables
from stemlode.layouts.songs import Song
from stemlode.runs import BadUsage
from stemlode.shards import space
from stemlode.shards.tar import SHARD


def build(pipeline: beam.Pipeline, options: PipelineOptions, run: runs.Run) -> None:
    """The pipeline: recordings → part files → plan → shards → index."""
    plan, given, held = plan_of(options), VERB.given(options), append.held(run)
    view = options.view_as(CorpusOptions)
    usable = functools.partial(recordings.usable, use_parts=view.use_parts)
    found, kept_counts = inputs.read(pipeline, given, view.layout, view.sources, run.rules, usable)
    sketched = grouping.alike(found, view.fingerprints, run, held)
    grouped, apart, of_groups = grouping.grouped(
        found, AsList(sketched.alike), held, by_artist=plan.split_by == "artist"
    )
    encoded = grouped | "Encode" >> beam.ParDo(
        Encode(run, plan), AsDict(sketched.missed)
    ).with_outputs("rejects", "songs", "counts", main="samples")
    left = inputs.left(found, held)
    came = inputs.new_counts(found, held) if held.kind else kept_counts
    output.write(
        run,
        encoded.samples,
        songs=encoded.songs,
        rejects=(encoded.rejects, apart, left) | "AllRejects" >> beam.Flatten(),
        counts=(came, of_groups, encoded.counts) | "AllCounts" >> beam.Flatten(),
        further=sketched.tables,
        shard_bytes=plan.shard_bytes,
        format=plan.format,
        held=held,
        notes=None if held.kind else functools.partial(splits.notes, plan.ratios),
        limit=unreachable.Limit(
            view.max_unreachable, len(held.recording_ids), ("recordings", "rejected"), "songs"
        ),
    )


def _check(options: PipelineOptions) -> None:
    """BadUsage before anything is written."""
    plan_of(options)
    view = options.view_as(CorpusOptions)
    given = VERB.given(options)
    if not {*given} & {"pairs", "stems", "vocals", "instrumentals"}:
        raise BadUsage(
            "stemlode corpus needs --pairs, --stems, --vocals or --instrumentals (see --help)"
        )
    if "mapping" in given and "stems" not in given:
        raise BadUsage("--mapping says how --stems lies, which is not given")
    if "splits" in given:
        splits.read_list(given["splits"])
    if "pairs" in given and runs.fingerprintable(given["pairs"]):
        tables.parts(given["pairs"], "pairs")
    folders = [name for name in ("stems", "vocals", "instrumentals") if name in given]
    if all(runs.fingerprintable(given[name]) for name in folders):
        songs = inputs.songs_in_folders(given, view.layout, view.sources)
        if view.split_by == "artist" and all(map(runs.fingerprintable, given.values())):
            _check_artists(options, given, songs)


def _check_artists(options: PipelineOptions, given: dict[str, str], songs: list[Song]) -> None:
    """BadUsage where an artist has most of the songs, before any of them is listened to.

    What fingerprints join, and what an addition adds to, is looked at in the pipeline.
    """
    view, output = options.view_as(CorpusOptions), options.view_as(SharedOptions).output
    is_done = files.exists(files.join(files.absolute(output), runs.SUCCESS))
    if is_done and not options.view_as(SharedOptions).overwrite:
        return
    usable = functools.partial(recordings.usable, use_parts=view.use_parts)
    known = [*inputs.facts(given, songs, usable)]
    artists.together(splits.split_groups(known, []), known, append.Held())


def _say_needs(options: PipelineOptions) -> None:
    """How much disk the run will need, and how much there is."""
    view, given = options.view_as(CorpusOptions), VERB.given(options)
    shared = options.view_as(SharedOptions)
    output = files.absolute(shared.output)
    goes_on = view.append or view.retry_rejects or shared.overwrite
    is_done = files.exists(files.join(output, runs.SUCCESS)) and not goes_on
    if is_done or not files.is_local(output) or not all(map(runs.fingerprintable, given.values())):
        return
    songs = inputs.songs_in_folders(given, view.layout, view.sources)
    needed = needs.expected_bytes(given.get("pairs"), songs, plan_of(options), view.use_parts)
    if said := space.line(output, needed):
        print(f"corpus: {said}")


def _opens(options: PipelineOptions) -> Iterator[Named]:
    """What workers open: the audio of the pairs that are taken."""
    given, use_parts = VERB.given(options), options.view_as(CorpusOptions).use_parts
    columns = ["mix_audio_uri", "instrumental_audio_uri"]
    for path in tables.parts(given["pairs"], "pairs") if "pairs" in given else ():
        for row in tables.read_part(path, [*columns, "decision", "repaired"]).to_pylist():
            if recordings.usable(row, use_parts):
                yield from ((name, row[name]) for name in columns if row[name])


VERB = Verb(
    "corpus",
    "Cut verified pairs and multitrack songs into chunks, and store them as WebDataset shards "
    "with an index.",
    (),
    build,
    CorpusOptions,
    neutral=("append", *estimates.OPTIONS, *unreachable.OPTIONS, *ADDRESSES),
    writes=(SHARD.pattern, re.escape(runs.PENDING), *cards.WRITES),
    optional_inputs=("pairs", "stems", "mapping", "vocals", "instrumentals", "splits"),
    dry=("estimate",),
    added=ADDED,
    decodes=True,
    imports={"scipy": "", **AUDIO, "pedalboard": "augment"},
    opens=_opens,
    inputs_here=("mapping", "splits"),
)
parser = VERB.parser


def main(argv: Sequence[str]) -> int:
    """Run `stemlode corpus`; the exit status."""
    options = VERB.parse(argv)
    _check(options)
    view = options.view_as(CorpusOptions)
    unreachable.check(view.max_unreachable)
    if view.append and view.retry_rejects:
        raise BadUsage(
            "--append tries the rejects of its inputs as well: leave --retry-rejects out"
        )
    if view.estimate:
        given = VERB.given(options)
        for name, path in given.items():
            if not runs.fingerprintable(path):
                raise BadUsage(f"--{name} {path}: no such file or folder")
        allowed, follow = view.allow_uri or (), not view.no_follow_links
        rules = runs.rules([*given.values()], [], allowed, follow=follow)
        estimates.show(lambda: estimate.expected(options, given, rules), view.prices)
        return 0
    if not options.view_as(SharedOptions).quiet:
        _say_needs(options)
    start: Callable[..., runs.Run | None] = runs.start
    if view.append or view.retry_rejects:
        kind = append.APPEND if view.append else append.RETRY
        start = functools.partial(append.start, kind=kind)
    status = launch(VERB, argv, start=start)
    output.check_holds(files.absolute(options.view_as(SharedOptions).output))
    return status
