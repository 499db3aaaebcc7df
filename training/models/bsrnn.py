"""Band-split RNN (BSRNN II): a complex mask for a complex spectrogram of one source.

Bands differ in width, so each has its own normalisation and its own layers. A loop over them would
launch hundreds of small operations; here neighbouring bands of similar width are padded to the same
width and computed by one batched matrix product. The parameters are those of the plain loop, stored
without padding, one row for each value; a test checks that both give the same.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models import bsrnn_bands, precision
from training.models.bsrnn_bands import Group

EPSILON = 1e-5  # of every normalisation
PARTS = 2  # real and imaginary


class BSRNN(nn.Module):
    """Spectrogram → complex mask of the same shape, for any number of frames.

    With N = `features` = 128 and 12 layers: 22,924,552 + 66,432 · K parameters for K bands that
    sum to 1025 bins (BSRNN IV-A-4). Each channel of a song is an item of the batch.

    `norm` says over what a band is normalised where it is split off and where its mask is made:
    over its values and all frames (`band`), so that its level over time is kept, or frame by frame
    (`frame`). Either way the parameters have no time axis.
    """

    def __init__(
        self,
        widths: Sequence[int],
        features: int = 128,
        layers: int = 12,
        hidden: int = 256,
        mask_hidden: int = 512,
        norm: str = "frame",
    ) -> None:
        """`widths`: bins of each band; `hidden`: units of each LSTM direction (2N);
        `mask_hidden`: units of the mask's hidden layer (4N)."""
        super().__init__()
        self.split = BandSplit(widths, features, norm)
        self.over_time = nn.ModuleList(ResidualRNN(features, hidden) for _ in range(layers))
        self.over_bands = nn.ModuleList(ResidualRNN(features, hidden) for _ in range(layers))
        self.mask = MaskEstimation(widths, features, mask_hidden, norm)

    def forward(self, spectrum: Tensor) -> Tensor:
        """[batch, 2, bins, frames], real and imaginary part → the mask's parts, likewise."""
        z = self.split(spectrum).transpose(0, 1)  # [K, batch, frames, N]
        bands, batch, frames, features = z.shape
        # A layer leaves its steps outermost in memory. So what comes from the bands lies ready for
        # the next layer over time, and only what goes to the bands is copied, once.
        for over_time, over_bands in zip(self.over_time, self.over_bands, strict=True):
            z = over_time(z.reshape(bands * batch, frames, features))
            z = z.view(bands, batch, frames, features).permute(1, 2, 0, 3)
            z = over_bands(z.reshape(batch * frames, bands, features))
            z = z.view(batch, frames, bands, features).permute(2, 0, 1, 3)
        return self.mask(z.transpose(0, 1))


class ResidualRNN(nn.Module):
    """Normalisation, BLSTM, linear layer, and the input added (BSRNN II-B).

    The normalisation is a group normalisation of one group: over features and steps together, with
    one weight for each feature, so any number of steps will do.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.lstm = precision.LSTM(features, hidden, bidirectional=True)
        self.out = nn.Linear(2 * hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        """[rows, steps, features] → the same shape, in memory [steps, rows, features]."""
        shape = x.shape[1:]
        if torch.onnx.is_in_onnx_export():
            normal = _normal(x) * self.weight + self.bias
        else:
            weight, bias = self.weight.expand(shape), self.bias.expand(shape)
            normal = F.layer_norm(x, shape, weight, bias, EPSILON)
        heard = self.out(self.lstm(normal.transpose(0, 1))[0])
        return heard.transpose(0, 1) + x  # a sum lies in memory as its first term does


def _normal(x: Tensor) -> Tensor:
    """[…, steps, features] normalised over both; ONNX's own wants a fixed number of steps."""
    centred = x - x.mean((-2, -1), keepdim=True)
    return centred / torch.sqrt(centred.square().mean((-2, -1), keepdim=True) + EPSILON)


class BandSplit(nn.Module):
    """A normalisation and a linear layer of its own for each band (BSRNN II-A)."""

    def __init__(self, widths: Sequence[int], features: int, norm: str) -> None:
        super().__init__()
        self.padding, self.over_time = Padding(widths), norm == "band"
        values = [PARTS * width for width in widths]
        self.norm_weight = nn.Parameter(torch.ones(sum(values)))
        self.norm_bias = nn.Parameter(torch.zeros(sum(values)))
        self.weight = nn.Parameter(torch.empty(sum(values), features))
        self.bias = nn.Parameter(torch.empty(len(values), features))
        parts = zip(self.weight.detach().split(values), self.bias.detach(), values, strict=True)
        for rows, bias, count in parts:  # as nn.Linear does for each band
            rows.uniform_(-(count**-0.5), count**-0.5)
            bias.uniform_(-(count**-0.5), count**-0.5)

    def forward(self, spectrum: Tensor) -> Tensor:
        """[batch, 2, bins, frames] → [batch, bands, frames, features]."""
        batch, _, _, frames = spectrum.shape
        rows = spectrum.permute(2, 1, 0, 3).flatten(0, 1).flatten(1)  # [values, batch · frames]
        scaled = self.norm_weight[:, None] * self.weight
        shift = self.norm_bias[:, None] * self.weight
        found = []
        for part, weight, more, filled, bias in zip(
            *(self.padding.spread(tensor) for tensor in (rows, scaled, shift)),
            self.padding.grouped(self.padding.filled),
            self.padding.banded(self.bias),
            strict=True,
        ):
            count = filled.sum(1, keepdim=True)  # of a band's values

            def mean(of: Tensor, count: Tensor = count) -> Tensor:
                found = of.sum(1, keepdim=True) / count  # [bands, 1, batch · frames]
                if self.over_time:
                    by_item = found.unflatten(2, (batch, frames)).mean(3, keepdim=True)
                    found = by_item.expand(-1, -1, -1, frames).flatten(2)
                return found

            centred = (part - mean(part * filled)) * filled  # padding is 0
            variance = mean(centred.square())
            normal = centred * torch.rsqrt(variance + EPSILON)  # [bands, values, batch · frames]
            whole_bias = (bias + (more * filled).sum(1))[:, None]
            found.append(torch.baddbmm(whole_bias, normal.transpose(1, 2), weight))
        # Products may be of low precision; the sum that the layers add to is not.
        z = torch.cat(found).float()  # [bands, batch · frames, features]
        return z.view(len(z), batch, frames, -1).transpose(0, 1)


class MaskEstimation(nn.Module):
    """A normalisation and an MLP with one hidden layer for each band (BSRNN II-C, IV-A-4)."""

    def __init__(self, widths: Sequence[int], features: int, hidden: int, norm: str) -> None:
        super().__init__()
        self.padding, self.features = Padding(widths), features
        self.over_time = norm == "band"
        bands, values = len(widths), PARTS * sum(widths)
        self.norm_weight = nn.Parameter(torch.ones(bands, features))
        self.norm_bias = nn.Parameter(torch.zeros(bands, features))
        self.hidden_weight = nn.Parameter(torch.empty(bands, hidden, features))
        self.hidden_bias = nn.Parameter(torch.empty(bands, hidden))
        # Of the output layer's two halves the second one is the gate (GLU).
        self.weight = nn.Parameter(torch.empty(values, 2, hidden))
        self.bias = nn.Parameter(torch.empty(values, 2))
        for parameter in (self.hidden_weight, self.hidden_bias):
            parameter.detach().uniform_(-(features**-0.5), features**-0.5)
        for parameter in (self.weight, self.bias):
            parameter.detach().uniform_(-(hidden**-0.5), hidden**-0.5)

    def forward(self, z: Tensor) -> Tensor:
        """[batch, bands, frames, features] → mask [batch, 2, bins, frames]."""
        batch, _, frames, _ = z.shape
        x = _normal(z) if self.over_time else F.layer_norm(z, (self.features,), eps=EPSILON)
        x = x.transpose(0, 1).flatten(1, 2)
        x = torch.addcmul(self.norm_bias[:, None], x, self.norm_weight[:, None])
        first = (x, self.hidden_weight, self.hidden_bias[..., None])
        found = []
        for rows, first_weight, first_bias, weight, bias in zip(
            *(self.padding.banded(tensor) for tensor in first),
            *(self.padding.spread(tensor) for tensor in (self.weight, self.bias)),
            strict=True,
        ):
            hidden = torch.tanh(torch.baddbmm(first_bias, first_weight, rows.transpose(1, 2)))
            both = torch.baddbmm(bias.flatten(1)[..., None], weight.flatten(1, 2), hidden)
            both = both.unflatten(1, (-1, 2))  # [bands, values, 2, batch · frames]
            found.append(F.glu(both, 2).flatten(0, 2))
        mask = self.padding.gather(torch.cat(found))  # [values, batch · frames]
        return mask.view(-1, PARTS, batch, frames).permute(2, 1, 0, 3)


class Padding(nn.Module):
    """Values of bands of many widths ↔ groups of bands of one width each, for batched products."""

    places: Tensor
    kept: Tensor
    filled: Tensor

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.groups: list[Group] = bsrnn_bands.groups(widths)
        # Not saved in checkpoints, as it follows from the widths; and on the CPU even if the net is
        # made on the meta device, to be given a checkpoint's weights.
        places = torch.tensor(bsrnn_bands.places(self.groups, PARTS), device="cpu")
        self.register_buffer("places", places.clamp(min=0), persistent=False)
        self.register_buffer("kept", (places >= 0).nonzero()[:, 0], persistent=False)
        self.register_buffer("filled", (places >= 0).float()[:, None], persistent=False)

    def spread(self, rows: Tensor) -> list[Tensor]:
        """[values, …] → for each group [bands, values of the widest, …], padded with anything."""
        return self.grouped(_Gather.apply(rows, self.places, self.kept, None))

    def gather(self, rows: Tensor) -> Tensor:
        """All groups' rows one after the other, [places, …] → [values, …]."""
        return _Gather.apply(rows, self.kept, self.places, self.filled)

    def grouped(self, rows: Tensor) -> list[Tensor]:
        """[places, …] → for each group [bands, values of the widest, …]."""
        sizes = [PARTS * group.widest * len(group.widths) for group in self.groups]
        parts = zip(rows.split(sizes), self.groups, strict=True)
        return [part.unflatten(0, (len(group.widths), -1)) for part, group in parts]

    def banded(self, rows: Tensor) -> tuple[Tensor, ...]:
        """[all bands, …] → for each group [bands, …]."""
        return rows.split([len(group.widths) for group in self.groups])


class _Gather(torch.autograd.Function):
    """index_select whose gradient is an index_select too, as every value has one place.

    Autograd does not know this and would add up row after row.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, chosen: Tensor, back: Tensor, filled: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(back, filled)
        return rows.index_select(0, chosen)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        back, filled = ctx.saved_tensors
        found = gradient.index_select(0, back)
        return found if filled is None else found * filled, None, None, None
