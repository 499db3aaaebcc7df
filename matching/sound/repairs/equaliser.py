"""Another equaliser: the short filter through which a backing lies in a mixture.

A master that is brighter, or leaner, is the same recording through a filter. It is sought by least
squares, one for each channel, in places (a fifth of a second by a bin) where the voice rests: as in
`levels`, the filter is the one for which the mean logarithm of what is left over is least. It is
believed only if filters that were made of every other stretch of a song leave much less over in the
stretches between, in no octave more, and do alike.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.linalg

from matching.sound.signals import powers, stft

HALF_S = 0.01  # on either side
OCTAVES_HZ = (63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16_000.0)
LARGEST_DB = 12.0  # by which an octave is raised
SMALLEST_DB = -24.0
LEAST_BETTER_DB = 3.0  # by which less must be left over in the stretches that were held out
MOST_WORSE_DB = 1.0  # by which more may be in an octave of these: chance
_WINDOW_S = 0.186
_STRETCH_S = 3.0
_FEWEST_STRETCHES = 4
_AUDIBLE = 1e-6  # of the strongest cell's power
_FEWEST_CELLS = 64
_FIRST_FLOOR, _FLOOR = 1e-1, 1e-5  # of a cell's power: what is lower counts as gone
_ROUNDS = 10
_RIDGE = 1e-4
_QUIETEST = 0.1  # the quantile of cells in which a voice surely rests
_DEEP_HZ = 90.0  # below, high-passes ring for longer than any filter here
_MOST_DEEP_DB = -25.0  # of the voice, what may be left over there


@dataclass(frozen=True)
class _Cells:
    """|X − Y|², |Y|² and (X − Y) Y* of a channel [frames, bins]."""

    rest: np.ndarray
    own: np.ndarray
    product: np.ndarray
    audible: np.ndarray

    def at(self, frames: np.ndarray) -> "_Cells":
        """Of some frames."""
        return _Cells(*(p[frames] for p in (self.rest, self.own, self.product, self.audible)))

    def left(self, gains: np.ndarray) -> np.ndarray:
        """Power that is left over once Y was filtered by 1 + gains [bins]."""
        rest = self.rest - 2 * (gains.conj() * self.product).real + np.abs(gains) ** 2 * self.own
        return np.maximum(rest, 0)


def fitted(mixture: np.ndarray, accompaniment: np.ndarray, rate: int) -> np.ndarray | None:
    """The filters [channels, taps], as for a convolution whose middle tap is now; None where none
    is proven. Both signals [channels, frames] are on one clock.
    """
    n_fft = 2 ** round(math.log2(_WINDOW_S * rate))
    frames = 1 + (mixture.shape[1] - n_fft) // (n_fft // 2)
    turns = np.arange(max(0, frames)) // max(1, round(_STRETCH_S * rate / (n_fft // 2)))
    if frames < 1 or turns[-1] + 1 < _FEWEST_STRETCHES:
        return None
    half = round(HALF_S * rate)
    found = []
    for x, y in zip(mixture, accompaniment, strict=True):
        cells = _cells(x, y, frames, n_fft)
        halves = [cells.at(turns % 2 == turn) for turn in (0, 1)]
        if min(int(part.audible.sum()) for part in halves) < _FEWEST_CELLS:
            return None
        made = [_fit(part, half, n_fft) for part in halves]
        responses = [_response(taps, n_fft) for taps in made]
        if not _is_proven(halves, responses[::-1], rate, n_fft):
            return None
        found.append(_fit(cells, half, n_fft))
        if not _is_bounded(found[-1], rate, n_fft, np.any(cells.audible, axis=0)):
            return None
    taps = np.array(found)
    taps[:, half] += 1
    return taps.astype(np.float32)


def octaves_db(taps: np.ndarray, rate: int) -> tuple[float, ...]:
    """What filters [channels, taps] do at each of OCTAVES_HZ, channel by channel, in dB."""
    half = taps.shape[1] // 2
    hz = np.array([at for at in OCTAVES_HZ if at < rate / 2])
    waves = np.exp(-2j * np.pi * np.outer(np.arange(-half, half + 1), hz / rate))
    gains_db = 20 * np.log10(np.maximum(np.abs(taps @ waves), 1e-6))
    return tuple(round(float(gain), 2) for gain in gains_db.ravel())


def _cells(x: np.ndarray, y: np.ndarray, frames: int, n_fft: int) -> _Cells:
    X, Y = (stft(side, 0, frames, n_fft, n_fft // 2, n_fft // 2) for side in (x, y))
    rest, own = X - Y, powers(Y)
    audible = own > _AUDIBLE * own.max(initial=0.0)
    return _Cells(powers(rest), own, rest * Y.conj(), audible)


def _fit(cells: _Cells, half: int, n_fft: int) -> np.ndarray:
    """What is to be added to the middle tap alone, [taps]."""
    weights = cells.audible / (cells.rest + cells.own + 1e-30)
    taps = np.zeros(2 * half + 1)
    for floor in (None, *np.geomspace(_FIRST_FLOOR, _FLOOR, _ROUNDS)):
        if floor is not None:
            left = cells.left(_response(taps, n_fft))
            weights = cells.audible / (left + floor * cells.own + 1e-30)
        own = np.fft.irfft((weights * cells.own).sum(axis=0), n_fft)
        met = np.fft.irfft((weights * cells.product).sum(axis=0), n_fft)
        row = own[: 2 * half + 1].copy()
        row[0] *= 1 + _RIDGE
        taps = scipy.linalg.solve_toeplitz(row, np.concatenate([met[-half:], met[: half + 1]]))
    return taps


def _response(taps: np.ndarray, n_fft: int) -> np.ndarray:
    """[bins] of what `_fit` gives."""
    half = len(taps) // 2
    held = np.zeros(n_fft)
    held[: half + 1], held[-half:] = taps[half:], taps[:half]
    return np.fft.rfft(held)


def _is_proven(halves: list[_Cells], responses: list[np.ndarray], rate: int, n_fft: int) -> bool:
    """Whether each filter, made elsewhere, leaves less over in the stretches that it has not seen:
    much less in all, in no octave more, and next to nothing in the deep."""
    for cells, gains in zip(halves, responses, strict=True):
        before, after = (_quietest(cells, one, rate, n_fft) for one in (0 * gains, gains))
        told = before > 0
        if not before[told].sum() > after[told].sum() * 10 ** (LEAST_BETTER_DB / 10):
            return False
        if (after[told] > before[told] * 10 ** (MOST_WORSE_DB / 10)).any():
            return False
        left = cells.left(gains)
        deep, own = left[:, : round(_DEEP_HZ * n_fft / rate)], cells.own
        share = np.quantile(deep / (own[:, : deep.shape[1]] + 1e-30), _QUIETEST, axis=0)
        deepest = float(share @ own[:, : deep.shape[1]].sum(axis=0))
        if deepest > left.sum() * 10 ** (_MOST_DEEP_DB / 10):
            return False
    return True


def _quietest(cells: _Cells, gains: np.ndarray, rate: int, n_fft: int) -> np.ndarray:
    """What is left over in each octave where the voice rests: of the backing's share there."""
    edges_hz = [0.0, *(math.sqrt(a * b) for a, b in pairwise(OCTAVES_HZ)), rate / 2]
    edges = [min(cells.own.shape[1], math.ceil(hz * n_fft / rate)) for hz in edges_hz]
    left = cells.left(gains)
    found = []
    for low, high in pairwise(edges):
        heard = cells.audible[:, low:high]
        if heard.sum() < _FEWEST_CELLS:
            found.append(0.0)
            continue
        own = cells.own[:, low:high]
        share = np.quantile(left[:, low:high][heard] / own[heard], _QUIETEST)
        found.append(float(share) * float(own[heard].sum()))
    return np.array(found)


def _is_bounded(taps: np.ndarray, rate: int, n_fft: int, audible: np.ndarray) -> bool:
    """Whether it raises and lowers no more than it may, at frequencies that are heard."""
    hz = np.arange(n_fft // 2 + 1) * (rate / n_fft)
    heard = audible & (hz >= OCTAVES_HZ[0])
    gains_db = 20 * np.log10(np.maximum(np.abs(1 + _response(taps, n_fft))[heard], 1e-6))
    return bool(len(gains_db) and gains_db.max() <= LARGEST_DB and gains_db.min() >= SMALLEST_DB)
