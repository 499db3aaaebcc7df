"""Silence at either end of a signal (thesis section 3.5.2: "we strip out any silent frames")."""

import numpy as np

from matching.sound.signals import Signal

TRIM_DB = 60.0
FRAME_LENGTH = 2048
HOP_LENGTH = 512
_BLOCK = 4096  # hops


def strip_silence(
    samples: Signal,
    trim_db: float = TRIM_DB,
    frame_length: int = FRAME_LENGTH,
    hop_length: int = HOP_LENGTH,
) -> tuple[int, int]:
    """Where the sound begins and ends.

    A frame is silent when its power (mean square) lies more than `trim_db` below that of the
    loudest frame. Frames are centred on multiples of `hop_length` and padded with zeros, as in
    `librosa.effects.trim`, whose result this equals but for librosa's floor: there, what is below
    −100 dB of full scale is not told apart, so that a faint signal keeps its silence.

    Args:
        samples: float [frames], mono.
        trim_db: dB below the peak power of a frame.
        frame_length: samples; a multiple of twice `hop_length`.
        hop_length: samples.

    Returns the slice `samples[start:end]` from the first to the last frame that is not silent. It
    is (0, 0) where all is digital silence: there is no peak that anything could be above.
    """
    if frame_length % (2 * hop_length):
        raise ValueError("frame_length must be a multiple of twice hop_length")
    power = _frame_power(samples, frame_length // hop_length, hop_length)
    peak = float(power.max(initial=0.0))
    if peak <= 0.0:
        return 0, 0
    loud = np.flatnonzero(power > peak * 10 ** (-trim_db / 10))
    return int(loud[0]) * hop_length, min(len(samples), (int(loud[-1]) + 1) * hop_length)


def _frame_power(samples: Signal, hops: int, hop_length: int) -> np.ndarray:
    """Summed squares of frames of `hops` hops, centred on multiples of the hop; float64."""
    whole = len(samples) // hop_length
    sums = np.zeros(whole + hops, np.float64)  # half a frame of zeros on either side
    for first in range(0, whole, _BLOCK):
        last = min(whole, first + _BLOCK)
        block = samples[first * hop_length : last * hop_length].reshape(-1, hop_length)
        sums[hops // 2 + first : hops // 2 + last] = np.square(block).sum(axis=1)
    if hops // 2 + whole < len(sums):
        tail = samples[whole * hop_length : len(samples)]
        sums[hops // 2 + whole] = float(np.square(tail).sum())
    running = np.concatenate([[0.0], np.cumsum(sums)])
    return running[hops:] - running[:-hops]
