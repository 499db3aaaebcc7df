"""Average spectra of true and estimated sources, in bands of a third of an octave (thesis, figure
6.6), which say where in the spectrum an estimate is too loud or too soft.
"""

import numpy as np

BANDS = 30
LOWEST_HZ = 1000 * 2 ** (-16 / 3)  # centre of the first band, 24.8 Hz; the last one's is 20.2 kHz
SILENT_DB = -120.0
_RESOLUTION_S = 0.2  # a window is at least so long
_AT_ONCE = 1 << 22  # samples


def centres_hz() -> np.ndarray:
    """Centres of the bands, float64 [BANDS]."""
    return LOWEST_HZ * 2 ** (np.arange(BANDS) / 3)


def third_octaves_db(samples: np.ndarray, sample_rate: int) -> list[float | None]:
    """Mean power of [channels, frames] in each band, dB re full scale; at least SILENT_DB, and None
    in bands that do not lie below half of the rate as a whole."""
    length = 1 << int(np.ceil(np.log2(_RESOLUTION_S * sample_rate)))
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    frames = max(1, -(-samples.shape[1] // length))
    power, step = np.zeros(length // 2 + 1), max(1, _AT_ONCE // (length * len(samples)))
    for first in range(0, frames, step):
        part = samples[:, first * length : (first + step) * length]
        part = np.pad(part, ((0, 0), (0, -part.shape[1] % length)))
        spectrum = np.fft.rfft(part.reshape(len(part), -1, length) * window, axis=-1)
        power += np.square(np.abs(spectrum)).sum(axis=(0, 1))
    # By Parseval, twice for negative frequencies, and over what the window lets through.
    windows = max(1, samples.shape[1]) / length * len(samples)
    power *= 2 / (length * float(np.square(window).sum()) * windows)
    hz = np.arange(len(power)) * sample_rate / length
    edges = centres_hz()[:, None] * 2 ** (np.array([-1, 1]) / 6)
    found: list[float | None] = []
    for low, high in edges:
        inside = power[(hz >= low) & (hz < high)].sum()
        level = max(SILENT_DB, 10 * float(np.log10(max(1e-30, inside))))
        found.append(round(level, 3) if high <= sample_rate / 2 else None)
    return found
