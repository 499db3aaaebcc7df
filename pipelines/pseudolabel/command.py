"""`stemlode pseudolabel`: unlabelled tracks and a teacher → labelled shards (BSRNN paper, III).

Decoding, the teacher and encoding run side by side on one worker: tracks are decoded ahead in
processes of their own, the teacher gets fixed batches of a track's segments, and part files are
encoded in threads. So only references are shuffled. Every stretch of a track has its part file; a
rerun skips those that are there.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.pvalue import TaggedOutput

from pipelines import estimates, unreachable
from pipelines.catalogue import options as catalogue_options
from pipelines.corpus import append, cards, output
from pipelines.corpus.options import ACTIVITY
from pipelines.launch import carry_out, pipeline_of
from pipelines.options import ADDRESSES, SharedOptions, Verb
from pipelines.pseudolabel import encode, estimate, tracks
from pipelines.pseudolabel.options import FORMERLY, OFFSETS, PseudolabelOptions, plan_of, teacher_of
from pipelines.pseudolabel.plan import STAGE, LabelPlan, part_name, song_id, track_name
from pipelines.pseudolabel.segments import Segmenter, mixtures, stretches
from pipelines.pseudolabel.teacher import Stretch, TeacherHandler
from pipelines.remote.runners import Named, is_local
from pipelines.remote.workers import AUDIO
from pipelines.samples.ahead import ahead
from stemlode import files, runs
from stemlode.addresses.rules import Address, scheme
from stemlode.audio import AudioError
from stemlode.audio.containers.info import differs, length_notes
from stemlode.audio.decoding import Samples
from stemlode.progress import meters
from stemlode.retry import Unreachable, patiently, reach, stores_of
from stemlode.runs import BadUsage
from stemlode.schemas import reject
from stemlode.shards import space, tar
from stemlode.tables import Row
from training.teachers import loading

SOURCES = 3  # of a label: the mixture, the target and the rest
COUNTS = "tracks_read tracks_rejected tracks segments segments_silent segments_rejected "
COUNTS += "segments_pseudo segments_clean_target segments_clean_residual "
COUNTS += "songs samples shards rejected tracks_decoded lengths_differ ends_missing audio_seconds"


@dataclass(frozen=True)
class KnownTrack:
    """What is known of a track before it is labelled; `samples` where some of it still must be."""

    name: str
    segments: int
    active: list[int]
    samples: Samples | None
    decoded_s: float
    ended: bool


class Listen(beam.DoFn):
    """Parts of tracks → stretches to label, keyed by the names of their parts.

    Further outputs: `samples`, `rejects` and `counts` of what earlier attempts have finished,
    `rejects` of tracks that cannot be used, `songs` and `counts` of those that can.
    """

    def __init__(self, run: runs.Run, plan: LabelPlan) -> None:
        self.run, self.plan = run, plan

    def setup(self) -> None:
        self.listener = Segmenter(self.plan.cut)

    def teardown(self) -> None:
        self.listener.close()

    def process(self, part: tuple[int, Iterable[Row]]) -> Iterator[Any]:
        rows = sorted(part[1], key=lambda row: row["track_id"])
        uris = {row["audio_uri"] for row in rows} - {None, ""}
        yield TaggedOutput("counts", (unreachable.TRIED, len(uris)))
        for track, future in ahead(rows, self._known, self.plan.decoders):
            try:
                with meters.item("tracks", track["track_id"]):
                    known = future.result()
            except (AudioError, Unreachable) as error:
                row = reject(STAGE, track["track_id"], error.error, str(error), track)
                meters.step("tracks")
                yield TaggedOutput("rejects", row)
                yield TaggedOutput("counts", ("tracks_rejected", 1))
                if error.error == "cut_short":
                    yield TaggedOutput("counts", ("tracks_decoded", 1))
                    yield TaggedOutput("counts", ("lengths_differ", 1))
            else:
                yield from self._facts(track, known)
                yield from self._stretches(track, known)

    def _known(self, track: Row) -> KnownTrack:
        """A track's segments: as an earlier attempt noted, or by listening to it."""
        with stores_of(self.run).file(track["audio_uri"] or ""):
            return self._looked_up(track)

    def _looked_up(self, track: Row) -> KnownTrack:
        uri = Address(track["audio_uri"] or "", self.run.rules)
        name = reach(lambda: track_name(track, self.plan, self.run.rules))
        note = self.run.path(runs.PARTS, f"{name}.plan.json")
        noted = json.loads(files.read_bytes(note)) if files.exists(note) else None
        if noted is not None and not self._missing(name, noted["active"]):
            return KnownTrack(name, samples=None, **noted)
        heard = self.listener.hear(
            uri, track["duration_s"], track["duration_source"], track["track_id"]
        )
        facts: Row = {
            "segments": heard.segments,
            "active": heard.active,
            "decoded_s": len(heard.samples) / self.plan.cut.sample_rate,
            "ended": heard.ended,
        }
        data = json.dumps(facts).encode()
        patiently(lambda: files.write_bytes(note, data), f"--output {self.run.output}")
        return KnownTrack(name, samples=heard.samples, **facts)

    def _missing(self, name: str, active: list[int]) -> bool:
        """Whether a part file of a track is not there."""
        numbers = range(len(stretches(active, self.plan.cut)))
        return any(self._held(part_name(name, number)) is None for number in numbers)

    def _held(self, name: str) -> list[tar.Sample] | None:
        return tar.read_part(self.run.path(runs.PARTS, f"{name}.part"))

    def _facts(self, track: Row, known: KnownTrack) -> Iterator[Any]:
        silent = known.segments - len(known.active)
        yield TaggedOutput("counts", ("tracks", 1))
        yield TaggedOutput("counts", ("segments", known.segments))
        yield TaggedOutput("counts", ("segments_silent", silent))
        yield TaggedOutput("counts", ("tracks_decoded", 1))
        yield TaggedOutput("counts", ("audio_seconds", round(known.decoded_s)))
        yield TaggedOutput("counts", ("ends_missing", int(not known.ended)))
        other = differs(known.decoded_s, track["duration_s"])
        yield TaggedOutput("counts", ("lengths_differ", int(other)))
        song = {
            "recording_id": track["track_id"],
            "song_id": song_id(track),
            "name": track["title"],
            "kind": "pseudo",
            "split": "train",
            "split_group": track["track_id"],
            "joined": None,
            "duration_s": known.segments * self.plan.cut.frames / self.plan.cut.sample_rate,
            "chunks": known.segments,
            "left_out": silent,
            "sum_error_db": None,
        }
        yield TaggedOutput("songs", song)

    def _stretches(self, track: Row, known: KnownTrack) -> Iterator[Any]:
        cut = self.plan.cut
        for number, firsts in enumerate(stretches(known.active, cut)):
            name = part_name(known.name, number)
            if (held := self._held(name)) is not None:
                facts = files.read_bytes(self.run.path(runs.PARTS, f"{name}.part.facts"))
                for found in encode.outputs((held, json.loads(facts))):
                    is_sample = isinstance(found, tar.Sample)
                    yield TaggedOutput("samples", found) if is_sample else found
            elif known.samples is not None:
                mixture = mixtures(known.samples, firsts, cut)
                yield name, Stretch(track, firsts, mixture)


class Label(beam.PTransform):
    """Parts of tracks → (samples, rejects, counts, songs), on workers that have what it takes."""

    def __init__(self, run: runs.Run, plan: LabelPlan, handler: TeacherHandler) -> None:
        super().__init__()
        self.run, self.plan, self.handler = run, plan, handler

    def expand(self, parts: beam.PCollection) -> Any:
        heard = parts | "Listen" >> beam.ParDo(Listen(self.run, self.plan)).with_outputs(
            "samples", "rejects", "counts", "songs", main="stretches"
        )
        encoded = (
            heard.stretches
            | "Teacher" >> RunInference(KeyedModelHandler(self.handler))
            | "Encode"
            >> beam.ParDo(encode.EncodeStretches(self.run, self.plan)).with_outputs(
                "rejects", "counts", main="samples"
            )
        )
        samples = (heard.samples, encoded.samples) | "AllSamples" >> beam.Flatten()
        rejects = (heard.rejects, encoded.rejects) | "LabelRejects" >> beam.Flatten()
        counts = (heard.counts, encoded.counts) | "LabelCounts" >> beam.Flatten()
        return {"samples": samples, "rejects": rejects, "counts": counts, "songs": heard.songs}


def build(pipeline: beam.Pipeline, options: PipelineOptions, run: runs.Run) -> None:
    """The pipeline: catalogue → parts of tracks → part files → shards."""
    _build(pipeline, options, run, plan_of(options))


def _build(
    pipeline: beam.Pipeline, options: PipelineOptions, run: runs.Run, plan: LabelPlan
) -> None:
    given, view = VERB.given(options), options.view_as(PseudolabelOptions)
    catalogue = (
        catalogue_options.catalogue_of(given["catalog"], view) if "catalog" in given else None
    )
    parts, unread, counts = tracks.read(
        pipeline,
        catalogue,
        given.get("music"),
        allow_rejects=view.allow_rejects,
        follow=not view.no_follow_links,
        say=functools.partial(_say_needs, run.output, plan),
    )
    handler = TeacherHandler(
        plan.teacher,
        plan.target,
        view.device,
        plan.cut.batch_size,
        shared=plan.device != "cpu" and not _is_one_process(options),
    )
    label: beam.PTransform = Label(run, plan, handler)
    if view.accelerator:
        label = label.with_resource_hints(accelerator=view.accelerator)
    found = parts | "Label" >> label
    zeros = pipeline | "Zeros" >> beam.Create([(name, 0) for name in COUNTS.split()])
    output.write(
        run,
        found["samples"],
        songs=found["songs"],
        rejects=(unread, found["rejects"]) | "AllRejects" >> beam.Flatten(),
        counts=(zeros, counts, found["counts"]) | "AllCounts" >> beam.Flatten(),
        further=pipeline | "NoFurtherTables" >> beam.Create([]),
        shard_bytes=plan.shard_bytes,
        format=plan.format,
        held=append.Held(),
        notes=length_notes,
        held_back=functools.partial(
            _held_back,
            None if view.allow_rejects or catalogue is None else catalogue.path,
        ),
        limit=unreachable.Limit(view.max_unreachable),
        again=True,
        facts={"checkpoints": [{"checkpoint": plan.teacher, "sha256": plan.teacher_sha256}]},
    )


def _say_needs(output: str, plan: LabelPlan, seconds: float) -> None:
    """How much disk the labels will need, where every segment gets one, and how much there is."""
    cut = plan.cut
    source = space.flac_bytes(seconds, cut.sample_rate, cut.channels, plan.flac_bits)
    if said := space.line(output, SOURCES * source):
        print(f"pseudolabel: {said}")


def _held_back(
    judged: str | None,
    run: runs.Run,
    counts: Mapping[str, float],
    outputs: Sequence[str],
) -> str | None:
    """Why a run is no success; `judged` is the catalogue whose rejects may be why."""
    return tracks.held_back(judged, run, counts, outputs) if judged else None


def _is_one_process(options: PipelineOptions) -> bool:
    return is_local(options) and options.view_as(DirectOptions).direct_num_workers == 1


def _opens(options: PipelineOptions) -> Iterator[Named]:
    """What workers open: the teacher, and the audio of a catalogue."""
    if not loading.ENTRY.fullmatch(teacher := teacher_of(options)):
        yield "--teacher", teacher
    given, view = VERB.given(options), options.view_as(PseudolabelOptions)
    if "catalog" in given:
        catalogue = catalogue_options.catalogue_of(given["catalog"], view)
        for part in catalogue.parts():
            for batch in catalogue.batches(part, ["audio_uri"]):
                for uri in batch.text("audio_uri", strict=False).to_pylist():
                    if uri and (scheme(uri) or uri.startswith("/")):  # else in the catalogue's own
                        yield "audio_uri", uri


VERB = Verb(
    "pseudolabel",
    "Label the tracks of a catalogue, or of a folder, by a teacher: clean targets, clean "
    "residuals and pseudo-labels, stored like a corpus.",
    (),
    build,
    PseudolabelOptions,
    neutral=(
        *("allow_rejects", "teacher", "io_threads", "accelerator"),
        *estimates.OPTIONS,
        *unreachable.OPTIONS,
        *ADDRESSES,
    ),
    named=("music",),
    optional_inputs=("catalog", "music"),
    dry=("estimate",),
    writes=(tar.SHARD.pattern, *cards.WRITES),
    added={**catalogue_options.ADDED, **ACTIVITY, **OFFSETS},
    formerly=FORMERLY,
    decodes=True,
    imports={**AUDIO, "mutagen": "", "torch": "", "safetensors": ""},
    opens=_opens,
)
parser = VERB.parser


def main(argv: Sequence[str]) -> int:
    """Run `stemlode pseudolabel`; the exit status."""
    options = VERB.parse(argv)
    given = VERB.given(options)
    if len(given) != 1:
        raise BadUsage("stemlode pseudolabel needs one of --catalog and --music (see --help)")
    view = options.view_as(PseudolabelOptions)
    if "music" in given and (flags := catalogue_options.given(view)):
        raise BadUsage(f"{flags[0]} says how --catalog is written, which is not given")
    if "music" in given and files.is_file(given["music"]):
        raise BadUsage(f"--music {given['music']}: is a file; name the folder that holds it")
    unreachable.check(view.max_unreachable)
    plan = plan_of(options)
    if "catalog" in given and runs.fingerprintable(given["catalog"]):
        catalogue_options.catalogue_of(given["catalog"], view).parts()
    if view.estimate:
        for name, path in given.items():
            if not runs.fingerprintable(path):
                raise BadUsage(f"--{name} {path}: no such file or folder")
        allowed, follow = view.allow_uri or (), not view.no_follow_links
        rules = runs.rules([*given.values()], [*given.values()], allowed, follow=follow)
        estimates.show(lambda: estimate.expected(options, given, plan, rules), view.prices)
        return 0
    verb = dataclasses.replace(VERB, build=functools.partial(_build, plan=plan))
    status = carry_out(
        verb,
        options,
        given,
        pipeline_of(verb, options),
        teacher_sha256=plan.teacher_sha256,
        batch_size=plan.cut.batch_size,
        device=plan.device,
    )
    folder = files.absolute(options.view_as(SharedOptions).output)
    output.check_holds(folder)
    return status
