"""Whether mixture − accompaniment is a vocal, sample by sample: how two signals lie. Free of Beam.

What `prune` finds at 8 kHz says to about 20 µs where a pair's sides lie against each other. Up to
4 kHz that is enough; at 10 kHz it is a fifth of a period, and a residual would hold most of the
backing. So the delay is sought anew at the corpus' rate, where both phases and level say it.
"""

import math
from collections.abc import Iterable

import numpy as np

from matching.sound import coherence
from matching.sound.coherence import Aligned
from matching.sound.drift import Line
from pipelines.samples import delays

N_FFT = 8192
MOST_FRAMES = 4.0  # that prune's offset may be off, in frames of the corpus
LARGEST_MISS = 0.1  # frames; leaves −17 dB of the backing at 10 kHz and 44.1 kHz, −25 dB at 4 kHz
MOST_DRIFT_PPM = 5.0  # beyond this, no single offset holds for a song
FEWEST_FRAMES = 16  # of a stretch whose coherence is more than chance
_FINER = 16  # points of the correlation for each frame
_LOWEST_COHERENCE = 0.3  # below it, a bin says nothing of the delay
_FEWEST_BINS = 32
_SILENT = 1e-8  # mean power: −80 dB


class Lie:
    """Power and cross-power of two signals that arrive in blocks, by frequency."""

    def __init__(self) -> None:
        bins = N_FFT // 2 + 1
        self._xx, self._yy = np.zeros(bins), np.zeros(bins)
        self._xy = np.zeros(bins, np.complex128)
        self.frames = 0

    def add(self, mixture: np.ndarray, accompaniment: np.ndarray) -> None:
        """Further samples of both, [channels, frames], aligned, level and all."""
        x, y = (part.mean(axis=0, dtype=np.float64) for part in (mixture, accompaniment))
        hop = N_FFT // 2
        window = np.hanning(N_FFT)
        for start in range(0, len(x) - N_FFT + 1, hop):
            X, Y = (np.fft.rfft(window * part[start : start + N_FFT]) for part in (x, y))
            self._xx += np.abs(X) ** 2
            self._yy += np.abs(Y) ** 2
            self._xy += X * Y.conj()
            self.frames += 1

    def fits(self) -> bool:
        """Whether mixture − accompaniment leaves a vocal, as far as this stretch tells.

        Silence leaves nothing over; a stretch too short to tell is believed.
        """
        if self.frames < FEWEST_FRAMES or self.is_silent:
            return True
        delay = self.delay()
        return delay is not None and abs(delay) <= LARGEST_MISS

    @property
    def is_silent(self) -> bool:
        """Whether the accompaniment holds nothing that could be left over."""
        return float(self._yy.sum()) <= _SILENT * self.frames * N_FFT * N_FFT

    def delay(self) -> float | None:
        """Frames by which the accompaniment must be moved ahead yet, within ±MOST_FRAMES; None
        where the two share too little to tell.

        The peak of the cross-correlation, each frequency at the weight of its coherence.
        """
        both = self._xx * self._yy
        coherence = np.divide(np.abs(self._xy) ** 2, both, out=np.zeros_like(both), where=both > 0)
        told = coherence >= _LOWEST_COHERENCE
        told[0] = False
        if told.sum() < _FEWEST_BINS:
            return None
        phases = np.zeros_like(self._xy)
        phases[told] = coherence[told] * self._xy[told] / np.abs(self._xy[told])
        wave = np.fft.irfft(phases, N_FFT * _FINER)
        reach = round(MOST_FRAMES * _FINER)
        near = np.concatenate([wave[-reach:], wave[: reach + 1]])
        peak = int(near.argmax())
        if not 0 < peak < len(near) - 1:
            return None
        before, here, after = near[peak - 1 : peak + 2]
        vertex = 0.5 * (before - after) / (before - 2 * here + after)
        return -(peak - reach + float(vertex)) / _FINER


def delay(both: np.ndarray, rate: int) -> float | None:
    """How many frames an accompaniment must be moved ahead to leave a vocal; None for never.

    `both` [2, frames] are a mixture and its accompaniment at their levels, to a frame or two on one
    clock. What is left after that must be as low, where the voice rests, as `prune` wants it.
    """
    lie = Lie()
    lie.add(both[:1], both[1:])
    found = lie.delay() if lie.frames >= FEWEST_FRAMES else None
    if found is None:
        return None
    n_fft = 2 ** round(math.log2(rate / 8))  # about what prune uses, in seconds
    mixture, moved = both[0], moved_ahead(both[1:], found)[0]
    aligned = Aligned(mixture, moved, Line(0.0), 1, rate, n_fft, 3 * n_fft // 4)
    left = coherence.compare(aligned, 1.0).residual_db
    return found if coherence.coherent(left) else None


def moved_ahead(samples: np.ndarray, frames: float) -> np.ndarray:
    """A signal [channels, frames] moved ahead by a few frames, silence taking the place."""
    whole = round(frames)
    padded = np.pad(samples, ((0, 0), (max(0, -whole), max(0, whole))))
    cut = padded[:, max(0, whole) :][:, : samples.shape[1]]
    return np.concatenate(list(delays.moved([cut], frames - whole)), axis=1)


def within(begin_s: float, end_s: float, spans: Iterable[Iterable[float]], slack_s: float) -> bool:
    """Whether a stretch lies in one of the spans, or sticks out by no more than `slack_s`."""
    return any(
        begin_s >= start - slack_s and end_s <= end + slack_s for start, end in map(tuple, spans)
    )
