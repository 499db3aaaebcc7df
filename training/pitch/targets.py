"""f0 → rows of salience, and back: what a net of the thesis' chapter 5 learns and what it says."""

from dataclasses import dataclass

import numpy as np

from stemlode.shards.salience import (
    HOP_LENGTH,
    ROWS,
    ROWS_PER_OCTAVE,
    SAMPLE_RATE,
    THRESHOLD,
    frequencies,
    rows_of,
)

WIDTH_CENTS = 25.0  # standard deviation of a ridge, as CREPE's targets have it
CENTS_PER_ROW = 1200 / ROWS_PER_OCTAVE
REACH = 5  # rows on either side of a pitch; further off a ridge is below a level of 255
SEMITONE = ROWS_PER_OCTAVE // 12  # rows
JUMP = 0.5 / 12  # octaves; between frames further apart no pitch is interpolated
SEVERAL_SHARE = 0.1  # of the voiced time; a song of which more holds several voices is marked


@dataclass(frozen=True)
class F0:
    """One pitch a frame, on any grid; float64 arrays of one length.

    `f0_hz` is negative where the frame is unvoiced and keeps its pitch, 0 where it has none.
    `confidence`: 0…1, of voicing; a frame is voiced from THRESHOLD on.
    """

    time_s: np.ndarray
    f0_hz: np.ndarray
    confidence: np.ndarray

    def __getitem__(self, frames: slice) -> "F0":
        return F0(self.time_s[frames], self.f0_hz[frames], self.confidence[frames])

    @property
    def voiced(self) -> np.ndarray:
        """bool [frames]."""
        return self.f0_hz > 0

    @property
    def voiced_share(self) -> float:
        """How much of the time is voiced; 0 of nothing."""
        return float(self.voiced.mean()) if len(self.f0_hz) else 0.0


def times(frames: int) -> np.ndarray:
    """The centres of a song's frames in seconds."""
    return np.arange(frames) * HOP_LENGTH / SAMPLE_RATE


def f0_of(salience: np.ndarray, threshold: float = THRESHOLD, first: int = 0) -> F0:
    """The likeliest row of each frame (thesis 5.3), voiced where its likelihood reaches the
    threshold. `salience`: [360, frames] in 0…1; `first`: the song's frame of its first column."""
    best = salience.argmax(0)
    confidence = salience.max(0, initial=0.0).astype(np.float64)
    f0_hz = np.where(confidence >= threshold, 1, -1) * frequencies()[best]
    f0_hz[confidence <= 0] = 0.0
    return F0(times(first + salience.shape[1])[first:], f0_hz, confidence)


def voices_of(salience: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """Which rows of each frame are voices: bool [360, frames]. Local maxima over the rows that
    reach the threshold; of a plateau, its lowest row."""
    around = np.pad(salience, ((1, 1), (0, 0)), constant_values=-1.0)
    peaks = (salience > around[:-2]) & (salience >= around[2:]) & (salience >= threshold)
    for column in np.flatnonzero((salience == around[2:]).any(0) & peaks.any(0)):
        for row in np.flatnonzero(peaks[:, column]):  # a plateau may lead up to something higher
            level = salience[row, column]
            above = row + np.argmax(np.append(salience[row:, column] != level, True))
            peaks[row, column] = above >= ROWS or salience[above, column] < level
    return peaks


def voices_share(salience: np.ndarray) -> float:
    """How much of the voiced time holds two voices or more, a semitone or more apart.

    `salience`: of a polyphonic teacher, [360, frames]; 0 where nothing is voiced.
    """
    peaks = voices_of(salience)
    rows = np.arange(ROWS)[:, None]
    lowest = np.where(peaks, rows, ROWS).min(0)
    highest = np.where(peaks, rows, -1).max(0)
    voiced = peaks.any(0)
    return float((highest - lowest >= SEMITONE)[voiced].mean()) if voiced.any() else 0.0


def on_grid(f0: F0, frames: int) -> F0:
    """A series on the grid of a song's frames, by linear interpolation of confidence and of the
    logarithm of f0; where the pitch jumps, that of the nearer frame. Outside the series: 0.

    Raises ValueError where times do not rise.
    """
    wanted = times(frames)
    if len(f0.time_s) == 0:
        return F0(wanted, np.zeros(frames), np.zeros(frames))
    if (np.diff(f0.time_s) <= 0).any():
        raise ValueError("times do not rise")
    place = np.interp(wanted, f0.time_s, np.arange(len(f0.time_s)))
    left = np.minimum(place.astype(int), max(0, len(f0.time_s) - 2))
    right = np.minimum(left + 1, len(f0.time_s) - 1)
    share = place - left
    confidence = (1 - share) * f0.confidence[left] + share * f0.confidence[right]
    pitch = np.abs(f0.f0_hz)
    near = np.where(share < 0.5, pitch[left], pitch[right])
    both = (pitch[left] > 0) & (pitch[right] > 0)
    low, high = (np.log2(np.where(both, pitch[side], 1.0)) for side in (left, right))
    glides = both & (np.abs(high - low) <= JUMP)
    f0_hz = np.where(glides, 2 ** ((1 - share) * low + share * high), near)
    step = np.median(np.diff(f0.time_s)) if len(f0.time_s) > 1 else 0.0
    outside = (wanted < f0.time_s[0] - step) | (wanted > f0.time_s[-1] + step)
    f0_hz[outside], confidence[outside] = 0.0, 0.0
    return F0(wanted, np.where(confidence >= THRESHOLD, 1, -1) * f0_hz, confidence)


def ridges(f0: F0) -> np.ndarray:
    """One ridge a frame, float32 [360, frames]: a Gaussian around its pitch, whose highest row is
    the frame's confidence. Frames without a pitch, or with one off the grid, are zeros."""
    pitch = np.abs(f0.f0_hz)
    rows = rows_of(np.where(pitch > 0, pitch, 1.0))
    nearest = np.rint(rows).astype(int)
    known = np.flatnonzero((pitch > 0) & (nearest >= 0) & (nearest < ROWS))
    near, off, confidence = nearest[known], (nearest - rows)[known], f0.confidence[known]
    found = np.zeros((ROWS + 2 * REACH, len(pitch)), np.float32)
    for step in range(-REACH, REACH + 1):
        away = (np.square(off + step) - np.square(off)) * (CENTS_PER_ROW / WIDTH_CENTS) ** 2
        found[near + step + REACH, known] = np.exp(-0.5 * away) * confidence
    return found[REACH : REACH + ROWS]


def single(salience: np.ndarray) -> np.ndarray:
    """Likelihoods of a polyphonic teacher with one ridge a frame, that of the likeliest row: what
    lies more than a semitone from it is zero."""
    away = np.abs(np.arange(ROWS)[:, None] - salience.argmax(0))
    return np.where(away <= SEMITONE, salience, 0.0).astype(salience.dtype)
