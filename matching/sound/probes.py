"""Short pieces of two recordings held against each other along a line, to a fraction of a sample.

Each piece gives a whitened cross-correlation (generalised cross-correlation with phase transform,
Knapp and Carter 1976): every frequency votes with its phase alone, so that what the two share
gives one sharp peak, whatever vocals, equalisation or level lie on top, where a plain correlation
of music has a broad ridge at every beat.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft

from matching.sound import drift
from matching.sound.drift import Line, Warped
from matching.sound.signals import Signal, hann, read

PROBE_S = 2.0
_REACH_S = 0.04  # to either side of a line
_WITHIN_S = 0.0003  # what lies this near one line lies on it
_WEAK = 1e-4  # of a spectrum's mean: below, phases are noise and must not vote
_AT_ONCE = 8  # pieces: FFTs of several rows take less than half the time
_FINE = 128
_ONE_SPEED = 2e-5  # a slope that moves a probe's ends by less than a third of a sample


@dataclass(frozen=True)
class Probes:
    """Correlations [probes, lags] along a line, at times [probes]; all in samples.

    A correlation's middle is the line. Its values are 1 for signals that are the same.
    """

    line: Line
    times: np.ndarray
    correlations: np.ndarray
    noise: float  # standard deviation of one correlation where the two share nothing

    @property
    def reach(self) -> int:
        """Lags to either side."""
        return self.correlations.shape[1] // 2

    def peaks(self) -> tuple[np.ndarray, np.ndarray]:
        """Each probe's offset from the line, [probes], and its correlation there, signed."""
        height = np.abs(self.correlations)
        rows = np.arange(len(height))
        top = height.argmax(axis=1)
        inner = np.clip(top, 1, height.shape[1] - 2)
        left, middle, right = (height[rows, inner + k] for k in (-1, 0, 1))
        bend = left - 2 * middle + right
        vertex = np.where(bend < 0, 0.5 * (left - right) / np.minimum(bend, -1e-12), 0.0)
        offsets = top + np.where(top == inner, vertex, 0.0) - self.reach
        return offsets, self.correlations[rows, top]

    def along(self, line: Line) -> np.ndarray:
        """Correlations [probes, lags] along another line, near enough to this one."""
        shifts = np.round(line.at(self.times) - self.line.at(self.times)).astype(int)
        reach = self.reach
        padded = np.pad(self.correlations, ((0, 0), (reach, reach)))
        shifts = np.clip(shifts, -reach, reach)
        rows = [row[reach + k : 3 * reach + 1 + k] for row, k in zip(padded, shifts, strict=True)]
        return np.stack(rows)


def probe(x: Signal, y: Signal, sample_rate: int, line: Line, count: int) -> Probes:
    """Correlate `count` pieces, evenly spread over what the two have in common along a line."""
    begin, end = common(len(x), len(y), line)
    reach = max(2, round(_REACH_S * sample_rate))
    length = min(round(PROBE_S * sample_rate), end - begin)
    if length < 4 * reach:
        reach = max(1, length // 4)
    if length < 8:
        return Probes(line, np.zeros(0), np.zeros((0, 2 * reach + 1), np.float32), 1.0)
    count = min(count, max(1, 2 * (end - begin) // length - 1))  # they may overlap by half
    starts = np.linspace(begin, end - length, count).astype(int)
    steady = abs(line.slope) * length < _ONE_SPEED * PROBE_S * sample_rate
    size = scipy.fft.next_fast_len(length, real=True)
    window = hann(length)
    found = np.empty((count, 2 * reach + 1), np.float32)
    for first in range(0, count, _AT_ONCE):
        chosen = starts[first : first + _AT_ONCE]
        pieces = np.empty((2, len(chosen), length), np.float32)
        rests = []
        for n, start in enumerate(chosen):
            shift = float(line.at(start + length / 2))
            whole = round(shift)
            pieces[0, n] = read(x, start, start + length)
            if steady:
                pieces[1, n] = read(y, start + whole, start + whole + length)
            else:
                pieces[1, n] = Warped(y, line, end)[start : start + length]
            rests.append(shift - whole if steady else 0.0)
        pieces *= window
        X, Y = scipy.fft.rfft(pieces, size)
        cross = np.conj(X, out=X)
        cross *= Y
        height = np.abs(cross)
        least = _WEAK * height.mean(axis=1, keepdims=True).astype(np.float64)
        cross /= height + np.maximum(least, np.finfo(np.float32).tiny).astype(np.float32)
        for n, rest in enumerate(rests):
            if rest:  # the line passes between samples
                cross[n] *= _turned(2 * np.pi * rest / size, cross.shape[1])
        whole_turns = scipy.fft.irfft(cross, size)
        part = found[first : first + _AT_ONCE]
        part[:, :reach] = whole_turns[:, -reach:]
        part[:, reach:] = whole_turns[:, : reach + 1]
    return Probes(line, starts + length / 2, found, 1.3 / math.sqrt(length / 2))


def _turned(angle: float, count: int) -> np.ndarray:
    """exp(i · angle · n) for n below `count`, of few exponentials."""
    fine = np.exp(1j * angle * np.arange(_FINE))
    coarse = np.exp(1j * angle * _FINE * np.arange(-(-count // _FINE)))
    return np.outer(coarse, fine).ravel()[:count]


def settle(found: Probes, sample_rate: int) -> tuple[Line, np.ndarray, float]:
    """The line on which most probes agree, which they are, and the standard error of its slope."""
    offsets, heights = found.peaks()
    weights = np.abs(heights)
    with_line = offsets + found.line.at(found.times)
    near = drift.fit(found.times, with_line, weights, _WITHIN_S * sample_rate)
    middle = float(found.times.mean())
    line, error = drift.least_squares(
        found.times[near], with_line[near], weights[near] ** 2, middle
    )
    return line, near, error


def common(x: int, y: int, line: Line) -> tuple[int, int]:
    """Where in a mixture of `x` frames an instrumental of `y` sounds too: start, end."""
    offset = line.offset - line.slope * line.middle
    begin, end = -offset / (1 + line.slope), (y - offset) / (1 + line.slope)
    return max(0, math.ceil(begin)), max(0, min(x, math.floor(end)))
