"""BSRNN as the paper draws it, one band after the other: what the batched one must equal."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.models.bsrnn import BSRNN, PARTS


class PlainBandSplit(nn.Module):
    """Figure 1 (B): a layer normalisation and a linear layer a band."""

    def __init__(self, widths: Sequence[int], features: int) -> None:
        super().__init__()
        self.widths = list(widths)
        self.norms = nn.ModuleList(nn.LayerNorm(PARTS * width) for width in widths)
        self.layers = nn.ModuleList(nn.Linear(PARTS * width, features) for width in widths)

    def forward(self, spectrum: Tensor) -> Tensor:
        """[batch, 2, bins, frames] → [batch, bands, frames, features]."""
        found = []
        for band, norm, layer in zip(
            spectrum.split(self.widths, dim=2), self.norms, self.layers, strict=True
        ):
            found.append(layer(norm(band.permute(0, 3, 2, 1).flatten(2))))
        return torch.stack(found, dim=1)


class PlainMaskEstimation(nn.Module):
    """Section II-C: a layer normalisation and an MLP with a GLU a band."""

    def __init__(self, widths: Sequence[int], features: int, hidden: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(features) for _ in widths)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(features, hidden),
                nn.Tanh(),
                nn.Linear(hidden, 2 * PARTS * width),
                nn.GLU(),
            )
            for width in widths
        )

    def forward(self, z: Tensor) -> Tensor:
        """[batch, bands, frames, features] → [batch, 2, bins, frames]."""
        found = []
        for band, norm, layer in zip(z.unbind(1), self.norms, self.layers, strict=True):
            found.append(layer(norm(band)).unflatten(2, (-1, PARTS)).permute(0, 3, 2, 1))
        return torch.cat(found, dim=2)


class PlainRNN(nn.Module):
    """Figure 1 (C), with the group normalisation of PyTorch."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, features)
        self.lstm = nn.LSTM(features, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        """[rows, steps, features] → the same shape."""
        return x + self.out(self.lstm(self.norm(x.transpose(1, 2)).transpose(1, 2))[0])


class PlainBSRNN(nn.Module):
    """The whole core."""

    def __init__(
        self, widths: Sequence[int], features: int, layers: int, hidden: int, mask_hidden: int
    ) -> None:
        super().__init__()
        self.split = PlainBandSplit(widths, features)
        self.over_time = nn.ModuleList(PlainRNN(features, hidden) for _ in range(layers))
        self.over_bands = nn.ModuleList(PlainRNN(features, hidden) for _ in range(layers))
        self.mask = PlainMaskEstimation(widths, features, mask_hidden)

    def forward(self, spectrum: Tensor) -> Tensor:
        """[batch, 2, bins, frames] → the mask, likewise."""
        z = self.split(spectrum)
        batch, bands, frames, features = z.shape
        for over_time, over_bands in zip(self.over_time, self.over_bands, strict=True):
            z = over_time(z.flatten(0, 1)).view(batch, bands, frames, features)
            z = over_bands(z.transpose(1, 2).flatten(0, 1))
            z = z.view(batch, frames, bands, features).transpose(1, 2)
        return self.mask(z)


@torch.no_grad()
def copy_weights(plain: PlainBSRNN, batched: BSRNN) -> None:
    """Give the batched core the plain one's weights."""
    split, norms, layers = batched.split, plain.split.norms, plain.split.layers
    split.norm_weight.copy_(torch.cat([norm.weight for norm in norms]))
    split.norm_bias.copy_(torch.cat([norm.bias for norm in norms]))
    split.weight.copy_(torch.cat([layer.weight.T for layer in layers]))
    split.bias.copy_(torch.stack([layer.bias for layer in layers]))
    for name in ("over_time", "over_bands"):
        for mine, theirs in zip(getattr(plain, name), getattr(batched, name), strict=True):
            theirs.weight.copy_(mine.norm.weight)
            theirs.bias.copy_(mine.norm.bias)
            theirs.lstm.load_state_dict(mine.lstm.state_dict())
            theirs.out.load_state_dict(mine.out.state_dict())
    mask, norms, layers = batched.mask, plain.mask.norms, plain.mask.layers
    mask.norm_weight.copy_(torch.stack([norm.weight for norm in norms]))
    mask.norm_bias.copy_(torch.stack([norm.bias for norm in norms]))
    mask.hidden_weight.copy_(torch.stack([layer[0].weight for layer in layers]))
    mask.hidden_bias.copy_(torch.stack([layer[0].bias for layer in layers]))
    mask.weight.copy_(
        torch.cat([layer[2].weight.unflatten(0, (2, -1)).transpose(0, 1) for layer in layers])
    )
    mask.bias.copy_(torch.cat([layer[2].bias.unflatten(0, (2, -1)).T for layer in layers]))
