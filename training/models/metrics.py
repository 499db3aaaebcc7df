"""Signal-to-distortion ratios in decibels, over whole batches of signals at once."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

EPSILON = 1e-10  # keeps a perfect estimate's score finite
PROBED = 997  # every so many samples are looked at before a frame is
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
    signal, error = energies(references, window), energies(references - estimates, window)
    silent = silent_frames(references, estimates, window)
    return ratios_db(signal, error, silent)


@torch.inference_mode()
def energies(signals: Tensor, window: int) -> Tensor:
    """[sources, channels, samples] → Σ x² over channels of frames side by side and, last of all, of
    what is left at the end: float64 [sources, frames + 1]."""
    frames = in_frames(signals, window)
    rest = signals[..., frames.shape[-2] * frames.shape[-1] :]
    parts = (
        torch.linalg.vector_norm(part, dim=-1).double() for part in (frames, rest[..., None, :])
    )
    return torch.cat([part.square().sum(1) for part in parts], dim=-1)


def ratios_db(signal: Tensor, error: Tensor, silent: Tensor) -> np.ndarray:
    """SDR in dB of frames by `energies` of the reference and of the error: [sources, frames]."""
    ratios = 10 * torch.log10(signal[:, :-1] / error[:, :-1])
    return ratios.masked_fill(silent, torch.nan).cpu().numpy()


def usdr_of(signal: Tensor, error: Tensor, values: int) -> np.ndarray:
    """`usdr` by `energies` of reference and error; `values` is channels times samples."""
    whole, wrong = signal.sum(-1), error.sum(-1)
    score = 10 * torch.log10((whole + EPSILON) / (wrong + EPSILON))
    return score.masked_fill(whole <= SILENCE * max(1, values), torch.nan).cpu().numpy()


def in_frames(signals: Tensor, window: int) -> Tensor:
    """[..., samples] → [..., frames, window], without what is left at the end."""
    window = min(window, signals.shape[-1])
    count = signals.shape[-1] // window
    return signals[..., : count * window].unflatten(-1, (count, window))


def silent_frames(references: Tensor, estimates: Tensor, window: int) -> Tensor:
    """Frames without a score, bool [frames]: as in `museval`, those in which the channels of one of
    the references or estimates, [sources, channels, samples], sum to digital silence."""
    silent = None
    for signals in (references, estimates):
        frames = in_frames(signals, window)
        found = (frames[..., ::PROBED].sum(1) == 0).all(-1)  # [sources, frames] that may be
        for source, frame in found.nonzero().tolist():
            found[source, frame] = bool((frames[source, :, frame].sum(0) == 0).all())
        silent = found.any(0) if silent is None else silent | found.any(0)
    assert silent is not None
    return silent
