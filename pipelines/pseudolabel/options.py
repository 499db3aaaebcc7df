"""The options of `stemlode pseudolabel`."""

import argparse

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import estimates, unreachable
from pipelines.catalogue import options as catalogue_options
from pipelines.corpus.options import FORMATS, add_activity
from pipelines.options import VerbOptions, add_accelerator, add_addresses
from pipelines.pseudolabel.plan import LabelPlan
from pipelines.pseudolabel.segments import Cut
from pipelines.remote import runners
from pipelines.remote.runners import is_local
from stemlode.runs import BadUsage
from stemlode.shards.tar import parse_bytes
from training.devices import pick_device
from training.recipes.values import rest_of
from training.teachers import loading
from training.teachers.teacher import AT_ONCE

CHANNELS = 2  # of the samples of a teacher that takes any number
LARGEST_BATCH = 4096
OFFSETS = {"offset": "none", "seed": 0}  # what plans without these options mean
FORMERLY = {"batch_size": 8}  # by default, of every teacher
BESIDE_GPU = 8  # what decodes and encodes beside a GPU's teacher


class PseudolabelOptions(VerbOptions):
    """Who labels, what, and how the labels are stored."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--teacher",
            metavar="TEACHER",
            help="a checkpoint's folder or another of its names (docs/models.md), an .onnx or "
            "TorchScript .pt file with its .json beside "
            "it, or module:function (which, like a .pt file, runs as a program)",
        )
        parser.add_argument("--target", default="vocals", help="the source to label")
        parser.add_argument(
            "--segment-seconds", type=float, default=3.0, help="length of every segment"
        )
        parser.add_argument(
            "--window-seconds",
            type=float,
            default=6.0,
            help="length of the windows in which a track is silent or not; 0 takes all of it",
        )
        add_activity(parser)
        parser.add_argument(
            "--offset",
            choices=("random", "none"),
            default="random",
            help="where a track's first segment begins: at its start, or up to a segment later, by "
            "--seed and track_id",
        )
        parser.add_argument("--seed", type=int, default=0, help="draws the offsets anew")
        parser.add_argument(
            "--min-confidence",
            type=float,
            default=0.0,
            help="refuse labels of less: 1 where no sound is left on both sides, 0 where all is",
        )
        parser.add_argument(
            "--lossless-only",
            action="store_true",
            help="refuse files whose codec is lossy",
        )
        estimates.add_arguments(
            parser, "label parts of a few tracks and print what all of them would take"
        )
        unreachable.add_arguments(parser)
        add_addresses(parser)
        parser.add_argument(
            "--batch-size",
            type=int,
            help=f"segments that the teacher gets at a time; by default as its recipe has it, at "
            f"most {AT_ONCE}, of a file the batch that its .json names. The same for the whole "
            "run, since the last bits of labels depend on it: where the memory has no room, the "
            "run ends and says which size has",
        )
        parser.add_argument(
            "--device", help="what the teacher runs on; by default a GPU where there is one"
        )
        parser.add_argument(
            "--io-threads",
            type=int,
            default=0,
            help="tracks that are decoded ahead, and threads that encode, beside the teacher "
            f"(0: 1 beside a CPU, {BESIDE_GPU} beside a GPU)",
        )
        add_accelerator(parser)
        catalogue_options.add_arguments(parser)
        parser.add_argument("--shard-bytes", default="256MiB", help="size at which a shard is full")
        parser.add_argument(
            "--format",
            choices=FORMATS,
            default=FORMATS[0],
            help="WebDataset tars, or Parquet with the audio in large_binary",
        )
        parser.add_argument(
            "--flac-bits", type=int, choices=(16, 24), default=16, help="resolution of every sample"
        )


def plan_of(options: PipelineOptions) -> LabelPlan:
    """Raises BadUsage for an option that makes no sense or a teacher that is none."""
    view = options.view_as(PseudolabelOptions)
    if not view.teacher:
        raise BadUsage("stemlode pseudolabel needs --teacher (see --help)")
    if not 0.5 <= view.segment_seconds <= 60:
        raise BadUsage(f"--segment-seconds {view.segment_seconds:g}: from 0.5 s to 60 s")
    if not (view.window_seconds == 0 or 0.1 <= view.window_seconds <= 3600):
        raise BadUsage(f"--window-seconds {view.window_seconds:g}: 0, or from 0.1 s to 3600 s")
    if not 0 <= view.min_confidence <= 1:
        raise BadUsage(f"--min-confidence {view.min_confidence:g}: between 0 and 1")
    if view.batch_size is not None and not 1 <= view.batch_size <= LARGEST_BATCH:
        raise BadUsage(f"--batch-size {view.batch_size}: between 1 and {LARGEST_BATCH}")
    if not 0 <= view.io_threads <= 256:
        raise BadUsage(f"--io-threads {view.io_threads}: between 0 and 256")
    device = pick_device(view.device).type if is_local(options) else (view.device or "cuda")
    runners.check_accelerator(options, device, view.accelerator)
    name = teacher_of(options)
    teacher = loading.load(name, "cpu")
    teacher.check(view.target)
    threads = view.io_threads or (1 if device == "cpu" else BESIDE_GPU)
    cut = Cut(
        teacher.sample_rate,
        teacher.channels or CHANNELS,
        view.segment_seconds,
        view.window_seconds,
        view.batch_size or teacher.at_once,
        view.lossless_only,
        view.activity_threshold,
        view.seed if view.offset == "random" else None,
    )
    return LabelPlan(
        cut,
        name,
        teacher.sha256,
        view.target,
        rest_of(view.target),
        view.min_confidence,
        view.flac_bits,
        parse_bytes(view.shard_bytes),
        view.format,
        device,
        threads,
        threads,
    )


def teacher_of(options: PipelineOptions) -> str:
    """The teacher's name: a local path absolute, since workers run in other folders, and of what
    may change (a branch, a registry's name) what it is now."""
    return loading.pinned(options.view_as(PseudolabelOptions).teacher)
