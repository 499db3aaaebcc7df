"""Signals that may lie in a file: `len()` and slices are all that is asked of one.

What reads a signal here reads it block by block, so that a recording of hours costs no more memory
than one of minutes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import scipy.fft


class Signal(Protocol):
    """A mono signal [frames]: an array, or something that reads slices (step 1) as float32."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Stereo:
    """Two channels: the mean of left and right, and half their difference; None where they are
    alike."""

    mid: Signal
    side: Signal | None = None

    def __len__(self) -> int:
        return len(self.mid)

    def mixed(self, gains: Sequence[float]) -> Signal:
        """Left and right, each at its gain, as one channel."""
        return _Mixed(self, gains[0] + gains[1], gains[0] - gains[1])


def stereo(left: np.ndarray, right: np.ndarray) -> Stereo:
    """Two channels [frames] in memory."""
    half = np.float32(0.5)
    return Stereo((left + right) * half, (left - right) * half)


class _Mixed:
    """Mid and side at their gains as one signal; what has no part in it is not read."""

    def __init__(self, signal: Stereo, mid: float, side: float) -> None:
        self.signal, self.mid, self.side = signal, np.float32(mid), np.float32(side)

    def __len__(self) -> int:
        return len(self.signal)

    def __getitem__(self, part: slice, /) -> np.ndarray:
        mid, side = self.signal.mid, self.signal.side
        if side is None or not self.side:
            return mid[part] if self.mid == 1 else self.mid * mid[part]
        if not self.mid:
            return side[part] if self.side == 1 else self.side * side[part]
        return self.mid * mid[part] + self.side * side[part]


class SignalSlice:
    """The frames `start` to `end` of a signal, as a signal."""

    def __init__(self, signal: Signal, start: int, end: int) -> None:
        self.signal, self.start, self.end = signal, start, end

    def __len__(self) -> int:
        return self.end - self.start

    def __getitem__(self, part: slice, /) -> np.ndarray:
        start, stop, _ = part.indices(len(self))
        return self.signal[self.start + start : self.start + max(start, stop)]


def read(signal: Signal, start: int, stop: int) -> np.ndarray:
    """Frames `start` to `stop` of a signal, float32, with zeros where there are none."""
    first, last = max(0, start), min(len(signal), stop)
    if first >= last:
        return np.zeros(max(0, stop - start), np.float32)
    found = np.asarray(signal[first:last], np.float32)
    if first > start or last < stop:
        found = np.pad(found, (first - start, stop - last))
    return found


def hann(n_fft: int) -> np.ndarray:
    """The periodic Hann window, float32 [n_fft]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


_window = cache(hann)


def stft(
    signal: Signal, first: int, count: int, n_fft: int, hop_length: int, shift: float = 0.0
) -> np.ndarray:
    """Frames `first` to `first + count` of a short-time spectrum, complex64 [count, bins].

    Frame i is centred on the signal's position i · hop_length + shift, with zeros beyond the ends
    (for shift 0 what `librosa.stft` gives, transposed). A shift may be a fraction of a sample: it
    is split into whole samples and a phase ramp, exact but for less than one sample at the
    window's ends, where that is zero.
    """
    whole = round(shift)
    start = first * hop_length + whole - n_fft // 2
    samples = read(signal, start, start + (count - 1) * hop_length + n_fft)
    steps = (hop_length * samples.strides[0], samples.strides[0])
    frames = np.lib.stride_tricks.as_strided(samples, (count, n_fft), steps, writeable=False)
    spectra = scipy.fft.rfft(frames * _window(n_fft), axis=1)
    if shift != whole:
        turn = 2j * np.pi * (shift - whole) / n_fft
        spectra *= np.exp(turn * np.arange(spectra.shape[1])).astype(np.complex64)
    return spectra


def magnitudes(spectra: np.ndarray) -> np.ndarray:
    """|S| of complex64; several times faster than np.abs, whose care for overflow costs."""
    return np.sqrt(powers(spectra))


def powers(spectra: np.ndarray) -> np.ndarray:
    """|S|² of complex64."""
    return spectra.real**2 + spectra.imag**2
