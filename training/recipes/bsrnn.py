"""Recipes of the band-split RNN: seven ways to split for vocals, one each for the other sources."""

import dataclasses
import functools
from typing import ClassVar

import torch
from torch import Tensor, nn

from training.models import bsrnn_bands, precision, spectrogram
from training.models.bsrnn import BSRNN, ResidualRNN
from training.models.bsrnn_bands import SCHEMES
from training.recipes import chunks
from training.recipes.answers import Judged, Mixing, Transform
from training.recipes.base import Recipe
from training.recipes.chunks import Chunking

EPOCH = 10_000  # batches
NORMS = ("band", "frame")


@dataclasses.dataclass(frozen=True)
class BSRNNRecipe(Recipe):
    """BSRNN IV-A: the model, its training by mixing stems of random songs, and its loss.

    The loss is eq. 1: the sum of the mean absolute errors of the spectrogram's real part, of its
    imaginary part and of the waveform. They are means, as "MAE" says, so the loss, and with it the
    learning rate and the clipping, do not depend on an example's length or channels.
    """

    family: ClassVar[str] = "bsrnn"
    audio_channels: ClassVar[int] = 2  # which are items of the batch to the net
    recomputes: ClassVar[bool] = True
    tf32: ClassVar[bool] = True
    tunable: ClassVar[tuple[str, ...]] = (
        *Recipe.tunable,
        *("patch_seconds", "others", "gain_db", "drop", "mix_constraint"),
    )

    sample_rate: int = 44_100  # Hz
    batch_size: int = 16  # examples a step: 2 on each of 8 GPUs
    learning_rate: float = 1e-3  # of Adam, at the start
    decay: float = 0.98  # of the learning rate, every two epochs
    decay_every: int = 2 * EPOCH  # steps
    clip_norm: float = 5.0  # gradients are scaled down to at most this norm
    steps: int = 100 * EPOCH  # at most
    validate_every: int = EPOCH  # steps
    patience: int = 10  # validations without a better loss before the run stops
    patch_seconds: float = 3.0  # length of a training example
    # Mixed with the target on the fly, each of a song of its own; none: songs as they are.
    others: tuple[str, ...] = ("bass", "drums", "other")
    gain_db: float = 10.0  # each source is mixed at up to ± this gain
    drop: float = 0.1  # probability that a source is left out of a mixture
    mix_constraint: str = "none"  # tempo, key or genre: in which mixed songs shall be alike
    n_fft: int = 2048  # samples
    hop_length: int = 512  # samples
    bands: tuple[int, ...] = SCHEMES["v7"]  # up to so many Hz, bands so many Hz wide, …; a rest
    features: int = 128  # N, of each band
    layers: int = 12  # each of an LSTM over time and one over bands
    hidden: int = 256  # units of an LSTM's direction
    mask_hidden: int = 512  # units of the hidden layer that estimates a band's mask
    # Over what a band is normalised, at the split and for the mask: band or frame, as all nets were
    # before there was the field.
    norm: str = "frame"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hop_length > self.n_fft // 2 or self.n_fft % 2:
            raise ValueError(
                f"hop_length is {self.hop_length}; it must be at most half of n_fft, {self.n_fft}, "
                "which must be even"
            )
        if self.norm not in NORMS:
            raise ValueError(f"norm is {self.norm!r}, not one of {', '.join(NORMS)}")
        self._mixing()
        self.widths  # noqa: B018 (raises ValueError where bands do not fit)

    @property
    def widths(self) -> tuple[int, ...]:
        """Bins of each band."""
        return bsrnn_bands.widths(self.bands, self.n_fft, self.sample_rate)

    def blocks(self, nets: nn.Module) -> list[nn.Module]:
        """See `Recipe.blocks`: the recurrent layers."""
        return [module for module in nets.modules() if isinstance(module, ResidualRNN)]

    @property
    def patch_samples(self) -> int:
        """See `Recipe.patch_samples`."""
        return round(self.patch_seconds * self.sample_rate)

    @property
    def mixing(self) -> Mixing | None:
        """See `Recipe.mixing`; without others to mix with, songs are taken as they are."""
        return self._mixing() if self.others else None

    def checked_mixing(self) -> Mixing:
        """See `Recipe.checked_mixing`."""
        if not self.others:
            raise ValueError(
                f"{self.name} was trained on songs as they are; say what {self.target} is to be "
                "mixed with by --others, such as --others bass,drums,other"
            )
        return self._mixing()

    @property
    def transform(self) -> Transform:
        """See `Recipe.transform`; real and imaginary parts of all bins."""
        bins, parts = self.n_fft // 2 + 1, ("real", "imaginary")
        return Transform(self.n_fft, self.hop_length, bins, parts)

    def core(self) -> BSRNN:
        """Spectrogram parts in, the parts of a complex mask out."""
        sizes = (self.features, self.layers, self.hidden, self.mask_hidden)
        return BSRNN(self.widths, *sizes, self.norm)

    def judge(
        self, nets: nn.Module, mixture: Tensor, reference: Tensor, residual: Tensor
    ) -> Judged:
        """See `Recipe.judge`; the three terms of eq. 1."""
        target = torch.where(residual[:, None, None], mixture - reference, reference)
        masked = self._masked(nets, mixture)
        error = torch.view_as_real(masked - self._stft(target)).abs()
        found = spectrogram.istft(masked, self.n_fft, self.hop_length, mixture.shape[-1])
        terms = {
            "real": error[..., 0].flatten(1).mean(1),
            "imaginary": error[..., 1].flatten(1).mean(1),
            "waveform": (found - target).abs().flatten(1).mean(1),
        }
        return Judged(torch.stack(list(terms.values())).sum(0), terms, lambda: found)

    def estimate(self, nets: nn.Module, mixture: Tensor) -> Tensor:
        """See `Recipe.estimate`."""
        samples = mixture.shape[-1]
        masked = self._masked(nets, mixture)
        return spectrogram.istft(masked, self.n_fft, self.hop_length, samples)[:, None]

    @property
    def own_chunks(self) -> Chunking:
        """See `Recipe.own_chunks`: what is normalised over time is used as it learnt, on stretches
        of one length without silence around them."""
        return Chunking(self.patch_seconds, padded=False) if self.norm == "band" else Chunking()

    def estimate_songs(self, nets: nn.Module, songs: Tensor) -> Tensor:
        """See `Recipe.estimate_songs`; songs longer than an example chunk by chunk, if the net
        normalises over time."""
        if self.norm == "frame" or songs.shape[-1] <= self.patch_samples:
            return self.estimate(nets, songs)
        cut = Chunking(hop_seconds=self.patch_seconds / 2)
        estimate = functools.partial(self.estimate, nets)
        return chunks.of_songs(songs, self.sample_rate, estimate, self.cut(cut))

    def _mixing(self) -> Mixing:
        others = tuple(self.others)
        return Mixing(
            self.target, others, self.patch_seconds, self.gain_db, self.drop, self.mix_constraint
        )

    def _stft(self, samples: Tensor) -> Tensor:
        return spectrogram.stft(samples, self.n_fft, self.hop_length)

    def _masked(self, nets: nn.Module, mixture: Tensor) -> Tensor:
        """[batch, channels, samples] → the target's complex [batch, channels, bins, frames]."""
        spectrum = self._stft(mixture)
        items = torch.view_as_real(spectrum.flatten(0, 1)).permute(0, 3, 1, 2)
        mask = precision.masks(nets, items)  # [batch · channels, 2, bins, frames]
        return spectrum * torch.complex(mask[:, 0], mask[:, 1]).view_as(spectrum)


def _recipe(
    name: str, bands: str, target: str = "vocals", others: str = "bass drums other"
) -> BSRNNRecipe:
    return BSRNNRecipe(
        name=f"bsrnn-{name}",
        summary=f"band-split RNN that estimates {target}, bands {bands.upper()}",
        target=target,
        others=tuple(others.split()),
        bands=SCHEMES[bands],
        norm="band",
    )


def _small(recipe: BSRNNRecipe) -> BSRNNRecipe:
    """A sibling that learns a few songs on a CPU: the same bands, few and narrow layers."""
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name}-small",
        summary=f"{recipe.name} with few and narrow layers, for a CPU",
        batch_size=1,
        steps=2000,
        validate_every=100,
        log_every=10,
        decay_every=200,
        hop_length=1024,
        features=32,
        layers=3,
        hidden=64,
        mask_hidden=128,
    )


_LARGE = (
    *(_recipe(f"vocals-{bands}", bands) for bands in ("v1", "v2", "v3", "v4", "v5", "v6", "v7")),
    _recipe("vocals", "v7"),
    _recipe("bass", "bass", "bass", "vocals drums other"),
    _recipe("drum", "drum", "drums", "vocals bass other"),
    _recipe("other", "other", "other", "vocals bass drums"),
)

RECIPES: tuple[Recipe, ...] = (*_LARGE, *(_small(recipe) for recipe in _LARGE))

# What stands in [] may be left out.
NAMES = (
    (
        "bsrnn-vocals[-v1|-v2|-v3|-v4|-v5|-v6|-v7][-small]",
        "band-split RNN with the bands V1 to V7; V7 without a suffix",
    ),
    (
        "bsrnn-{bass,drum,other}[-small]",
        "band-split RNN of the other sources",
    ),
)
