"""The level of a backing in a mixture where it changes: a gain along it.

A fade, a limiter or an engineer's hand may leave an accompaniment at another level in each part of
a song. Of a chunk, the gain is sought at which it lies in the mixture: one, or a line, or a line
with knots. It is the one for which the mean logarithm of what
is left over is least, so that a voice that sings the backing's notes is not taken for backing.
Of a whole pair it is told more coarsely, from the cells of every few seconds that cohere best.
"""

import numpy as np

from matching.sound.coherence import Segments
from matching.sound.signals import Signal, powers, stft

KNOTS_S = (3.0, 1.0)  # between the knots of a gain along a chunk, if a line does not do
MOST_KNOTS = 600
LARGEST_DB = 12.0  # by which a backing is raised; it raises its noise as well
SMALLEST_DB = -40.0
SMALLEST_CHANGE_DB = 0.1  # that is worth it: what less leaves is 38 dB below the backing
_N_FFT = 2048
_CELL_FRAMES = 4
_FEWEST_CELLS = 16  # in time
_LOW_BIN, _HIGH_BIN = 4, 512
_AUDIBLE = 1e-5
_FIRST_FLOOR, _FLOOR = 1e-1, 1e-4  # of a cell's power: what is lower counts as gone
_ROUNDS = 8
_SIMPLER = 0.02  # of the mean logarithm that another knot must save
LEAST_CHANGE_DB = 1.0  # along a pair, that is worth another look
_SURE = 3.0  # times what two halves of the bins differ by: a change that is no chance
_TURN_BINS = 8
_COHERENT_CELL = 0.5  # as in `coherence`: of cells that tell a level
_BEST_CELLS = 0.9
_FEWEST_BEST = 8


def gains_db(mixture: np.ndarray, accompaniment: np.ndarray, rate: int) -> tuple[float, ...] | None:
    """The gains at which an accompaniment lies in a mixture, both [channels, frames], in dB.

    At equal distances from the first frame to the last, and on lines between them; one holds
    throughout. None where none can be told, or where it lies at its own level.
    """
    frames = 1 + (mixture.shape[1] - _N_FFT) // (_N_FFT // 2)
    if frames < _FEWEST_CELLS * _CELL_FRAMES:
        return None
    power, own, product = _cells(mixture, accompaniment, frames)
    audible = own > _AUDIBLE * own.max(initial=0.0)
    if audible.sum() < _FEWEST_CELLS**2:
        return None
    best: np.ndarray | None = None
    least = np.inf
    length_s = mixture.shape[1] / rate
    knotted = {min(MOST_KNOTS, 1 + round(length_s / apart_s)) for apart_s in KNOTS_S}
    for knots in sorted({1, 2, *knotted}):
        along = _hats(knots, own.shape[0])
        gains, cost = _fitted(power, own, product, audible, along)
        if cost < least - _SIMPLER:
            best, least = gains, cost
    if best is None or best.min() <= 0:
        return None
    found = 20 * np.log10(best)
    is_change = np.abs(found).max() >= SMALLEST_CHANGE_DB
    if not is_change or found.max() > LARGEST_DB or found.min() < SMALLEST_DB:
        return None
    return tuple(round(float(gain), 3) for gain in found)


def applied(samples: np.ndarray, gains_db: tuple[float, ...]) -> np.ndarray:
    """A signal [channels, frames] at gains along it, float32."""
    gains = 10 ** (np.asarray(gains_db) / 20)
    if len(gains) == 1:
        return samples * np.float32(gains[0])
    places = np.linspace(0, len(gains) - 1, samples.shape[1])
    return samples * np.interp(places, np.arange(len(gains)), gains).astype(np.float32)


def share(gains_db: tuple[float, ...]) -> float:
    """Of its power, what may be left of a voice that was turned down with its backing: 0…1."""
    return min(1.0, float(np.mean(10 ** (np.asarray(gains_db) / 10))))


def along(found: Segments, matched: np.ndarray, low: int) -> np.ndarray | None:
    """The gain of each segment of a pair relative to their median; None where it hardly changes, or
    by more than a backing is raised or lowered, or not alike in two halves of the bins.

    The median of |XY*| / |Y|² over the bins, from `low` on, in which the two cohere best, so that
    no voice takes part; a segment of which too little is told is on a line between its neighbours.
    """
    turns = np.arange(low, found.xx.shape[1]) // _TURN_BINS % 2
    chosen = matched & found.whole
    halves = [_by_segment(found, chosen, low + np.flatnonzero(turns == turn)) for turn in (0, 1)]
    told = np.flatnonzero(np.isfinite(halves).all(axis=0))
    if len(told) < 2:
        return None
    apart_db = np.quantile(np.abs(halves[0] - halves[1])[told], 0.9)
    middle_db = (halves[0] + halves[1])[told] / 2
    found_db = np.interp(np.arange(len(found.xx)), told, middle_db) - np.median(middle_db)
    if np.ptp(found_db) < max(LEAST_CHANGE_DB, _SURE * float(apart_db)):
        return None
    if found_db.max() > LARGEST_DB or found_db.min() < SMALLEST_DB:
        return None
    return 10 ** (found_db / 20)


def _by_segment(found: Segments, matched: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """The gains of some bins, in dB; not a number where too little is told."""
    gains_db = np.full(len(found.xx), np.nan)
    for number in np.flatnonzero(matched):
        xx, yy, xy = (part[number, bins] for part in (found.xx, found.yy, found.xy))
        both = xx * yy
        heard = both > _AUDIBLE**2 * both.max(initial=0.0)
        if not heard.any():
            continue
        coherence = np.abs(xy[heard]) ** 2 / both[heard]
        best = coherence >= max(_COHERENT_CELL, float(np.quantile(coherence, _BEST_CELLS)))
        if best.sum() >= _FEWEST_BEST:
            ratios = np.log(np.abs(xy[heard][best])) - np.log(yy[heard][best])
            gains_db[number] = 20 / np.log(10) * np.median(ratios)
    return gains_db


class Levelled:
    """A signal at gains that it has at some of its frames, and on lines between."""

    def __init__(self, signal: Signal, frames: np.ndarray, gains: np.ndarray) -> None:
        self._signal, self._frames, self._gains = signal, frames, gains

    def __len__(self) -> int:
        return len(self._signal)

    def __getitem__(self, wanted: slice, /) -> np.ndarray:
        start, stop, _ = wanted.indices(len(self))
        gains = np.interp(np.arange(start, max(start, stop)), self._frames, self._gains)
        return self._signal[start:stop] * gains.astype(np.float32)


def _cells(
    mixture: np.ndarray, accompaniment: np.ndarray, frames: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """|X|², |Y|² and Re XY* in cells of a tenth of a second by a bin, all channels side by side."""
    found: list[list[np.ndarray]] = [[], [], []]
    for x, y in zip(mixture, accompaniment, strict=True):
        X, Y = (
            stft(side, 0, frames, _N_FFT, _N_FFT // 2, _N_FFT // 2)[:, _LOW_BIN:_HIGH_BIN]
            for side in (x, y)
        )
        for held, values in zip(found, (powers(X), powers(Y), (X * Y.conj()).real), strict=True):
            whole = frames // _CELL_FRAMES
            cells = values[: whole * _CELL_FRAMES].reshape(whole, _CELL_FRAMES, -1)
            held.append(cells.sum(axis=1))
    power, own, product = (np.concatenate(held, axis=1) for held in found)
    return power, own, product


def _hats(knots: int, cells: int) -> np.ndarray:
    """What each knot's gain counts for in each cell's time, [cells, knots]."""
    if knots == 1:
        return np.ones((cells, 1))
    places = (np.arange(cells) + 0.5) / cells * (knots - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(knots)))


def _fitted(
    power: np.ndarray,
    own: np.ndarray,
    product: np.ndarray,
    audible: np.ndarray,
    along: np.ndarray,
) -> tuple[np.ndarray, float]:
    """The knots' gains, and the mean logarithm of what they leave."""
    weights = audible / (power + own + 1e-30)
    gains = np.ones(along.shape[1])
    rest = power
    for floor in (None, *np.geomspace(_FIRST_FLOOR, _FLOOR, _ROUNDS)):
        if floor is not None:
            weights = audible / (np.maximum(rest, 0) + floor * own + 1e-30)
        held, met = (weights * own).sum(axis=1), (weights * product).sum(axis=1)
        square = along.T @ (held[:, None] * along)
        ridge = 1e-9 * np.trace(square) * np.eye(len(square))
        gains = np.linalg.solve(square + ridge, along.T @ met)
        at = (along @ gains)[:, None]
        rest = power - 2 * at * product + at**2 * own
    left = np.maximum(rest, 0)[audible] / own[audible] + _FLOOR
    return gains, float(np.log(left).mean())
