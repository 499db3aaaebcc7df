"""The options of `stemlode salience`."""

import argparse

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import estimates
from pipelines.options import SharedOptions, VerbOptions, add_accelerator
from pipelines.remote import runners
from pipelines.remote.runners import is_local
from pipelines.salience.plan import SaliencePlan
from stemlode import files
from stemlode.shards.salience import TARGETS
from training.devices import pick_device
from training.pitch import teachers


class SalienceOptions(VerbOptions):
    """Who hears the pitch, and what is kept of it."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--teacher",
            choices=teachers.NAMES,
            default=teachers.SWIFT,
            help="who hears the pitch: swift-f0 follows one voice and is fast; deep-salience, the "
            "thesis' own, hears several and needs --weights",
        )
        parser.add_argument(
            "--targets",
            choices=TARGETS,
            default=TARGETS[0],
            help="single: one ridge a frame; multi, the thesis' own: all voices, by deep-salience",
        )
        parser.add_argument(
            "--weights",
            metavar="FILE",
            help="Deep Salience's Keras file, deepsalience_multif0.h5; beside --teacher swift-f0 "
            "it marks the songs whose vocals hold several voices, which takes many times as long",
        )
        parser.add_argument(
            "--device", help="what deep-salience runs on; by default a GPU where there is one"
        )
        add_accelerator(parser)
        estimates.add_arguments(
            parser, "hear a stretch of a few songs and print what all of them would take"
        )


def plan_of(options: PipelineOptions) -> SaliencePlan:
    """Raises BadUsage for an option that makes no sense, Failed for weights that are damaged."""
    view = options.view_as(SalienceOptions)
    weights = files.absolute(view.weights) if view.weights else None
    teacher = teachers.load(view.teacher, weights, "cpu")
    teacher.check(view.targets)
    judge = teachers.load(teachers.DEEP, weights, "cpu") if weights else None
    device = "cpu"
    if judge is not None:
        device = pick_device(view.device).type if is_local(options) else (view.device or "cuda")
        runners.check_accelerator(options, device, view.accelerator)
    return SaliencePlan(
        files.absolute(options.view_as(SharedOptions).corpus),
        view.teacher,
        weights,
        view.targets,
        teacher.sha256,
        judge.sha256 if judge else None,
        device,
    )
