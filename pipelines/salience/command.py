"""`stemlode salience`: a corpus with isolated vocals → the salience of their pitch beside it.

Only references travel between the steps. The songs of a corpus are put together again from their
chunks, each heard once and whole by the teacher, and its salience cut like the song; the shards
mirror those of the corpus. Every song has its part file; a rerun skips those that are there.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow.compute as pc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsSingleton

from pipelines import estimates, transforms
from pipelines.launch import carry_out, pipeline_of
from pipelines.options import Verb
from pipelines.remote.runners import Named
from pipelines.salience import estimate, vocals
from pipelines.salience.hear import Hear, Song, WriteShard
from pipelines.salience.options import SalienceOptions, plan_of
from pipelines.salience.plan import SaliencePlan
from stemlode import runs, schemas, tables
from stemlode.ids import digest
from stemlode.progress import meters
from stemlode.runs import BadUsage
from stemlode.shards import songs, tar

COUNTS = "songs songs_without_vocals songs_of_several_voices samples samples_without_vocals "
COUNTS += "frames frames_voiced shards rejected audio_seconds"
FEWEST, MOST = 4, 32  # songs that a worker takes at a time: an eighth of all, within these


def build(pipeline: beam.Pipeline, options: PipelineOptions, run: runs.Run) -> None:
    """The pipeline: the index of a corpus → songs → part files → shards."""
    _build(pipeline, options, run, plan_of(options))


def _build(
    pipeline: beam.Pipeline, options: PipelineOptions, run: runs.Run, plan: SaliencePlan
) -> None:
    hear: Any = beam.ParDo(Hear(run, plan))
    if plan.device != "cpu" and (hint := options.view_as(SalienceOptions).accelerator):
        hear = hear.with_resource_hints(accelerator=hint)
    heard = _songs(pipeline, plan.corpus) | "Hear" >> hear.with_outputs(
        "rejects", "counts", main="samples"
    )
    written = (
        heard.samples
        | "ByShard" >> beam.Map(lambda sample: (sample.row["shard"], sample))
        | "Shards" >> beam.GroupByKey()
        | "WriteShards" >> beam.ParDo(WriteShard(run)).with_outputs("index", main="shards")
    )
    index = written.index | "Index" >> transforms.WriteTable(
        run, "salience", schemas.SALIENCE, ["sample_id"]
    )
    rejects = heard.rejects | "Rejects" >> transforms.WriteTable(
        run, "rejects", schemas.REJECT, ["stage", "key"]
    )
    manifest = (written.shards, index, rejects) | "Manifest" >> beam.Flatten()
    zeros = [(name, 0) for name in COUNTS.split()]
    counts = (
        pipeline | "Zeros" >> beam.Create(zeros),
        heard.counts,
        heard.rejects | "CountRejects" >> beam.Map(lambda _: ("rejected", 1)),
        written.shards | "CountShards" >> beam.Map(lambda _: ("shards", 1)),
        written.index | "CountSamples" >> beam.Map(lambda _: ("samples", 1)),
    ) | "Counts" >> beam.Flatten()
    _ = (manifest, counts) | transforms.Finish(run, [runs.PARTS], _notes, _nothing_came)


def _songs(pipeline: beam.Pipeline, corpus: str) -> beam.PCollection:
    """(number, some songs), of which each holds its rows of the index in order."""
    songs = pipeline | "CorpusSongs" >> transforms.CorpusSongs(corpus)
    parts = AsSingleton(
        songs | "CountSongs" >> beam.combiners.Count.Globally() | "Parts" >> beam.Map(_parts)
    )
    return songs | "Place" >> beam.Map(_placed, parts) | "SomeSongs" >> beam.GroupByKey()


def _parts(songs: int) -> int:
    meters.expect("songs", songs)
    return max(1, -(-songs // min(MOST, max(FEWEST, songs // 8))))


def _placed(song: Song, parts: int) -> tuple[int, Song]:
    return int(digest(song[0])[:8], 16) % parts, song


def _notes(counts: Mapping[str, float]) -> list[str]:
    """What the user should know."""
    notes = []
    if without := counts.get("songs_without_vocals"):
        notes.append(
            f"{without:,} songs hold no isolated vocals, so they have no salience and teach no "
            "pitch"
        )
    if several := counts.get("songs_of_several_voices"):
        notes.append(
            f"in {several:,} songs several voices sound at once, which one ridge a frame does not "
            "show (several_voices in the table; --targets multi keeps all)"
        )
    return notes


def _nothing_came(run: runs.Run, counts: Mapping[str, float], outputs: Sequence[str]) -> str | None:
    """Why salience is none: it holds no sample. None where it holds any."""
    if counts.get("samples"):
        return None
    found: dict[str, int] = {}
    for name in outputs:
        if name.startswith("rejects-"):
            held = tables.read_part(run.path(name), ["error"])
            found |= tables.count_by(held, "error")
    why = ", ".join(f"{cause} ({count:,})" for cause, count in sorted(found.items()))
    return f"--output {run.output}: no song gave any salience; rejected because: {why or 'nothing'}"


def _opens(options: PipelineOptions) -> Iterator[Named]:
    """What workers open beside the corpus."""
    if weights := options.view_as(SalienceOptions).weights:
        yield "--weights", weights


VERB = Verb(
    "salience",
    "Hear the pitch of a corpus' isolated vocals by a teacher, and store its salience beside the "
    "samples, on the grid of 22,050 Hz, n_fft 1024 and hop 256.",
    ("corpus",),
    build,
    SalienceOptions,
    neutral=("weights", "device", "accelerator", *estimates.OPTIONS),
    dry=("estimate",),
    writes=(tar.SHARD.pattern,),
    imports={"torch": "", "soundfile": "", "soxr": "", "swift_f0": "", "h5py": "weights"},
    opens=_opens,
)
parser = VERB.parser


def _check(corpus: str) -> None:
    """BadUsage where there is no corpus, or none of its samples holds isolated vocals."""
    held: set[str] = set()
    for path in songs.tables(corpus, "index"):
        sources: Any = tables.read_part(path, ["sources"])["sources"].combine_chunks()
        held |= {*pc.unique(pc.list_flatten(sources)).to_pylist()}
    if vocals.SOURCE not in held:
        raise BadUsage(
            f"--corpus {corpus}: none of its samples holds isolated {vocals.SOURCE} (they hold "
            f"{', '.join(sorted(held)) or 'nothing'}); make one of --stems or --vocals, or "
            "pseudolabel songs"
        )


def main(argv: Sequence[str]) -> int:
    """Run `stemlode salience`; the exit status."""
    options = VERB.parse(argv)
    given = VERB.given(options)
    _check(given["corpus"])
    plan, view = plan_of(options), options.view_as(SalienceOptions)
    if view.estimate:
        estimates.show(lambda: estimate.expected(plan), view.prices)
        return 0
    verb = dataclasses.replace(VERB, build=functools.partial(_build, plan=plan))
    return carry_out(
        verb,
        options,
        given,
        pipeline_of(verb, options),
        teacher_sha256=plan.teacher_sha256,
        voices_sha256=plan.voices_sha256,
        device=plan.device,
    )
