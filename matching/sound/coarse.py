"""Offsets worth a closer look, to about 15 ms, whatever the speed: lines in the plane of onsets.

Onsets, where in each band a signal's level rises or falls, are what a mixture and its backing
share: a few numbers 64 times a second, so that offsets of half a minute either way are tried in
milliseconds, and so that a speed change of a percent, which ruins any comparison of samples,
matters little within seconds. Each few seconds of the mixture are correlated with the
instrumental's onsets half a minute either way. What belongs together lies on a line over time:
flat where both run at one speed, sloped where one runs faster.
"""

import math
from itertools import pairwise

import numpy as np
import scipy.fft

from matching.sound.drift import Line
from matching.sound.signals import Signal, powers, stft

PER_S = 64  # onsets
SEGMENT_S = 5.0
MAX_DRIFT = 0.012
_EDGES_HZ = (48, 160, 320, 640, 1280, 2560, 5120)
_BLOCK = 512  # frames; more fall out of the processor's cache
_AT_ONCE = 8  # segments: FFTs of several rows take less than half the time
_FLOOR = 1e-4  # of a band's mean power: what lies below is silence or a codec's noise
_LARGEST = 3.0  # standard deviations
_MOST_SEGMENTS = 64  # evenly spread over a long recording
_MOST_SHIFT_S = 6.0  # that a drift may add up to, at either end
_APART_S = 0.035  # nearer lines are one: a probe along either reaches both
_LEVEL = 0.9  # a flat line wins against a slope that fits little better


def hop_of(sample_rate: int) -> int:
    """Samples from one value to the next."""
    return max(1, round(sample_rate / PER_S))


def onsets(signal: Signal, sample_rate: int) -> np.ndarray:
    """Changes of level, float32 [bands, frames]; frame i lies at i · hop_of(sample_rate).

    Logarithmic power of octave bands, differenced in time, each band with standard deviation 1
    and outliers clipped; zero where a band is silent. Differences are from the frame before to the
    frame after: in short windows the level of a steady low tone alternates from frame to frame,
    and how depends on where frames begin.
    """
    hop = hop_of(sample_rate)
    edges = np.searchsorted(np.arange(hop + 1) * PER_S / 2, _EDGES_HZ)
    count = 1 + len(signal) // hop
    power = np.zeros((len(_EDGES_HZ) - 1, count), np.float32)
    for first in range(0, count, _BLOCK):
        frames = min(_BLOCK, count - first)
        square = powers(stft(signal, first, frames, 2 * hop, hop))
        for band, (low, high) in enumerate(pairwise(edges)):
            power[band, first : first + frames] = square[:, low:high].sum(axis=1)
    power += _FLOOR * power.mean(axis=1, keepdims=True) + np.finfo(np.float32).tiny
    level = np.log(power)
    change = np.zeros_like(level)
    np.subtract(level[:, 2:], level[:, :-2], out=change[:, 1:-1])
    change /= np.maximum(change.std(axis=1, keepdims=True), 1e-6)
    return np.clip(change, -_LARGEST, _LARGEST)


def lines(x: np.ndarray, y: np.ndarray, first: int, last: int, count: int) -> list[Line]:
    """The likeliest lines of an instrumental's onsets against a mixture's, best first.

    Args:
        x, y: onsets [bands, frames] of mixture and instrumental.
        first, last: offsets in onset frames between which to look, inclusive.
        count: of lines.

    The lines are in seconds, their middle where the segments lie.
    """
    length = round(SEGMENT_S * PER_S)
    begin, end = max(0, -last), min(x.shape[1], y.shape[1] - first)
    number = min(_MOST_SEGMENTS, max(1, (end - begin) // length))
    length = min(length, end - begin)
    if length <= 0 or first > last:
        return []
    starts = np.linspace(begin, end - length, number).astype(int)
    votes = _votes(x, y, starts, length, first, last)
    centres = (starts + length / 2) / PER_S
    middle = (centres[0] + centres[-1]) / 2
    slopes = _slopes((centres[-1] - centres[0]) / 2)
    sums = np.stack([_along(votes, slope * (centres - middle)) for slope in slopes])
    flat = sums[np.flatnonzero(slopes == 0)[0]]
    best = sums.max(axis=0)
    slope = np.where(flat >= _LEVEL * best, 0.0, slopes[sums.argmax(axis=0)])
    found = []
    apart = round(_APART_S * PER_S)
    for _ in range(count):
        peak = int(best.argmax())
        if not best[peak] > 0:
            break
        found.append(Line((first + peak) / PER_S, float(slope[peak]), middle))
        best[max(0, peak - apart) : peak + apart + 1] = 0
    return found


def _slopes(half_s: float) -> np.ndarray:
    """Slopes that differ by one onset frame at the ends, which lie `half_s` from the middle."""
    if half_s <= 0:
        return np.zeros(1)
    most = min(MAX_DRIFT, _MOST_SHIFT_S / half_s)
    steps = math.floor(most * half_s * PER_S)
    return np.arange(-steps, steps + 1) / (half_s * PER_S)


def _votes(
    x: np.ndarray, y: np.ndarray, starts: np.ndarray, length: int, first: int, last: int
) -> np.ndarray:
    """Each segment's correlation at each offset, in its own standard deviations."""
    span = last - first + length
    size = scipy.fft.next_fast_len(span, real=True)
    padded = np.pad(y, ((0, 0), (size, size)))
    votes = np.empty((len(starts), last - first + 1), np.float32)
    for row in range(0, len(starts), _AT_ONCE):
        some = starts[row : row + _AT_ONCE]
        places = np.clip(size + some + first, 0, padded.shape[1] - size)
        Y = scipy.fft.rfft(np.stack([padded[:, at : at + span] for at in places]), size)
        X = scipy.fft.rfft(np.stack([x[:, start : start + length] for start in some]), size)
        found = scipy.fft.irfft((X.conj() * Y).sum(axis=1), size)[:, : votes.shape[1]]
        votes[row : row + _AT_ONCE] = found / np.maximum(found.std(axis=1, keepdims=True), 1e-6)
    return votes


def _along(votes: np.ndarray, shifts_s: np.ndarray) -> np.ndarray:
    """Votes summed over segments, each shifted as a slope has it."""
    lags = votes.shape[1]
    total = np.zeros(lags, np.float32)
    shifts = np.round(shifts_s * PER_S).astype(int).clip(-lags, lags).tolist()
    for row, shift in zip(votes, shifts, strict=True):
        if shift >= 0:
            total[: lags - shift] += row[shift:]
        else:
            total[-shift:] += row[:shift]
    return total
