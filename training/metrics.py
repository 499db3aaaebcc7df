"""Signal-to-distortion ratios in decibels, over whole batches of signals at once."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

EPSILON = 1e-10  # keeps a perfect estimate's score finite
SILENCE = 1e-10  # mean power (−100 dB re full scale) at and below which a reference is silent


def usdr(reference: ArrayLike, estimate: ArrayLike) -> np.ndarray:
    """Utterance-level SDR of [..., channels, samples] against [..., channels, samples], in dB.

    10 log10((Σ reference² + ε) / (Σ error² + ε)), the sums over channels and samples, as in the
    Music Demixing Challenge. NaN where the reference is silent: there is nothing to score.

    Returns: float64 of the leading shape. Raises ValueError where the shapes differ.
    """
    truth, guess = np.asarray(reference), np.asarray(estimate)
    if truth.shape != guess.shape:
        raise ValueError(f"reference is {truth.shape} and estimate {guess.shape}")
    signal = np.sum(np.square(truth, dtype=np.float64), axis=(-2, -1))
    error = np.sum(np.square(np.subtract(truth, guess, dtype=np.float64)), axis=(-2, -1))
    score = 10 * np.log10((signal + EPSILON) / (error + EPSILON))
    silent = signal <= SILENCE * max(1, truth.shape[-1] * truth.shape[-2])
    return np.where(silent, np.nan, score)


@torch.inference_mode()
def frame_sdr(references: Tensor, estimates: Tensor, window: int) -> np.ndarray:
    """SDR of frames of `window` samples side by side, in dB, on the signals' device.

    references, estimates: [sources, channels, samples]. What is left at the end is not scored; a
    song shorter than a window is one frame. This is the SDR of `museval`, whose filters, the same
    for a whole song, change SIR and SAR alone (museval#101).

    Returns: float64 [sources, frames], NaN in `silent_frames`. Raises ValueError where the shapes
    differ.
    """
    if references.shape != estimates.shape:
        raise ValueError(f"references are {references.shape} and estimates {estimates.shape}")
    signal = in_frames(references, window).square().sum((1, -1), dtype=torch.float64)
    wrong = in_frames(references, window).double() - in_frames(estimates, window)
    error = wrong.square_().sum((1, -1))
    silent = silent_frames(references, estimates, window)
    return (10 * torch.log10(signal / error)).masked_fill(silent, torch.nan).cpu().numpy()


def in_frames(signals: Tensor, window: int) -> Tensor:
    """[..., samples] → [..., frames, window], without what is left at the end."""
    window = min(window, signals.shape[-1])
    count = signals.shape[-1] // window
    return signals[..., : count * window].unflatten(-1, (count, window))


def silent_frames(references: Tensor, estimates: Tensor, window: int) -> Tensor:
    """Frames without a score, bool [frames]: as in `museval`, those in which the channels of one of
    the references or estimates, [sources, channels, samples], sum to digital silence."""
    sums = torch.cat((references.sum(1), estimates.sum(1)))
    return (in_frames(sums, window) == 0).all(-1).any(0)
