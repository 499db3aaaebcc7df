"""What two aligned recordings share sample for sample: level, bass, and what is left over.

Both are seen as short-time spectra X (mixture) and Y (instrumental, moved to where it belongs).
Where the mixture is Y at some level plus a voice, the two keep their phase against each other in
every cell that the voice leaves alone; recordings that only sound alike do not.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from matching.sound import difference
from matching.sound.difference import Difference
from matching.sound.drift import Line, Warped
from matching.sound.probes import common
from matching.sound.signals import Signal, magnitudes, powers, stft

SEGMENT_S = 3.0
BANDS_HZ = (0, 250, 500, 1000, 2000, 4000)
LOW_HZ = 32.0  # below lies rumble
_BASS_HZ = (32.0, 96.0)  # below nearly every voice
_AUDIBLE = 1e-4  # of the strongest cell's power: −40 dB
_COHERENT_CELL = 0.5  # of a cell's power that a voice and a codec leave alone; chance gives 0.1
_BEST_CELLS = 0.9  # the quantile of coherence from which cells tell the level
_FEWEST_CELLS = 16
_NEVER_SURER = 1e-4  # what coherence misses of 1
_ROUNDS = 6
_SMALLEST_LATER, _LARGEST_LATER = 1e-3, 1.0  # samples
_FEWEST_DELAYS = 4  # segments
_FAINT_BASS = 1e-3  # of the mixture's power
_RESTS = 10**-3.5  # of its loud frames' power: −35 dB
_SOUNDS = 1e-3
_CELL_FRAMES = 8
_SPAN_S = 0.5  # over which a voice is heard or rests
_FEWEST_SPANS = 10
_AUDIBLE_SPAN = 0.02  # of all bands' magnitudes
_RESTING = 0.05  # of the median over time
_LEAST_DB, _MOST_DB = -80, 20
_QUIETEST = 0.05  # the quantile of cells in which a voice surely rests
COHERENT_DB = -12.0


@dataclass(frozen=True)
class Segments:
    """Power and cross-power [segments, bins], each summed over a few seconds.

    `agreement` [segments] in −1…1 is the mean cosine of the angle between X and Y over all cells;
    `x_frames`, `y_frames` [frames] are their power over time, `frames` where the first frame of
    each segment and the end of the last lie.
    """

    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray
    agreement: np.ndarray
    x_frames: np.ndarray
    y_frames: np.ndarray
    frames: np.ndarray

    @property
    def whole(self) -> np.ndarray:
        """Which are not mere rests at an end: two of a single frame cohere whatever they are."""
        lengths = np.diff(self.frames)
        return lengths * 2 > lengths.max(initial=0)


@dataclass(frozen=True)
class Aligned:
    """A mixture, and an instrumental held against it along a line (in samples)."""

    x: Signal
    y: Signal
    line: Line
    polarity: int
    sample_rate: int
    n_fft: int = difference.N_FFT
    hop_length: int = difference.HOP_LENGTH

    def extent(self) -> tuple[int, int]:
        """The first frame in which both sound, and the end."""
        begin, end = common(len(self.x), len(self.y), self.line)
        first = math.ceil(begin / self.hop_length)
        return first, max(first, 1 + (end - 1) // self.hop_length) if end > begin else first

    def blocks(self, size: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """First frame, X and Y, complex64 [frames, bins], in blocks of at most `size` frames."""
        first, last = self.extent()
        for start in range(first, last, size):
            yield start, *self.spectra(start, min(size, last - start))

    def spectra(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """X and Y, complex64 [count, bins], of `count` frames."""
        y, shift = self.y, self.line.offset
        if self.line.slope:
            y, shift = Warped(self.y, self.line, len(self.x)), 0.0
        X = stft(self.x, start, count, self.n_fft, self.hop_length)
        Y = stft(y, start, count, self.n_fft, self.hop_length, shift)
        return X, Y if self.polarity > 0 else -Y

    def bins(self, low_hz: float, high_hz: float) -> slice:
        """The bins of a band."""
        per_hz = self.n_fft / self.sample_rate
        return slice(math.ceil(low_hz * per_hz), math.ceil(high_hz * per_hz))

    def bass(self) -> slice:
        """The bins of the bass."""
        return self.bins(*_BASS_HZ)

    def bands(self) -> dict[str, slice]:
        """The bins of each band of `BANDS_HZ`, by its name."""
        return {
            f"{low}-{high}": self.bins(LOW_HZ if low == 0 else low, high)
            for low, high in pairwise(BANDS_HZ)
        }

    def segment_frames(self) -> int:
        """Frames in a segment."""
        return max(1, round(SEGMENT_S * self.sample_rate / self.hop_length))


def segments(aligned: Aligned) -> Segments:
    """Powers and cross-powers along the recordings."""
    size = aligned.segment_frames()
    low = math.ceil(LOW_HZ * aligned.n_fft / aligned.sample_rate)
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray, float]] = []
    x_frames, y_frames, starts = [], [], []
    for start, X, Y in aligned.blocks(size):
        cross = X * Y.conj()
        x_power, y_power = powers(X), powers(Y)
        height = np.sqrt(x_power * y_power)
        heard = height > 0
        cosine = np.divide(cross.real, height, out=np.zeros_like(height), where=heard)
        rows.append((x_power.sum(0), y_power.sum(0), cross.sum(0), float(cosine[:, low:].mean())))
        x_frames.append(x_power.sum(1))
        y_frames.append(y_power.sum(1))
        starts.append(start)
    bins = aligned.n_fft // 2 + 1
    return Segments(
        xx=np.array([row[0] for row in rows]).reshape(-1, bins),
        yy=np.array([row[1] for row in rows]).reshape(-1, bins),
        xy=np.array([row[2] for row in rows]).reshape(-1, bins),
        agreement=np.array([row[3] for row in rows]),
        x_frames=np.concatenate([np.zeros(0), *x_frames]),
        y_frames=np.concatenate([np.zeros(0), *y_frames]),
        frames=np.array([*starts, aligned.extent()[1]]),
    )


def gain(found: Segments, matched: np.ndarray, low: int) -> float | None:
    """The level g at which gY lies in X, or None where too little is shared to tell.

    The median ratio of the two over the cells (seconds × bins) in which they cohere best, so that
    no voice takes part. Least squares over all cells takes what the voice happens to share with
    the backing for level: 0.2 to 0.9 dB too loud on real songs.
    """
    xx, yy, xy = (part[matched][:, low:] for part in (found.xx, found.yy, found.xy))
    both = xx * yy
    heard = both > (_AUDIBLE**2) * both.max(initial=0.0)
    coherence = np.abs(xy[heard]) ** 2 / both[heard]
    if len(coherence) < _FEWEST_CELLS:
        return None
    best = coherence >= max(_COHERENT_CELL, float(np.quantile(coherence, _BEST_CELLS)))
    if best.sum() < _FEWEST_CELLS:
        return None
    ratios = np.log(xx[heard][best]) - np.log(yy[heard][best])
    return float(np.exp(np.median(ratios) / 2))


def later(found: Segments, matched: np.ndarray, low: int) -> float:
    """Samples by which the instrumental is later yet than its line says, a fraction of one.

    The delay at which the phases between the two are most alike over the cells (seconds × bins),
    each at the weight that its coherence gives it (maximum likelihood; Hannan and Thomson 1973).
    0 where too little is shared to tell.
    """
    xx, yy, xy = (part[matched][:, low:] for part in (found.xx, found.yy, found.xy))
    both = xx * yy
    heard = both > (_AUDIBLE**2) * both.max(initial=0.0)
    coherence = np.where(heard, np.abs(xy) ** 2 / np.maximum(both, 1e-30), 0.0)
    told = coherence >= _COHERENT_CELL
    if told.sum() < _FEWEST_CELLS:
        return 0.0
    weight = coherence[told] / (1 - coherence[told] + _NEVER_SURER)
    omega = np.broadcast_to(np.pi * np.arange(low, found.xx.shape[1]), xy.shape)[told]
    omega = omega / (found.xx.shape[1] - 1)
    phase = np.angle(xy[told])
    delay = 0.0
    for _ in range(_ROUNDS):
        apart = phase + omega * delay
        bend = float((weight * omega**2 * np.cos(apart)).sum())
        if bend <= 0:
            return 0.0
        delay -= float((weight * omega * np.sin(apart)).sum()) / bend
    return -delay if _SMALLEST_LATER <= abs(delay) <= _LARGEST_LATER else 0.0


def wavering(found: Segments, matched: np.ndarray, low: int) -> float:
    """By how many samples the segments' own delays, as of `later`, spread about their median: nine
    tenths of them. 0 where too few are told."""
    rows = np.flatnonzero(matched & found.whole)
    own = np.array([later(found, np.arange(len(matched)) == row, low) for row in rows])
    if len(own) < _FEWEST_DELAYS:
        return 0.0
    return float(np.quantile(np.abs(own - np.median(own)), 0.9))


def least_squares_gain(found: Segments) -> float:
    """The g ≥ 0 for which Σ|X − gY|² is least, phases and all."""
    power = float(found.yy.sum(dtype=np.float64))
    return max(0.0, float(found.xy.real.sum(dtype=np.float64)) / power) if power > 0 else 0.0


def bass_correlation(found: Segments, matched: np.ndarray, bass: slice) -> float | None:
    """How far the instrumental's bass is the mixture's, 0…1; None where the mixture has none."""
    xx, yy, xy = (part[matched][:, bass] for part in (found.xx, found.yy, found.xy))
    if not xx.sum() > _FAINT_BASS * found.xx[matched].sum():
        return None
    if not yy.sum() > 0:
        return 0.0
    return min(1.0, float(np.abs(xy.sum(axis=0)).sum() ** 2 / (xx.sum() * yy.sum())))


def rest_share(found: Segments) -> float:
    """How much of what sounds in the mixture, in time, meets silence in the instrumental."""
    x, y = found.x_frames, found.y_frames
    if not len(x):
        return 0.0
    sounds = x > _SOUNDS * np.quantile(x, 0.9)
    rests = y <= _RESTS * np.quantile(y, 0.9)
    return float((sounds & rests).sum() / max(1, sounds.sum()))


@dataclass(frozen=True)
class Compared:
    """How an aligned pair differs above 32 Hz: below lies rumble, which encoders drop."""

    difference: Difference
    residual_db: dict[str, float]
    surplus_spread: float | None


def compare(aligned: Aligned, level: float) -> Compared:
    """The difference of magnitudes at a level, what remains where voices rest, and when it is more.

    The residual X − gY, phases and all, is held against X in cells of less than a second by one
    bin. In each band of `BANDS_HZ` the residual is the level, in dB, below which a twentieth of the
    cells lie: even under a voice that never rests some of them hold nothing but backing. Bands that
    the mixture leaves empty are left out; names are in alphabetical order. What the spread of the
    surplus is: see `surplus_spread`.
    """
    edges = list(aligned.bands().values())
    counts = np.zeros((len(edges), _MOST_DB - _LEAST_DB))
    found = Difference()
    g = np.float32(level)
    low = aligned.bins(LOW_HZ, LOW_HZ).start
    size = difference.BLOCK // _CELL_FRAMES * _CELL_FRAMES
    over, sound = [], []
    for _, X, Y in aligned.blocks(size):
        x, y = magnitudes(X), g * magnitudes(Y)
        found.add(x[:, low:], y[:, low:])
        sound.append(np.stack([x[:, part].sum(axis=1) for part in edges], axis=1))
        over.append(sound[-1] - np.stack([y[:, part].sum(axis=1) for part in edges], axis=1))
        rest, whole = (_cells(part) for part in (powers(X - g * Y), x**2))
        loud = _AUDIBLE * whole.max(initial=0.0)
        for band, part in enumerate(edges):
            heard = whole[:, part] > loud
            ratio = rest[:, part][heard] / whole[:, part][heard]
            level_db = 10 * np.log10(np.maximum(ratio, 10 ** (_LEAST_DB / 10)))
            places = np.clip(np.floor(level_db) - _LEAST_DB, 0, counts.shape[1] - 1).astype(int)
            counts[band] += np.bincount(places, minlength=counts.shape[1])
    residual = {
        name: _quantile_db(row)
        for name, row in zip(aligned.bands(), counts, strict=True)
        if row.sum() >= _FEWEST_CELLS
    }
    frames = max(1, round(_SPAN_S * aligned.sample_rate / aligned.hop_length))
    nothing = np.zeros((0, len(edges)))
    spread = surplus_spread(
        np.concatenate([nothing, *over]), np.concatenate([nothing, *sound]), frames
    )
    return Compared(found, dict(sorted(residual.items())), spread)


def surplus_spread(over: np.ndarray, sound: np.ndarray, frames: int) -> float | None:
    """How far what the mixture holds more of comes and goes, as a voice does; None if too short.

    Of half seconds of one band, Σ(X − gY) / ΣX: the ninth decile minus the first; of all bands the
    greatest. An encoder takes and adds much the same at any time, and so does an equaliser.

    Args:
        over, sound: X − gY and X, magnitudes summed over each band, [frames, bands].
        frames: of half a second.
    """
    whole = len(sound) // frames
    if whole < _FEWEST_SPANS:
        return None
    over, sound = (
        part[: whole * frames].reshape(whole, frames, part.shape[1]).sum(axis=1)
        for part in (over, sound)
    )
    total = sound.sum(axis=1, keepdims=True)
    sounds = (sound > _AUDIBLE_SPAN * total) & (total > _RESTING * np.median(total))
    spreads = [
        float(np.subtract(*np.quantile(over[heard, band] / sound[heard, band], (0.9, 0.1))))
        for band, heard in enumerate(sounds.T)
        if heard.sum() >= _FEWEST_SPANS
    ]
    return max(spreads, default=None)


def coherent(residual_db: dict[str, float]) -> bool:
    """Whether mixture − instrumental is a usable vocal: every band of the residual is low."""
    return bool(residual_db) and max(residual_db.values()) <= COHERENT_DB


def _cells(power: np.ndarray) -> np.ndarray:
    """Frames [frames, bins] summed over a few; what is left over at the end is dropped."""
    whole = len(power) // _CELL_FRAMES
    return power[: whole * _CELL_FRAMES].reshape(whole, _CELL_FRAMES, power.shape[1]).sum(axis=1)


def _quantile_db(counts: np.ndarray) -> float:
    """The upper edge of the 1 dB step in which the quantile lies."""
    step = int(np.searchsorted(np.cumsum(counts), _QUIETEST * counts.sum()))
    return float(_LEAST_DB + step + 1)
