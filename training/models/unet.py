"""The U-Net of the thesis: a soft mask for magnitudes (chapter 4), a complex one (chapter 6)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = (16, 32, 64, 128, 256, 512)  # of the six encoder layers (figure 4.2)
EPSILON = 1e-12  # added to squared magnitudes, for a gradient at 0


class UNet(nn.Module):
    """Magnitudes in [0, 1] → a mask in (0, 1) of the same shape (thesis 4.2.2).

    Every encoder layer: 5×5 convolution of stride 2, batch normalisation, leaky ReLU. Every decoder
    layer: transposed convolution of stride 2, batch normalisation, ReLU, dropout in the first
    three; the last one has a sigmoid alone. With the thesis' channels: 9,823,313 parameters.
    """

    def __init__(
        self,
        channels: Sequence[int] = CHANNELS,
        kernel_size: int = 5,
        leakiness: float = 0.2,
        dropout: float = 0.5,
        dropout_layers: int = 3,
        *,
        skips: bool = True,
        parts: int = 1,
        inputs: int | None = None,
        bottleneck: int = 1,
        normalise_first: bool = True,
    ) -> None:
        """`skips`: without them it is the baseline of 4.3. `parts`: 2 for real and imaginary;
        `inputs`: where what goes in has another number of them. `bottleneck`: so many encoders'
        innermost outputs reach the decoder, side by side (5.6.1). `normalise_first`: whether the
        first encoder layer has batch normalisation (6.3.1: no)."""
        super().__init__()
        padding = kernel_size // 2
        self.stride = 2 ** len(channels)  # bins and frames must be multiples of this inside
        self.leakiness, self.skips = leakiness, skips
        self.encoder = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(seen, outputs, kernel_size, stride=2, padding=padding),
                nn.BatchNorm2d(outputs) if level or normalise_first else nn.Identity(),
            )
            for level, (seen, outputs) in enumerate(pairwise((inputs or parts, *channels)))
        )
        outputs = (*reversed(channels[:-1]), parts)
        # All but the innermost layer also see the encoder's output of the same size.
        seen = (bottleneck * channels[-1], *((1 + skips) * count for count in outputs[:-1]))
        self.decoder = nn.ModuleList(
            nn.ConvTranspose2d(i, o, kernel_size, stride=2, padding=padding, output_padding=1)
            for i, o in zip(seen, outputs, strict=True)
        )
        self.normalise = nn.ModuleList(nn.BatchNorm2d(count) for count in outputs[:-1])
        self.dropout = nn.ModuleList(
            nn.Dropout(dropout if layer < dropout_layers else 0.0)
            for layer in range(len(outputs) - 1)
        )

    def forward(self, spectrogram: Tensor) -> Tensor:
        """[batch, parts, bins, frames] → mask of that shape; bins a multiple of 2^levels.

        Any number of frames: zeros are added up to a multiple of 2^levels and cut off again.
        """
        encoded = self.encode(spectrogram)
        return self.decode(encoded[-1], encoded)[..., : spectrogram.shape[-1]]

    def encode(self, spectrogram: Tensor) -> list[Tensor]:
        """The outputs of all encoder layers, outermost first; zeros are added to the frames."""
        x = F.pad(spectrogram, (0, -spectrogram.shape[-1] % self.stride))
        encoded = []
        for layer in self.encoder:
            x = F.leaky_relu(layer(x), self.leakiness)  # [batch, channels, bins / 2, frames / 2]
            encoded.append(x)
        return encoded

    def decode(self, x: Tensor, encoded: Sequence[Tensor]) -> Tensor:
        """From the bottleneck x, and what `encode` gave, to a mask with the frames added there."""
        skips = list(encoded[:-1])
        for up, normalise, dropout in zip(
            self.decoder[:-1], self.normalise, self.dropout, strict=True
        ):
            x = dropout(F.relu(normalise(up(x))))  # [batch, channels, bins * 2, frames * 2]
            if self.skips:
                x = torch.cat((x, skips.pop()), dim=1)
        return self.mask(self.decoder[-1](x))

    def mask(self, output: Tensor) -> Tensor:
        """The last layer's output → a mask in (0, 1) (eq. 4.5)."""
        return torch.sigmoid(output)


class ComplexUNet(UNet):
    """Real and imaginary parts of a spectrogram → those of a mask M with |M| ≤ 1 (6.3).

    Equation 6.4 would take the two channels for magnitude and phase; the sentence before it says
    real and imaginary, which is what is done here.
    """

    def mask(self, output: Tensor) -> Tensor:
        """O → tanh(|O|) · O / |O| (eq. 6.7, 6.8); [batch, 2, bins, frames]."""
        size = torch.sqrt(output.square().sum(dim=1, keepdim=True) + EPSILON)
        return output * (torch.tanh(size) / size)


def to_parts(spectrum: Tensor) -> Tensor:
    """Complex [batch, bins, frames] → real and imaginary, [batch, 2, bins, frames]."""
    return torch.view_as_real(spectrum).permute(0, 3, 1, 2)


def to_complex(parts: Tensor) -> Tensor:
    """The inverse of `to_parts`."""
    return torch.view_as_complex(parts.permute(0, 2, 3, 1).contiguous())


def ideal_mask(mixture: Tensor, source: Tensor, *, is_complex: bool) -> Tensor:
    """The mask of at most 1 that brings a mixture's bins nearest to a source's, both complex.

    Complex: the ideal ratio S / X, its magnitude cut to 1. Else |S| / |X|, likewise.
    """
    ratio = source * mixture.conj() / (mixture.abs().square() + EPSILON)
    size = ratio.abs()
    return ratio / size.clamp(min=1) if is_complex else size.clamp(max=1)
