"""The mask that a separator applied, from what it heard and what it gave (thesis, figures 4.4 and
6.3). Free of Beam and torch.

A net's mask turns the mixture's STFT into that of its estimate, so their quotient is the mask, as
far as overlapping frames agree; and it can be drawn of any separator.
"""

import numpy as np

from pipelines.pages import excerpts, media
from pipelines.pages.media import Clip
from stemlode import audio

N_FFT, HOP_LENGTH = 1024, 256  # samples, of nets that do not say theirs
MOST_N_FFT = 1 << 14
LONGEST_S = 30.0
QUIET = 10 ** (-60 / 20)  # of the mixture's loudest bin: below it a mask says nothing


def pictures(
    mixture_uri: str, estimate_uri: str, n_fft: int = N_FFT, hop_length: int = HOP_LENGTH
) -> list[Clip]:
    """Pictures of a mask's magnitude, 0 to 1, and of the size of its phase, 0 to π, both dark to
    light. AudioError where a file cannot be read."""
    rate = audio.probe(mixture_uri).sample_rate
    signals = [
        excerpts.excerpt(uri, 0.0, LONGEST_S, rate, mono=True)[0]
        for uri in (mixture_uri, estimate_uri)
    ]
    length = min(map(len, signals))
    mixture, estimate = (_stft(signal[:length], n_fft, hop_length) for signal in signals)
    magnitude, phase = mask(mixture, estimate)
    highest = int(media.HIGHEST_HZ * n_fft / rate)
    return [
        Clip(label, "", media.shades(values[:highest]), media.HERTZ, 0.0, length / rate)
        for label, values in (("mask, magnitude", magnitude), ("mask, phase", phase / np.pi))
    ]


def mask(mixture: np.ndarray, estimate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Magnitude in [0, 1] and size of the phase in [0, π] of the mask between two complex
    spectrograms of one shape; 0 where the mixture or the estimate is silent."""
    level = np.abs(mixture)
    loudest = float(level.max(initial=0.0)) * QUIET
    heard = level > max(loudest, 1e-12)
    quotient = np.zeros_like(mixture)
    np.divide(estimate, mixture, out=quotient, where=heard)
    magnitude = np.minimum(np.abs(quotient), 1.0)
    phase = np.where(np.abs(estimate) > max(loudest, 1e-12), np.abs(np.angle(quotient)), 0.0)
    return magnitude, phase


def _stft(samples: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """[samples] → complex [bins, frames]; Hann window, centred."""
    padded = np.pad(samples, (n_fft // 2, n_fft))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
    return np.fft.rfft(frames * np.hanning(n_fft + 1)[:-1], axis=1).T
