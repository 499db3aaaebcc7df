"""Masks for songs of any length: computed in overlapping pieces, applied with the mixture's phase.

Everything here is at the model's rate; signals are float32 [channels, samples]. One mask, made from
the mean of the channels, serves all channels, so that the stereo image stays (thesis 4.2.2 is
mono).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.models import spectrogram
from training.models.spectrogram import Waveform

PIECE_FRAMES = 1024  # of which a net sees at once; a multiple of its stride
OVERLAP_FRAMES = 128  # over which one piece's mask fades into the next one's; likewise


@dataclass(frozen=True)
class Masking:
    """Magnitude masks over whole songs, by the STFT that a net was trained with.

    Memory does not grow with the song.
    """

    n_fft: int  # samples
    hop_length: int  # samples

    def peak_magnitude(self, samples: Waveform) -> float:
        """Largest magnitude of the channels' mean: what the net's input is divided by."""
        peak = 0.0
        for first, last in self._spans(samples, PIECE_FRAMES):
            peak = max(peak, float(self._mono(samples, first, last).abs().max()))
        return peak

    @torch.inference_mode()
    def masks(
        self, samples: Waveform, net: nn.Module, *, of_rest: bool = False
    ) -> Iterator[Tensor]:
        """A net's mask of a whole song: consecutive pieces [bins, frames] of it.

        `of_rest`: 1 minus the mask.
        """
        device = next(net.parameters()).device
        peak = self.peak_magnitude(samples)
        fade_in = torch.linspace(0, 1, OVERLAP_FRAMES + 2)[1:-1]
        tail: Tensor | None = None  # the end of the last piece's mask, [bins, OVERLAP_FRAMES]
        for first, last in self._spans(samples, PIECE_FRAMES, OVERLAP_FRAMES):
            magnitude = spectrogram.drop_bin(self._mono(samples, first, last).abs())
            scaled = (magnitude / peak if peak > 0 else magnitude)[None].to(device)
            mask = spectrogram.restore_bin(net(scaled)[0, 0]).cpu()
            if of_rest:
                mask = 1 - mask
            if tail is not None:
                shared = tail.shape[-1]
                mask[:, :shared] = tail + (mask[:, :shared] - tail) * fade_in[:shared]
            if last == spectrogram.frame_count(samples.shape[-1], self.hop_length):
                yield mask
            else:
                yield mask[:, :-OVERLAP_FRAMES]
                tail = mask[:, -OVERLAP_FRAMES:]

    @torch.inference_mode()
    def ideal_masks(self, mixture: Waveform, source: Waveform) -> Iterator[Tensor]:
        """The oracle's mask min(|S| / |X|, 1): the best that a mask in [0, 1] can do per bin in
        L1."""
        for first, last in self._spans(mixture, PIECE_FRAMES):
            whole, part = (self._mono(x, first, last).abs()[0] for x in (mixture, source))
            yield (part / whole.clamp(min=1e-12)).clamp(max=1)

    @torch.inference_mode()
    def masked(self, samples: Waveform, masks: Iterable[Tensor]) -> Iterator[Tensor]:
        """A signal through a mask, its own phase kept: blocks [channels, samples] in turn."""
        rest = samples.shape[-1]
        overlap_add = spectrogram.OverlapAdd(self.n_fft, self.hop_length)
        first = 0
        for mask in masks:
            last = first + mask.shape[-1]
            spectrum = spectrogram.stft_part(samples, first, last, self.n_fft, self.hop_length)
            block = overlap_add.add(spectrum * mask)[:, :rest]
            rest -= block.shape[-1]
            first = last
            yield block
        yield overlap_add.end()[:, :rest]

    def _mono(self, samples: Waveform, first: int, last: int) -> Tensor:
        """Complex [1, bins, frames] of the channels' mean."""
        spectrum = spectrogram.stft_part(samples, first, last, self.n_fft, self.hop_length)
        return spectrum.mean(dim=0, keepdim=True)

    def _spans(self, samples: Waveform, frames: int, overlap: int = 0) -> Iterator[tuple[int, int]]:
        """First and last + 1 of pieces of at most `frames` frames that cover a signal."""
        total = spectrogram.frame_count(samples.shape[-1], self.hop_length)
        first = 0
        while first + frames < total:
            yield first, first + frames
            first += frames - overlap
        yield first, total
