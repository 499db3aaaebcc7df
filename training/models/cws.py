"""Nets for channel-wise subbands (CWS): the U-Nets of scale 5 and 6, and what goes in.

The input holds, of a stereo signal in K bands, the real and imaginary parts of each band's
spectrogram as 4K channels; the nets give a mask in (0, 1) for each (CWS 2.1 and 2.3).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNET_5, UNET_6 = (64, 128, 256, 512, 512), (64, 128, 256, 512, 1024, 1024)


class DoubleConv(nn.Sequential):
    """Twice: 3×3 convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for i in (inputs, outputs):
            layers += [nn.Conv2d(i, outputs, 3, padding=1), nn.BatchNorm2d(outputs)]
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class ScaledUNet(nn.Module):
    """The U-Net of CWS 2.1: max-pooling down, linear interpolation up (figure 2).

    `channels`: after the first block and after each halving. Scale 5 at K = 1 has 13,396,100
    parameters, scale 6 53,516,420.
    """

    def __init__(self, parts: int, channels: Sequence[int], dropout: float = 0.1) -> None:
        super().__init__()
        self.first = DoubleConv(parts, channels[0])
        self.down = nn.ModuleList(DoubleConv(i, o) for i, o in pairwise(channels))
        self.up = nn.ModuleList()
        # Each level up gives as many channels as the level above has.
        below = channels[-1]
        for level in range(len(channels) - 2, -1, -1):
            inputs = below + channels[level]
            below = channels[max(0, level - 1)]
            self.up.append(DoubleConv(inputs, below))
        self.dropout = nn.Dropout2d(dropout)
        self.last = nn.Conv2d(channels[0], parts, 1)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """[batch, parts, bins, frames] → masks of that shape."""
        x = self.first(spectrogram)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(F.max_pool2d(x, 2))  # [batch, channels, bins / 2, frames / 2]
        for up in self.up:
            skip = skips.pop()
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = self.dropout(up(torch.cat((skip, pad_to(x, skip)), dim=1)))
        return torch.sigmoid(self.last(x))


def pad_to(x: Tensor, like: Tensor) -> Tensor:
    """What halving an odd size lost, by repeating the last bin or frame."""
    missing = (0, like.shape[-1] - x.shape[-1], 0, like.shape[-2] - x.shape[-2])
    # What is exported must do for any number of frames, so it must not branch on this one's.
    needed = torch.onnx.is_in_onnx_export() or any(missing)
    return F.pad(x, missing, "replicate") if needed else x


def ideal_masks(mixture: Tensor, source: Tensor) -> Tensor:
    """The real masks in [0, 1] that bring a mixture's channels nearest to a source's."""
    ratio = source * mixture / (mixture.square() + 1e-12)
    return ratio.clamp(0, 1)
