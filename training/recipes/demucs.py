"""Recipes of a separator in the time domain, Demucs."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor, nn

from training.models import losses, precision
from training.models.demucs import Demucs
from training.recipes.answers import Judged
from training.recipes.base import Recipe
from training.recipes.values import rest_of


@dataclasses.dataclass(frozen=True)
class DemucsRecipe(Recipe):
    """Target and rest by one net (Défossez et al. 2019, whose net gives four sources).

    The loss is the mean absolute error of the waveforms, summed over the two. Examples are mixed
    from targets and rests of different songs, each at its own random gain and with its sign and
    its channels swapped at even odds, as theirs are. What of theirs is left out: docs/recipes.md.
    """

    family: ClassVar[str] = "demucs"
    recomputes: ClassVar[bool] = True
    tf32: ClassVar[bool] = True
    audio_channels: ClassVar[int] = 2

    sample_rate: int = 44_100  # Hz, stereo
    batch_size: int = 64  # examples
    learning_rate: float = 3e-4  # of Adam
    patch_seconds: float = 10.0  # length of a training example
    channels: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)  # of the encoder's layers
    kernel_size: int = 8
    stride: int = 4
    context: int = 3  # taps before each of the decoder's transposed convolutions
    lstm_layers: int = 2
    remix: bool = True  # examples from the target of one song and the rest of another
    swap_channels: bool = True  # left and right of target and rest, each at even odds
    gain_low: float = 0.25  # least factor of the target and of the rest in an example
    gain_high: float = 1.25
    flip_signs: bool = False  # of target and rest, each at even odds

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= len(self.channels) <= 8:
            raise ValueError(f"channels has {len(self.channels)} layers; from 1 to 8")
        if self.kernel_size < self.stride or (self.kernel_size - self.stride) % 2:
            raise ValueError(
                f"kernel_size is {self.kernel_size}; at least stride, {self.stride}, and even or "
                "odd as that is"
            )
        if self.context % 2 == 0:
            raise ValueError(f"context is {self.context}; it must be odd")
        if self.gain_low > self.gain_high:
            raise ValueError(f"gain_low is {self.gain_low}; at most gain_high, {self.gain_high}")

    @property
    def patch_samples(self) -> int:
        """See `Recipe.patch_samples`."""
        return round(self.patch_seconds * self.sample_rate)

    @property
    def estimated(self) -> tuple[str, ...]:
        """See `Recipe.estimated`."""
        return self.target, rest_of(self.target)

    @property
    def remixes(self) -> bool:
        """See `Recipe.remixes`."""
        return self.remix

    @property
    def swaps_channels(self) -> bool:
        """See `Recipe.swaps_channels`."""
        return self.swap_channels

    def gains(self, count: int) -> tuple[Tensor, Tensor]:
        """See `Recipe.gains`."""
        both = self.gain_low + torch.rand(2, count) * (self.gain_high - self.gain_low)
        if self.flip_signs:
            both = torch.where(torch.rand(2, count) < 0.5, -both, both)
        return both[0], both[1]

    def blocks(self, nets: nn.Module) -> list[nn.Module]:
        """See `Recipe.blocks`: the layers of convolutions."""
        assert isinstance(nets, Demucs)
        return [*nets.encoder, *nets.decoder]

    def core(self) -> nn.Module:
        """Waveforms in, waveforms out."""
        return Demucs(
            *(self.channels, self.kernel_size, self.stride, self.context, self.lstm_layers),
            sources=len(self.estimated),
        )

    def judge(
        self, nets: nn.Module, mixture: Tensor, reference: Tensor, residual: Tensor
    ) -> Judged:
        """See `Recipe.judge`; a loss for each of the two."""
        other, swapped = mixture - reference, residual[:, None, None]
        target, rest = (
            torch.where(swapped, other, reference),
            torch.where(swapped, reference, other),
        )
        found = self.estimate(nets, mixture)
        terms = {
            self.target: losses.l1_mean(found[:, 0], target),
            rest_of(self.target): losses.l1_mean(found[:, 1], rest),
        }
        return Judged(torch.stack([*terms.values()]).sum(0), terms, lambda: found[:, 0])

    def estimate(self, nets: nn.Module, mixture: Tensor) -> Tensor:
        """See `Recipe.estimate`. What is not stereo goes through channel by channel."""
        batch, channels, _ = mixture.shape
        if channels == 2:
            return precision.masks(nets, mixture)
        apart = mixture.flatten(0, 1)[:, None].expand(-1, 2, -1)
        found = precision.masks(nets, apart).mean(2)  # [batch · channels, sources, samples]
        return found.unflatten(0, (batch, channels)).transpose(1, 2)


_VOCALS = DemucsRecipe(
    name="demucs-vocals",
    summary="Demucs, in the time domain: strided convolutions, LSTM; vocals and accompaniment",
    target="vocals",
    flip_signs=True,
)
_SMALL = dataclasses.replace(
    _VOCALS,
    name="demucs-vocals-small",
    summary="demucs-vocals at 16 kHz with four narrow layers, for a CPU",
    sample_rate=16_000,
    batch_size=4,
    learning_rate=1e-3,
    patch_seconds=3.0,
    channels=(24, 48, 96, 192),
    lstm_layers=1,
    steps=1500,
    validate_every=100,
    patience=10,
    log_every=10,
)
RECIPES = (_VOCALS, _SMALL)

# What stands in [] may be left out.
NAMES = (("demucs-vocals[-small]", "waveforms in, waveforms out: Demucs, without a spectrogram"),)
