"""All that the sound of two recordings says about them as mixture and instrumental."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from matching.sound import alignment, coherence, difference, onsets, silence, spans
from matching.sound.coherence import Aligned
from matching.sound.signals import Signal, SignalSlice

SURE = 0.1  # unrelated recordings reach no confidence, shared accompaniments begin at 0.5


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


class TrimmedSignal:
    """A mono signal [frames] at the settings' rate, without the silence at its ends.

    It may lie in a file: nothing here reads more than a block of it at a time.
    """

    def __init__(self, samples: Signal, settings: Settings) -> None:
        self.duration_s = len(samples) / settings.sample_rate
        start, end = silence.strip_silence(samples, settings.trim_db)
        self.settings = settings
        self.start = start
        self.samples = SignalSlice(samples, start, end)

    @property
    def is_silent(self) -> bool:
        """Nothing is left: such a recording cannot be compared."""
        return len(self.samples) == 0

    @cached_property
    def onsets(self) -> np.ndarray:
        """Kept, because a recording may take part in several pairs; 1.5 kB a second."""
        return onsets.onsets(self.samples, self.settings.sample_rate)


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


def score(mixture: TrimmedSignal, instrumental: TrimmedSignal) -> Scores:
    """Compare two recordings made with the same settings, neither of them silent.

    Where no alignment is found, or nothing matches along it, the two are compared from where their
    sound begins, as in the thesis, at the least-squares level; all that needs an alignment is None.
    """
    settings = mixture.settings
    x, y, rate = mixture.samples, instrumental.samples, settings.sample_rate
    thesis = difference.compare(x, y, settings.n_fft, settings.hop_length)
    trimmed_s = (instrumental.start - mixture.start) / rate
    if not settings.align:
        return Scores(thesis.distance, thesis.difference, thesis.asymmetry, trimmed_s, 0.0, 1, None)
    found = alignment.align(
        x, y, rate, settings.max_offset_s, (mixture.onsets, instrumental.onsets)
    )
    if found.confidence < SURE:
        return _at_starts(x, y, settings, thesis.distance, found.confidence, trimmed_s)
    aligned = Aligned(
        x, y, found.line(rate), found.polarity, rate, settings.n_fft, settings.hop_length
    )
    parts = coherence.segments(aligned)
    matched = spans.matches(parts.agreement, parts.xx.sum(axis=1), parts.yy.sum(axis=1))
    if not matched.any():
        return _at_starts(x, y, settings, thesis.distance, 0.0, trimmed_s)
    level = coherence.gain(parts, matched, aligned.bins(coherence.LOW_HZ, rate).start)
    if level is None:
        level = coherence.least_squares_gain(parts)
    compared = coherence.compare(aligned, level)
    edges_s = (parts.frames * settings.hop_length).clip(0, len(x)) / rate
    where = spans.spans(matched, edges_s + mixture.start / rate)
    return Scores(
        difference_sum=thesis.distance,
        difference=compared.difference.difference,
        asymmetry=compared.difference.asymmetry,
        offset_s=found.offset_s + trimmed_s,
        gain_db=20 * math.log10(level) if level > 0 else None,
        polarity=found.polarity,
        alignment_confidence=found.confidence,
        drift_ppm=found.drift_ppm,
        coherent=not found.drifts and coherence.coherent(compared.residual_db),
        residual_db=compared.residual_db,
        matched_spans=where,
        matched_share=sum(end - start for start, end in where) * rate / len(x),
        bass_correlation=coherence.bass_correlation(parts, matched, aligned.bass()),
        rest_share=coherence.rest_share(parts),
        surplus_spread=compared.surplus_spread,
    )


def _at_starts(
    x: Signal, y: Signal, settings: Settings, thesis: float, confidence: float, trimmed_s: float
) -> Scores:
    grid = (settings.n_fft, settings.hop_length)
    level = difference.least_squares_gain(x, y, *grid)
    compared = difference.compare(x, y, *grid, level)
    return Scores(
        difference_sum=thesis,
        difference=compared.difference,
        asymmetry=compared.asymmetry,
        offset_s=trimmed_s,
        gain_db=20 * math.log10(level) if level > 0 else None,
        polarity=1,
        alignment_confidence=confidence,
    )
