"""How an instrumental's time runs against its mixture's, from the delays of many short windows.

A window's delay is where the two are most alike, each frequency at the weight of its coherence, as
of the likeliest delay (Hannan and Thomson 1973): to a microsecond or two where the backing is heard
under a voice. A clock is what most windows agree on: a line, or the smoothest curve that foretells
windows it has not seen.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.linalg

from matching.sound.repairs import varispeed
from matching.sound.repairs.clock import Part
from matching.sound.repairs.splines import Splines
from matching.sound.signals import Signal, powers, read, stft

WINDOW_S = 1.0
MOST_WINDOWS = 160  # evenly spread over a long recording
REACH_S = 0.004  # by which a window may be off the clock it is held against
_N_FFT, _HOP = 1024, 256
_LOW_HZ, _HIGH = 60.0, 0.75  # of half the rate: above, what is read between samples is worse
_FINER = 16
_TOLD = 0.3  # coherence below which a frequency says nothing
_INCOHERENT = 0.02  # so that no frequency outweighs all
_FEWEST_BINS = 12
_FAINT = 1e-6  # of the loudest window's power
_NOISE_S = 1e-6  # no window's delay is known better
_ROBUST = 4.7  # standard deviations beyond which a window has no vote (Tukey's biweight)
_ROUNDS = 12
_SURE_OF_ALL = 6  # of these
KNOT_S = 1.0
_NEAR_S = (1e-3, 2e-4, 5e-5)  # round by round
_MOST, _NORMAL = 0.9, 1.645  # windows that count, and where so many of a normal spread lie
_LOOSE_S = 3.0  # of a curve's ends, without a window that lies on it
_ON_IT, _ON_IT_S = 10.0, 1e-4  # of what a curve misses: what is nearer lies on it
FEWEST = 8  # windows of which a curve can be told
_STIFFNESS = tuple(10.0 ** np.arange(-6, 3))  # of curves that are tried


@dataclass(frozen=True)
class Heard:
    """A mixture and an instrumental at one rate; `x_start`, `y_start`: the frames of their files
    at which the signals begin."""

    x: Signal
    y: Signal
    rate: int
    x_start: int = 0
    y_start: int = 0

    @property
    def extent_s(self) -> tuple[float, float]:
        """Where the mixture sounds."""
        return self.x_start / self.rate, (self.x_start + len(self.x)) / self.rate

    def shared(self, part: Part) -> Part:
        """A part cut to where both sound; or as it is, where that is nowhere."""
        times = np.linspace(part.begin_s, part.end_s, 2049)
        others = part.at(times) * self.rate - self.y_start
        both = np.flatnonzero((others >= 0) & (others <= len(self.y) - 1))
        if len(both) < 2:
            return part
        return part.between(float(times[both[0]]), float(times[both[-1]]))

    def moved(self, part: Part, begin: int, end: int, half: int = varispeed.FAST) -> np.ndarray:
        """The instrumental on the mixture's clock: frames `begin` to `end` of x, float32."""
        frames = np.arange(begin, end) + self.x_start
        places = part.at(frames / self.rate) * self.rate - self.y_start
        first, last = math.floor(places[0]) - half - 1, math.floor(places[-1]) + half + 2
        samples = read(self.y, first, last)[None]
        return varispeed.interpolated(samples, places - first, half=half)[0]


@dataclass(frozen=True)
class Delays:
    """By how many seconds the instrumental lies later than a clock has it, [windows], at times of
    the mixture; `sure` is the weight of each, 0 where nothing is told."""

    times: np.ndarray
    seconds: np.ndarray
    sure: np.ndarray

    def some(self, chosen: np.ndarray) -> "Delays":
        """Some of the windows."""
        return Delays(self.times[chosen], self.seconds[chosen], self.sure[chosen])


def delays(heard: Heard, part: Part, most: int = MOST_WINDOWS, reach_s: float = REACH_S) -> Delays:
    """Measured in at most so many windows side by side, all over a part."""
    length = round(WINDOW_S * heard.rate)
    first = math.ceil(part.begin_s * heard.rate) - heard.x_start
    last = math.floor(part.end_s * heard.rate) - heard.x_start
    count = min(most, max(0, round((last - first) / length))) if last - first >= length else 0
    starts = np.linspace(first, last - length, count).astype(int)
    reach = round(reach_s * heard.rate * _FINER)
    found = [_delay(heard, part, int(start), length, reach) for start in starts]
    seconds, sure, power, at = np.array(found).reshape(-1, 4).T
    sure = np.where(power > _FAINT * power.max(initial=0.0), sure, 0.0)
    return Delays((at + heard.x_start) / heard.rate, seconds, sure)


def _delay(
    heard: Heard, part: Part, start: int, length: int, reach: int
) -> tuple[float, float, float, float]:
    """A window's delay in s, how sure it is, its power, and the frame at which the delay is so.

    That is where what tells it is loud, a beat rather than the middle: each frame and frequency
    counts as it does for the delay, by the square of the frequency.
    """
    count = 1 + (length - _N_FFT) // _HOP
    x = read(heard.x, start, start + length)
    y = heard.moved(part, start, start + length)
    place = _N_FFT // 2  # so that no frame sticks out
    X, Y = (stft(side, 0, count, _N_FFT, _HOP, place) for side in (x, y))
    cross = X * Y.conj()
    xx, yy, xy = powers(X).sum(axis=0), powers(Y).sum(axis=0), cross.sum(axis=0)
    both = xx * yy
    coherence = np.divide(np.abs(xy) ** 2, both, out=np.zeros_like(both), where=both > 0)
    told = coherence >= _TOLD
    told[: math.ceil(_LOW_HZ * _N_FFT / heard.rate)] = False
    told[round(_HIGH * len(told)) :] = False
    power = float(min(xx.sum(), yy.sum()))
    if told.sum() < _FEWEST_BINS:
        return 0.0, 0.0, power, start + length / 2
    weights = np.where(told, coherence / (_INCOHERENT + 1 - coherence), 0.0)
    phases = weights * xy / np.maximum(np.abs(xy), 1e-30)
    wave = scipy.fft.irfft(phases, _N_FFT * _FINER)
    near = np.abs(np.concatenate([wave[-reach:], wave[: reach + 1]]))  # of either polarity
    peak = int(near.argmax())
    if not 0 < peak < len(near) - 1:
        return 0.0, 0.0, power, start + length / 2
    before, here, after = near[peak - 1 : peak + 2]
    vertex = 0.5 * (before - after) / (before - 2 * here + after)
    height = float(here * _N_FFT * _FINER / 2 / weights.sum())
    late = (reach - peak - float(vertex)) / _FINER / heard.rate
    tells = weights * np.arange(len(weights)) ** 2 / np.maximum(np.abs(xy), 1e-30)
    loud = np.abs(cross) @ tells
    at = start + place + _HOP * float(loud @ np.arange(count)) / float(loud.sum())
    return late, height * math.sqrt(float(told.sum()) / len(told)), power, at


def line(found: Delays) -> tuple[float, float, float]:
    """What most windows agree on: delay at time 0, its slope, and how far they are off it, as the
    standard deviation of a normal spread, in s. Not a number where nothing is told."""
    heard = found.sure > 0
    times, seconds, sure = found.times[heard], found.seconds[heard], found.sure[heard]
    if len(times) < 3:
        return 0.0, 0.0, math.nan
    middle = float(times.mean())
    basis = np.stack([np.ones_like(times), times - middle], axis=1)

    def fit(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        matrix = (basis.T * weights) @ basis
        matrix += 1e-9 * np.trace(matrix) / 2 * np.eye(2)
        found = scipy.linalg.solve(matrix, (basis.T * weights) @ seconds, assume_a="pos")
        return found, basis @ found

    fitted, spread = _robust(fit, seconds, sure)
    return float(fitted[0] - fitted[1] * middle), float(fitted[1]), spread


def followed(heard: Heard, part: Part) -> tuple[Part, float]:
    """A part as the curve that its windows lie on, sought in rounds: what a first guess is off, it
    is off in many windows. It is cut where it has no windows at its ends. The miss as of `curve`.
    """
    miss = math.nan
    for near_s in _NEAR_S:
        found = delays(heard, part)
        part, miss = curve(found, part, near_s)
    off = np.abs(delays(heard, part).seconds)
    on_it = found.times[(found.sure > 0) & (off <= max(_ON_IT * miss, _ON_IT_S))]
    if not len(on_it):
        return part, math.nan
    first, last = float(on_it[0]), float(on_it[-1])
    begin_s = first if first > part.begin_s + _LOOSE_S else part.begin_s
    end_s = last if last < part.end_s - _LOOSE_S else part.end_s
    return part.between(begin_s, end_s), miss


def curve(found: Delays, part: Part, near_s: float = 0.0) -> tuple[Part, float]:
    """The smooth curve that a part's windows lie on, and by how much it misses such windows as were
    held out: nine tenths of them, as a standard deviation.

    Of the curves between stiff and limp it is the one that foretells every other window best from
    those beside it. Windows within `near_s` of a curve have a vote on it in any case.
    """
    begin_s, end_s = part.begin_s, part.end_s
    knots = np.linspace(begin_s, end_s, max(4, 1 + round((end_s - begin_s) / KNOT_S)))
    heard = found.some(found.sure > 0)
    if len(heard.times) < FEWEST:
        return part, math.nan
    values = part.at(heard.times) + heard.seconds - heard.times  # what the clock adds to time
    middle = float(np.median(values))
    splines = Splines(knots, heard.times)
    halves = np.arange(len(heard.times)) % 2 == 0

    def fitted(sure: np.ndarray, stiffness: float) -> np.ndarray:
        penalty = stiffness * float(sure.sum()) / len(knots)

        def fit(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            found = splines.fit(values - middle, weights, penalty)
            return found, splines.at_times(found)

        return _robust(fit, values - middle, sure, near_s)[0]

    def miss(stiffness: float) -> float:
        off = []
        for half in (halves, ~halves):
            at = splines.at_times(fitted(np.where(half, heard.sure, 0.0), stiffness))
            off.append((values - middle - at)[~half])
        return max(_NOISE_S, float(np.quantile(np.abs(np.concatenate(off)), _MOST)) / _NORMAL)

    best = min(_STIFFNESS, key=miss)
    others = knots + middle + splines.at_knots(fitted(heard.sure, best))
    return Part(tuple(map(float, knots)), tuple(map(float, others))), miss(best)


def straight(part: Part, at_0: float, slope: float) -> Part:
    """A part of two knots, where the instrumental lies later by at_0 + slope · t."""
    ends = np.array([part.begin_s, part.end_s])
    others = part.at(ends) + at_0 + slope * ends
    return Part((part.begin_s, part.end_s), (float(others[0]), float(others[1])))


def _robust(
    fit: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    values: np.ndarray,
    sure: np.ndarray,
    near: float = 0.0,
) -> tuple[np.ndarray, float]:
    """The weighted least squares of most values, and the spread of these about it.

    `fit` gives, for weights, what was fitted and its values; those of no weight at the start have
    no vote.
    """
    weights = sure.copy()
    for number in range(_ROUNDS):
        fitted, at = fit(weights)
        rest = values - at
        spread = _spread(rest[sure > 0])
        wide = spread * _ROBUST * 2.0 ** max(0, _SURE_OF_ALL - number)  # lets go by and by
        wide = max(wide, near)
        weights = sure * np.maximum(0.0, 1 - (rest / wide) ** 2) ** 2
    return fitted, spread


def _spread(rest: np.ndarray) -> float:
    """The standard deviation of a normal spread with this median, no less than a window's noise."""
    return max(_NOISE_S, 1.4826 * float(np.median(np.abs(rest)))) if len(rest) else math.nan
