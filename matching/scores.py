"""All that the sound of two recordings says about them as mixture and instrumental."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from matching import alignment, difference, silence
from matching.alignment import Alignment
from matching.difference import Difference

_SURE = 0.3  # unrelated recordings reach a confidence of 0.2, shared accompaniments begin at 0.8


@dataclass(frozen=True)
class Settings:
    """How recordings are compared; the defaults are the grid of the thesis' chapter 4."""

    sample_rate: int = difference.SAMPLE_RATE
    n_fft: int = difference.N_FFT
    hop_length: int = difference.HOP_LENGTH
    trim_db: float = silence.TRIM_DB
    max_offset_s: float = alignment.MAX_OFFSET_S


class Recording:
    """A mono signal [frames] at the settings' rate, without the silence at its ends."""

    def __init__(self, samples: np.ndarray, settings: Settings) -> None:
        self.duration_s = len(samples) / settings.sample_rate
        start, end = silence.strip_silence(samples, settings.trim_db)
        self.settings = settings
        self.start = start
        self.samples = samples[start:end]

    @property
    def is_silent(self) -> bool:
        """Nothing is left: such a recording cannot be compared."""
        return len(self.samples) == 0

    @cached_property
    def magnitude(self) -> np.ndarray:
        """[bins, frames]; kept, because a recording may take part in several pairs."""
        return self.magnitude_from(0, len(self.samples))

    def magnitude_from(self, start: int, length: int) -> np.ndarray:
        """The magnitude of a part of the samples."""
        part = self.samples[start : start + length]
        return difference.magnitude(part, self.settings.n_fft, self.settings.hop_length)


@dataclass(frozen=True)
class Scores:
    """The measures of one pair; names and units as in `pipelines.schemas.SCORED_PAIR`."""

    difference_sum: float
    difference: float
    asymmetry: float
    offset_s: float
    gain_db: float | None
    polarity: int
    alignment_confidence: float
    drift_ppm: float | None = None
    coherent: bool | None = None
    residual_db: dict[str, float] | None = None
    matched_spans: list[list[float]] | None = None
    matched_share: float | None = None
    bass_correlation: float | None = None
    rest_share: float | None = None


def score(mixture: Recording, instrumental: Recording) -> Scores:
    """Compare two recordings made with the same settings, neither of them silent.

    Where the alignment is in doubt, the two are also compared from where their sound begins, as in
    the thesis, and the better of the two comparisons counts.
    """
    rate = mixture.settings.sample_rate
    found = alignment.align(
        mixture.samples, instrumental.samples, rate, mixture.settings.max_offset_s
    )
    compared = _compare_at(mixture, instrumental, found)
    if found.confidence < _SURE:
        together = Alignment(0.0, 1, found.confidence)
        at_starts = difference.compare(mixture.magnitude, instrumental.magnitude)
        if at_starts.difference < compared.difference:
            found, compared = together, at_starts
    return Scores(
        difference_sum=difference.difference_sum(mixture.magnitude, instrumental.magnitude),
        difference=compared.difference,
        asymmetry=compared.asymmetry,
        offset_s=found.offset_s + (instrumental.start - mixture.start) / rate,
        gain_db=compared.gain_db if math.isfinite(compared.gain_db) else None,
        polarity=found.polarity,
        alignment_confidence=found.confidence,
    )


def _compare_at(mixture: Recording, instrumental: Recording, found: Alignment) -> Difference:
    """The difference over what the two have in common at an offset, to the nearest sample."""
    lag = round(found.offset_s * mixture.settings.sample_rate)
    x, y = max(0, -lag), max(0, lag)
    length = min(len(mixture.samples) - x, len(instrumental.samples) - y)
    return difference.compare(
        mixture.magnitude_from(x, length), instrumental.magnitude_from(y, length)
    )
