"""What is known of an audio stream, what comes out of it, and why a file is none. No I/O."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

COUNTED, STATED, GUESSED, GIVEN = "counted", "stated", "guessed", "given"
SLOWEST_HZ, FASTEST_HZ = 1000, 6_144_000
# What a file decodes to may differ so much from its length in a catalogue.
APART_S, APART = 1.0, 0.02
MANY = 0.1  # of the files: then it is the catalogue that is wrong, or the folder
LARGEST_MISS_DB = -6.0  # of the sum of stems: beyond this, a mixture is not theirs
LESS_TRUE_DB = 6.0  # by which that sum may be worse where one of the stems has ended
LEAST_MISS_DB = -40.0  # of what is not heard
MISSING_S = 0.5  # a stated length may be off by a codec's padding


class AudioError(Exception):
    """A file cannot be used as audio.

    The message is the cause, short, without the file's name; `error` is the cause in a word, as
    rejects have it: `missing`, `empty`, `damaged`, `channels`, `too_long`, `cut_short`,
    `no_audio_uri`, or `unreadable` for all else.
    """

    def __init__(self, message: str, error: str = "unreadable") -> None:
        super().__init__(message)
        self.error = error


@dataclass(frozen=True)
class AudioInfo:
    """What a file says of one audio stream.

    `duration_s` is NaN where no header states it and nobody counted; `duration_source` says which
    of the two it is (STATED, COUNTED), and is empty where it is unknown. `channels` are the
    file's; what is read of more than two is their mix-down.
    """

    duration_s: float
    sample_rate: int
    channels: int
    format: str
    duration_source: str = ""


class Block(NamedTuple):
    """Decoded samples, float32 [channels, frames], with their rate, the channels' names, which are
    empty where the file does not say, and when in the file they begin, where that is known."""

    samples: np.ndarray
    sample_rate: int
    channels: tuple[str, ...] = ()
    begins_s: float | None = None


def check_rate(rate: int) -> None:
    """AudioError for a rate that no recording has: resampling it could fill any memory or disk."""
    if not SLOWEST_HZ <= rate <= FASTEST_HZ:
        raise AudioError(f"damaged: a sample rate of {rate:,} Hz", "damaged")


def check_length(seconds: float, stated_s: float, slack_s: float = MISSING_S) -> None:
    """AudioError where a stream ended more than `slack_s`, and more than a tenth, before what its
    header states."""
    if stated_s - seconds > min(slack_s, 0.1 * stated_s):
        digits = 1 if stated_s - seconds >= 0.1 else 3
        raise AudioError(
            f"truncated or damaged: {seconds:.{digits}f} of {stated_s:.{digits}f} s decodable",
            "damaged",
        )


def differs(decoded_s: float, catalogue_s: float) -> bool:
    """Whether a file's length in a catalogue is another than what it decodes to."""
    return abs(catalogue_s - decoded_s) > max(APART_S, APART * catalogue_s)


def check_whole(decoded_s: float, catalogue_s: float, source: str | None) -> None:
    """AudioError where a file lacks an end that it had when the catalogue was made.

    Only a length that was counted, or stated by the file itself, tells: `source` is the
    catalogue's `duration_source`. Other lengths may be another edition's, or a guess.
    """
    known = source in (COUNTED, STATED) and catalogue_s > decoded_s
    if known and differs(decoded_s, catalogue_s):
        raise AudioError(
            f"cut short: {decoded_s:.1f} of {catalogue_s:.1f} s, as {source} for the catalogue",
            "cut_short",
        )


def ends_early(lengths_s: Mapping[str, float]) -> str:
    """Name → length of files that should be equally long: a clause for an error's text that names
    those which end before the longest does; empty where none `differs`."""
    longest = max(lengths_s.values(), default=0.0)
    return "".join(
        f"; {name} ends at {seconds:.1f} of {longest:.1f} s"
        for name, seconds in sorted(lengths_s.items())
        if differs(seconds, longest)
    )


def check_difference(early: str) -> None:
    """AudioError where one of two files ends early whose difference is to be the third source: what
    the longer one holds behind that would be taken for it. `early` as `ends_early` has it."""
    if early:
        raise AudioError(
            f"cut short{early.replace(';', ':', 1)}; what the longer file holds behind that would "
            "count as the missing source: make them equally long",
            "cut_short",
        )


def check_sum(heads: Sequence[float], tails: Sequence[float], early: str) -> None:
    """AudioError where stems do not sum to their mixture, or no longer do where one has ended.

    `heads` and `tails`: power that the sum misses, and the mixture's power, as long as all stems
    sound and behind the end of the first that ends early. `early` names these, see `ends_early`.
    """
    missed, power = (head + tail for head, tail in zip(heads, tails, strict=True))
    if missed > power * 10 ** (LARGEST_MISS_DB / 10):
        raise AudioError(
            f"the stems do not sum to the mixture (error {miss_db(missed, power):+.1f} dB){early}",
            "sum",
        )
    most_db = max(LEAST_MISS_DB, miss_db(*heads) + LESS_TRUE_DB)
    if early and miss_db(*tails) > most_db:
        raise AudioError(
            f"cut short{early.replace(';', ':', 1)}; behind that the stems do not sum to the "
            f"mixture (error {miss_db(*tails):+.1f} dB)",
            "cut_short",
        )


def miss_db(missed: float, power: float) -> float:
    """10 log10(missed / power), between ±120 dB."""
    floor = 1e-12
    least = 1e-30
    ratio = max(missed, power * floor, least) / max(power, missed * floor, least)
    return round(10 * math.log10(ratio), 2)


def length_notes(counts: Mapping[str, float]) -> list[str]:
    """What a user should know of the files that were decoded, from the counts `tracks_decoded`,
    `lengths_differ` and `ends_missing`."""
    decoded, differ, missing = (
        round(counts.get(name, 0)) for name in ("tracks_decoded", "lengths_differ", "ends_missing")
    )
    said = []
    if differ > MANY * decoded:
        share = f"{100 * differ / decoded:.0f} % of the files"
        said.append(
            f"{share} ({differ:,} of {decoded:,}) have another length than the catalogue "
            "says: ARE THESE PREVIEWS, or files of another edition?"
        )
    elif differ:
        said.append(f"{differ:,} of {decoded:,} files have another length than the catalogue says")
    if missing:
        said.append(f"{missing:,} of {decoded:,} files lack their last page: cut, or recorded")
    return said
