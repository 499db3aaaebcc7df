"""Where in each band a signal's level rises or falls: what a mixture and its backing share.

A few numbers 64 times a second, so that offsets of half a minute either way are tried in
milliseconds, and so that a speed change of a percent, which ruins any comparison of samples,
matters little within seconds.
"""

from itertools import pairwise

import numpy as np

from matching.sound.signals import Signal, powers, stft

PER_S = 64
_EDGES_HZ = (48, 160, 320, 640, 1280, 2560, 5120)
_BLOCK = 8192  # frames
_FLOOR = 1e-4  # of a band's mean power: what lies below is silence or a codec's noise
_LARGEST = 3.0  # standard deviations


def hop_of(sample_rate: int) -> int:
    """Samples from one value to the next."""
    return max(1, round(sample_rate / PER_S))


def onsets(signal: Signal, sample_rate: int) -> np.ndarray:
    """Changes of level, float32 [bands, frames]; frame i lies at i · hop_of(sample_rate).

    Logarithmic power of octave bands, differenced in time, each band with standard deviation 1
    and outliers clipped; zero where a band is silent. Differences are from the frame before to the
    frame after: in short windows the level of a steady low tone alternates from frame to frame,
    and how depends on where frames begin.
    """
    hop = hop_of(sample_rate)
    edges = np.searchsorted(np.arange(hop + 1) * PER_S / 2, _EDGES_HZ)
    count = 1 + len(signal) // hop
    power = np.zeros((len(_EDGES_HZ) - 1, count), np.float32)
    for first in range(0, count, _BLOCK):
        frames = min(_BLOCK, count - first)
        square = powers(stft(signal, first, frames, 2 * hop, hop))
        for band, (low, high) in enumerate(pairwise(edges)):
            power[band, first : first + frames] = square[:, low:high].sum(axis=1)
    power += _FLOOR * power.mean(axis=1, keepdims=True) + np.finfo(np.float32).tiny
    level = np.log(power)
    change = np.zeros_like(level)
    np.subtract(level[:, 2:], level[:, :-2], out=change[:, 1:-1])
    change /= np.maximum(change.std(axis=1, keepdims=True), 1e-6)
    return np.clip(change, -_LARGEST, _LARGEST)
