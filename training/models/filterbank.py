"""A bank of K uniform band filters and its inverse, for channel-wise subbands (CWS 2.3).

The bands are a lowpass prototype moved by cosines. The paper takes its filters from a numerical
optimisation; this one starts at a Kaiser window and moves the prototype by Newton steps to the
nearest one for which analysis and synthesis are exact inverses (power-complementary polyphase
pairs). Both use the same filters, so the transform is orthonormal and delays nothing.
"""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

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
