"""How far a mixture and an instrumental differ in magnitude (thesis section 3.5.2)."""

import math
from dataclasses import dataclass

import numpy as np

from matching.sound.signals import Signal, magnitudes, stft

SAMPLE_RATE = 8192  # Hz; the grid of the thesis' chapter 4, since section 3.5.2 names none
N_FFT = 1024
HOP_LENGTH = 768
BLOCK = 256  # frames


@dataclass
class Difference:
    """Sums over magnitudes X of a mixture and gY of an instrumental, block by block."""

    total: float = 0.0  # Σ X
    distance: float = 0.0  # Σ |X − gY|
    surplus: float = 0.0  # Σ (X − gY)

    def add(self, X: np.ndarray, Y: np.ndarray) -> None:
        """Take in a block of each; Y with its gain."""
        error = X - Y
        self.total += float(X.sum(dtype=np.float64))
        self.surplus += float(error.sum(dtype=np.float64))
        self.distance += float(np.abs(error).sum(dtype=np.float64))

    @property
    def difference(self) -> float:
        """Σ|X − gY| / Σ|X|: 0 for the same recording, about 1 where Y explains nothing of X.

        NaN where X is silent.
        """
        return self.distance / self.total if self.total > 0 else math.nan

    @property
    def asymmetry(self) -> float:
        """Σ(X − gY) / Σ|X − gY|, −1…1: positive where the mixture holds more."""
        return self.surplus / self.distance if self.distance > 0 else 0.0


def magnitude(samples: Signal, n_fft: int = N_FFT, hop_length: int = HOP_LENGTH) -> np.ndarray:
    """Magnitude STFT of a mono signal → float32 [n_fft // 2 + 1, 1 + frames // hop_length].

    Periodic Hann window, frames centred on multiples of the hop, zeros beyond the ends: what
    `librosa.stft` gives.
    """
    return magnitudes(stft(samples, 0, frames_of(samples, hop_length), n_fft, hop_length)).T


def frames_of(samples: Signal, hop_length: int = HOP_LENGTH) -> int:
    """How many frames `magnitude` has."""
    return 1 + len(samples) // hop_length


def difference_sum(X: np.ndarray, Y: np.ndarray) -> float:
    """d = Σ|X − Y| (eq. 3.8) of magnitudes [bins, frames], cut to the shorter.

    As in the thesis it depends on length and level: neither alignment nor gain.
    """
    frames = min(X.shape[1], Y.shape[1])
    return float(np.abs(X[:, :frames] - Y[:, :frames]).sum(dtype=np.float64))


def compare(
    x: Signal, y: Signal, n_fft: int = N_FFT, hop_length: int = HOP_LENGTH, gain: float = 1.0
) -> Difference:
    """Two signals from where they begin, cut to the shorter; its `distance` is eq. 3.8.

    The same as `difference_sum` of their magnitudes, for signals of any length.
    """
    frames = min(frames_of(x, hop_length), frames_of(y, hop_length))
    found = Difference()
    for first in range(0, frames, BLOCK):
        count = min(BLOCK, frames - first)
        X, Y = (magnitudes(stft(s, first, count, n_fft, hop_length)) for s in (x, y))
        found.add(X, Y if gain == 1 else np.float32(gain) * Y)
    return found


def least_squares_gain(
    x: Signal, y: Signal, n_fft: int = N_FFT, hop_length: int = HOP_LENGTH
) -> float:
    """The g ≥ 0 for which Σ(X − gY)² is least, from where both begin; 0 where Y is silent."""
    frames = min(frames_of(x, hop_length), frames_of(y, hop_length))
    common = power = 0.0
    for first in range(0, frames, BLOCK):
        count = min(BLOCK, frames - first)
        X, Y = (magnitudes(stft(s, first, count, n_fft, hop_length)) for s in (x, y))
        common += float((X * Y).sum(dtype=np.float64))
        power += float((Y * Y).sum(dtype=np.float64))
    return common / power if power > 0 else 0.0
