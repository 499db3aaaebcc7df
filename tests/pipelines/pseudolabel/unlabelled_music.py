"""Unlabelled tracks whose sounds are known: noise below 1 kHz, above it, or both."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000


def band(
    seconds: float, low: float, high: float, seed: int, rate: int = RATE, channels: int = 2
) -> np.ndarray:
    """Noise between two frequencies, float32 [frames, channels], level −17 dB."""
    frames = round(seconds * rate)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((channels, frames)))
    frequencies = np.fft.rfftfreq(frames, 1 / rate)
    spectrum[:, (frequencies < low) | (frequencies > high)] = 0
    found = np.fft.irfft(spectrum, frames)
    return (0.14 * found / np.sqrt(np.mean(found**2))).T.astype(np.float32)


def deep(seconds: float, seed: int, **facts: int) -> np.ndarray:
    return band(seconds, 100, 800, seed, **facts)


def shrill(seconds: float, seed: int, **facts: int) -> np.ndarray:
    return band(seconds, 1300, 3500, seed, **facts)


def both(seconds: float, seed: int, **facts: int) -> np.ndarray:
    return 0.7 * deep(seconds, seed, **facts) + 0.7 * shrill(seconds, seed + 1000, **facts)


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)


def songs(folder: Path) -> Path:
    """A folder of five tracks that are all good."""
    for seed in range(2):
        write(folder / f"A - both {seed}.flac", both(40 + 7 * seed, seed))
    write(folder / "A - deep.wav", deep(20, 5))
    write(folder / "A - shrill.wav", shrill(17, 6))
    pause = np.zeros((15 * RATE, 2), np.float32)
    write(folder / "A - parts.flac", np.concatenate([deep(30, 7), pause, shrill(30, 8)]))
    return folder
