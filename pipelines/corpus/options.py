"""The options of `stemlode corpus`: how songs are cut, stored and split."""

import argparse
import dataclasses
import importlib.util
import re

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import estimates, unreachable
from pipelines.corpus import splits
from pipelines.options import VerbOptions, add_addresses
from pipelines.samples.recordings import Shape
from stemlode import extras
from stemlode.arguments import read_as
from stemlode.audio import activity
from stemlode.layouts import folders, grouping
from stemlode.runs import BadUsage
from stemlode.shards.tar import parse_bytes

FORMATS = ("webdataset", "parquet")
LONGEST_CHUNK_S = 3600.0  # a chunk is held in memory
MOST_COPIES = 100
SPLIT_BY = ("song", "artist")


ACTIVITY = {"activity_threshold": activity.GAMMA}  # what plans without the option mean
ADDED = ACTIVITY | {  # likewise, of corpus alone
    "use_parts": False,
    "split_by": "song",
    "follow_level": False,
    "equalise": False,
}


def add_activity(parser: argparse.ArgumentParser) -> None:
    """The option that says above what something is salient."""
    parser.add_argument(
        "--activity-threshold",
        type=read_as(activity.read_threshold),
        default=activity.RELATIVE,
        metavar="DBFS",
        help="a source is silent below this level, or with relative, 30 dB below the mean of its "
        "whole song, however loud that is",
    )


def parse_rate(text: str) -> int | None:
    """A sample rate in Hz, None for `native`; BadUsage for anything else."""
    if text.strip().lower() == "native":
        return None
    if not re.fullmatch(r"\d{4,6}", text) or not 1000 <= int(text) <= 655_350:
        raise BadUsage(f"--sample-rate {text}: write a rate in Hz, or native")
    return int(text)


class CorpusOptions(VerbOptions):
    """How songs are cut, stored and split."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--append",
            action="store_true",
            help="add those songs of the inputs that a finished corpus does not hold yet",
        )
        estimates.add_arguments(
            parser, "encode a few recordings and print what all of them would take"
        )
        unreachable.add_arguments(
            parser, retry="add those songs that a finished corpus rejected and that can be used now"
        )
        add_addresses(parser)
        parser.add_argument(
            "--chunk-seconds",
            type=float,
            default=12.0,
            help="length of the chunks that songs are cut into",
        )
        parser.add_argument(
            "--sample-rate",
            default="44100",
            help="rate of every sample in Hz, or native: that of each song's mixture",
        )
        parser.add_argument("--channels", type=int, default=2, help="channels of every sample")
        parser.add_argument(
            "--shard-bytes",
            default="256MiB",
            help="size at which a shard is full; it exceeds this by less than one sample",
        )
        parser.add_argument(
            "--format",
            choices=FORMATS,
            default=FORMATS[0],
            help="WebDataset tars, or Parquet with the audio in large_binary",
        )
        parser.add_argument(
            "--flac-bits", type=int, choices=(16, 24), default=16, help="resolution of every sample"
        )
        parser.add_argument(
            "--split",
            default="train=0.9,valid=0.05,test=0.05",
            help="shares of the songs; a song is never in two splits (docs/splits.md)",
        )
        parser.add_argument(
            "--split-by",
            choices=SPLIT_BY,
            default=SPLIT_BY[0],
            help="what is never in two splits: a song, or an artist with all songs",
        )
        parser.add_argument(
            "--layout",
            choices=("auto", *folders.LAYOUTS),
            default="auto",
            help="how the songs of --stems lie in their folders",
        )
        parser.add_argument(
            "--sources",
            choices=tuple(grouping.GROUPINGS),
            default="own",
            help="what stems are summed into: vocals and accompaniment; MUSDB18's four; five, "
            "with guitar; or as they are",
        )
        parser.add_argument(
            "--bleed",
            choices=("keep", "reject"),
            default="keep",
            help="what becomes of multitracks in whose stems others can be heard, as MedleyDB and "
            "MoisesDB say of theirs",
        )
        parser.add_argument(
            "--window-seconds",
            type=float,
            default=6.0,
            help="length of the windows in which sources are salient or not; 0 keeps every chunk",
        )
        add_activity(parser)
        parser.add_argument(
            "--use-parts",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="also take pairs of which only parts match, those parts of them that `prune` "
            "aligned each by itself",
        )
        parser.add_argument(
            "--follow-level",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="bring a pair's accompaniment to the level that it has in each chunk of its "
            "mixture, where the voice can be proven only so",
        )
        parser.add_argument(
            "--equalise",
            action=argparse.BooleanOptionalAction,
            default=False,
            help="send a pair's accompaniment through the short filters by which it lies in its "
            "mixture, where the voice can be proven only so",
        )
        parser.add_argument(
            "--fingerprints",
            choices=("on", "off"),
            default="on",
            help="whether songs that hold the same recording are kept in one split",
        )
        parser.add_argument(
            "--augment",
            type=int,
            default=0,
            metavar="COPIES",
            help="augmented copies of every multitrack of train (effects on stems), by --seed",
        )
        parser.add_argument(
            "--seed", type=int, default=0, help="draws the splits and the augmentation anew"
        )


@dataclasses.dataclass(frozen=True)
class CorpusPlan:
    """The options, understood."""

    shape: Shape
    format: str  # one of FORMATS
    shard_bytes: int
    ratios: dict[str, float]
    seed: int
    copies: int  # augmented ones, of every multitrack of train
    rejects_bleed: bool
    split_by: str = "song"  # one of SPLIT_BY


def plan_of(options: PipelineOptions) -> CorpusPlan:
    """Raises BadUsage for an option that makes no sense."""
    view = options.view_as(CorpusOptions)
    if not 0.1 <= view.chunk_seconds <= LONGEST_CHUNK_S:
        longest = f"{LONGEST_CHUNK_S:g} s"
        raise BadUsage(f"--chunk-seconds {view.chunk_seconds:g}: from 0.1 s to {longest}")
    if not (view.window_seconds == 0 or 0.1 <= view.window_seconds <= LONGEST_CHUNK_S):
        raise BadUsage(f"--window-seconds {view.window_seconds:g}: 0, or from 0.1 s to 3600 s")
    if not 1 <= view.channels <= 8:
        raise BadUsage(f"--channels {view.channels}: between 1 and 8")
    if not 0 <= view.augment <= MOST_COPIES:
        raise BadUsage(f"--augment {view.augment}: between 0 and {MOST_COPIES} copies")
    if view.augment and importlib.util.find_spec("pedalboard") is None:
        raise BadUsage(extras.line("pedalboard", [], "--augment"))
    if view.augment and view.channels > 2:
        raise BadUsage("--augment: its effects take --channels 1 or 2")
    return CorpusPlan(
        Shape(
            view.chunk_seconds,
            parse_rate(view.sample_rate),
            view.channels,
            view.flac_bits,
            view.window_seconds,
            view.activity_threshold,
            view.follow_level,
            view.equalise,
        ),
        view.format,
        parse_bytes(view.shard_bytes),
        splits.parse_ratios(view.split),
        view.seed,
        view.augment,
        view.bleed == "reject",
        view.split_by,
    )
