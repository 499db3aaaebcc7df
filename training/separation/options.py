"""The options of every verb that separates."""

import argparse
from collections.abc import Sequence
from typing import Any

from stemlode import files, plans
from stemlode.arguments import above_zero
from stemlode.runs import BadUsage
from training.published import places
from training.recipes.chunks import BATCH, SECONDS, Chunking

FAST_HOP = 1.5  # BSRNN V-B
LONGEST_CHUNK = 600.0  # seconds
WHOLE = "whole"
LATER = {"chunks": plans.UNSAID, "batch": BATCH}  # in plans of earlier versions seconds alone
MOST_CHUNKS = 1024  # at once
MOST_OVERLAP = 0.99  # of a chunk
MOST_SHIFTS = 64


def add_chunking(parser: argparse.ArgumentParser) -> None:
    """The options that say how a song is cut for nets that work in chunks."""
    default = Chunking()
    parser.add_argument(
        "--chunks",
        type=_chunks,
        metavar="whole|S",
        help="whole songs, or chunks of so many seconds, whose estimates are averaged; by default "
        "as a checkpoint's recipe has it. Only the U-Nets of the thesis take whole songs",
    )
    parser.add_argument(
        "--chunk-seconds", type=above_zero, metavar="S", help="the same as --chunks S"
    )
    parser.add_argument(
        "--hop-seconds",
        type=above_zero,
        metavar="S",
        help=f"time from one chunk to the next ({default.hop_seconds:g})",
    )
    parser.add_argument(
        "--overlap",
        type=_share,
        metavar="SHARE",
        help="what neighbouring chunks share, from 0 to 0.99 of a chunk: --hop-seconds by the name "
        "that others give it",
    )
    parser.add_argument("--fast", action="store_true", help=f"--hop-seconds {FAST_HOP:g}")


def add_batch(parser: argparse.ArgumentParser) -> None:
    """The option that says how many chunks are computed at once, which the last bits of a net's
    results may depend on."""
    parser.add_argument(
        "--batch",
        type=_batch,
        default=BATCH,
        metavar="N",
        help=f"chunks that are computed at once ({BATCH}): more make a GPU faster; halved where "
        "the memory has no room, which run.json says",
    )


def add_shifts(parser: argparse.ArgumentParser) -> None:
    """The option that says how often a song is separated."""
    parser.add_argument(
        "--shifts",
        type=_passes,
        default=1,
        metavar="N",
        help="separate a song N times, each a little later, up to half a second, and average: as "
        f"demucs does, but at even distances, so that it is the same every time; 1 to {MOST_SHIFTS}"
        ", N times as slow (1)",
    )


def chunking_of(options: argparse.Namespace) -> Chunking:
    """The options of `add_chunking`; BadUsage where they do not fit together."""
    if options.fast and options.hop_seconds:
        raise BadUsage("--fast and --hop-seconds exclude each other")
    if options.overlap is not None and (options.fast or options.hop_seconds):
        other = "--fast" if options.fast else "--hop-seconds"
        raise BadUsage(f"{other} and --overlap exclude each other")
    if options.chunks and options.chunk_seconds:
        raise BadUsage("--chunks and --chunk-seconds exclude each other")
    whole, asked = options.chunks == WHOLE, options.chunks or options.chunk_seconds
    if whole and (options.fast or options.hop_seconds):
        raise BadUsage("--chunks whole: there is nothing that --fast or --hop-seconds could mean")
    if whole and options.overlap is not None:
        raise BadUsage("--chunks whole: there is nothing that --overlap could mean")
    seconds = None if whole else asked
    hop = options.hop_seconds or (FAST_HOP if options.fast else Chunking.hop_seconds)
    if hop > (seconds or SECONDS):
        raise BadUsage(f"--hop-seconds {hop:g} must not be above {seconds or SECONDS:g}, a chunk")
    if seconds and seconds > LONGEST_CHUNK:
        flag = "--chunk-seconds" if options.chunk_seconds else "--chunks"
        raise BadUsage(f"{flag} {seconds:g} must not be above {LONGEST_CHUNK:g}")
    return Chunking(
        seconds,
        hop,
        getattr(options, "batch", BATCH),
        whole=whole,
        overlap=options.overlap,
        shifts=getattr(options, "shifts", 1),
    )


def cut(chunking: Chunking) -> dict[str, Any]:
    """The part of a chunking that decides the output, for a run's plan."""
    asked = chunking.whole or chunking.seconds is not None
    more: dict[str, Any] = {} if chunking.overlap is None else {"overlap": chunking.overlap}
    more |= {} if chunking.shifts == 1 else {"shifts": chunking.shifts}
    return more | {
        "chunks": "given" if asked else "as the recipe has it",
        "chunk_seconds": WHOLE if chunking.whole else chunking.length,
        "hop_seconds": chunking.hop_seconds,
    }


def _chunks(text: str) -> str | float:
    """`whole`, or a number of seconds, as an argparse type."""
    return text if text == WHOLE else above_zero(text)


def _share(text: str) -> float:
    """A part of a chunk, as an argparse type."""
    found = float(text)
    if not 0 <= found <= MOST_OVERLAP:
        raise argparse.ArgumentTypeError(f"{text} must lie between 0 and {MOST_OVERLAP}")
    return found


def _passes(text: str) -> int:
    """A number of passes, as an argparse type."""
    found = int(text)
    if not 1 <= found <= MOST_SHIFTS:
        raise argparse.ArgumentTypeError(f"{text} must lie between 1 and {MOST_SHIFTS}")
    return found


def _batch(text: str) -> int:
    """A number of chunks, as an argparse type."""
    found = int(text)
    if not 1 <= found <= MOST_CHUNKS:
        raise argparse.ArgumentTypeError(f"{text} must lie between 1 and {MOST_CHUNKS:,}")
    return found


def numbered(option: str, folders: Sequence[str]) -> dict[str, str]:
    """Folders of an option as inputs of a run: checkpoint, checkpoint_2, …; of checkpoints also
    other names (`training.published.places`)."""
    named = places.pinned if option == "checkpoint" else files.absolute
    return {
        option if number == 1 else f"{option}_{number}": named(folder)
        for number, folder in enumerate(folders, 1)
    }
