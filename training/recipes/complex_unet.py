"""Recipes of the complex-mask U-Net of the thesis, chapter 6, and its three configurations."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from training.models import losses, precision, spectrogram, unet
from training.models.spectrogram import Waveform
from training.models.unet import ComplexUNet, UNet
from training.recipes.answers import Judged, Transform
from training.recipes.chunks import SECONDS, Chunking
from training.recipes.unet import EncoderDecoderRecipe

MASKS = ("complex", "non-complex")
LOSSES = ("magnitude", "sdr", "sdr+magnitude")


@dataclasses.dataclass(frozen=True)
class ComplexUNetRecipe(EncoderDecoderRecipe):
    """A net for one instrument; "other" is the rest of the mixture (6.3.2).

    Trained as in chapter 4 (6.3.4). Chapter 6 does not normalise spectrograms: waveforms keep their
    level, ±1 at full scale. Each channel of a song is separated on its own.
    """

    family: ClassVar[str] = "complex-unet"

    sample_rate: int = 22_050  # Hz, mono (6.3.2)
    hop_length: int = 256  # samples
    patch_frames: int = 256  # frames of one training example; 3 s
    dropout_layers: int = 5  # the first ones of the decoder
    mask: str = "complex"  # or non-complex
    loss: str = "sdr+magnitude"  # or sdr, or magnitude
    sdr_weight: float = 1.0  # α of eq. 6.12
    magnitude_weight: float = 1.0  # β
    chunk_seconds: float = SECONDS  # in which songs are separated; 0: as a whole

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, known in (("mask", MASKS), ("loss", LOSSES)):
            if getattr(self, field) not in known:
                raise ValueError(
                    f"{field} is {getattr(self, field)!r}, not one of {', '.join(known)}"
                )
        if self.hop_length > self.n_fft // 2:
            raise ValueError(
                f"hop_length is {self.hop_length}; at most half of n_fft, {self.n_fft}"
            )
        if self.patch_frames < 2:
            raise ValueError(f"patch_frames is {self.patch_frames}; at least 2")

    @property
    def patch_samples(self) -> int:
        """See `Recipe.patch_samples`; a frame is centred on the first and the last sample."""
        return (self.patch_frames - 1) * self.hop_length

    @property
    def least_loss(self) -> float:
        """See `Recipe.least_loss`: eq. 6.11 ends at −1."""
        return -self.sdr_weight if "sdr" in self.loss else 0.0

    @property
    def transform(self) -> Transform:
        """See `Recipe.transform`; of the parts that the mask has."""
        parts = ("real", "imaginary") if self.mask == "complex" else ("magnitude",)
        kind = "complex" if self.mask == "complex" else "real"
        return Transform(self.n_fft, self.hop_length, self.n_fft // 2, parts, mask=kind)

    def core(self) -> UNet:
        """Real and imaginary parts, or magnitudes, in; a mask of that shape out."""
        net = ComplexUNet if self.mask == "complex" else UNet
        return net(
            self.channels,
            self.kernel_size,
            self.leakiness,
            self.dropout,
            self.dropout_layers,
            parts=2 if self.mask == "complex" else 1,
            normalise_first=False,
        )

    def judge(
        self, nets: nn.Module, mixture: Tensor, reference: Tensor, residual: Tensor
    ) -> Judged:
        """See `Recipe.judge`; both losses, whichever of them is learnt (figure 6.7; eq. 6.10
        to 6.12). A residual target is the waveforms' difference."""
        target = torch.where(residual[:, None, None], mixture - reference, reference)
        spectrum = self.masked(nets, mixture)
        weights = {"magnitude": self.magnitude_weight, "sdr": self.sdr_weight}
        learnt = {name: weight for name, weight in weights.items() if name in self.loss}

        def found(name: str) -> Tensor:
            with torch.set_grad_enabled(torch.is_grad_enabled() and name in learnt):
                if name == "sdr":
                    return losses.sdr(self._waveform(spectrum, mixture), target)
                wanted = spectrogram.stft(target.flatten(0, 1), self.n_fft, self.hop_length)
                size, true = spectrum.abs(), wanted.abs()
                per_example = (self._per_example(one, mixture) for one in (size, true))
                return losses.l1_mean(*per_example)

        terms = {name: found(name) for name in weights}
        total = torch.zeros(len(mixture), device=mixture.device)
        for name, weight in learnt.items():
            total = total + weight * terms[name]
        return Judged(total, terms, lambda: self._waveform(spectrum, mixture))

    def estimate(self, nets: nn.Module, mixture: Tensor) -> Tensor:
        """See `Recipe.estimate`."""
        return self._waveform(self.masked(nets, mixture), mixture)[:, None]

    def oracle(self, mixture: Tensor, references: Tensor) -> Tensor:
        """See `Recipe.oracle`: the ideal ratio mask, complex or of magnitudes, of at most 1."""
        X, S = (
            spectrogram.stft(x.flatten(0, 1), self.n_fft, self.hop_length)
            for x in (mixture, references[:, 0])
        )
        ideal = unet.ideal_mask(X, S, is_complex=self.mask == "complex")
        return self._waveform(X * ideal, mixture)[:, None]

    def separate_whole(self, nets: nn.Module, signal: Waveform) -> Iterator[Tensor]:
        """See `Recipe.separate_whole`: "the network is fully convolutional and can be applied to
        the spectrogram of the full length of the signal" (6.3.2)."""
        device = next(nets.parameters()).device
        masks = self.masking.masks(signal, lambda part: self._mask(nets, part.to(device)))
        for block in self.masking.masked(signal, masks):
            yield block[None]

    def separate_by_oracle(
        self, mixture: Tensor, references: Tensor, chunking: Chunking
    ) -> Iterator[Tensor]:
        """See `Recipe.separate_by_oracle`."""
        if not self.cut(chunking).whole:
            yield from super().separate_by_oracle(mixture, references, chunking)
            return
        ideal = functools.partial(unet.ideal_mask, is_complex=self.mask == "complex")
        masks = self.masking.ideal_masks(mixture, references[0], ideal)
        for block in self.masking.masked(mixture, masks):
            yield block[None]

    def masked(self, nets: nn.Module, mixture: Tensor) -> Tensor:
        """The estimate's spectra (eq. 6.6, 6.9): complex [batch · channels, bins, frames]."""
        spectrum = spectrogram.stft(mixture.flatten(0, 1), self.n_fft, self.hop_length)
        return spectrum * self._mask(nets, spectrum)

    def _mask(self, nets: nn.Module, spectrum: Tensor) -> Tensor:
        """The mask of spectra, complex or real [batch · channels, bins, frames]."""
        seen = spectrogram.drop_bin(spectrum)
        if self.mask == "complex":
            mask = unet.to_complex(precision.masks(nets, unet.to_parts(seen)))
        else:
            mask = precision.masks(nets, seen.abs()[:, None])[:, 0]
        return spectrogram.restore_bin(mask)

    def _waveform(self, spectrum: Tensor, mixture: Tensor) -> Tensor:
        samples = mixture.shape[-1]
        found = spectrogram.istft(spectrum, self.n_fft, self.hop_length, samples)
        return self._per_example(found, mixture)

    def _per_example(self, found: Tensor, mixture: Tensor) -> Tensor:
        """[batch · channels, …] → [batch, channels, …]."""
        return found.unflatten(0, mixture.shape[:2])


CONFIGURATIONS = {  # table 6.2: mask, loss; where none is named, the last one
    "-noncomplex": ("non-complex", "magnitude"),
    "-sdr": ("complex", "sdr"),
    "-sdrmag": ("complex", "sdr+magnitude"),
    "": ("complex", "sdr+magnitude"),
}


def _recipe(target: str, suffix: str) -> ComplexUNetRecipe:
    mask, loss = CONFIGURATIONS[suffix]
    return ComplexUNetRecipe(
        name=f"complex-unet-{target}{suffix}",
        summary=f"U-Net of the thesis, ch. 6, {mask} mask, {loss} loss, for {target}",
        target=target,
        mask=mask,
        loss=loss,
    )


def _small(recipe: ComplexUNetRecipe) -> ComplexUNetRecipe:
    """A sibling that learns from some songs in minutes on two CPU cores."""
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name}-small",
        summary=f"{recipe.name} with a quarter of the parameters, for a CPU",
        channels=(8, 16, 32, 64, 128, 256),
        batch_size=8,
        learning_rate=1e-3,
        steps=1500,
        validate_every=100,
        patience=10,
        log_every=10,
        remix_db=6.0,
    )


RECIPES = tuple(
    sibling
    for target in ("vocals", "drums", "bass", "guitar")
    for suffix in CONFIGURATIONS
    for sibling in (_recipe(target, suffix), _small(_recipe(target, suffix)))
)

# What stands in [] may be left out.
NAMES = (
    (
        "complex-unet-{vocals,drums,bass,guitar}[-noncomplex|-sdr|-sdrmag][-small]",
        "U-Net of chapter 6: complex mask, SDR and magnitude loss, or the suffix'",
    ),
)
