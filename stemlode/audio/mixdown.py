"""More than two channels mixed down to two: one matrix for every verb. No I/O.

The weights are those of ITU-R BS.775-4, annex 4: left and right as they are, the centre and the
surrounds at −3 dB, the low-frequency effects left out. Nothing is turned down to make room; floats
may exceed full scale. One channel is the mean of the two.
"""

from functools import cache

import numpy as np

from stemlode.audio.containers.info import AudioError

_HALF = 0.5**0.5  # −3 dB
# A channel, by FFmpeg's name, in left and right.
WEIGHTS = {
    "FL": (1.0, 0.0), "FR": (0.0, 1.0), "DL": (1.0, 0.0), "DR": (0.0, 1.0), "FC": (_HALF, _HALF),
    "LFE": (0.0, 0.0), "LFE2": (0.0, 0.0), "FLC": (1.0, 0.0), "FRC": (0.0, 1.0),
    "SL": (_HALF, 0.0), "SR": (0.0, _HALF), "BL": (_HALF, 0.0), "BR": (0.0, _HALF),
    "SSL": (_HALF, 0.0), "SSR": (0.0, _HALF), "SDL": (_HALF, 0.0), "SDR": (0.0, _HALF),
    "WL": (_HALF, 0.0), "WR": (0.0, _HALF), "BC": (0.5, 0.5), "TC": (0.5, 0.5),
    "TFL": (_HALF, 0.0), "TFR": (0.0, _HALF), "TFC": (0.5, 0.5), "TBL": (_HALF, 0.0),
    "TBR": (0.0, _HALF), "TBC": (0.5, 0.5), "TSL": (_HALF, 0.0), "TSR": (0.0, _HALF),
    "BFL": (_HALF, 0.0), "BFR": (0.0, _HALF), "BFC": (0.5, 0.5),
}  # fmt: skip
# Where a file says how many there are and not which: the order of FLAC (RFC 9639, 9.1.3).
UNNAMED = {
    3: "FL FR FC",
    4: "FL FR BL BR",
    5: "FL FR FC BL BR",
    6: "FL FR FC LFE BL BR",
    7: "FL FR FC LFE BC SL SR",
    8: "FL FR FC LFE BL BR SL SR",
}


@cache
def matrix(count: int, names: tuple[str, ...] = ()) -> np.ndarray:
    """The weights [2, count] of so many channels; AudioError where nobody knows what they are."""
    if not set(names) <= WEIGHTS.keys() or len(names) != count:
        names = tuple(UNNAMED.get(count, "").split())
    if not names:
        why = f"{count} channels that nobody named; mix them down to 2 first"
        raise AudioError(why, "channels")
    return np.array([WEIGHTS[name] for name in names], np.float32).T


def as_heard(samples: np.ndarray, names: tuple[str, ...] = ()) -> np.ndarray:
    """[1, frames] or [2, frames] of float32 [channels, frames], whose channels have these names."""
    return samples if len(samples) <= 2 else matrix(len(samples), names) @ samples


def with_channels(samples: np.ndarray, channels: int) -> np.ndarray:
    """[1 or 2, frames] on so many channels, 1 or 2: the mean of two, or one on both."""
    if len(samples) == channels:
        return samples
    if channels == 1:
        return ((samples[0] + samples[1]) * np.float32(0.5))[None]
    return np.repeat(samples, channels, axis=0)


def mean_of(frames: np.ndarray) -> np.ndarray:
    """[frames] of [frames, channels]. Of up to 7 channels to the bit what `frames.mean(axis=1)` is,
    and many times as fast, for NumPy is slow on short rows."""
    total = frames[:, 0].copy()
    for channel in frames.T[1:]:
        total += channel
    total /= frames.shape[1]
    return total
