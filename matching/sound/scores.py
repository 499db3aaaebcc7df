"""All that the sound of two recordings says about them as mixture and instrumental."""

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from matching.sound import alignment, channels, coarse, coherence, difference, silence, spans
from matching.sound.alignment import Alignment
from matching.sound.channels import ChannelMap
from matching.sound.coherence import Aligned, Segments
from matching.sound.signals import Signal, SignalSlice, Stereo

SURE = 0.1  # unrelated recordings reach no confidence, shared accompaniments begin at 0.5
_SAMPLED = 12  # segments from which it is told how channels lie
_SPECTRUM = 1 << 19  # values of a channel's spectra that are held for it


@dataclass(frozen=True)
class Settings:
    """How recordings are compared; the defaults are the grid of the thesis' chapter 4.

    Without `align` they are compared as in the thesis: from where their sound begins, and level
    counts.
    """

    sample_rate: int = difference.SAMPLE_RATE
    n_fft: int = difference.N_FFT
    hop_length: int = difference.HOP_LENGTH
    trim_db: float = silence.TRIM_DB
    max_offset_s: float = alignment.MAX_OFFSET_S
    align: bool = True
    repair: bool = True  # what `matching.sound.repairs` mends; nothing without `align`


class TrimmedSignal:
    """A recording at the settings' rate, without the silence at its ends, as one channel.

    It may lie in a file: nothing here reads more than a block of it at a time.
    """

    def __init__(
        self,
        samples: Signal | Stereo,
        settings: Settings,
        gains: tuple[float, float] | None = None,
    ) -> None:
        """Left and right of a stereo signal are taken together at these gains; where none are
        given, at those of its `Width`, or without alignment at their mean."""
        self.settings = settings
        self.duration_s = len(samples) / settings.sample_rate
        self.both = samples if isinstance(samples, Stereo) else Stereo(samples)
        self.width = channels.width(self.both)
        self.gains = channels.MEAN
        if settings.align:
            self.gains = gains or self.width.gains
        one = self.both.mixed(self.gains)
        self.start, self._end = silence.strip_silence(one, settings.trim_db)
        self.samples: Signal = SignalSlice(one, self.start, self._end)

    @property
    def is_silent(self) -> bool:
        """Nothing is left: such a recording cannot be compared."""
        return len(self.samples) == 0

    @property
    def is_stereo(self) -> bool:
        """Whether there are two channels that differ."""
        return not self.width.alike

    def changed(self, change: Callable[[Signal], Signal]) -> "TrimmedSignal":
        """The same, what it is made of changed frame by frame."""
        other = copy.copy(self)
        for name in ("onsets", "ways"):
            other.__dict__.pop(name, None)
        side = self.both.side
        other.both = Stereo(change(self.both.mid), None if side is None else change(side))
        other.samples = other.mixed(self.gains)
        return other

    def mixed(self, gains: Sequence[float]) -> Signal:
        """Its left and right at these gains, as one channel."""
        return SignalSlice(self.both.mixed(gains), self.start, self._end)

    @cached_property
    def onsets(self) -> np.ndarray:
        """Kept, because a recording may take part in several pairs; 1.5 kB a second."""
        return coarse.onsets(self.samples, self.settings.sample_rate)

    @cached_property
    def ways(self) -> list["TrimmedSignal"]:
        """Itself, and its channels taken together the other way, where that holds much of it."""
        if not self.width.wide:
            return [self]
        other = channels.HALF_DIFFERENCE if self.gains == channels.MEAN else channels.MEAN
        return [self, TrimmedSignal(self.both, self.settings, other)]


@dataclass(frozen=True)
class Scores:
    """The measures of one pair; names and units as in `stemlode.schemas.SCORED_PAIR`."""

    difference_sum: float
    difference: float
    asymmetry: float
    offset_s: float
    gain_db: float | None
    polarity: int
    alignment_confidence: float | None
    drift_ppm: float | None = None
    coherent: bool | None = None
    residual_db: dict[str, float] | None = None
    matched_spans: list[list[float]] | None = None
    matched_share: float | None = None
    bass_correlation: float | None = None
    rest_share: float | None = None
    surplus_spread: float | None = None
    channel_gains: list[float] | None = None
    mono_gains: list[float] | None = None
    clock: list[list[float]] | None = None
    repaired: str | None = None


@dataclass(frozen=True)
class Look:
    """The measures of a pair, and what they are of: how the two were taken together, and aligned;
    None where no alignment was sought."""

    scores: Scores
    x: TrimmedSignal
    y: TrimmedSignal
    found: Alignment | None = None
    along: "Along | None" = None


@dataclass(frozen=True)
class Along:
    """The measures of a pair along an alignment, and what they are of: how the two were held
    against each other last, and what they share in each segment."""

    scores: Scores
    aligned: Aligned
    segments: Segments
    matched: np.ndarray


def score(mixture: TrimmedSignal, instrumental: TrimmedSignal) -> Scores:
    """Compare two recordings made with the same settings, neither of them silent, as they are.

    Where no alignment is found, or nothing matches along it, the two are compared from where their
    sound begins, as in the thesis, at the least-squares level; all that needs an alignment is None.
    Of recordings in stereo the instrumental is compared as its channels lie in the mixture's, where
    that can be told (`matching.sound.channels`).
    """
    return look(mixture, instrumental).scores


def look(mixture: TrimmedSignal, instrumental: TrimmedSignal) -> Look:
    """The same, with the alignment."""
    settings = mixture.settings
    rate, grid = settings.sample_rate, (settings.n_fft, settings.hop_length)
    thesis = difference.compare(mixture.samples, instrumental.samples, *grid)
    if not settings.align:
        trimmed_s = (instrumental.start - mixture.start) / rate
        found = (thesis.distance, thesis.difference, thesis.asymmetry, trimmed_s, 0.0, 1, None)
        return Look(Scores(*found), mixture, instrumental)
    x, y, lies = _aligned(mixture, instrumental)
    if lies.confidence < SURE:
        plain = _at_starts(mixture, instrumental, thesis.distance, lies.confidence)
        return Look(plain, x, y, lies)
    along = compare(x, y, lies, thesis.distance)
    if along is None:
        return Look(_at_starts(mixture, instrumental, thesis.distance, 0.0), x, y, lies)
    return Look(along.scores, x, y, lies, along)


def compare(
    x: TrimmedSignal, y: TrimmedSignal, found: Alignment, difference_sum: float
) -> Along | None:
    """Compare two recordings along an alignment; None where nothing matches along it."""
    settings = x.settings
    rate, grid = settings.sample_rate, (settings.n_fft, settings.hop_length)
    line = found.line(rate)
    aligned = Aligned(x.samples, y.samples, line, found.polarity, rate, *grid)
    parts, matched = _segments(aligned)
    if not matched.any():
        return None
    low = aligned.bins(coherence.LOW_HZ, rate).start
    if not found.drifts:
        line = dataclasses.replace(line, offset=line.offset + coherence.later(parts, matched, low))
        aligned = dataclasses.replace(aligned, line=line)
    mapped = None if found.drifts else _channel_map(x, y, aligned, parts.frames[:-1][matched])
    if mapped is None:
        level = coherence.gain(parts, matched, low)
        if level is None:
            level = coherence.least_squares_gain(parts)
    else:
        level, together, polarity = abs(mapped.level), mapped.mono_gains or x.gains, mapped.polarity
        if (together, mapped.mixed(together), polarity) != (x.gains, y.gains, aligned.polarity):
            both = x.mixed(together), y.mixed(mapped.mixed(together))
            aligned = Aligned(*both, line, polarity, rate, *grid)
            parts, matched = _segments(aligned)
    compared = coherence.compare(aligned, level)
    residual_db = _worst(compared.residual_db, mapped)
    gains, mono_gains = _columns(x, y, mapped)
    edges_s = (parts.frames * settings.hop_length).clip(0, len(aligned.x)) / rate
    where = spans.spans(matched, edges_s + x.start / rate)
    measures = Scores(
        difference_sum=difference_sum,
        difference=compared.difference.difference,
        asymmetry=compared.difference.asymmetry,
        offset_s=(line.offset + y.start - x.start) / rate,
        gain_db=20 * math.log10(level) if level > 0 else None,
        polarity=aligned.polarity,
        alignment_confidence=found.confidence,
        drift_ppm=found.drift_ppm,
        coherent=not found.drifts and coherence.coherent(residual_db),
        residual_db=residual_db,
        matched_spans=where,
        matched_share=sum(end - start for start, end in where) * rate / len(aligned.x),
        bass_correlation=coherence.bass_correlation(parts, matched, aligned.bass()),
        rest_share=coherence.rest_share(parts),
        surplus_spread=compared.surplus_spread,
        channel_gains=gains,
        mono_gains=mono_gains,
    )
    return Along(measures, aligned, parts, matched)


def _aligned(
    mixture: TrimmedSignal, instrumental: TrimmedSignal
) -> tuple[TrimmedSignal, TrimmedSignal, Alignment]:
    """Both, taken together in the first way that is surely aligned, or else the surest; and how.

    A way that stands on several lines, as parts do, is not sure of any of them: it gives way only
    to one that stands higher, lest an edited pair is held against its side.
    """
    settings = mixture.settings
    tried: list[tuple[TrimmedSignal, TrimmedSignal, Alignment]] = []
    for x, y in itertools.product(mixture.ways, instrumental.ways):
        changes = (x.onsets, y.onsets)
        found = alignment.align(
            x.samples, y.samples, settings.sample_rate, settings.max_offset_s, changes
        )
        higher = any(one.stands and one.height > found.height for _, _, one in tried)
        if found.confidence >= SURE and not higher:
            return x, y, found
        tried.append((x, y, found))
    return max(tried, key=lambda one: _standing(one[2]))


def _standing(found: Alignment) -> tuple[float, float]:
    """How well a way does, of ways none of which is sure."""
    return found.height if found.stands else 0.0, found.confidence


def _segments(aligned: Aligned) -> tuple[Segments, np.ndarray]:
    """Powers along the recordings, and which segments match."""
    parts = coherence.segments(aligned)
    matched = spans.matches(parts.agreement, parts.xx.sum(axis=1), parts.yy.sum(axis=1))
    return parts, matched


def _channel_map(
    x: TrimmedSignal, y: TrimmedSignal, aligned: Aligned, starts: np.ndarray
) -> ChannelMap | None:
    """How the channels lie, told from some of the segments that match, by their first frames; None
    where both are mono, or where it leaves more than a voice."""
    if not (x.is_stereo or y.is_stereo):
        return None
    frames = aligned.segment_frames()
    most = max(1, _SPECTRUM // (frames * (aligned.n_fft // 2 + 1)))
    chosen = starts[np.linspace(0, len(starts) - 1, min(len(starts), _SAMPLED, most)).astype(int)]
    last = aligned.extent()[1]
    halves = []
    for gains in (channels.MEAN, channels.HALF_DIFFERENCE):
        one = dataclasses.replace(aligned, x=x.mixed(gains), y=y.mixed(gains), polarity=1)
        parts = [one.spectra(int(at), min(frames, last - int(at))) for at in chosen]
        halves.append([np.concatenate(spectra) for spectra in zip(*parts, strict=True)])
    X, Y = (np.stack([mid + side, mid - side]) for mid, side in zip(*halves, strict=True))
    low = aligned.bins(coherence.LOW_HZ, aligned.sample_rate).start
    mapped = channels.find(X, Y, aligned.bands(), low)
    return mapped if mapped is not None and coherence.coherent(mapped.residual_db) else None


def _worst(one: dict[str, float], mapped: ChannelMap | None) -> dict[str, float]:
    """By band, what is left over in one channel or in the worse of two."""
    two = mapped.residual_db if mapped is not None else {}
    return {name: max(one.get(name, -math.inf), two.get(name, -math.inf)) for name in one}


def _columns(
    x: TrimmedSignal, y: TrimmedSignal, mapped: ChannelMap | None
) -> tuple[list[float] | None, list[float] | None]:
    """What is recorded of the channels, `channel_gains` and `mono_gains`; nothing where it could
    not be told."""
    if mapped is None:
        return None if x.is_stereo or y.is_stereo else list(channels.IN_PLACE), None
    together = mapped.mono_gains or x.gains
    mean = together == channels.MEAN
    return list(mapped.gains), None if mean and mapped.mono_gains is None else list(together)


def _at_starts(
    mixture: TrimmedSignal, instrumental: TrimmedSignal, thesis: float, confidence: float
) -> Scores:
    settings = mixture.settings
    x, y, grid = mixture.samples, instrumental.samples, (settings.n_fft, settings.hop_length)
    level = difference.least_squares_gain(x, y, *grid)
    compared = difference.compare(x, y, *grid, level)
    return Scores(
        difference_sum=thesis,
        difference=compared.difference,
        asymmetry=compared.asymmetry,
        offset_s=(instrumental.start - mixture.start) / settings.sample_rate,
        gain_db=20 * math.log10(level) if level > 0 else None,
        polarity=1,
        alignment_confidence=confidence,
    )
