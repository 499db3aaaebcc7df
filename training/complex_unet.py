"""The U-Net with a complex mask, thesis chapter 6."""

import torch
from torch import Tensor

from training.unet import UNet

EPSILON = 1e-12  # added to squared magnitudes, for a gradient at 0


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
