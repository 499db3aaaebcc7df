"""Vocals and their pitch together: the ten networks of the thesis' figures 5.3 and 5.5.

Each is made of U-Nets of chapter 4. One that separates gives a mask M, and the vocals' magnitudes
are Ŷ = M ⊙ X (eq. 5.1); one that hears pitch gives the salience Ŝ itself. Ŝ has as many rows as X
has bins; the lowest ROWS of them are the salience's own, the rest is 0. So what a next net sees of
an estimate is what it would see of the truth, and nothing passes by the loss.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stemlode.shards.salience import ROWS
from training.models import precision
from training.models.unet import UNet

MakeUNet = Callable[..., UNet]  # takes `inputs` and `bottleneck` as UNet does


@dataclass(frozen=True)
class Heard:
    """What a network makes of mixtures: [batch, 1, bins, frames] each, None where it has none."""

    vocals: Tensor | None = None  # Ŷ
    salience: Tensor | None = None  # Ŝ
    mask: Tensor | None = None  # of the mixture, that gives Ŷ
    first: "Heard | None" = None  # Ŷ' and Ŝ', which were refined


class Joint(nn.Module):
    """A network of U-Nets; `hear` is its wiring.

    As a module it is what every recipe's core is: magnitudes of a mixture → a mask of their shape.
    """

    sees: ClassVar[tuple[str, ...]] = ()  # of the truth, as an oracle: vocals or salience
    gives: ClassVar[tuple[str, ...]] = ("vocals", "salience")
    learns: ClassVar[tuple[str, ...]] = gives  # by which losses
    frozen: ClassVar[tuple[str, ...]] = ()  # U-Nets that do not learn
    listening: ClassVar[tuple[str, ...]] = ()  # U-Nets whose output is a salience
    depth: ClassVar[int] = 1  # U-Nets, one after the other

    def hear(self, mixture: Tensor, vocals: Tensor, salience: Tensor) -> Heard:
        """X, and the truth for oracles: Y and S, [batch, 1, bins, frames] each; others see X."""
        raise NotImplementedError

    def forward(self, mixture: Tensor) -> Tensor:
        """X → the mask that gives Ŷ; of a network of pitch alone, Ŝ."""
        heard = self.hear(mixture, mixture, mixture)
        found = heard.salience if heard.mask is None else heard.mask
        assert found is not None
        return found

    def train(self, mode: bool = True) -> "Joint":
        """Likewise, but what is frozen stays as it is used."""
        super().train(mode)
        for name in self.frozen:
            getattr(self, name).eval()
        return self

    def freeze(self) -> "Joint":
        """Take `frozen` from what learns; itself."""
        for name in self.frozen:
            getattr(self, name).requires_grad_(False)
        return self.train(self.training)

    def expect(self, likelihood: float) -> "Joint":
        """Let fresh nets say about this of every pitch, where they would say 0.5; itself.

        Few pitches of a frame sound. From 0.5 the first gradients are a hundred times those that
        follow, and Adam, which divides by what it remembers of them, then hardly moves for
        thousands of steps. (The prior of Lin et al., "Focal loss", ICCV 2017, 4.1.)
        """
        for name in self.listening:
            bias = self.get_submodule(f"{name}.decoder")[-1].bias  # type: ignore[index]
            with torch.no_grad():
                bias.add_(math.log(likelihood / (1 - likelihood)))
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the modules in it: `hear` calls these."""
        for net in self.children():
            net.compile(*args, **kwargs)


def salience_of(net: nn.Module, given: Tensor) -> Tensor:
    """What a U-Net hears: Ŝ, with rows beyond the salience's own set to 0."""
    return own_rows(precision.masks(net, given))


def own_rows(salience: Tensor) -> Tensor:
    """[..., bins, frames] with 0 in all but the lowest ROWS."""
    rows = min(ROWS, salience.shape[-2])
    return torch.cat((salience[..., :rows, :], torch.zeros_like(salience[..., rows:, :])), dim=-2)


def beside(*parts: Tensor) -> Tensor:
    """Parts of one input, [batch, 1, bins, frames] each → [batch, parts, bins, frames]."""
    return torch.cat(parts, dim=1)


# Figure 5.3: single tasks, and the same with the truth of the other task.


class PitchOnly(Joint):
    """X → Ŝ."""

    listening = ("pitch",)
    gives = learns = ("salience",)

    def __init__(self, unet: MakeUNet, **_: Any) -> None:
        super().__init__()
        self.pitch = unet()

    def hear(self, mixture: Tensor, vocals: Tensor, salience: Tensor) -> Heard:
        """See `Joint.hear`."""
        return Heard(salience=salience_of(self.pitch, mixture))


class SourceOnly(Joint):
    """X → M."""

    gives = learns = ("vocals",)

    def __init__(self, unet: MakeUNet, **_: Any) -> None:
        super().__init__()
        self.source = unet()

    def hear(self, mixture: Tensor, vocals: Tensor, salience: Tensor) -> Heard:
        """See `Joint.hear`."""
        mask = precision.masks(self.source, mixture)
        return Heard(mask * mixture, mask=mask)


class OracleVocals(PitchOnly):
    """Y → Ŝ: the most that can be heard of clean vocals. Figure 5.3 calls it "Oracle Source"."""

    sees = ("vocals",)

    def hear(self, mixture: Tensor, vocals: Tensor, salience: Tensor) -> Heard:
        """See `Joint.hear`."""
        return Heard(salience=salience_of(self.pitch, vocals))


class OraclePitch(Joint):
    """X and S → M: what it is worth to know the pitch."""

    sees = ("salience",)
    gives = learns = ("vocals",)

    def __init__(self, unet: MakeUNet, **_: Any) -> None:
        super().__init__()
        self.source = unet(inputs=2)

    def hear(self, mixture: Tensor, vocals: Tensor, salience: Tensor) -> Heard:
        """See `Joint.hear`."""
        mask = precision.masks(self.source, beside(mixture, own_rows(salience)))
        return Heard(mask * mixture, mask=mask)


# Figure 5.5, top: conventional networks of several tasks.


class TwoDecoders(nn.Module):
    """Two U-Nets that share what is inside: X → M and Ŝ, [batch, 2, bins, frames]."""

    def __init__(self, source: UNet, pitch: UNet) -> None:
        super().__init__()
        self.source, self.pitch = source, pitch

    def innermost(self, source: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor]:
        """What each decoder begins with, from what both encoders end with."""
        return source, pitch

    def forward(self, mixture: Tensor) -> Tensor:
        """[batch, 1, bins, frames] → [batch, 2, bins, frames]."""
        source = self.source.encode(mixture)
        pitch = self.pitch.encode(mixture) if len(self.pitch.encoder) else source
        inner = self.innermost(source[-1], pitch[-1])
        found = (self.source.decode(inner[0], source), self.pitch.decode(inner[1], pitch))
        return beside(*found)[..., : mixture.shape[-1]]


class Stitched(TwoDecoders):
    """Both encoders' innermost outputs reach each decoder; skips do not cross.

    `merge`: `convolution`, a 1×1 convolution for each decoder back to the number of channels that
    it has in chapter 4; `concatenation`, decoders that take both side by side.
    """

    def __init__(self, source: UNet, pitch: UNet, merge: str) -> None:
        super().__init__(source, pitch)
        channels: int = source.decoder[0].in_channels  # type: ignore[assignment]
        self.merge = nn.ModuleList(
            nn.Conv2d(2 * channels, channels, 1) if merge == "convolution" else nn.Identity()
            for _ in range(2)
        )

    def innermost(self, source: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor]:
        """See `TwoDecoders.innermost`."""
        both = beside(source, pitch)
        return self.merge[0](both), self.merge[1](both)


class SharedEncoder(Joint):
    """X → one encoder → a decoder for M and one for Ŝ; both have its skip connections."""

    listening = ("both.pitch",)

    def __init__(self, unet: MakeUNet, **_: Any) -> None:
        super().__init__()
        self.both = self.made(unet)

    def made(self, unet: MakeUNet) -> TwoDecoders:
        """The U-Nets."""
        source, pitch = unet(), unet()
        pitch.encoder = nn.ModuleList()
        return TwoDecoders(source, pitch)

    def hear(self, mixture: Tensor, vocals: Tensor, salience: Tensor) -> Heard:
        """See `Joint.hear`."""
        mask, found = precision.masks(self.both, mixture).split(1, dim=1)
        return Heard(mask * mixture, own_rows(found), mask)


class CrossStitch(SharedEncoder):
    """X → two encoders, joined at the bottleneck → a decoder for M and one for Ŝ."""

    def __init__(self, unet: MakeUNet, merge: str, **_: Any) -> None:
        self.how = merge
        super().__init__(unet)

    def made(self, unet: MakeUNet) -> TwoDecoders:
        """The U-Nets."""
        wide = 1 if self.how == "convolution" else 2
        return Stitched(unet(bottleneck=wide), unet(bottleneck=wide), self.how)


# Figure 5.5, bottom and right: one task after the other.


class SourceToPitch(Joint):
    """X → Ŷ → Ŝ."""

    listening = ("pitch",)
    depth = 2

    def __init__(self, unet: MakeUNet, **_: Any) -> None:
        super().__init__()
        self.source, self.pitch = unet(), unet()
        self.freeze()

    def hear(self, mixture: Tensor, vocals: Tensor, salience: Tensor) -> Heard:
        """See `Joint.hear`."""
        mask = precision.masks(self.source, mixture)
        found = mask * mixture
        return Heard(found, salience_of(self.pitch, found), mask)


class SeparatelyTrained(SourceToPitch):
    """Likewise, but the first net is Source Only's as it was trained, and does not learn (5.7)."""

    learns = ("salience",)
    frozen = ("source",)


class PitchToSource(Joint):
    """X → Ŝ; X and Ŝ → M."""

    listening = ("pitch",)
    depth = 2

    def __init__(self, unet: MakeUNet, **_: Any) -> None:
        super().__init__()
        self.pitch, self.source = unet(), unet(inputs=2)

    def hear(self, mixture: Tensor, vocals: Tensor, salience: Tensor) -> Heard:
        """See `Joint.hear`."""
        found = salience_of(self.pitch, mixture)
        mask = precision.masks(self.source, beside(mixture, found))
        return Heard(mask * mixture, found, mask)


class StackedRefinement(Joint):
    """X → Ŷ' → Ŝ'; Ŷ' and Ŝ' → Ŷ → Ŝ (5.6.3, S→P→S→P).

    `masked`: what the second mask multiplies, `mixture` (eq. 5.1) or `estimate`, Ŷ'.
    """

    listening = ("pitch", "second_pitch")
    depth = 4

    def __init__(self, unet: MakeUNet, masked: str, **_: Any) -> None:
        super().__init__()
        self.masked = masked
        self.source, self.pitch = unet(), unet()
        self.second_source, self.second_pitch = unet(inputs=2), unet()

    def hear(self, mixture: Tensor, vocals: Tensor, salience: Tensor) -> Heard:
        """See `Joint.hear`."""
        mask = precision.masks(self.source, mixture)
        first = mask * mixture
        pitch = salience_of(self.pitch, first)
        again = precision.masks(self.second_source, beside(first, pitch))
        if self.masked == "estimate":
            again = again * mask
        found = again * mixture
        refined = Heard(first, pitch, mask)
        return Heard(found, salience_of(self.second_pitch, found), again, refined)


WIRINGS: dict[str, type[Joint]] = {
    "pitch-only": PitchOnly,
    "source-only": SourceOnly,
    "oracle-vocals": OracleVocals,
    "oracle-pitch": OraclePitch,
    "shared-encoder": SharedEncoder,
    "cross-stitch": CrossStitch,
    "source-to-pitch": SourceToPitch,
    "pitch-to-source": PitchToSource,
    "separately-trained": SeparatelyTrained,
    "stacked-refinement": StackedRefinement,
}
MERGES = ("convolution", "concatenation")
MASKED = ("mixture", "estimate")
