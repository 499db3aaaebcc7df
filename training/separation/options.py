"""The options of every verb that separates."""

import argparse
from collections.abc import Sequence

from stemlode import files
from stemlode.arguments import Parser, above_zero
from stemlode.runs import BadUsage
from training.recipes.chunks import Chunking

FAST_HOP = 1.5  # BSRNN V-B


LONGEST_CHUNK = 600.0  # seconds


def add_chunking(parser: Parser) -> None:
    """The options that say how a song is cut for nets that work in chunks."""
    default = Chunking()
    parser.add_argument(
        "--chunk-seconds",
        type=above_zero,
        metavar="S",
        help=f"length of the chunks that a net sees ({default.seconds:g}); nets that mask the "
        "spectrogram of a whole song need none",
    )
    parser.add_argument(
        "--hop-seconds",
        type=above_zero,
        metavar="S",
        help=f"time from one chunk to the next ({default.hop_seconds:g})",
    )
    parser.add_argument("--fast", action="store_true", help=f"--hop-seconds {FAST_HOP:g}")


def chunking_of(options: argparse.Namespace) -> Chunking:
    """The options of `add_chunking`; BadUsage where they do not fit together."""
    default = Chunking()
    if options.fast and options.hop_seconds:
        raise BadUsage("--fast and --hop-seconds exclude each other")
    seconds = options.chunk_seconds or default.seconds
    hop = options.hop_seconds or (FAST_HOP if options.fast else default.hop_seconds)
    if hop > seconds:
        raise BadUsage(f"--hop-seconds {hop:g} must not be above --chunk-seconds {seconds:g}")
    if seconds > LONGEST_CHUNK:
        raise BadUsage(f"--chunk-seconds {seconds:g} must not be above {LONGEST_CHUNK:g}")
    return Chunking(seconds, hop)


def cut(chunking: Chunking) -> dict[str, float]:
    """The part of a chunking that decides the output, for a run's plan."""
    return {"chunk_seconds": chunking.seconds, "hop_seconds": chunking.hop_seconds}


def numbered(option: str, folders: Sequence[str]) -> dict[str, str]:
    """Folders of an option as inputs of a run: checkpoint, checkpoint_2, …"""
    return {
        option if number == 1 else f"{option}_{number}": files.absolute(folder)
        for number, folder in enumerate(folders, 1)
    }
