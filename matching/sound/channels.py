"""How an instrumental's channels lie in a mixture's: in place, swapped, inverted, mono, louder.

Wherever a voice rests, each channel of the mixture is a sum of the instrumental's two at constant
gains, if the one was mixed from the other. The gains are those for which most is cancelled in most
places: they minimise the mean logarithm of what is left over in cells of time and frequency, which
looks at the cells that cancel and lets a voice be (iteratively reweighted least squares). What can
be said in fewer numbers is: channels in place or swapped, at one gain or at one each.

Where the instrumental is mono and the mixture is not, no gains can take the backing out of both
channels; but it may be a sum of the mixture's, and then out of that sum.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from matching.sound.signals import Signal, Stereo

MEAN = (0.5, 0.5)
HALF_DIFFERENCE = (0.5, -0.5)
IN_PLACE = (1.0, 0.0, 0.0, 1.0)
_BLOCK = 1 << 18  # frames
_ALIKE = 1e-7  # of their power: −70 dB; channels that differ by less are one
_WIDE = 0.3  # of the power of the louder of mean and half difference
_MONO = 1e-4  # of power: −40 dB, what an encoder may leave of a second channel
_SILENT = 1e-7  # of the other channel's power
_AUDIBLE = 1e-4  # of the strongest cell's power: −40 dB
_FLOOR = 1e-4  # of a cell's power: what is lower counts as gone
_FIRST_FLOOR = 1e-1
_ROUNDS = 10
_TRIED = 2  # starting points
_CELLS = 4096  # that take part, evenly spread
_FEWEST_CELLS = 64
_CELL_FRAMES = 8
_EVEN = 0.1  # of all gains: a sum that says no sign
_SIMPLER = 0.02  # in the mean logarithm: as good as the general solution
_BETTER = 0.3  # by which a sum of the mixture's channels must be better than both
_QUIETEST = 0.05  # the quantile of cells in which a voice surely rests; as in `coherence`
_LEAST_DB = -79  # likewise


@dataclass(frozen=True)
class Width:
    """What a recording's two channels are to each other, by the powers of mean and half difference.

    `gains` take them together to the one that is compared: their mean, or half their difference
    where that is louder, as where one channel is inverted. `alike`: they are the same. `wide`: the
    other of the two is nearly as loud, so that another recording of it may be louder in that.
    """

    gains: tuple[float, float]
    alike: bool
    wide: bool


def width(signal: Stereo) -> Width:
    """Of a stereo signal, read block by block."""
    mid, side = _total(signal.mid), _total(signal.side)
    return Width(
        gains=MEAN if mid >= side else HALF_DIFFERENCE,
        alike=side <= _ALIKE * mid,
        wide=min(mid, side) > _WIDE * max(mid, side),
    )


def _total(signal: Signal | None) -> float:
    """Its power, summed over time."""
    if signal is None:
        return 0.0
    blocks = (signal[start : start + _BLOCK] for start in range(0, len(signal), _BLOCK))
    return sum(float(np.dot(block, block)) for block in blocks)


@dataclass(frozen=True)
class ChannelMap:
    """How the channels lie, and what is left over where the voice rests.

    mixture ≈ level · gains · instrumental: `gains` are what of the instrumental's left and right
    lies in the mixture's left, and in its right, at most 1 together for each channel. `level` is
    negative where most is inverted. Where the pair fits in mono alone, `gains` are two: what of the
    instrumental's lies in the sum of the mixture's channels at `mono_gains`. `residual_db` is by
    band, as `coherence.compare` has it, of the worse channel.
    """

    gains: tuple[float, ...]
    level: float
    mono_gains: tuple[float, float] | None
    residual_db: dict[str, float]

    @property
    def polarity(self) -> int:
        """1, or −1 where most is inverted."""
        return -1 if self.level < 0 else 1

    def mixed(self, together: Sequence[float]) -> tuple[float, float]:
        """What of the instrumental's channels lies in the mixture's as they are taken together."""
        if self.mono_gains is not None:
            return self.gains[0], self.gains[1]
        left, right = np.asarray(together) @ np.asarray(self.gains).reshape(2, 2)
        return float(left), float(right)


def find(X: np.ndarray, Y: np.ndarray, bands: Mapping[str, slice], low: int) -> ChannelMap | None:
    """The channels of aligned spectra, complex64 [2, frames, bins]; None where nothing sounds.

    Args:
        bands: the bins of each band of `residual_db`.
        low: the first bin that counts.
    """
    whole = _cells(X, Y)
    sounds = whole.xx[:2].sum(axis=0)
    places = np.flatnonzero(sounds > _AUDIBLE * sounds.max(initial=0.0))
    places = places[places % X.shape[2] >= low]
    places = places[:: max(1, math.ceil(len(places) / _CELLS))]
    if len(places) < _FEWEST_CELLS:
        return None
    cells = whole.at(places)
    powers = cells.xx[:2].sum(axis=1)
    heard = [c for c in (0, 1) if powers[c] > _SILENT * powers.sum()]
    one = _as_one(cells.yy)
    rows, cost = _in_channels(cells, heard, one)
    left = _Left(whole, bands, X.shape[2])
    if one is not None and _as_one(cells.xx) is None:
        taken, gain, mono_cost = _in_a_sum(cells, one)
        if mono_cost < cost - _BETTER:
            return ChannelMap(one, gain, taken, left.of(taken, gain * np.asarray(one)))
    level = float(np.abs(rows).sum(axis=1).max())
    if not level > 0:
        return None
    parts = [left.of(_ROWS[c], rows[c]) for c in heard]
    names = sorted({name for part in parts for name in part})
    worst = {name: max(part[name] for part in parts if name in part) for name in names}
    level *= _sign(rows)
    gains = tuple(float(gain) + 0.0 for gain in (rows / level).ravel())  # no zero with a sign
    return ChannelMap(gains, level, None, worst)


def _sign(rows: np.ndarray) -> int:
    """That of most; where it is as much the one as the other, of the first that is not small."""
    total, sizes = float(rows.sum()), np.abs(rows)
    if abs(total) < _EVEN * sizes.sum():
        total = float(rows.ravel()[np.flatnonzero(sizes > sizes.max() / 2)[0]])
    return -1 if total < 0 else 1


_ROWS = ((1.0, 0.0), (0.0, 1.0))  # left, right
Gains = Sequence[float] | np.ndarray
Sums = tuple[np.ndarray, np.ndarray, np.ndarray]  # what a target is held against, see `_Cells.of`


@dataclass(frozen=True)
class _Cells:
    """Of two channels x and y each: the powers of left and right and their product, xx, yy
    [3, cells], and the products of x's channels with y's, xy [2, 2, cells]; real parts."""

    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray

    def at(self, places: np.ndarray) -> "_Cells":
        """Some of the cells."""
        return _Cells(self.xx[:, places], self.yy[:, places], self.xy[..., places])

    def turned(self) -> "_Cells":
        """The two in each other's place."""
        return _Cells(self.yy, self.xx, self.xy.transpose(1, 0, 2))

    def of(self, gains: Gains) -> Sums:
        """A sum of x's channels: its power [cells], yy, and its products with y's [2, cells]."""
        return _power(self.xx, gains), self.yy, gains[0] * self.xy[0] + gains[1] * self.xy[1]


def _cells(X: np.ndarray, Y: np.ndarray) -> _Cells:
    """Products summed over cells of a few frames by one bin; cell i is of bin i modulo bins."""
    whole = X.shape[1] // _CELL_FRAMES * _CELL_FRAMES

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        found = (a.real * b.real + a.imag * b.imag)[:whole]
        return found.reshape(-1, _CELL_FRAMES, a.shape[1]).sum(axis=1).ravel()

    def powers(S: np.ndarray) -> np.ndarray:
        return np.stack([product(S[0], S[0]), product(S[1], S[1]), product(S[0], S[1])])

    return _Cells(powers(X), powers(Y), np.stack([[product(x, y) for y in Y] for x in X]))


def _power(powers: np.ndarray, gains: Gains) -> np.ndarray:
    """Power of a sum of two channels."""
    a, b = gains
    return np.maximum(a * a * powers[0] + b * b * powers[1] + 2 * a * b * powers[2], 0.0)


def _as_one(powers: np.ndarray) -> tuple[float, float] | None:
    """The gains at which two channels that hold one signal are that; None for two signals."""
    left, right, both = (float(part.sum(dtype=np.float64)) for part in powers)
    values, vectors = np.linalg.eigh(np.array([[left, both], [both, right]]))
    if values[0] > _MONO * values[1]:
        return None
    a, b = vectors[:, 1] / np.abs(vectors[:, 1]).sum() * (-1 if vectors[0, 1] < 0 else 1)
    return round(float(a), 3), round(float(b), 3)


def _left_over(target: Sums, gains: Gains) -> np.ndarray:
    """Power [cells] of a target minus y's channels at these gains."""
    power, yy, xy = target
    return np.maximum(power - 2 * (gains[0] * xy[0] + gains[1] * xy[1]) + _power(yy, gains), 0.0)


def _cost(target: Sums, gains: Gains) -> float:
    """The mean logarithm of what is left over, relative to the target: 0 for all of it."""
    left = _left_over(target, gains)
    return float(np.log(left / np.maximum(target[0], 1e-30) + _FLOOR).mean())


def _fitted(target: Sums, start: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Gains [2] of least cost among sums of `axes` [1 or 2, 2], from a start on."""
    power, yy, xy = target
    gains = start
    for floor in np.geomspace(_FIRST_FLOOR, _FLOOR, _ROUNDS):
        weights = 1 / (_left_over(target, gains) + floor * power + 1e-30)
        left, right, both = yy @ weights
        matrix = axes @ np.array([[left, both], [both, right]]) @ axes.T
        matrix += 1e-6 * np.trace(matrix) * np.eye(len(axes)) + 1e-30
        gains = np.linalg.solve(matrix, axes @ (xy @ weights)) @ axes
    return gains


def _along(target: Sums, axis: Sequence[float]) -> np.ndarray:
    """The best gains along one axis."""
    axes = np.array([axis], float)
    return _fitted(target, np.zeros(2), axes)


def _anyhow(target: Sums) -> np.ndarray:
    """The best gains at all: from nothing, and from the best along any of four axes."""
    starts = [_along(target, axis) for axis in (*_ROWS, MEAN, HALF_DIFFERENCE)]
    starts.sort(key=lambda gains: _cost(target, gains))
    found = [_fitted(target, start, np.eye(2)) for start in (np.zeros(2), *starts[:_TRIED])]
    return min(found, key=lambda gains: _cost(target, gains))


def _in_channels(
    cells: _Cells, heard: Sequence[int], one: tuple[float, float] | None
) -> tuple[np.ndarray, float]:
    """Gains [2, 2] of y's channels in those of x that are heard, as simple as may be, and their
    cost. `one`: y's channels are one signal at these gains."""
    targets = {c: cells.of(_ROWS[c]) for c in heard}

    def cost_of(rows: np.ndarray) -> float:
        return sum(_cost(target, rows[c]) for c, target in targets.items()) / len(targets)

    def each(axes: Sequence[Sequence[float]]) -> np.ndarray:
        rows = np.zeros((2, 2))
        for c, target in targets.items():
            rows[c] = _along(target, axes[c])
        return rows

    def even(axes: Sequence[Sequence[float]]) -> np.ndarray:
        """One gain for both: the geometric mean, if their signs agree."""
        rows = each(axes)
        sums = rows.sum(axis=1)[heard]
        gain = math.copysign(math.sqrt(float(np.abs(sums).prod()) ** (2 / len(sums))), sums[0])
        return gain * np.asarray(axes) * np.isin((0, 1), heard)[:, None]

    if one is not None:
        rows = each((one, one))
        return rows, cost_of(rows)
    general = np.zeros((2, 2))
    for c, target in targets.items():
        general[c] = _anyhow(target)
    least = cost_of(general)
    for simpler in (even, each):
        for axes in (_ROWS, _ROWS[::-1]):
            rows = simpler(axes)
            if (cost := cost_of(rows)) <= least + _SIMPLER:
                return rows, cost
    return general, least


def _in_a_sum(cells: _Cells, one: tuple[float, float]) -> tuple[tuple[float, float], float, float]:
    """The sum of x's channels that holds y, whose channels are one; y's gain there; the cost."""
    anyhow = _anyhow(cells.turned().of(one))
    scale = float(np.abs(anyhow).sum()) or 1.0
    sums = (MEAN, *_ROWS, HALF_DIFFERENCE, (float(anyhow[0]) / scale, float(anyhow[1]) / scale))
    targets = [cells.of(taken) for taken in sums]
    found = [_along(target, one) for target in targets]
    costs = [_cost(target, gains) for target, gains in zip(targets, found, strict=True)]
    least = min(costs)
    place = next(n for n, cost in enumerate(costs) if cost <= least + _SIMPLER)
    return sums[place], float(found[place] @ np.sign(one)), costs[place]


class _Left:
    """What is left over by band, in dB: the level below which a twentieth of the cells lie."""

    def __init__(self, cells: _Cells, bands: Mapping[str, slice], bins: int) -> None:
        self._cells, self._bands, self._bins = cells, bands, bins

    def of(self, taken: Gains, gains: Gains) -> dict[str, float]:
        """Of a sum of x's channels, with y's channels at some gains taken out."""
        target = self._cells.of(taken)
        power = target[0].reshape(-1, self._bins)
        left = _left_over(target, gains).reshape(-1, self._bins)
        loud = power > _AUDIBLE * power.max(initial=0.0)
        found = {}
        for name, part in self._bands.items():
            heard = loud[:, part]
            if heard.sum() >= _FEWEST_CELLS:
                ratio = float(np.quantile(left[:, part][heard] / power[:, part][heard], _QUIETEST))
                found[name] = float(max(_LEAST_DB, math.ceil(10 * math.log10(max(ratio, 1e-12)))))
        return found
