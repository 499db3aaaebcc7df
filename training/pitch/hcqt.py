"""Harmonic constant-Q transforms (HCQT), the input of Deep Salience (Bittner et al., ISMIR 2017).

Six constant-Q transforms of a signal at 22,050 Hz, hop 256, whose lowest bins lie at h · 32.7 Hz
for the harmonics h = 0.5, 1, 2, 3, 4, 5; 360 bins each, 60 an octave. Row r of each then belongs to
one f0: where that sounds, its harmonics stand above each other in the six channels.

Magnitudes are those of `librosa.cqt`: √L · |⟨x, w⟩|, w a wavelet of L samples with a Hann window
and an L1 norm of 1. Its octaves are computed at rates that halve from one to the next, by one STFT
and one product with real weights each (a wavelet that is centred on a frame has a real spectrum).
The harmonics 0.5, 1, 2 and 4 are octaves of each other, so they share one transform of nine
octaves, and 21 octaves do the work of 36.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from stemlode.shards.salience import (
    HOP_LENGTH,
    LOWEST_HZ,
    ROWS,
    ROWS_PER_OCTAVE,
    SAMPLE_RATE,
    frame_count,
)

HARMONICS = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
RANGE_DB = 80.0  # what lies further below the loudest bin is 0
OCTAVES = ROWS // ROWS_PER_OCTAVE
_STEP = 2 ** (2 / ROWS_PER_OCTAVE)
Q = (_STEP + 1) / (_STEP - 1)  # of every bin, as librosa has it
TAPS = 255  # of the filter before a signal is halved
ATTENUATION_BETA = 10.0  # of its Kaiser window: −100 dB
SLOWEST = 8  # halvings for the lowest octave: its hop is one sample


class Signal(Protocol):
    """A mono signal at 22,050 Hz, float32 [samples], in memory or on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, samples: slice) -> np.ndarray: ...


@dataclass(frozen=True)
class Chain:
    """Harmonics that are octaves of each other: one constant-Q transform."""

    lowest_hz: float
    octaves: int
    places: tuple[tuple[int, int], ...]  # channel of the HCQT, and at which octave it begins


def _chains() -> list[Chain]:
    """The fewest transforms that hold all harmonics."""
    found: dict[float, list[int]] = {}
    for channel, harmonic in enumerate(HARMONICS):
        odd = harmonic / 2.0 ** np.floor(np.log2(harmonic))
        found.setdefault(float(odd), []).append(channel)
    chains = []
    for channels in found.values():
        lowest = min(HARMONICS[channel] for channel in channels)
        shifts = [(c, round(float(np.log2(HARMONICS[c] / lowest)))) for c in channels]
        octaves = OCTAVES + max(shift for _, shift in shifts)
        chains.append(Chain(LOWEST_HZ * lowest, octaves, tuple(shifts)))
    return chains


CHAINS = _chains()


class HCQT(nn.Module):
    """Samples → magnitudes of the six transforms."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("halving", _halving(), persistent=False)
        self.halvings: list[list[int]] = []  # of each chain, how often for each octave
        for number, chain in enumerate(CHAINS):
            top_hz = chain.lowest_hz * 2 ** (chain.octaves - 1)  # lowest bin of the highest octave
            spare = int(np.floor(np.log2(SAMPLE_RATE / 2 / (2 * top_hz))))
            down = [spare + chain.octaves - 1 - octave for octave in range(chain.octaves)]
            self.halvings.append([min(count, SLOWEST) for count in down])
            for octave, count in enumerate(self.halvings[-1]):
                lowest = chain.lowest_hz * 2**octave
                weights = _weights(lowest, SAMPLE_RATE / 2**count)
                self.register_buffer(f"weights_{number}_{octave}", weights, persistent=False)

    def context(self) -> int:
        """Samples on either side that a frame depends on, a multiple of the hop."""
        reach = 0.0
        for number, counts in enumerate(self.halvings):
            for octave, count in enumerate(counts):
                n_fft = 2 * (self.get_buffer(f"weights_{number}_{octave}").shape[1] - 1)
                filters = sum(TAPS // 2 * 2**level for level in range(count))
                reach = max(reach, n_fft / 2 * 2**count + filters)
        return int(-(-reach // HOP_LENGTH) * HOP_LENGTH)

    def forward(self, samples: Tensor) -> Tensor:
        """float32 [samples], a multiple of 256 of them → magnitudes [6, 360, samples / 256].

        Frame t is centred on sample 256 · t; the signal counts as zero outside.
        """
        frames = samples.shape[-1] // HOP_LENGTH
        rates = [samples]
        for _ in range(max(max(counts) for counts in self.halvings)):
            rates.append(self._halved(rates[-1]))
        found = torch.empty(len(HARMONICS), ROWS, frames, device=samples.device)
        for number, (chain, counts) in enumerate(zip(CHAINS, self.halvings, strict=True)):
            for octave, count in enumerate(counts):
                weights = self.get_buffer(f"weights_{number}_{octave}")
                block = _magnitudes(rates[count], weights, HOP_LENGTH >> count, frames)
                for channel, first in chain.places:
                    if 0 <= octave - first < OCTAVES:
                        row = (octave - first) * ROWS_PER_OCTAVE
                        found[channel, row : row + ROWS_PER_OCTAVE] = block
        return found

    def _halved(self, samples: Tensor) -> Tensor:
        """At half the rate; sample n of the result lies on sample 2 n."""
        padded = torch.nn.functional.pad(samples, (TAPS // 2, TAPS // 2))
        return torch.nn.functional.conv1d(
            padded[None, None], self.get_buffer("halving")[None, None], stride=2
        )[0, 0]


def blocks(transform: HCQT, signal: Signal, frames: int, around: int = 0) -> Iterator[Tensor]:
    """The HCQT of a signal of any length, `frames` frames at a time: [6, 360, up to `frames`].

    As if it were transformed whole; the last block ends with the signal's last frame. Each has
    `around` frames more on either side, but where the signal begins or ends.
    """
    device = transform.get_buffer("halving").device
    reach, total = transform.context(), frame_count(len(signal))
    for begin in range(0, total, frames):
        first, last = max(0, begin - around), min(total, begin + frames + around)
        start, stop = first * HOP_LENGTH - reach, last * HOP_LENGTH + reach
        held = np.zeros(stop - start, np.float32)
        part = signal[max(0, start) : min(len(signal), stop)]
        held[max(0, -start) : max(0, -start) + len(part)] = part
        found = transform(torch.from_numpy(held).to(device))
        yield found[..., reach // HOP_LENGTH :][..., : last - first]


def scaled(magnitudes: Tensor, loudest: float) -> Tensor:
    """Magnitudes → decibels below the loudest of the song's six transforms, / 80 + 1: in 0…1."""
    floor = loudest * 10 ** (-RANGE_DB / 20)
    decibels = 20 * torch.log10(magnitudes.clamp(min=floor) / loudest)
    return decibels / RANGE_DB + 1


def _magnitudes(samples: Tensor, weights: Tensor, hop_length: int, frames: int) -> Tensor:
    """An octave's bins, [60, frames], by its weights [60, n_fft / 2 + 1]."""
    n_fft = 2 * (weights.shape[1] - 1)
    spectrum = torch.stft(
        samples,
        n_fft,
        hop_length,
        window=torch.ones(n_fft, device=samples.device),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )[:, :frames]
    parts = torch.view_as_real(spectrum).flatten(1)  # [bins, frames * 2]
    return torch.view_as_complex((weights @ parts).unflatten(1, (-1, 2))).abs()


def _weights(lowest_hz: float, sample_rate: float) -> Tensor:
    """An octave's wavelets as weights of an STFT without window: float32 [60, n_fft / 2 + 1]."""
    frequencies = lowest_hz * 2.0 ** (np.arange(ROWS_PER_OCTAVE) / ROWS_PER_OCTAVE)
    lengths = Q * sample_rate / frequencies
    n_fft = int(-(-(lengths[0] + 2) // 32) * 32)
    n = np.arange(-n_fft // 2, n_fft // 2)
    place = n[None] / lengths[:, None]
    window = np.where(np.abs(place) < 0.5, 0.5 + 0.5 * np.cos(2 * np.pi * place), 0.0)
    window /= window.sum(1, keepdims=True)
    waves = window * np.exp(2j * np.pi * frequencies[:, None] * n / sample_rate)
    spectra = np.fft.fft(np.fft.ifftshift(waves, axes=1), axis=1).real[:, : n_fft // 2 + 1]
    # torch.stft counts phase from a frame's start, half an n_fft before its centre.
    signs = (-1.0) ** np.arange(n_fft // 2 + 1)
    scales = np.sqrt(Q * SAMPLE_RATE / frequencies)[:, None] / n_fft
    return torch.from_numpy((spectra * signs * scales).astype(np.float32))


def _halving() -> Tensor:
    """A low-pass filter at half the new rate, float32 [TAPS]."""
    n = np.arange(TAPS) - TAPS // 2
    taps = np.sinc(n / 2) * np.kaiser(TAPS, ATTENUATION_BETA)
    return torch.from_numpy((taps / taps.sum()).astype(np.float32))
