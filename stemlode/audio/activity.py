"""Where a source sounds: the salient windows of a track (BSRNN paper, section IV-A-1). No I/O.

A window of length L is salient where more than half of its ten chunks are louder than a threshold
that belongs to the whole track: the 15 % quantile of the energies of all its chunks, and no less
than a floor. Energy is mean power, full scale = 1, over samples and channels.

The floor is the paper's γ, in dBFS, or lies 30 dB below the track's mean power (`RELATIVE`), so
that the level at which something was recorded changes nothing (benchmarks/activity.py).
"""

import math
from collections.abc import Iterable

import numpy as np

from stemlode.audio.powers import sum_squares

WINDOW_S = 6.0  # L
OVERLAP = 0.5
CHUNKS = 10  # a window
QUANTILE = 0.15
EPSILON = 1e-5  # the energy that a silent chunk counts as
RELATIVE = (
    "relative"  # a floor RELATIVE_DB below the track's mean power, and no less than LOWEST_DB
)
RELATIVE_DB, LOWEST_DB = 30.0, -70.0
GAMMA = "-30"  # dBFS: the paper's 1e-3 as mean power, and all that there was at first
QUIETEST_DB = -120.0  # a floor that may be asked for
SHARE = 0.5  # more than this of a window's chunks
_EVERY = round(CHUNKS * (1 - OVERLAP))  # chunks from one window to the next


class Meter:
    """Chunk energies of a track that arrives in blocks of any length."""

    def __init__(self, sample_rate: int, window_s: float = WINDOW_S) -> None:
        """A chunk is L / 10, to the nearest frame, at `sample_rate` in Hz."""
        self.frames = max(1, round(window_s * sample_rate / CHUNKS))
        self._sums: list[float] = []
        self._open, self._filled = 0.0, 0  # the chunk that is being filled
        self._channels = 1
        self._first: list[np.ndarray] | None = []  # the track, while it is shorter than a window

    def add(self, samples: np.ndarray, unit: float = 1.0) -> float:
        """The track's next samples, [channels, frames] or [frames], of which `unit` stands for full
        scale ±1; the sum of their squares."""
        block = np.atleast_2d(samples)
        self._channels, position = len(block), 0
        if self._first is not None:
            self._first.append(block / np.float32(unit))
        total: float = 0
        while position < block.shape[1]:
            end = min(block.shape[1], position + self.frames - self._filled)
            found = sum_squares(block[:, position:end])
            total += found
            self._open += found / unit**2
            self._filled, position = self._filled + end - position, end
            if self._filled == self.frames:
                self._close()
        return total

    def energies(self) -> np.ndarray:
        """Mean power of each chunk; what is left after the last whole one belongs to none.

        A track shorter than one window is one of its own length, in ten chunks.
        """
        if not self._first:
            return np.array(self._sums) / (self.frames * self._channels)
        pieces = np.array_split(np.concatenate(self._first, axis=1), CHUNKS, axis=1)
        return np.array([np.mean(np.square(p, dtype=np.float64)) if p.size else 0 for p in pieces])

    def _close(self) -> None:
        self._sums.append(self._open)
        self._open, self._filled = 0.0, 0
        if len(self._sums) == CHUNKS:
            self._first = None


def read_threshold(text: str) -> str:
    """What was written for a floor, as `threshold` takes it: RELATIVE, or a number of dBFS in its
    shortest form. ValueError for anything else."""
    if text.strip().lower() == RELATIVE:
        return RELATIVE
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not QUIETEST_DB <= level <= 0:
        raise ValueError(f"{text}: {RELATIVE}, or a level from {QUIETEST_DB:g} to 0 dBFS")
    return f"{level + 0.0:g}"


def floor(energies: np.ndarray, threshold: str = RELATIVE) -> float:
    """The energy that a threshold stands for in a track of these chunks."""
    if threshold != RELATIVE:
        return float(10 ** (float(threshold) / 10))
    mean = float(np.mean(energies)) if len(energies) else 0.0
    return max(mean * 10 ** (-RELATIVE_DB / 10), 10 ** (LOWEST_DB / 10))


def salient(energies: np.ndarray, threshold: str = RELATIVE) -> np.ndarray:
    """Numbers of the salient windows, int64, for the energies of a track's chunks in order.

    Window n holds chunks 5n to 5n + 9; only whole windows count. A chunk in the overlap of two
    windows counts twice for the quantile, as the paper's "all chunks" of the segments has it.
    """
    least = floor(energies, threshold)
    windows = _windows(energies, min(EPSILON, least))
    if not len(windows):
        return np.zeros(0, np.int64)
    louder = (windows > max(float(np.quantile(windows, QUANTILE)), least)).sum(axis=1)
    return np.flatnonzero(louder > SHARE * CHUNKS)


def salient_starts(
    samples: np.ndarray, sample_rate: int, window_s: float = WINDOW_S, threshold: str = RELATIVE
) -> list[float]:
    """Starts in seconds of the salient windows of a track [channels, frames], full scale ±1."""
    return starts(measure([samples], sample_rate, window_s), sample_rate, window_s, threshold)


def measure(
    blocks: Iterable[np.ndarray], sample_rate: int, window_s: float = WINDOW_S
) -> np.ndarray:
    """Chunk energies of a track in consecutive blocks [channels, frames]."""
    meter = Meter(sample_rate, window_s)
    for block in blocks:
        meter.add(block)
    return meter.energies()


def starts(
    energies: np.ndarray,
    sample_rate: int,
    window_s: float = WINDOW_S,
    threshold: str = RELATIVE,
) -> list[float]:
    """Starts in seconds of the salient windows, for the energies of `Meter`."""
    hop = _EVERY * Meter(sample_rate, window_s).frames
    return [int(number) * hop / sample_rate for number in salient(energies, threshold)]


def _windows(energies: np.ndarray, silence: float) -> np.ndarray:
    """Chunk energies by window, float64 [windows, 10], silent chunks at the energy of silence."""
    heard = np.maximum(np.asarray(energies, np.float64), silence)
    if len(heard) < CHUNKS:
        return np.zeros((0, CHUNKS))
    return np.lib.stride_tricks.sliding_window_view(heard, CHUNKS)[::_EVERY]
