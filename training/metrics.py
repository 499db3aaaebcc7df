"""Scores of a separation, in decibels, over whole batches of signals at once."""

import numpy as np
from numpy.typing import ArrayLike

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
