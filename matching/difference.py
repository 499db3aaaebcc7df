"""How far a mixture and an instrumental differ in magnitude (thesis section 3.5.2)."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft

SAMPLE_RATE = 8192  # Hz; the grid of the thesis' chapter 4, since section 3.5.2 names none
N_FFT = 1024
HOP_LENGTH = 768


@dataclass(frozen=True)
class Difference:
    """X is the mixture's magnitude, Y the instrumental's.

    `difference` = Σ|X − gY| / Σ|X| is 0 for the same recording at any level, and nears 1 where
    Y explains nothing of X. `asymmetry` in −1…1 is the surplus of X over gY less that of gY over
    X, over their sum: positive where the mixture holds more. `gain` g ≥ 0 is the least-squares
    one. `difference` is NaN where X is silent.
    """

    difference: float
    asymmetry: float
    gain: float

    @property
    def gain_db(self) -> float:
        """Level to apply to the instrumental, in dB; −inf where nothing of it fits."""
        return 20 * math.log10(self.gain) if self.gain > 0 else -math.inf


def magnitude(samples: np.ndarray, n_fft: int = N_FFT, hop_length: int = HOP_LENGTH) -> np.ndarray:
    """Magnitude STFT of mono samples [frames] → float32 [n_fft // 2 + 1, 1 + frames // hop_length].

    Periodic Hann window, frames centred on multiples of the hop, zeros beyond the ends: what
    `librosa.stft` gives.
    """
    padded = np.pad(np.asarray(samples, np.float32), n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    return np.abs(scipy.fft.rfft(frames * window, axis=1)).T


def difference_sum(X: np.ndarray, Y: np.ndarray) -> float:
    """d = Σ|X − Y| (eq. 3.8) of magnitudes [bins, frames], cut to the shorter.

    As in the thesis it depends on length and level: neither alignment nor gain.
    """
    X, Y = _cut(X, Y)
    return float(np.abs(X - Y).sum(dtype=np.float64))


def compare(X: np.ndarray, Y: np.ndarray) -> Difference:
    """The normalised difference of aligned magnitudes [bins, frames], cut to the shorter."""
    X, Y = _cut(X, Y)
    power = float((Y * Y).sum(dtype=np.float64))
    common = float((X * Y).sum(dtype=np.float64))
    gain = common / power if power > 0 else 0.0  # never negative: neither is X or Y
    error = X - np.float32(gain) * Y
    surplus = float(error.sum(dtype=np.float64))
    distance = float(np.abs(error).sum(dtype=np.float64))
    total = float(X.sum(dtype=np.float64))
    return Difference(
        difference=distance / total if total > 0 else math.nan,
        asymmetry=surplus / distance if distance > 0 else 0.0,
        gain=gain,
    )


def _cut(X: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    frames = min(X.shape[1], Y.shape[1])
    return X[:, :frames], Y[:, :frames]
