"""What is known of an audio stream, what comes out of it, and why a file is none. No I/O."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

COUNTED, STATED, GUESSED, GIVEN = "counted", "stated", "guessed", "given"
SLOWEST_HZ, FASTEST_HZ = 1000, 6_144_000
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
