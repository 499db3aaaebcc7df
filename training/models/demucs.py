"""Demucs (Défossez et al. 2019): sources from waveforms, without any spectrogram.

An encoder of strided convolutions, each followed by a 1×1 convolution with a gate (GLU), a
bidirectional LSTM, and a decoder that mirrors the encoder and adds its outputs (skip connections).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models import precision

EPSILON = 1e-5  # of the level of silence
RESCALE = 0.1  # a: weights begin divided by (std / a)^½


class Demucs(nn.Module):
    """[batch, channels, samples] → [batch, sources, channels, samples], for any length.

    With the paper's 64 … 2048 channels, a stereo input and two sources: 265,677,444 parameters. A
    mixture is divided by its standard deviation, and the sources multiplied by it.
    """

    def __init__(
        self,
        channels: Sequence[int],
        kernel_size: int = 8,
        stride: int = 4,
        context: int = 3,
        lstm_layers: int = 2,
        sources: int = 2,
        audio_channels: int = 2,
    ) -> None:
        """`channels`: of the encoder's layers; `context`: taps of the convolution before each of
        the decoder's transposed ones."""
        super().__init__()
        self.stride, self.sources = stride, sources
        self.least = stride ** len(channels)  # samples are padded to a multiple of this
        around = (kernel_size - stride) // 2
        seen = (audio_channels, *channels)
        given = (sources * audio_channels, *channels)
        self.encoder = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(before, after, kernel_size, stride, around),
                nn.ReLU(),
                nn.Conv1d(after, 2 * after, 1),
                nn.GLU(dim=1),
            )
            for before, after in pairwise(seen)
        )
        widest = channels[-1]
        self.lstm = precision.LSTM(
            widest, widest, lstm_layers, batch_first=True, bidirectional=True
        )
        self.linear = nn.Linear(2 * widest, widest)
        self.decoder = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(before, 2 * before, context, padding=context // 2),
                nn.GLU(dim=1),
                nn.ConvTranspose1d(before, after, kernel_size, stride, around),
                nn.Identity() if level == 0 else nn.ReLU(),
            )
            for level, (after, before) in reversed([*enumerate(pairwise(given))])
        )
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                _rescale(module)

    def forward(self, mixture: Tensor) -> Tensor:
        """See the class."""
        samples = mixture.shape[-1]
        mono = mixture.mean(1, keepdim=True)
        level = mono.var(-1, keepdim=True, correction=0).add(EPSILON**2).sqrt()
        x = F.pad(mixture / level, (0, -samples % self.least))
        skips = []
        for layer in self.encoder:
            x = layer(x)
            skips.append(x)
        found = self.linear(self.lstm(x.transpose(1, 2))[0])
        x = found.transpose(1, 2)
        for layer in self.decoder:
            x = layer(x + skips.pop())
        parts = x[..., :samples].unflatten(1, (self.sources, -1))
        return parts * level[:, None]


@torch.no_grad()
def _rescale(layer: nn.Conv1d | nn.ConvTranspose1d) -> None:
    """Weights of one size in all layers at first, so that none learns much faster."""
    scale = (layer.weight.std() / RESCALE).sqrt()
    layer.weight.div_(scale)
    if layer.bias is not None:
        layer.bias.div_(scale)
