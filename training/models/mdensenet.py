"""Multi-scale DenseNets, MDenseNet and MMDenseNet, as CWS 2.2 and table 1 have them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.cws import pad_to

Blocks = Sequence[tuple[int, int]]  # k and L of each dense block

# Table 1, from the first block at full size down to the smallest and up again.
MDENSENET = ((14, 4), *((16, 4),) * 8)
LOW = ((14, 4), *((16, 4),) * 6)
HIGH = (*((10, 3),) * 6, (16, 3))
FULL = ((6, 2),) * 7
OUT = (32, 2)


class DenseBlock(nn.Module):
    """L layers that each see all before them; the last one's k feature maps come out."""

    def __init__(self, inputs: int, k: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(inputs + layer * k),
                nn.ReLU(inplace=True),
                nn.Conv2d(inputs + layer * k, k, 3, padding=1, bias=False),
                nn.Dropout(dropout),
            )
            for layer in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, bins, frames] → [batch, k, bins, frames]."""
        seen = x
        for layer in self.layers[:-1]:
            seen = torch.cat((seen, layer(seen)), dim=1)
        return self.layers[-1](seen)


class DenseStack(nn.Module):
    """Dense blocks down and up again, with skip connections between blocks of one size."""

    def __init__(
        self, parts: int, first: int, kernel: tuple[int, int], blocks: Blocks, dropout: float
    ) -> None:
        """`first`: channels of the first convolution; `kernel`: its bins and frames."""
        super().__init__()
        scale = len(blocks) // 2
        high, wide = kernel
        # An even kernel has no middle: the bin more lies above.
        self.pad = ((wide - 1) // 2, wide // 2, (high - 1) // 2, high // 2)
        self.first = nn.Conv2d(parts, first, kernel)
        self.down, self.mix = nn.ModuleList(), nn.ModuleList()
        inputs = first
        for k, layers in blocks[: scale + 1]:
            self.down.append(DenseBlock(inputs, k, layers, dropout))
            inputs = k
        # The smallest block is followed by such a convolution as well, though not by pooling: the
        # number of parameters that the authors' nets have says so.
        for k, _ in blocks[: scale + 1]:
            self.mix.append(nn.Conv2d(k, k, 1))
        self.grow, self.up = nn.ModuleList(), nn.ModuleList()
        for (k, layers), (skip, _) in zip(
            blocks[scale + 1 :], reversed(blocks[:scale]), strict=True
        ):
            self.grow.append(nn.ConvTranspose2d(inputs, inputs, 2, stride=2))
            self.up.append(DenseBlock(inputs + skip, k, layers, dropout))
            inputs = k
        self.outputs = inputs

    def forward(self, x: Tensor) -> Tensor:
        """[batch, parts, bins, frames] → [batch, outputs, bins, frames]."""
        x = self.first(F.pad(x, self.pad))
        skips = []
        for block, mix in zip(self.down[:-1], self.mix[:-1], strict=True):
            skips.append(block(x))
            x = F.max_pool2d(mix(skips[-1]), 2)  # [batch, k, bins / 2, frames / 2]
        x = self.mix[-1](self.down[-1](x))
        for grow, block in zip(self.grow, self.up, strict=True):
            skip = skips.pop()
            x = block(torch.cat((pad_to(grow(x), skip), skip), dim=1))
        return x


class MDenseNet(nn.Module):
    """One stack of scale 5 for all bins."""

    def __init__(self, parts: int, width: float = 1.0, dropout: float = 0.1) -> None:
        """`width`: of the paper's numbers of channels; 1 gives 274,390 parameters at K = 1."""
        super().__init__()
        first, out = scaled(32, width), scaled(OUT[0], width)
        self.stack = DenseStack(parts, first, (3, 3), thinned(MDENSENET, width), dropout)
        self.out = DenseBlock(self.stack.outputs, out, OUT[1], dropout)
        self.last = nn.Conv2d(out, parts, 1)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """[batch, parts, bins, frames] → masks of that shape."""
        return torch.sigmoid(self.last(self.out(self.stack(spectrogram))))


class MMDenseNet(nn.Module):
    """A stack for the lower half of the bins, one for the upper half, one for all.

    The outputs of the first two are put together along frequency, the third's beside them as
    further channels, and a last dense block sees both (CWS 2.2).
    """

    def __init__(self, parts: int, width: float = 1.0, dropout: float = 0.1) -> None:
        """`width`: of the paper's numbers of channels."""
        super().__init__()
        first, out = scaled(32, width), scaled(OUT[0], width)
        self.low = DenseStack(parts, first, (4, 3), thinned(LOW, width), dropout)
        self.high = DenseStack(parts, first, (3, 3), thinned(HIGH, width), dropout)
        self.full = DenseStack(parts, first, (3, 3), thinned(FULL, width), dropout)
        self.out = DenseBlock(self.low.outputs + self.full.outputs, out, OUT[1], dropout)
        self.last = nn.Conv2d(out, parts, 1)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """[batch, parts, bins, frames] → masks of that shape."""
        low, high = spectrogram.split(
            (spectrogram.shape[-2] // 2, -(-spectrogram.shape[-2] // 2)), dim=-2
        )
        halves = torch.cat((self.low(low), self.high(high)), dim=-2)
        both = torch.cat((halves, self.full(spectrogram)), dim=1)
        return torch.sigmoid(self.last(self.out(both)))


def scaled(channels: int, width: float) -> int:
    """A share of a number of channels, at least 2."""
    return max(2, round(channels * width))


def thinned(blocks: Blocks, width: float) -> Blocks:
    """Blocks with a share of the feature maps."""
    return tuple((scaled(k, width), layers) for k, layers in blocks)
