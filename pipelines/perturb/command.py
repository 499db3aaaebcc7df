"""`stemlode perturb-songs`: multitrack songs → a perturbed mixture of each (`docs/amicable.md`).

One element is a song, of a folder of multitracks or of a corpus. Workers load the models once; a
song that is done is skipped by a rerun, and one that was begun goes on from its last state.
"""

import argparse
import dataclasses
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import TaggedOutput

from pipelines import estimates, transforms
from pipelines.launch import carry_out, pipeline_of
from pipelines.options import Verb, VerbOptions, add_accelerator
from pipelines.perturb import estimate
from pipelines.perturb.songs import Chunked, Multitrack, in_folder, of_corpus
from pipelines.remote import runners
from pipelines.remote.runners import Named, is_local
from pipelines.remote.workers import AUDIO
from stemlode import audio, files, runs, schemas
from stemlode.audio import AudioError
from stemlode.layouts import folders
from stemlode.progress import meters
from stemlode.retry import patiently
from stemlode.runs import BadUsage, Failed
from stemlode.schemas import reject
from stemlode.shards import songs as corpora
from stemlode.tables import Row
from training.amicable import models, options, perturb
from training.amicable.perturb import FILES, PAGE, PERTURBED, Task
from training.devices import pick_device
from training.recipes.chunks import Chunking
from training.separation.options import add_chunking, chunking_of
from training.teachers.loading import ENTRY

STAGE = "perturb-songs"
CORPUS_COUNTS = ("songs_with_gaps", "songs_without_stems")
NEUTRAL = ("device", "piece_seconds", "recompute", "accelerator", *estimates.OPTIONS)


class PerturbOptions(VerbOptions):
    """What `stemlode perturb` has, and how the songs lie."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        options.add(parser)
        add_chunking(parser)
        add_accelerator(parser)
        estimates.add_arguments(
            parser, "perturb a stretch of a few songs and print what all of them would take"
        )
        parser.add_argument(
            "--layout",
            choices=("auto", *folders.LAYOUTS),
            default="auto",
            help="how the songs of --stems lie in their folders",
        )


@dataclass(frozen=True)
class Plan:
    """The options, understood."""

    models: tuple[str, ...]
    task: Task
    chunking: Chunking
    device: str | None
    layout: str


class Perturb(beam.DoFn):
    """(folder's name, song) → manifest rows of its files; further outputs `rejects`, `counts`."""

    def __init__(self, run: runs.Run, plan: Plan) -> None:
        self.run, self.plan = run, plan

    def setup(self) -> None:
        device = pick_device(self.plan.device)
        self.models = [models.load(name, device, self.plan.chunking) for name in self.plan.models]

    def process(self, element: tuple[str, Multitrack | Chunked]) -> Iterator[Any]:
        folder, of = element
        try:
            with meters.item("songs", of.name):
                found = self._written(folder, of)
            yield from found
        except (AudioError, Failed) as error:
            cause = error.error if isinstance(error, AudioError) else "failed"
            meters.step("songs")
            yield TaggedOutput("rejects", reject(STAGE, of.name, cause, str(error)))
            return
        yield TaggedOutput("counts", ("songs", 1))
        seconds = audio.probe(self.run.path(folder, PERTURBED)).duration_s
        yield TaggedOutput("counts", ("audio_seconds", round(seconds)))
        if of.notes:
            yield TaggedOutput("counts", ("songs_with_gaps", 1))

    def _written(self, name: str, of: Multitrack | Chunked) -> list[Row]:
        folder = self.run.path(name)
        if files.exists(files.join(folder, PAGE)):  # which is written last
            meters.was_held()
        else:
            begun, parts = time.perf_counter(), self.run.path(runs.PARTS, name)
            known = of.read()
            seconds = known.mixture.shape[1] / known.sample_rate
            meters.decoded(seconds, 1000 * (time.perf_counter() - begun))
            perturb.perturb(
                known, self.models, self.plan.task, folder, parts, title=of.name, notes=of.notes
            )

        def manifest() -> list[Row]:
            paths = [(f"{name}/{file}", files.join(folder, file)) for file in FILES]
            return [
                {"path": own, "rows": 1, "bytes": files.size(at), "sha256": files.sha256(at)}
                for own, at in paths
            ]

        return patiently(manifest, f"--output {self.run.output}")


def build(pipeline: beam.Pipeline, given: PipelineOptions, run: runs.Run) -> None:
    """The pipeline: songs in a folder → perturbed ones."""
    _build(pipeline, given, run, plan_of(given))


def _build(pipeline: beam.Pipeline, given: PipelineOptions, run: runs.Run, plan: Plan) -> None:
    paths = VERB.given(given)
    perturbing: Any = beam.ParDo(Perturb(run, plan))
    if hint := given.view_as(PerturbOptions).accelerator:
        perturbing = perturbing.with_resource_hints(accelerator=hint)
    step = perturbing.with_outputs("rejects", "counts", main="files")
    if "corpus" in paths:
        songs, left = of_corpus(pipeline, paths["corpus"])
    else:
        found = in_folder(paths["stems"], plan.layout, paths.get("mapping"))
        meters.expect("songs", len(found))
        songs, left = pipeline | "Songs" >> beam.Create(found), None
    done = songs | "Spread" >> beam.Reshuffle() | "Perturb" >> step
    rejects = done.rejects | "Rejects" >> transforms.WriteTable(
        run, "rejects", schemas.REJECT, ["stage", "key"]
    )
    manifest = (done.files, rejects) | "Manifest" >> beam.Flatten()
    zeros = ["songs", "rejected", "audio_seconds", *(CORPUS_COUNTS if "corpus" in paths else ())]
    every = [
        pipeline | "Zeros" >> beam.Create([(name, 0) for name in zeros]),
        done.counts,
        done.rejects | "CountRejects" >> beam.Map(lambda _: ("rejected", 1)),
        *([] if left is None else [left]),
    ]
    counts = every | "Counts" >> beam.Flatten()
    _ = (manifest, counts) | transforms.Finish(run, [runs.PARTS], _notes, _nothing_came)


def _notes(counts: Mapping[str, float]) -> list[str]:
    notes = []
    if gaps := counts.get("songs_with_gaps"):
        notes.append(
            f"{gaps:,} songs lack chunks, which the corpus left out as silent: there they are "
            "silent here, and their reports say where"
        )
    if without := counts.get("songs_without_stems"):
        notes.append(
            f"{without:,} recordings of the corpus are no songs with true stems (copies, voices "
            "alone, teachers' labels) and were left out"
        )
    return notes


def _nothing_came(run: runs.Run, counts: Mapping[str, float], outputs: Sequence[str]) -> str | None:
    return None if counts.get("songs") else f"--output {run.output}: no song could be perturbed"


def plan_of(given: PipelineOptions) -> Plan:
    """Raises BadUsage for options that make no sense."""
    view: Any = given.view_as(PerturbOptions)
    inputs = VERB.given(given)
    if ("stems" in inputs) == ("corpus" in inputs):
        both = "either, not both" if "stems" in inputs else "(see --help)"
        raise BadUsage(f"stemlode perturb-songs needs --stems or --corpus {both}")
    if "mapping" in inputs and "stems" not in inputs:
        raise BadUsage("--mapping says how --stems lies, which is not given")
    task = options.task_of(view)
    device = view.device if not is_local(given) else str(pick_device(view.device))
    runners.check_accelerator(given, device or "cuda", view.accelerator)
    return Plan(tuple(map(models.pinned, view.model)), task, chunking_of(view), device, view.layout)


def _opens(given: PipelineOptions) -> Iterator[Named]:
    """What workers open beside the songs."""
    for name in given.view_as(PerturbOptions).model or ():
        if not ENTRY.fullmatch(name):
            folders = [name] if files.exists(name) else name.split(",")
            yield from (("--model", folder) for folder in folders)


VERB = Verb(
    "perturb-songs",
    "Perturb the mixtures of multitrack songs so that given separators separate them better, each "
    "as `stemlode perturb` does. The songs are those of a folder (--stems; one without a mixture "
    "is the sum of its stems) or of a corpus (--corpus).",
    (),
    build,
    PerturbOptions,
    optional_inputs=("stems", "mapping", "corpus"),
    neutral=NEUTRAL,
    dry=("estimate",),
    writes=tuple(rf"[^/]+/{name}".replace(".", r"\.") for name in FILES),
    imports={**AUDIO, "torch": "", "safetensors": "", "PIL": ""},
    opens=_opens,
    inputs_here=("mapping",),
)
parser = VERB.parser


def _expected(plan: Plan, inputs: dict[str, str]) -> estimates.Estimate:
    if "corpus" in inputs:
        sample = estimate.of_corpus(inputs["corpus"])
    else:
        for name, path in inputs.items():
            if not runs.fingerprintable(path):
                raise BadUsage(f"--{name} {path}: no such file or folder")
        sample = estimate.of_folder(inputs["stems"], plan.layout, inputs.get("mapping"))
    device = pick_device(plan.device)
    nets = [models.load(name, device, plan.chunking) for name in plan.models]
    return estimate.expected(sample, nets, plan.task, on_gpu=device.type != "cpu")


def main(argv: Sequence[str]) -> int:
    """Run `stemlode perturb-songs`; the exit status."""
    given = VERB.parse(argv)
    plan, inputs = plan_of(given), VERB.given(given)
    if "corpus" in inputs:
        corpora.tables(inputs["corpus"], "index")
    view = given.view_as(PerturbOptions)
    if view.estimate:
        estimates.show(lambda: _expected(plan, inputs), view.prices)
        return 0
    hashes = [models.load(name, pick_device("cpu"), plan.chunking).sha256 for name in plan.models]
    verb = dataclasses.replace(VERB, build=functools.partial(_build, plan=plan))
    return carry_out(verb, given, inputs, pipeline_of(verb, given), model_sha256=hashes)
