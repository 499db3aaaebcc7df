"""Recipes of the channel-wise subband nets (CWS), for voice and accompaniment together."""

import dataclasses
import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from training.models import cws, filterbank, losses, precision, spectrogram
from training.models.mdensenet import MDenseNet, MMDenseNet, scaled
from training.recipes.answers import Judged, Transform
from training.recipes.base import Recipe
from training.recipes.values import rest_of

SCHEDULES = ("audio", "steps")
NETS = ("unet5", "unet6", "mdensenet", "mmdensenet")
BANDS = (1, 2, 4, 8)
PATCH_SECONDS, BATCH = 3.0, 16


def steps_for(hours: float, batch_size: int = BATCH, seconds: float = PATCH_SECONDS) -> int:
    """Steps that use up so many hours of audio."""
    return round(hours * 3600 / (batch_size * seconds))


@dataclasses.dataclass(frozen=True)
class CWSRecipe(Recipe):
    """Two nets of one kind, one for the target and one for the rest, trained as one (CWS 2.4).

    The loss is eq. 7, on real and imaginary parts of the bands' spectra. Both terms are means over
    channels, bins and frames ("the mean absolute error"), so that their size does not depend on K
    or on an example's length, and are summed over the two sources. Examples are mixed from targets
    and rests of different songs, each with its own random gain (3.1).
    """

    family: ClassVar[str] = "cws"
    audio_channels: ClassVar[int] = 2
    tf32: ClassVar[bool] = True
    segments_at_once: ClassVar[int] = 4

    sample_rate: int = 44_100  # Hz, stereo
    batch_size: int = BATCH  # examples; the paper does not say
    learning_rate: float = 1e-3  # of Adam
    decay: float = 0.87
    decay_every: int = steps_for(30)  # steps in thirty hours of audio
    validate_every: int = steps_for(2)  # steps in two hours of audio
    patience: int = 20  # validations: the "epochs" of two hours
    net: str = "unet5"  # or unet6, mdensenet, mmdensenet
    bands: int = 1  # K
    width: float = 1.0  # of the paper's numbers of channels
    dropout: float = 0.1
    patch_seconds: float = PATCH_SECONDS
    window_ms: float = 32.0  # the next power of two samples is taken
    hop_ms: float = 8.0  # rounded down
    remix: bool = True  # examples from the target of one song and the rest of another
    swap_channels: bool = False  # left and right of target and rest, each at even odds
    schedule: str = "steps"  # audio: what is stated in hours of it follows batches and patches
    gain_low: float = 0.6  # least factor of the target and of the rest in an example
    gain_high: float = 1.0
    conservation_weight: float = 1.0  # of the second term of eq. 7

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.net not in NETS:
            raise ValueError(f"net is {self.net!r}, not one of {', '.join(NETS)}")
        if self.bands not in BANDS:
            raise ValueError(f"bands is {self.bands}, not one of {', '.join(map(str, BANDS))}")
        if self.schedule not in SCHEDULES:
            known = " or ".join(SCHEDULES)
            raise ValueError(f"schedule is {self.schedule!r}, not {known}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must lie in [0, 1)")
        if not 0.01 <= self.width <= 16:
            raise ValueError(f"width is {self.width}; it must lie in [0.01, 16]")
        if self.gain_low > self.gain_high:
            raise ValueError(f"gain_low is {self.gain_low}; at most gain_high, {self.gain_high}")
        if not 0 < self.hop_ms <= self.window_ms / 2 <= 500:
            raise ValueError(
                f"hop_ms is {self.hop_ms}; at most half of window_ms, {self.window_ms}"
            )
        if self.hop_length < 1 or self.n_fft < 64:
            raise ValueError(
                f"window_ms is {self.window_ms}; too few samples in {self.bands} bands"
            )

    @property
    def n_fft(self) -> int:
        """Samples of a band's window: the next power of two."""
        wanted = self.window_ms * self.sample_rate / 1000 / self.bands
        return 2 ** math.ceil(math.log2(wanted))

    @property
    def hop_length(self) -> int:
        """Samples of a band from one frame to the next."""
        return int(self.hop_ms * self.sample_rate / 1000 / self.bands)

    def follows(self, values: dict[str, Any]) -> dict[str, Any]:
        """See `Recipe.follows`; the schedules keep their hours of audio (2.4)."""
        recipe = dataclasses.replace(self, **values)
        if recipe.schedule == "steps":
            return {}
        before, now = (r.batch_size * r.patch_seconds for r in (self, recipe))
        return {
            name: max(1, round(getattr(self, name) * before / now))
            for name in ("decay_every", "validate_every")
            if name not in values
        }

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
        return both[0], both[1]

    @property
    def transform(self) -> Transform:
        """See `Recipe.transform`; the parts are those of both channels' subbands."""
        parts = tuple(
            f"{side} band {band + 1} {part}"
            for side in ("left", "right")
            for band in range(self.bands)
            for part in ("real", "imaginary")
        )
        return Transform(
            *(self.n_fft, self.hop_length, self.n_fft // 2, parts),
            channels=2,
            window="square root of hann",
            bands=self.bands,
            mask="parts",
            channels_seen="together",
        )

    def core(self) -> nn.Module:
        """Channels [batch, 4K, bins, frames] in, masks of that shape out."""
        parts = 4 * self.bands
        if self.net == "mdensenet":
            return MDenseNet(parts, self.width, self.dropout)
        if self.net == "mmdensenet":
            return MMDenseNet(parts, self.width, self.dropout)
        channels = cws.UNET_5 if self.net == "unet5" else cws.UNET_6
        return cws.ScaledUNet(parts, [scaled(c, self.width) for c in channels], self.dropout)

    def nets(self) -> nn.ModuleDict:
        """A core for the target and one for the rest."""
        return nn.ModuleDict({"target": self.core(), "rest": self.core()})

    def cores(self, nets: nn.Module) -> list[nn.Module]:
        """See `Recipe.cores`."""
        assert isinstance(nets, nn.ModuleDict)
        return list(nets.values())

    def judge(
        self, nets: nn.Module, mixture: Tensor, reference: Tensor, residual: Tensor
    ) -> Judged:
        """See `Recipe.judge`; eq. 7 and 8. Spectra are linear: the rest is a difference."""
        given = self.spectra(mixture)
        known = self.spectra(reference)
        other = given - known
        swapped = residual[:, None, None, None]
        target, rest = torch.where(swapped, other, known), torch.where(swapped, known, other)
        estimates = self.masked(nets, given)
        terms = {
            self.target: losses.l1_mean(estimates[:, 0], target),
            rest_of(self.target): losses.l1_mean(estimates[:, 1], rest),
            "conservation": losses.conservation(estimates, given),
        }
        one, other_one, conserved = terms.values()
        return Judged(
            one + other_one + self.conservation_weight * conserved,
            terms,
            lambda: self.waveforms(estimates[:, :1], mixture.shape[-1])[:, 0],
        )

    def estimate(self, nets: nn.Module, mixture: Tensor) -> Tensor:
        """See `Recipe.estimate`."""

        def estimate(stereo: Tensor) -> Tensor:
            return self.waveforms(self.masked(nets, self.spectra(stereo)), mixture.shape[-1])

        return filterbank.in_stereo(mixture, estimate)

    def oracle(self, mixture: Tensor, references: Tensor) -> Tensor:
        """See `Recipe.oracle`: the best real masks in [0, 1] on each channel of the spectra."""
        given = self.spectra(mixture)
        masked = [
            given * cws.ideal_masks(given, self.spectra(source)) for source in references.unbind(1)
        ]
        return self.waveforms(torch.stack(masked, dim=1), mixture.shape[-1])

    def spectra(self, samples: Tensor) -> Tensor:
        """[batch, channels, samples] → [batch, 2 · channels · K, n_fft / 2 + 1, frames]."""
        return filterbank.spectra(samples, self.bands, self.n_fft, self.hop_length)

    def masked(self, nets: nn.Module, spectra: Tensor) -> Tensor:
        """Spectra through both nets' masks: [batch, 2, …]. The nets see n_fft / 2 bins."""
        seen = spectrogram.drop_bin(spectra)
        masks = torch.stack([precision.masks(net, seen) for net in self.cores(nets)], dim=1)
        return spectra[:, None] * spectrogram.restore_bin(masks)

    def waveforms(self, spectra: Tensor, samples: int) -> Tensor:
        """Spectra of [batch, sources, …] → waveforms [batch, sources, channels, samples]."""
        return filterbank.waveforms(spectra, self.bands, self.n_fft, self.hop_length, samples)


def _recipe(net: str, bands: int) -> CWSRecipe:
    suffix = "" if net == "mmdensenet" else f"-k{bands}"
    title = {"unet5": "UNet-5", "unet6": "UNet-6", "mdensenet": "MDenseNet"}.get(net, "MMDenseNet")
    return CWSRecipe(
        name=f"cws-{net}{suffix}",
        summary=f"{title} of CWS with {bands} subband{'s' * (bands > 1)}, vocals and accompaniment",
        target="vocals",
        net=net,
        bands=bands,
        swap_channels=True,
        schedule="audio",
    )


def _small(recipe: CWSRecipe) -> CWSRecipe:
    """A sibling that learns from some songs in minutes on two CPU cores."""
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name}-small",
        summary=f"{recipe.name} at 16 kHz with fewer channels, for a CPU",
        sample_rate=16_000,
        width=0.125 if "unet" in recipe.net else 0.25,
        batch_size=4,
        patch_seconds=2.0,
        learning_rate=2e-3,
        steps=1500,
        validate_every=100,
        patience=10,
        log_every=10,
    )


RECIPES = tuple(
    sibling
    for net in NETS
    for bands in (BANDS if net != "mmdensenet" else (1,))
    for sibling in (_recipe(net, bands), _small(_recipe(net, bands)))
)

# What stands in [] may be left out.
NAMES = (
    (
        "cws-{unet5,unet6,mdensenet}-k{1,2,4,8}[-small]",
        "nets for vocals and accompaniment on K channel-wise subbands",
    ),
    (
        "cws-mmdensenet[-small]",
        "the multi-band MDenseNet, likewise",
    ),
)
