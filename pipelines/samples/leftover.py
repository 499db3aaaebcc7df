"""How much of its backing is left in a voice, told without knowing the voice. Free of Beam.

A voice is mixture − accompaniment, and what else is in it is what the two recordings do not share
sample for sample: a channel that is late, an equaliser, a limiter, another take, a codec's noise.
Of that,

* *coloured* is what the accompaniment explains, heard through a filter that stays: in each sixth
  of an octave, the gains of its channels (complex, so delays count) that leave least over;
* *moving* is what it explains at a gain of its own in each tenth of a second, in three bands;
* *bent* is what it explains at a gain that goes with its level, as limiters and clipping have it;
* *clipped* is what the mixture's peaks lack, for it goes against them and is nothing elsewhere;
* *noise* is what even the quietest places hold, whether it goes with the accompaniment or stays.

Places are cells of a tenth of a second by a bin. As in `matching.sound.channels`, gains are those
for which the mean logarithm of what is left over is least, so that what counts is where the voice
rests, and a voice that sings the backing's notes is not taken for backing.

A codec's noise is in every voice of its files, and how much of it is to be expected is known
(`pipelines.samples.encoders`). To see less than that of anything else, what the backing explains is
found twice, from halves of the places, and counts as far as the two agree: a voice and its backing
are alike by chance in either half, but not in the same way.
"""

import dataclasses
import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.fft

from matching.sound.signals import powers, stft
from pipelines.samples.encoders import Shares

WINDOW_S = 0.046
_CELL_FRAMES = 4
_FEWEST_CELLS = 16
_LOW_HZ, _HIGH_HZ = 30.0, 18_000.0
_AUDIBLE = 1e-5  # of the strongest cell's power: −50 dB
_COLOUR_BANDS, _MOVING_BANDS, _NOISE_BANDS = 6.0, 0.3, 3.0  # an octave
_FIRST_FLOOR, _FLOOR = 1e-1, 1e-4  # of a cell's power: what is lower counts as gone
_ROUNDS = 6
_RIDGE = 1e-3  # of power, where two channels are nearly one
_QUIETEST = 0.05
_OF_MEAN = 2.9  # the mean of cells of noise, by their quietest twentieth
_LEVELS = 10  # up to the loudest sample
_BEND_S = 0.05  # stretches that are held against each other in turns
_BEND_MISSES = 3.0  # what a limiter does in all, by what goes with the level
_MOVING_MISSES = 1.6  # what moves in all, by what does in tenths of a second
_TURN_CELLS = 10  # stretches of which the coloured is found twice
_TURN_BINS = 8  # groups of which the moving is found twice
_PEAKS = (0.7, 0.8, 0.9, 0.95)  # of the mixture's top, above which its peaks stand out
_TOP = 1e-4  # of its samples are above its top, or a codec's noise would make it
_LONGEST_PEAK_S = 0.01
_PEAK_HZ = (200.0, 10_000.0)  # what codecs leave of peaks


@dataclass
class Leftover:
    """Powers, summed over places and channels: of a voice with all that is in it, of its backing,
    and of what is left of that in the voice, by kind.

    Of lossy files also what is `expected` of their codecs, what is `clipped` from the mixture, and
    what two halves agree on of the coloured and the moving, which is below zero where they do not.
    """

    voice: float = 0.0
    backing: float = 0.0
    coloured: float = 0.0
    moving: float = 0.0
    bent: float = 0.0
    noise: float = 0.0
    size: float = 0.0  # of places
    expected: float = 0.0
    coloured_agreed: float = 0.0
    moving_agreed: float = 0.0
    clipped: float = 0.0

    def plus(self, other: "Leftover", times: float = 1.0) -> "Leftover":
        """The two together, the other at a weight."""
        names = [field.name for field in dataclasses.fields(Leftover)]
        return Leftover(**{n: getattr(self, n) + times * getattr(other, n) for n in names})

    @property
    def bent_in_all(self) -> float:
        """What limiters and clipping do, by what of it goes with the backing's level."""
        return _BEND_MISSES * self.bent

    @property
    def explained(self) -> float:
        """What is left of the backing that its own samples explain."""
        return self.coloured + _MOVING_MISSES * self.moving + self.bent_in_all

    @property
    def left(self) -> float:
        """All that is left of the backing."""
        return self.explained + self.noise

    @property
    def agreed(self) -> float:
        """All that is left, without what the backing explains by chance."""
        moving = _MOVING_MISSES * max(0.0, self.moving_agreed)
        return max(0.0, self.coloured_agreed) + moving + self.bent_in_all + self.noise


def measure(
    mixture: np.ndarray,
    accompaniment: np.ndarray,
    rate: int,
    codecs: tuple[Shares, Shares] | None = None,
) -> Leftover:
    """What is left of an accompaniment in mixture − accompaniment, both [channels, frames].

    `codecs`: the noise that those of the two files leave; without, nothing is expected or agreed.
    """
    n_fft = 2 ** round(math.log2(WINDOW_S * rate))
    hop = n_fft // 2
    frames = (mixture.shape[1] - n_fft) // hop + 1
    found = Leftover()
    if frames < _CELL_FRAMES:
        return found
    place = n_fft // 2  # so that no frame sticks out
    backing = [stft(side, 0, frames, n_fft, hop, place) for side in accompaniment]
    heard = _Heard(backing)
    bands = _Bands(rate, n_fft)
    scale = 3 / 16 * n_fft**2 / hop  # what a sample's power is in the spectra's
    for channel, side in enumerate(mixture):
        voice = stft(side, 0, frames, n_fft, hop, place) - backing[channel]
        sung = _Sung(voice, backing, heard, channel)
        _add(found, sung, bands)
        if codecs is not None:
            hz = np.arange(n_fft // 2 + 1) * (rate / n_fft)
            whole = powers(voice + backing[channel]).sum(axis=0)
            found.expected += float(
                whole @ codecs[0].at(hz) + sung.own.sum(axis=0) @ codecs[1].at(hz)
            )
            _add_agreed(found, sung, bands)
            found.clipped += _clipped(side, voice, rate, hop) * scale
        found.bent += _bent(side - accompaniment[channel], accompaniment[channel], rate) * scale
    return found


def _cells(values: np.ndarray) -> np.ndarray:
    """Frames [frames, bins] summed over a few; what is left over at the end is dropped."""
    whole = len(values) // _CELL_FRAMES
    return values[: whole * _CELL_FRAMES].reshape(whole, _CELL_FRAMES, values.shape[1]).sum(axis=1)


class _Heard:
    """Powers of the backing's channels and their product, in cells."""

    def __init__(self, backing: list[np.ndarray]) -> None:
        self.powers = [_cells(powers(side)) for side in backing]
        first, last = backing[0], backing[-1]
        self.both = _cells(first * last.conj())


class _Sung:
    """A channel of the voice against the backing's channels, in cells."""

    def __init__(
        self, voice: np.ndarray, backing: list[np.ndarray], heard: _Heard, channel: int
    ) -> None:
        self.power = _cells(powers(voice))
        self.with_backing = [_cells(voice * side.conj()) for side in backing]
        self.heard, self.channel = heard, channel
        self.own = heard.powers[channel]
        self.audible = self.own > _AUDIBLE * self.own.max(initial=0.0)


class _Bands:
    """Slices of bins."""

    def __init__(self, rate: int, n_fft: int) -> None:
        self._per_hz = n_fft / rate
        self._end = n_fft // 2 + 1
        self.colour, self.moving, self.noise = map(
            self._of, (_COLOUR_BANDS, _MOVING_BANDS, _NOISE_BANDS)
        )

    def _of(self, an_octave: float) -> list[slice]:
        count = math.ceil(an_octave * math.log2(_HIGH_HZ / _LOW_HZ))
        edges_hz = _LOW_HZ * (_HIGH_HZ / _LOW_HZ) ** (np.arange(count + 1) / count)
        edges = np.unique(np.clip(np.ceil(edges_hz * self._per_hz), 1, self._end).astype(int))
        return [slice(low, high) for low, high in pairwise(edges)]


def _add(found: Leftover, sung: _Sung, bands: _Bands) -> None:
    found.voice += float(sung.power.sum())
    found.backing += float(sung.own.sum())
    found.size += sung.power.size
    for band in bands.colour:
        found.coloured += _coloured(sung, band)
    for band in bands.moving:
        found.moving += _moving(sung, band)
    for band in bands.noise:
        found.noise += _noise(sung, band)


def _add_agreed(found: Leftover, sung: _Sung, bands: _Bands) -> None:
    turns = np.arange(len(sung.power)) // _TURN_CELLS % 2 == 0
    for band in bands.colour:
        halves = [_colour(sung, band, half[:, None]) for half in (turns, ~turns)]
        found.coloured_agreed += _product(sung, band, *halves)
    for band in bands.moving:
        groups = np.arange(band.start, band.stop) // _TURN_BINS % 2 == 0
        gains = [_gains(sung, band, half, _FEWEST_CELLS // 2) for half in (groups, ~groups)]
        own = sung.own[:, band].sum(axis=1)
        found.moving_agreed += float(((gains[0] * gains[1].conj()).real * own).sum())


def _coloured(sung: _Sung, band: slice) -> float:
    """Power that the channels of the backing explain at a gain each, of cells in a band."""
    gains = _colour(sung, band)
    return _product(sung, band, gains, gains)


Colour = tuple[complex, complex]  # gains of the backing's channels


def _product(sung: _Sung, band: slice, first: Colour, second: Colour) -> float:
    """Of the backing's channels at two pairs of gains, the real part: their power, if they are
    one."""
    left, right, both = (
        part[:, band].sum()
        for part in (sung.heard.powers[0], sung.heard.powers[-1], sung.heard.both)
    )
    a, b = first
    c, d = second[0].conjugate(), second[1].conjugate()
    crossed = a * d * both + b * c * both.conjugate()
    return float((a * c * left + b * d * right + crossed).real)


def _colour(sung: _Sung, band: slice, part: np.ndarray | bool = True) -> Colour:
    """The gains for a band, from a part of its cells; 0 where too few are audible."""
    chosen = sung.audible[:, band] & part
    a = b = 0j
    if chosen.sum() < _FEWEST_CELLS:
        return a, b
    power, left, right, both, with_left, with_right = (
        part[:, band][chosen]
        for part in (
            sung.power,
            sung.heard.powers[0],
            sung.heard.powers[-1],
            sung.heard.both,
            sung.with_backing[0],
            sung.with_backing[-1],
        )
    )
    for floor in np.geomspace(_FIRST_FLOOR, _FLOOR, _ROUNDS):
        rest = power - 2 * (np.conj(a) * with_left + np.conj(b) * with_right).real
        rest += abs(a) ** 2 * left + abs(b) ** 2 * right + 2 * (a * np.conj(b) * both).real
        weights = 1 / (np.maximum(rest, 0) + floor * (left + right) + 1e-30)
        ll, rr, lr = float(weights @ left), float(weights @ right), complex(weights @ both)
        p, q = complex(weights @ with_left), complex(weights @ with_right)
        ridge = _RIDGE * (ll + rr) / 2
        scale = (ll + ridge) * (rr + ridge) - abs(lr) ** 2
        a = (p * (rr + ridge) - q * lr.conjugate()) / scale
        b = (q * (ll + ridge) - p * lr) / scale
    return a, b


def _moving(sung: _Sung, band: slice) -> float:
    """Power that a channel of the backing explains at a gain for each cell's time, in a band."""
    gains = _gains(sung, band, True, _FEWEST_CELLS)
    return float((np.abs(gains) ** 2 * sung.own[:, band].sum(axis=1)).sum())


def _gains(sung: _Sung, band: slice, part: np.ndarray | bool, fewest: int) -> np.ndarray:
    """The gain for each cell's time, from a part of a band's bins; 0 where too few are audible."""
    chosen = sung.audible[:, band] & part
    power, own, product = (
        np.where(chosen, part[:, band], 0)
        for part in (sung.power, sung.own, sung.with_backing[sung.channel])
    )
    gains = np.zeros((len(own), 1), np.complex64)
    for floor in np.geomspace(_FIRST_FLOOR, _FLOOR, _ROUNDS).astype(np.float32):
        rest = power - 2 * (gains.conj() * product).real + np.abs(gains) ** 2 * own
        weights = chosen / (np.maximum(rest, 0) + floor * own + np.float32(1e-30))
        gains = (weights * product).sum(axis=1, keepdims=True) / (
            (weights * own).sum(axis=1, keepdims=True) + np.float32(1e-30)
        )
    return np.where(chosen.sum(axis=1) >= fewest, gains[:, 0], 0)


def _bent(voice: np.ndarray, own: np.ndarray, rate: int) -> float:
    """Power that a channel of the backing explains at a gain for each of its levels, of samples.

    Each gain is found twice, in stretches that take turns, and counts as far as the two agree.
    """
    size = np.abs(own)
    peak = float(size.max(initial=0.0))
    if not peak > 0:
        return 0.0
    turn = np.arange(len(own)) // max(1, round(_BEND_S * rate)) % 2
    place = np.minimum((size * np.float32(_LEVELS / peak)).astype(np.int64), _LEVELS - 1)
    place += _LEVELS * turn
    power = np.bincount(place, own * own, 2 * _LEVELS).reshape(2, _LEVELS)
    product = np.bincount(place, own * voice, 2 * _LEVELS).reshape(2, _LEVELS)
    gains = product / np.maximum(power, 1e-30)
    return float((np.maximum(gains[0] * gains[1], 0) * power.sum(axis=0)).sum())


def _noise(sung: _Sung, band: slice) -> float:
    """Power that goes with the backing, or stays, even in the quietest cells of a band."""
    chosen = sung.audible[:, band]
    if chosen.sum() < _FEWEST_CELLS:
        return 0.0
    power, own = sung.power[:, band], sung.own[:, band]
    going = float(np.quantile(power[chosen] / own[chosen], _QUIETEST)) * float(own.sum())
    staying = float(np.quantile(power, _QUIETEST)) * power.size * _OF_MEAN
    return max(going, staying)


def _clipped(mixture: np.ndarray, voice: np.ndarray, rate: int, hop: int) -> float:
    """Power, of samples, by which a channel of the mixture was cut off at its peaks.

    A voice shares the peaks of its mixture, so that what goes against them is none. How high they
    would have been is taken from how steeply they begin and end, and what of that is in the voice,
    [frames, bins] every `hop` samples, is found as by least squares where it is most easily seen,
    in stretches that take turns; it counts as far as the two agree.
    """
    n_fft = 2 * (voice.shape[1] - 1)
    hz = np.arange(voice.shape[1]) * (rate / n_fft)
    low, high = np.searchsorted(hz, _PEAK_HZ)
    voice = voice[:, low:high]
    weights = 1 / (powers(voice).mean(axis=0) + 1e-30)
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    size = np.abs(mixture)
    top = float(np.quantile(size, 1 - _TOP))
    most = 0.0
    for share in _PEAKS:
        lacking = _above(mixture, share * top, round(_LONGEST_PEAK_S * rate))
        at = np.flatnonzero(lacking)
        frames = np.unique(np.concatenate([at // hop - 1, at // hop]))
        frames = frames[(frames >= 0) & (frames < len(voice))]
        if not len(frames):
            continue
        pieces = np.lib.stride_tricks.sliding_window_view(lacking, n_fft)[frames * hop]
        spectra = scipy.fft.rfft(window * pieces, axis=1)[:, low:high]
        products = (voice[frames] * spectra.conj()).real @ weights
        expected = powers(spectra) @ weights
        turn = frames // _TURN_CELLS % 2 == 0
        first, second = (
            min(0.0, float(products[half].sum() / (expected[half].sum() + 1e-30)))
            for half in (turn, ~turn)
        )
        most = max(most, first * second * float(lacking @ lacking))
    return most


def _above(samples: np.ndarray, level: float, longest: int) -> np.ndarray:
    """What would be above a level, of samples that were cut off there: between the places where
    they reach it, cubics of the slopes that they have outside. 0 elsewhere."""
    over = np.abs(samples) >= level
    over[:4] = over[-4:] = False
    steps = np.diff(over.astype(np.int8))
    first, last = np.flatnonzero(steps == 1) + 1, np.flatnonzero(steps == -1)
    kept = (last - first < longest) & (samples[first] * samples[last] > 0)
    first, last = first[kept], last[kept]
    sign = np.sign(samples[first])
    rise, fall = (
        np.maximum(0, sign * (samples[near] - samples[far]) / 2)
        for near, far in ((first - 1, first - 3), (last + 1, last + 3))
    )
    counts = last - first + 1
    peak = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(peak)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = counts[peak] + 1
    part = (place + 1) / width
    found = np.zeros_like(samples)
    heights = rise[peak] * part * (1 - part) ** 2 + fall[peak] * part**2 * (1 - part)
    found[first[peak] + place] = sign[peak] * width * heights
    return found
