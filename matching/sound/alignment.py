"""Where an instrumental lies against its mixture: offset, speed, polarity, and how sure that is.

From coarse to fine. Onsets in octave bands propose a few lines, each an offset that may grow with
time (`matching.sound.coarse`). Short pieces of the signals are held against each other along each
line (`matching.sound.probes`); where pieces from all over the recordings agree to a fraction of a
millisecond, they belong together. The pieces also say how the offset changes with time: a
recording that runs 0.1 % faster is a straight line, not an error.
"""

import math
from dataclasses import dataclass

import numpy as np

from matching.sound import coarse, probes
from matching.sound.drift import Line
from matching.sound.signals import Signal

MAX_OFFSET_S = 30.0
MIN_OVERLAP = 0.25  # of the shorter signal: less in common is no evidence
LINES = 6
_FEW, _MANY = 12, 24  # probes: to choose a line, to measure it
_NEAR_S = 0.002  # what lies this near a correlation's peak belongs to it
_NOISE = 4.0  # standard deviations that the best of so many chances reaches
_STANDS = 1.5  # times what noise reaches: more than that
_ROUNDS = 2  # the second sees what the first has straightened
_ENOUGH = 4  # probes that agree on a speed
_SURE_SLOPE = 4.0  # standard errors
_SMALLEST_SHIFT_S = 2e-5  # a drift that adds up to less is none


@dataclass(frozen=True)
class Alignment:
    """mixture(t) ≈ polarity · g · instrumental(t + offset_s), the level g left open.

    Where the two differ in speed, `offset_s` holds at the mixture's time `middle_s`, the middle of
    what they share; `drift_ppm` says how much faster the instrumental runs, None where nothing
    tells. `drifts` says whether that is more than chance. `height` is the whitened correlation
    along the best line, 0…1, and `stands` says whether that is surely more than noise, though
    others may be as good: parts may belong to several.

    `confidence` in 0…1 is 1 − second / best: best is the whitened correlation along the best line,
    second the highest elsewhere, along any other line or beside the peak, and no less than what
    noise would reach. Unrelated recordings give 0; a shared accompaniment gives 0.5 to 1, less
    where it repeats itself sample for sample, when the offset is in doubt indeed.
    """

    offset_s: float
    polarity: int
    confidence: float
    drift_ppm: float | None = None
    middle_s: float = 0.0
    drifts: bool = False
    stands: bool = False
    height: float = 0.0

    def line(self, sample_rate: int) -> Line:
        """The offset over time, in samples."""
        slope = 0.0
        if self.drifts and self.drift_ppm is not None:
            slope = -self.drift_ppm / (1e6 + self.drift_ppm)
        return Line(self.offset_s, slope, self.middle_s).scaled(sample_rate)


NOWHERE = Alignment(0.0, 1, 0.0)


def align(
    mixture: Signal,
    instrumental: Signal,
    sample_rate: int,
    max_offset_s: float = MAX_OFFSET_S,
    changes: tuple[np.ndarray, np.ndarray] | None = None,
) -> Alignment:
    """How an instrumental is shifted against its mixture.

    Args:
        mixture, instrumental: mono, at one rate; the lengths may differ.
        sample_rate: Hz; a low one is still exact to a hundredth of a sample.
        max_offset_s: how far to look either way. Offsets at which less than a quarter of the
            shorter signal overlaps are left out.
        changes: both signals' `coarse.onsets`, where they are known.

    The answer for signals with nothing in common is some offset with a confidence near 0.
    """
    shorter = min(len(mixture), len(instrumental))
    keep = math.ceil(MIN_OVERLAP * shorter)
    reach = round(max_offset_s * sample_rate)
    first = max(-reach, keep - len(mixture))  # lags: samples that the instrumental comes later
    last = min(reach, len(instrumental) - keep)
    if shorter == 0 or first > last:
        return NOWHERE
    x, y = changes or tuple(coarse.onsets(s, sample_rate) for s in (mixture, instrumental))
    hop = coarse.hop_of(sample_rate)
    lines = coarse.lines(x, y, math.floor(first / hop), math.ceil(last / hop), LINES)
    tried = sorted(
        (
            _look_twice(mixture, instrumental, sample_rate, line.scaled(sample_rate))
            for line in lines
        ),
        key=lambda look: -look.best,
    )
    if not tried or tried[0].best == 0:
        return NOWHERE
    final = tried[0]
    for _ in range(_ROUNDS):
        final = _look(mixture, instrumental, sample_rate, final.line, _MANY)
    near = _NEAR_S * sample_rate
    second = max([final.second, *(look.apart_from(final.line, near) for look in tried[1:])])
    return Alignment(
        offset_s=final.line.offset / sample_rate,
        polarity=final.polarity,
        confidence=max(0.0, 1 - second / final.best) if final.best else 0.0,
        drift_ppm=final.line.drift_ppm if final.steady else None,
        middle_s=final.line.middle / sample_rate,
        drifts=final.drifts,
        stands=final.best > _STANDS * final.noise,
        height=final.best,
    )


@dataclass(frozen=True)
class _Look:
    """A line as probes along a first guess of it saw it; `best` and `second` are correlations."""

    line: Line
    best: float
    second: float
    noise: float  # what the best of many chances reaches
    polarity: int
    steady: bool  # the probes that agree are enough to tell a speed
    drifts: bool
    times: np.ndarray  # of the probes
    heights: np.ndarray  # their correlations on the line

    def apart_from(self, other: Line, near: float) -> float:
        """The correlation without the probes at which another line is met or crossed."""
        if not len(self.times):
            return 0.0
        far = np.abs(self.line.at(self.times) - other.at(self.times)) > near
        return float(abs(np.where(far, self.heights, 0.0).mean()))


def _look_twice(x: Signal, y: Signal, sample_rate: int, guess: Line) -> _Look:
    """A sloped line is seen in focus only where the first look has found its slope."""
    first = _look(x, y, sample_rate, guess, _FEW)
    return _look(x, y, sample_rate, first.line, _FEW) if first.drifts else first


def _look(x: Signal, y: Signal, sample_rate: int, guess: Line, count: int) -> _Look:
    found = probes.probe(x, y, sample_rate, guess, count)
    if not len(found.times):
        return _Look(guess, 0.0, 0.0, 0.0, 1, False, False, found.times, found.times)
    line, agree, error = probes.settle(found, sample_rate)
    steady = int(agree.sum()) >= _ENOUGH
    half = (found.times[-1] - found.times[0]) / 2
    drifts = (
        steady
        and abs(line.slope) > _SURE_SLOPE * error
        and abs(line.slope) * half > _SMALLEST_SHIFT_S * sample_rate
    )
    if not drifts:
        line = Line(line.offset, 0.0, line.middle)
    along = found.along(line)
    profile, middle = along.mean(axis=0), found.reach
    at = middle - 1 + int(np.abs(profile[middle - 1 : middle + 2]).argmax())
    wide = math.ceil(_NEAR_S * sample_rate)
    beside = np.abs(np.delete(profile, slice(max(0, middle - wide), middle + wide + 1)))
    noise = _NOISE * found.noise / math.sqrt(len(found.times))
    return _Look(
        line=line,
        best=float(abs(profile[at])),
        second=max(noise, float(beside.max(initial=0.0))),
        noise=noise,
        polarity=1 if profile[at] >= 0 else -1,
        steady=steady,
        drifts=bool(drifts),
        times=found.times,
        heights=along[:, at],
    )
