"""A signal read at any places between its samples: a windowed sinc for each of them.

Flat to 0.001 dB and free of images to −100 dB up to 0.9 of half the sample rate, of the lower of
the two where that of the output is lower: what changes speed changes the rate in the same pass.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import numpy as np

HALF = 48  # taps on either side, at equal rates
COARSE = 24  # likewise where it is for comparing alone: free of images to −80 dB
FAST = 8  # likewise for measuring delays: to −50 dB, up to 0.6 of half the rate
_BETAS = {HALF: 12.0, COARSE: 8.0, FAST: 5.0}  # of the Kaiser window
_PHASES = 1024  # that are tabled; between two, weights are interpolated: −120 dB
_STEP = 4096  # frames that come out at a time, whatever blocks come in
_LEAD = 1024  # frames of silence before the first that are kept for places before it

Places = Callable[[int, int], np.ndarray]


def half_of(cutoff: float, half: int = HALF) -> int:
    """Taps on either side, where frequencies above `cutoff` of half the rate are to be gone."""
    return math.ceil(half / cutoff)


def interpolated(
    samples: np.ndarray,
    places: np.ndarray,
    cutoff: float = 1.0,
    half: int = HALF,
    *,
    start: int = 0,
) -> np.ndarray:
    """[channels, frames] at places [n], float64, all of them at least `half_of(cutoff)` inside;
    `start` is the place of the first frame. It is taken off whole frames, so that how a place lies
    between two does not depend on it.

    `half` is HALF, COARSE or FAST. Returns float32 [channels, n].
    """
    weights, steps = _table(cutoff, half)
    base = np.floor(places)
    phase = (places - base) * _PHASES
    row = phase.astype(np.int64)
    taps = steps[row]
    taps *= (phase - row).astype(np.float32)[:, None]
    taps += weights[row]
    first = base.astype(np.int64) - start - half_of(cutoff, half) + 1
    windows = np.lib.stride_tricks.sliding_window_view(samples, taps.shape[1], axis=1)
    return np.stack([np.einsum("nk,nk->n", side[first], taps) for side in windows])


def resampled(
    blocks: Iterable[np.ndarray], places: Places, cutoff: float = 1.0
) -> Iterator[np.ndarray]:
    """A signal that comes in blocks [channels, frames], read at ascending places.

    Args:
        places: (first, count) → where output frames first … first + count − 1 lie, float64 in
            frames of the input.
        cutoff: as in `interpolated`; the rate of the output by that of the input, at most 1.

    The end is where the input ends; before its beginning there is silence.
    """
    half = half_of(cutoff)
    held: np.ndarray | None = None
    start, done = -_LEAD - half, 0  # where `held` begins in the input; frames that came out
    for block in blocks:
        if held is None:
            held = np.zeros((len(block), -start), np.float32)
        held = np.concatenate([held, block], axis=1)
        while (wanted := places(done, _STEP))[-1] < start + held.shape[1] - half - 1:
            yield interpolated(held, wanted, cutoff, start=start)
            done += _STEP
        drop = max(0, min(held.shape[1], math.floor(wanted[0]) - half - start))
        held, start = held[:, drop:], start + drop
    if held is None:
        return
    end = start + held.shape[1]
    held = np.pad(held, ((0, 0), (0, half + 1)))
    while len(wanted := places(done, _STEP)) and len(wanted := wanted[wanted <= end - 1]):
        yield interpolated(held, wanted, cutoff, start=start)
        done += len(wanted)


@cache
def _table(cutoff: float, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights [phases, taps] and the steps from each phase to the next."""
    beta, half = _BETAS[half], half_of(cutoff, half)
    phases = np.arange(_PHASES + 1)[:, None] / _PHASES
    places = np.arange(-half + 1, half + 1) - phases
    window = np.i0(beta * np.sqrt(np.maximum(0, 1 - (places / half) ** 2))) / np.i0(beta)
    weights = np.sinc(cutoff * places) * window
    weights /= weights.sum(axis=1, keepdims=True)
    return weights[:-1].astype(np.float32), np.diff(weights, axis=0).astype(np.float32)
