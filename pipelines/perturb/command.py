"""`stemlode perturb-songs`: multitrack songs → a perturbed mixture of each (`docs/amicable.md`).

One element is a song. Workers load the models once; a song that is done is skipped by a rerun, and
one that was begun goes on from its last state.
"""

import argparse
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import TaggedOutput

from pipelines import transforms
from pipelines.launch import carry_out, pipeline_of
from pipelines.options import Verb, VerbOptions, is_local
from stemlode import files, runs, schemas
from stemlode.audio import AudioError
from stemlode.layouts import folders
from stemlode.layouts.songs import Song
from stemlode.retry import patiently
from stemlode.runs import Failed
from stemlode.schemas import reject
from stemlode.tables import Row
from training.amicable import models, options, perturb, song
from training.amicable.perturb import FILES, PAGE, Task
from training.devices import pick_device
from training.recipes.chunks import Chunking
from training.separation.options import add_chunking, chunking_of
from training.separation.songs import folder_names

STAGE = "perturb-songs"
NEUTRAL = ("device", "piece_seconds", "recompute")


class PerturbOptions(VerbOptions):
    """What `stemlode perturb` has, and how the songs lie."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        options.add(parser)
        add_chunking(parser)
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

    def process(self, element: tuple[str, Song]) -> Iterator[Any]:
        name, of = element
        try:
            if of.fault:
                raise AudioError(of.fault, "faulty")
            yield from self._written(name, of)
        except (AudioError, Failed) as error:
            cause = error.error if isinstance(error, AudioError) else "failed"
            yield TaggedOutput("rejects", reject(STAGE, of.name, cause, str(error)))
            return
        yield TaggedOutput("counts", ("songs", 1))

    def _written(self, name: str, of: Song) -> list[Row]:
        folder = self.run.path(name)
        if not files.exists(files.join(folder, PAGE)):  # which is written last
            sources = {song.MIXTURE: of.parts[song.MIXTURE]} if song.MIXTURE in of.parts else {}
            known = song.read(sources | of.parts)
            parts = self.run.path(runs.PARTS, name)
            perturb.perturb(known, self.models, self.plan.task, folder, parts, title=of.name)

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
    found = folders.read(paths["stems"], plan.layout, "own", paths.get("mapping"))
    named = [*zip(folder_names([f"{one.name}.x" for one in found]), found, strict=True)]
    step = beam.ParDo(Perturb(run, plan)).with_outputs("rejects", "counts", main="files")
    songs = pipeline | "Songs" >> beam.Create(named) | "Spread" >> beam.Reshuffle()
    done = songs | "Perturb" >> step
    rejects = done.rejects | "Rejects" >> transforms.WriteTable(
        run, "rejects", schemas.REJECT, ["stage", "key"]
    )
    manifest = (done.files, rejects) | "Manifest" >> beam.Flatten()
    counts = (
        pipeline | "Zeros" >> beam.Create([("songs", 0), ("rejected", 0)]),
        done.counts,
        done.rejects | "CountRejects" >> beam.Map(lambda _: ("rejected", 1)),
    ) | "Counts" >> beam.Flatten()
    _ = (manifest, counts) | transforms.Finish(run, [runs.PARTS], None, _nothing_came)


def _nothing_came(run: runs.Run, counts: Mapping[str, float], outputs: Sequence[str]) -> str | None:
    return None if counts.get("songs") else f"--output {run.output}: no song could be perturbed"


def plan_of(given: PipelineOptions) -> Plan:
    """Raises BadUsage for options that make no sense."""
    view: Any = given.view_as(PerturbOptions)
    task = options.task_of(view)
    device = view.device if not is_local(given) else str(pick_device(view.device))
    return Plan(tuple(view.model), task, chunking_of(view), device, view.layout)


VERB = Verb(
    "perturb-songs",
    "Perturb the mixtures of multitrack songs so that given separators separate them better, each "
    "as `stemlode perturb` does. Without a mixture, a song is the sum of its stems.",
    ("stems",),
    build,
    PerturbOptions,
    optional_inputs=("mapping",),
    neutral=NEUTRAL,
    writes=tuple(rf"[^/]+/{name}".replace(".", r"\.") for name in FILES),
)


def main(argv: Sequence[str]) -> int:
    """Run `stemlode perturb-songs`; the exit status."""
    given = VERB.parse(argv)
    plan = plan_of(given)
    hashes = [models.load(name, pick_device("cpu"), plan.chunking).sha256 for name in plan.models]
    verb = dataclasses.replace(VERB, build=functools.partial(_build, plan=plan))
    return carry_out(verb, given, VERB.given(given), pipeline_of(verb, given), model_sha256=hashes)
