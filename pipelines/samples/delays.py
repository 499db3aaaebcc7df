"""Short filters, block by block, such as move a signal by part of a frame. Free of Beam."""

from collections.abc import Iterable, Iterator

import numpy as np
import scipy.signal

HALF = 48  # taps on either side: flat to 0.01 dB up to 0.93 of half the sample rate
_BETA = 9.0  # of the Kaiser window: side lobes at −90 dB


def moved(blocks: Iterable[np.ndarray], lead: float) -> Iterator[np.ndarray]:
    """A signal in blocks [channels, frames], sampled `lead` of a frame later: y(n) = x(n + lead).

    Interpolated by a windowed sinc; as many frames come out as go in, and beyond its ends the
    signal counts as silent.
    """
    return filtered(blocks, _taps(lead))


def filtered(blocks: Iterable[np.ndarray], taps: np.ndarray) -> Iterator[np.ndarray]:
    """A signal in blocks [channels, frames] through an odd number of taps [channels or 1, taps],
    in the order of a convolution, of which the middle one is now; ends as in `moved`."""
    half = taps.shape[1] // 2
    held: np.ndarray | None = None  # the last 2 · half frames, which the next block needs
    for block in blocks:
        if held is None:
            held = np.zeros((len(block), half), block.dtype)
        whole = np.concatenate([held, block], axis=1)
        held = whole[:, -2 * half :]
        if whole.shape[1] > 2 * half:
            yield _convolved(whole, taps)
    if held is not None:
        whole = np.concatenate([held, np.zeros((len(held), half), held.dtype)], axis=1)
        if whole.shape[1] > 2 * half:
            yield _convolved(whole, taps)


def _taps(lead: float) -> np.ndarray:
    """Weights of x(n − HALF) … x(n + HALF) for x(n + lead), in the order of a convolution."""
    places = np.arange(-HALF, HALF + 1) - lead
    window = np.i0(_BETA * np.sqrt(np.maximum(0, 1 - (places / (HALF + 1)) ** 2))) / np.i0(_BETA)
    taps = np.sinc(places) * window
    return (taps / taps.sum()).astype(np.float32)[None, ::-1]


def _convolved(samples: np.ndarray, taps: np.ndarray) -> np.ndarray:
    return scipy.signal.oaconvolve(samples, taps, mode="valid", axes=1).astype(np.float32)
