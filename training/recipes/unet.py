"""Recipes of the U-Net of the thesis, chapter 4."""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from training.models import losses, precision, spectrogram
from training.models.spectrogram import Waveform
from training.models.unet import CHANNELS, UNet
from training.recipes.answers import Judged, Transform
from training.recipes.base import Recipe
from training.recipes.chunks import Chunking
from training.recipes.masking import Masking


@dataclasses.dataclass(frozen=True)
class EncoderDecoderRecipe(Recipe):
    """What the recipes of chapters 4 and 6 share."""

    batch_size: int = 16  # examples a step
    learning_rate: float = 2e-4  # of Adam
    beta1: float = 0.5  # of Adam
    n_fft: int = 1024  # samples
    hop_length: int = 256  # samples
    channels: tuple[int, ...] = CHANNELS  # of the encoder's layers
    kernel_size: int = 5
    leakiness: float = 0.2
    dropout: float = 0.5
    remix_db: float = 0.0  # above 0, targets change places in a batch, at up to ± this gain
    chunk_seconds: float = 0.0  # in which songs are separated; 0: as a whole

    takes_whole: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must lie in [0, 1)")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}; it must be odd")
        if not 1 <= len(self.channels) <= 16 or self.n_fft // 2 % 2 ** len(self.channels):
            raise ValueError(
                f"channels has {len(self.channels)} layers, and half of n_fft, {self.n_fft // 2}, "
                "cannot be halved so often"
            )

    @property
    def own_chunks(self) -> Chunking:
        """See `Recipe.own_chunks`."""
        return Chunking(self.chunk_seconds or None, whole=not self.chunk_seconds)

    @property
    def masking(self) -> Masking:
        """How masks of whole songs are made. With six levels and kernels of 5, what lies further
        away than the margin changes a mask by less than −110 dB."""
        stride = 2 ** len(self.channels)
        margin = 3 * stride * max(1, self.kernel_size // 4)
        return Masking(self.n_fft, self.hop_length, max(64, stride), -(-margin // 64) * 64)

    @property
    def sight(self) -> tuple[int, int]:
        """See `Recipe.sight`."""
        one = self.masking
        return one.grid * self.hop_length, one.margin * self.hop_length + self.n_fft

    @property
    def remixes(self) -> bool:
        """See `Recipe.remixes`."""
        return self.remix_db > 0

    def gains(self, count: int) -> tuple[Tensor, Tensor]:
        """See `Recipe.gains`; in decibels, of the targets alone."""
        return 10 ** ((torch.rand(count) * 2 - 1) * self.remix_db / 20), torch.ones(count)


@dataclasses.dataclass(frozen=True)
class UNetRecipe(EncoderDecoderRecipe):
    """The U-Net of the thesis, chapter 4, and its training (4.2.2).

    The loss is the L1 norm of eq. 4.2: a sum over bins and frames, averaged over the batch. A mean
    over bins would bring gradients near Adam's epsilon, as most bins of music are silent.
    """

    family: ClassVar[str] = "unet"
    summed: ClassVar[bool] = True
    levelled: ClassVar[bool] = True

    sample_rate: int = 8192  # Hz; audio is mixed to mono and resampled to this
    hop_length: int = 768  # samples
    patch_frames: int = 128  # frames of one training example; 12 s
    dropout_layers: int = 3  # the first ones of the decoder
    skips: bool = True  # without them: the baseline of 4.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hop_length >= self.n_fft:
            raise ValueError(
                f"hop_length is {self.hop_length}; it must be below n_fft, {self.n_fft}"
            )

    @property
    def patch_samples(self) -> int:
        """See `Recipe.patch_samples`."""
        return self.patch_frames * self.hop_length

    def core(self) -> nn.Module:
        """Normalised magnitudes in, a mask out."""
        return self.unet()

    def unet(self, *, inputs: int = 1, bottleneck: int = 1) -> UNet:
        """A U-Net of the recipe's shape; arguments as for `UNet`."""
        return UNet(
            self.channels,
            self.kernel_size,
            self.leakiness,
            self.dropout,
            self.dropout_layers,
            skips=self.skips,
            inputs=inputs,
            bottleneck=bottleneck,
        )

    @property
    def transform(self) -> Transform:
        """See `Recipe.transform`."""
        return Transform(
            *(self.n_fft, self.hop_length, self.n_fft // 2, ("magnitude",)),
            divided_by="the largest magnitude of the song",
            mask="real",
            channels_seen="mean",
            inverted=self._of_rest,
        )

    def level(self, mixture: Tensor) -> float:
        """The largest magnitude, so that those of a whole song fit [0, 1]."""
        return float(spectrogram.stft(mixture, self.n_fft, self.hop_length).abs().max())

    def judge(
        self, nets: nn.Module, mixture: Tensor, reference: Tensor, residual: Tensor
    ) -> Judged:
        """See `Recipe.judge`; there is one loss, eq. 4.2. In the estimate the frame past the end,
        which is not learnt from, gets the last one's mask."""
        given, wanted = self.magnitudes(mixture, reference, residual)
        mask = precision.masks(nets, given)
        loss = losses.l1_sum(mask * given, wanted)
        return Judged(loss, {}, lambda: self.through(mask, mixture))

    def through(self, mask: Tensor, mixture: Tensor) -> Tensor:
        """Mixtures [batch, 1, samples] through a mask of `magnitudes`."""
        spectrum = spectrogram.stft(mixture, self.n_fft, self.hop_length)
        more = spectrum.shape[-1] - mask.shape[-1]
        whole = torch.cat((mask, mask[..., -1:].expand(-1, -1, -1, more)), dim=-1)
        masked = spectrum * spectrogram.restore_bin(whole)
        return spectrogram.istft(masked, self.n_fft, self.hop_length, mixture.shape[-1])

    def estimate(self, nets: nn.Module, mixture: Tensor) -> Tensor:
        """See `Recipe.estimate`; each channel by a mask of its own."""
        spectrum = spectrogram.stft(mixture.flatten(0, 1), self.n_fft, self.hop_length)
        mask = precision.masks(nets, spectrogram.drop_bin(spectrum.abs())[:, None])[:, 0]
        masked = spectrum * spectrogram.restore_bin(mask)
        found = spectrogram.istft(masked, self.n_fft, self.hop_length, mixture.shape[-1])
        return found.view_as(mixture)[:, None]

    @property
    def separated(self) -> tuple[str, ...]:
        """See `Recipe.separated`; the source that is masked, whose band ends with the net's: the
        accompaniment is what that leaves of a song, at the song's full rate."""
        return ("vocals",) if self._of_rest else (self.target,)

    def separate(self, nets: nn.Module, signal: Waveform, chunking: Chunking) -> Iterator[Tensor]:
        """See `Recipe.separate`; normalised by the song's maximum, whether in chunks or not. One
        mask, made from the mean of the channels, serves all of them, so that the stereo image stays
        (thesis 4.2.2 is mono)."""
        if not self.cut(chunking).whole:
            yield from super().separate(nets, signal, chunking)
            return
        level = torch.tensor([self.song_level(signal)])
        device = next(nets.parameters()).device

        def mask(spectrum: Tensor) -> Tensor:
            return self._channels_mask(nets, spectrum[None].to(device), level)[0, 0]

        for block in self.masking.masked(signal, self.masking.masks(signal, mask)):
            yield block[None]

    def song_level(self, signal: Waveform) -> float:
        """See `Recipe.song_level`; the largest magnitude."""
        return self.masking.peak_magnitude(signal)

    def estimate_chunks(self, nets: nn.Module, batch: Tensor, levels: Tensor) -> Tensor:
        """See `Recipe.estimate_chunks`."""
        spectrum = spectrogram.stft(batch, self.n_fft, self.hop_length)
        masked = spectrum * self._channels_mask(nets, spectrum, levels)
        return spectrogram.istft(masked, self.n_fft, self.hop_length, batch.shape[-1])[:, None]

    def _channels_mask(self, nets: nn.Module, spectrum: Tensor, levels: Tensor) -> Tensor:
        """Complex [batch, channels, bins, frames] → the mask of all channels, [batch, 1, bins,
        frames]."""
        magnitude = spectrogram.drop_bin(spectrum.mean(1, keepdim=True).abs())
        divisors = torch.where(levels > 0, levels, 1.0).to(magnitude.device)
        found = spectrogram.restore_bin(nets(magnitude / divisors[:, None, None, None]))
        return 1 - found if self._of_rest else found

    def estimate_songs(self, nets: nn.Module, songs: Tensor) -> Tensor:
        """See `Recipe.estimate_songs`; each is divided by its own loudest bin."""
        spectrum = spectrogram.stft(songs, self.n_fft, self.hop_length)
        levels = spectrum.mean(1).abs().amax((1, 2))
        return self.estimate_chunks(nets, songs, levels)

    def separate_by_oracle(
        self, mixture: Waveform, references: Tensor, chunking: Chunking
    ) -> Iterator[Tensor]:
        """See `Recipe.separate_by_oracle`; the best masks in [0, 1] for magnitudes of the mean of
        the channels: min(|S| / |X|, 1), per bin in L1."""

        def ideal(whole: Tensor, part: Tensor) -> Tensor:
            X, S = (spectrum.mean(0).abs() for spectrum in (whole, part))
            return (S / X.clamp(min=1e-12)).clamp(max=1)

        masks = self.masking.ideal_masks(mixture, references[0], ideal)
        for block in self.masking.masked(mixture, masks):
            yield block[None]

    @property
    def _of_rest(self) -> bool:
        return self.target == "accompaniment"

    def magnitudes(
        self, mixture: Tensor, reference: Tensor, residual: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The net's input and its target, [batch, 1, n_fft / 2, frames] each.

        Where no isolated vocals exist, their magnitude is the half-wave rectified residual
        max(|X| − |Y|, 0) of mixture and accompaniment (thesis 4.2.2).
        """
        both = torch.cat((mixture, reference), dim=1)  # [batch, 2, samples]
        spectrum = spectrogram.stft(both, self.n_fft, self.hop_length)
        frames = mixture.shape[-1] // self.hop_length  # without the one past the end
        magnitude = spectrogram.drop_bin(spectrum.abs())[..., : max(1, frames)]
        given, other = magnitude[:, :1], magnitude[:, 1:]
        rectified = torch.relu(given - other)
        return given, torch.where(residual[:, None, None, None], rectified, other)


# Two independent nets, as in the thesis: "to allow for more divergent training schemes".
_VOCALS = UNetRecipe(
    name="unet-vocals",
    summary="U-Net of the thesis, ch. 4, that estimates the vocals",
    target="vocals",
)
_INSTRUMENTAL = dataclasses.replace(
    _VOCALS,
    name="unet-instrumental",
    summary="U-Net of the thesis, ch. 4, that estimates the accompaniment",
    target="accompaniment",
)
_NO_SKIP = dataclasses.replace(
    _VOCALS,
    name="unet-noskip",
    summary="the thesis' baseline, a U-Net without skip connections, for the vocals",
    skips=False,
)


def _small(recipe: UNetRecipe) -> UNetRecipe:
    """A sibling that learns from tens of songs in two minutes on two CPU cores.

    With so few songs a net learns them by heart; remixing is worth 1 dB on songs it never heard.
    """
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name}-small",
        summary=f"{recipe.name} with a quarter of the parameters and faster steps, for a CPU",
        channels=(8, 16, 32, 64, 128, 256),
        batch_size=8,
        learning_rate=5e-4,
        steps=700,
        validate_every=50,
        patience=10,
        log_every=10,
        remix_db=6.0,
    )


RECIPES = tuple(
    sibling for recipe in (_VOCALS, _INSTRUMENTAL, _NO_SKIP) for sibling in (recipe, _small(recipe))
)

# What stands in [] may be left out.
NAMES = (
    (
        "unet-{vocals,instrumental,noskip}[-small]",
        "magnitude U-Net of the thesis, chapter 4; noskip: baseline without skips",
    ),
)
