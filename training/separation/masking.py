"""Masks over signals of any length: computed in overlapping pieces, applied with mixture phase.

All of it at the model's rate, where signals are float32 [channels, samples]. One mask, from the
mean of the channels, serves all channels, so that the stereo image stays (thesis 4.2.2 is mono).
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from training.models import spectrogram
from training.models.spectrogram import Signal
from training.recipes.unet import UNetRecipe

PIECE_FRAMES = 1024  # of which a net sees at once; a multiple of its stride
OVERLAP_FRAMES = 128  # over which one piece's mask fades into the next one's; likewise


def lead(recipe: UNetRecipe) -> str:
    """The source that is masked: the one whose band ends with the net's, not the accompaniment."""
    return "vocals" if recipe.target == "accompaniment" else recipe.target


def peak_magnitude(samples: Signal, recipe: UNetRecipe) -> float:
    """Largest magnitude of the channels' mean: what the net's input is divided by."""
    peak = 0.0
    for first, last in _spans(samples, recipe, PIECE_FRAMES):
        peak = max(peak, float(_mono(samples, first, last, recipe).abs().max()))
    return peak


@torch.inference_mode()
def lead_masks(samples: Signal, recipe: UNetRecipe, core: nn.Module) -> Iterator[Tensor]:
    """The mask of `lead(recipe)`: consecutive pieces [bins, frames] of the whole song's.

    A net for the accompaniment gives 1 minus its mask. Memory does not grow with the song.
    """
    device = next(core.parameters()).device
    peak = peak_magnitude(samples, recipe)
    fade_in = torch.linspace(0, 1, OVERLAP_FRAMES + 2)[1:-1]
    tail: Tensor | None = None  # the end of the last piece's mask, [bins, OVERLAP_FRAMES]
    for first, last in _spans(samples, recipe, PIECE_FRAMES, OVERLAP_FRAMES):
        magnitude = spectrogram.drop_bin(_mono(samples, first, last, recipe).abs())
        scaled = (magnitude / peak if peak > 0 else magnitude)[None].to(device)
        mask = spectrogram.restore_bin(core(scaled)[0, 0]).cpu()
        if recipe.target == "accompaniment":
            mask = 1 - mask
        if tail is not None:
            shared = tail.shape[-1]
            mask[:, :shared] = tail + (mask[:, :shared] - tail) * fade_in[:shared]
        if last == spectrogram.frame_count(samples.shape[-1], recipe.hop_length):
            yield mask
        else:
            yield mask[:, :-OVERLAP_FRAMES]
            tail = mask[:, -OVERLAP_FRAMES:]


@torch.inference_mode()
def ideal_masks(mixture: Signal, source: Signal, recipe: UNetRecipe) -> Iterator[Tensor]:
    """The oracle's mask min(|S| / |X|, 1): the best that a mask in [0, 1] can do per bin in L1."""
    for first, last in _spans(mixture, recipe, PIECE_FRAMES):
        whole, part = (_mono(x, first, last, recipe).abs()[0] for x in (mixture, source))
        yield (part / whole.clamp(min=1e-12)).clamp(max=1)


@torch.inference_mode()
def masked(samples: Signal, masks: Iterable[Tensor], recipe: UNetRecipe) -> Iterator[Tensor]:
    """A signal through a mask, its own phase kept: blocks [channels, samples] in turn."""
    rest = samples.shape[-1]
    overlap_add = spectrogram.OverlapAdd(recipe.n_fft, recipe.hop_length)
    first = 0
    for mask in masks:
        last = first + mask.shape[-1]
        spectrum = spectrogram.stft_part(samples, first, last, recipe.n_fft, recipe.hop_length)
        block = overlap_add.add(spectrum * mask)[:, :rest]
        rest -= block.shape[-1]
        first = last
        yield block
    yield overlap_add.end()[:, :rest]


def _mono(samples: Signal, first: int, last: int, recipe: UNetRecipe) -> Tensor:
    """Complex [1, bins, frames] of the channels' mean."""
    spectrum = spectrogram.stft_part(samples, first, last, recipe.n_fft, recipe.hop_length)
    return spectrum.mean(dim=0, keepdim=True)


def _spans(
    samples: Signal, recipe: UNetRecipe, frames: int, overlap: int = 0
) -> Iterator[tuple[int, int]]:
    """First and last + 1 of pieces of at most `frames` frames that cover a signal."""
    total = spectrogram.frame_count(samples.shape[-1], recipe.hop_length)
    first = 0
    while first + frames < total:
        yield first, first + frames
        first += frames - overlap
    yield first, total
