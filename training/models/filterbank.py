"""A bank of K uniform band filters and its inverse, for channel-wise subbands (CWS 2.3).

The bands are a lowpass prototype moved by cosines. The paper takes its filters from a numerical
optimisation; this one starts at a Kaiser window and moves the prototype by Newton steps to the
nearest one for which analysis and synthesis are exact inverses (power-complementary polyphase
pairs). Both use the same filters, so the transform is orthonormal and delays nothing.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.models import spectrogram

TAPS = 64
# Shape of the Kaiser window, chosen for the largest attenuation of other bands.
BETAS = {2: 9.0, 4: 9.0, 8: 6.0}


def length(samples: int, bands: int) -> int:
    """Samples of a band: as many as there are filters that touch the signal."""
    return samples if bands == 1 else -(-samples // bands) + TAPS // bands - 1


def analyse(samples: Tensor, bands: int) -> Tensor:
    """[..., samples] → [..., bands, `length`], at 1 / bands of the rate. One band is the signal."""
    if bands == 1:
        return samples[..., None, :]
    flat = samples.reshape(-1, 1, samples.shape[-1])
    around = TAPS - bands
    flat = F.pad(flat, (around, around + -samples.shape[-1] % bands))
    found = F.conv1d(flat, _filters(bands, samples.device), stride=bands)
    return found.reshape(*samples.shape[:-1], *found.shape[1:])


def synthesise(found: Tensor, samples: int) -> Tensor:
    """[..., bands, samples'] → [..., samples], the inverse of `analyse`."""
    bands = found.shape[-2]
    if bands == 1:
        return found[..., 0, :]
    flat = found.reshape(-1, *found.shape[-2:])
    whole = F.conv_transpose1d(flat, _filters(bands, found.device), stride=bands)[:, 0]
    around = TAPS - bands
    return whole[:, around : around + samples].reshape(*found.shape[:-2], samples)


def to_channels(spectrum: Tensor) -> Tensor:
    """Complex [batch, channels, K, bins, frames] → [batch, 2 · channels · K, bins, frames], bands
    within channels as in eq. 6, each as real and imaginary part."""
    return torch.view_as_real(spectrum).permute(0, 1, 2, 5, 3, 4).flatten(1, 3)


def from_channels(parts: Tensor, bands: int) -> Tensor:
    """The inverse of `to_channels`."""
    apart = parts.unflatten(1, (-1, bands, 2)).permute(0, 1, 2, 4, 5, 3)
    return torch.view_as_complex(apart.contiguous())


def spectra(samples: Tensor, bands: int, n_fft: int, hop_length: int) -> Tensor:
    """[batch, channels, samples] → [batch, 2 · channels · K, n_fft / 2 + 1, frames]."""
    apart = analyse(samples, bands)
    return to_channels(spectrogram.stft(apart, n_fft, hop_length, root=True))


def waveforms(found: Tensor, bands: int, n_fft: int, hop_length: int, samples: int) -> Tensor:
    """Spectra of [batch, sources, …] → waveforms [batch, sources, channels, samples]."""
    spectrum = from_channels(found.flatten(0, 1), bands)
    kept = length(samples, bands)
    apart = spectrogram.istft(spectrum, n_fft, hop_length, kept, root=True)
    return synthesise(apart, samples).unflatten(0, found.shape[:2])


def in_stereo(samples: Tensor, estimate: Callable[[Tensor], Tensor]) -> Tensor:
    """What a net of stereo gives of [batch, channels, samples]: [batch, sources, channels,
    samples]. What is not stereo goes through channel by channel."""
    batch, channels, _ = samples.shape
    if channels == 2:
        return estimate(samples)
    found = estimate(samples.flatten(0, 1)[:, None].expand(-1, 2, -1)).mean(2)
    return found.unflatten(0, (batch, channels)).transpose(1, 2)


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # the filters may serve training later
def _filters(bands: int, device: torch.device) -> Tensor:
    """float32 [bands, 1, taps], orthonormal to each other and to their shifts by `bands`."""
    return torch.from_numpy(filters(bands)[:, None].astype(np.float32)).to(device)


def filters(bands: int) -> np.ndarray:
    """The same, float64 [bands, taps]."""
    time = np.arange(TAPS) - (TAPS - 1) / 2
    band = np.arange(bands)[:, None]
    cosines = np.cos(np.pi * (band + 0.5) * time / bands + (-1.0) ** band * np.pi / 4)
    return np.sqrt(2) * prototype(bands) * cosines


def prototype(bands: int) -> np.ndarray:
    """The symmetric lowpass filter, float64 [taps]."""
    half = _nearest_kaiser(bands)[: TAPS // 2]
    mirror = np.concatenate((np.eye(TAPS // 2), np.eye(TAPS // 2)[::-1]))  # [taps, taps / 2]
    for _ in range(30):
        missed, slopes = _conditions(mirror @ half, bands)
        half = half - np.linalg.lstsq(slopes @ mirror, missed, rcond=None)[0]
    return mirror @ half


def _nearest_kaiser(bands: int) -> np.ndarray:
    """The Kaiser-windowed lowpass whose correlation with itself vanishes best at 2·bands·n."""
    time = np.arange(TAPS) - (TAPS - 1) / 2
    window = np.kaiser(TAPS, BETAS[bands])
    cutoffs = np.linspace(0.3, 0.75, 200)[:, None] / bands
    lowpasses = np.sinc(cutoffs * time) * window
    lowpasses /= np.linalg.norm(lowpasses, axis=1, keepdims=True)
    apart = range(2 * bands, TAPS, 2 * bands)
    worst = [max(abs(low[:-gap] @ low[gap:]) for gap in apart) for low in lowpasses]
    return lowpasses[int(np.argmin(worst))]


def _conditions(lowpass: np.ndarray, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """By how much the prototype misses an exact inverse, [conditions], and the slopes thereof,
    [conditions, taps].

    For every phase k: the correlations of phases k and k + bands (of 2·bands) add up to 1 / bands
    at lag 0 and to 0 at others.
    """
    phases = lowpass.reshape(-1, 2 * bands).T  # [2 * bands, taps / (2 * bands)]
    count = phases.shape[1]
    missed, slopes = [], []
    for k in range(bands // 2):
        for lag in range(count):
            slope = np.zeros((count, 2 * bands))
            value = -1 / bands if lag == 0 else 0.0
            for phase in (k, k + bands):
                x = phases[phase]
                value += x[: count - lag] @ x[lag:]
                slope[: count - lag, phase] += x[lag:]
                slope[lag:, phase] += x[: count - lag]
            missed.append(value)
            slopes.append(slope.ravel())
    return np.array(missed), np.array(slopes)
