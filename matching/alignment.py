"""Where an instrumental lies against its mixture: offset, polarity, and how sure that is.

The two share their accompaniment, sample for sample where they come from one mix session. Their
cross-correlation is computed by FFT and whitened (generalised cross-correlation with phase
transform, Knapp and Carter 1976): each frequency votes with its phase alone, so that what the two
share gives one sharp peak, whatever vocals, equalisation or level lie on top, where a plain
correlation of music has a broad ridge at every beat.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft

MAX_OFFSET_S = 30.0
MIN_OVERLAP = 0.25  # of the shorter signal: less in common is no evidence
_FADE_S = 0.5  # where a signal is cut off, the cut itself would correlate with any other cut
_NEAR_S = 0.05  # what lies this near the peak belongs to it


@dataclass(frozen=True)
class Alignment:
    """mixture(t) ≈ polarity · g · instrumental(t + offset_s), the level g left open.

    `confidence` in 0…1 is 1 − second / best, where best is the whitened correlation's highest
    absolute value and second the highest more than 50 ms away. Unrelated recordings give less than
    0.2, since the maxima of noise are alike; a shared accompaniment gives 0.8 and more, unless it
    repeats itself sample for sample, when the offset is in doubt indeed.
    """

    offset_s: float
    polarity: int
    confidence: float


def align(
    mixture: np.ndarray,
    instrumental: np.ndarray,
    sample_rate: int,
    max_offset_s: float = MAX_OFFSET_S,
) -> Alignment:
    """How an instrumental is shifted against its mixture.

    Args:
        mixture, instrumental: float32 [frames], mono, at one rate; the lengths may differ.
        sample_rate: Hz; a lower one is faster and still exact to a fraction of a sample, which a
            parabola through the peak gives.
        max_offset_s: how far to look either way. Offsets at which less than a quarter of the
            shorter signal overlaps are left out.

    The answer for signals with nothing in common is some offset with a confidence near 0.
    """
    keep = math.ceil(MIN_OVERLAP * min(len(mixture), len(instrumental)))
    reach = round(max_offset_s * sample_rate)
    first = max(-reach, keep - len(mixture))  # lags: samples that the instrumental comes later
    last = min(reach, len(instrumental) - keep)
    if min(len(mixture), len(instrumental)) == 0 or first > last:
        return Alignment(0.0, 1, 0.0)
    x, y = _faded(mixture, sample_rate), _faded(instrumental, sample_rate)
    correlation = _whitened(x, y, first, last)
    height = np.abs(correlation)
    peak = int(np.argmax(height))
    best = float(height[peak])
    if best == 0.0:
        return Alignment(0.0, 1, 0.0)
    near = round(_NEAR_S * sample_rate)
    rest = (height[: max(0, peak - near)], height[peak + near + 1 :])
    second = max(float(part.max(initial=0.0)) for part in rest)
    return Alignment(
        offset_s=(first + peak + _vertex(height, peak)) / sample_rate,
        polarity=1 if correlation[peak] > 0 else -1,
        confidence=1 - second / best,
    )


def _faded(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """A copy that rises from and falls to zero."""
    length = min(round(_FADE_S * sample_rate), len(samples) // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(1, length))
    faded = np.array(samples, np.float32)
    faded[:length] *= ramp.astype(np.float32)
    faded[len(faded) - length :] *= ramp[::-1].astype(np.float32)
    return faded


def _whitened(x: np.ndarray, y: np.ndarray, first: int, last: int) -> np.ndarray:
    """Whitened correlation of x[n] with y[n + lag], for lags `first` to `last`, inclusive."""
    # just long enough that what wraps around lands on other lags
    length = scipy.fft.next_fast_len(max(len(x) + last, len(y) - first), real=True)
    cross = np.conj(scipy.fft.rfft(x, length)) * scipy.fft.rfft(y, length)
    cross /= np.maximum(np.abs(cross), np.finfo(np.float32).tiny)
    correlation = scipy.fft.irfft(cross, length)
    return correlation[np.arange(first, last + 1)]  # negative lags lie at the end


def _vertex(height: np.ndarray, peak: int) -> float:
    """Where between its neighbours the parabola through a peak has its top, in −0.5…0.5."""
    if not 0 < peak < len(height) - 1:
        return 0.0
    left, top, right = (float(value) for value in height[peak - 1 : peak + 2])
    bend = left - 2 * top + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0
