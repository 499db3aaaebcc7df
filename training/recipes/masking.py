"""Masks for songs of any length: computed piece by piece, applied with the mixture's phase.

A convolutional net sees only so far. So a song's mask is computed in pieces that begin at multiples
of the net's stride, each with a margin on either side that is dropped: what is left is what the net
makes of the whole song, and memory does not grow with it. Everything here is at the model's rate;
signals are float32 [channels, samples].
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from training.models import spectrogram
from training.models.spectrogram import Waveform

PIECE_FRAMES = 640  # whose mask is kept; with its margins 1024 frames of six levels


@dataclass(frozen=True)
class Masking:
    """Masks over whole songs, by the STFT that a net was trained with."""

    n_fft: int  # samples
    hop_length: int  # samples
    grid: int = 64  # frames; a multiple of the net's stride
    margin: int = 192  # frames on either side of a piece that a net sees and that are dropped
    pieces: int = 1  # that are computed at once; where margins are wide, several cost less

    def peak_magnitude(self, samples: Waveform) -> float:
        """Largest magnitude of the channels' mean: what the net's input is divided by."""
        peak = 0.0
        for first, last in self._spans(samples):
            spectrum = self._part(samples, first, last).mean(dim=0)
            peak = max(peak, float(spectrum.abs().max()))
        return peak

    @torch.inference_mode()
    def masks(
        self, samples: Waveform, of: Callable[..., Tensor], *beside: Tensor
    ) -> Iterator[Tensor]:
        """The mask of a whole song, in consecutive pieces […, bins, frames] of it.

        `of` gives a net's mask of frames of a spectrum, complex [channels, bins, frames], and of
        the same frames of what stands `beside` it, […, frames] each.
        """
        total = spectrogram.frame_count(samples.shape[-1], self.hop_length)
        for first, last in self._spans(samples):
            begin, end = max(0, first - self.margin), min(total, last + self.margin)
            known = (part[..., begin:end] for part in beside)
            mask = of(self._part(samples, begin, end), *known).cpu()
            yield mask[..., first - begin : last - begin]

    @torch.inference_mode()
    def ideal_masks(
        self, mixture: Waveform, source: Waveform, of: Callable[[Tensor, Tensor], Tensor]
    ) -> Iterator[Tensor]:
        """An oracle's masks, likewise; `of` gives that of two spectra."""
        for first, last in self._spans(mixture):
            yield of(*(self._part(x, first, last) for x in (mixture, source)))

    @torch.inference_mode()
    def masked(self, samples: Waveform, masks: Iterable[Tensor]) -> Iterator[Tensor]:
        """A signal through a mask, [bins, frames] of all channels or [channels, bins, frames], its
        own phase kept: blocks [channels, samples] in turn."""
        rest = samples.shape[-1]
        overlap_add = spectrogram.OverlapAdd(self.n_fft, self.hop_length)
        first = 0
        for mask in masks:
            last = first + mask.shape[-1]
            block = overlap_add.add(self._part(samples, first, last) * mask)[:, :rest]
            rest -= block.shape[-1]
            first = last
            yield block
        yield overlap_add.end()[:, :rest]

    def _part(self, samples: Waveform, first: int, last: int) -> Tensor:
        """Complex [channels, bins, last − first]."""
        return spectrogram.stft_part(samples, first, last, self.n_fft, self.hop_length)

    def _spans(self, samples: Waveform) -> Iterator[tuple[int, int]]:
        """First and last + 1 of pieces that cover a signal's frames."""
        total = spectrogram.frame_count(samples.shape[-1], self.hop_length)
        step = -(-PIECE_FRAMES * self.pieces // self.grid) * self.grid
        for first in range(0, total, step):
            yield first, min(total, first + step)
