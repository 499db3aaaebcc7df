"""soxr's resampling, through which gradients pass.

Resampling is a product with a matrix A of low-pass kernels. Kernels are symmetric, and soxr designs
one for both directions, so that A's transpose is resampling back, times the ratio of the rates.
"""

from typing import Any

import torch
from torch import Tensor

from stemlode import audio


def resample(samples: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """[channels, samples] on any device at another rate, as `audio.resample` gives it."""
    if from_rate == to_rate:
        return samples
    return _Resample.apply(samples, from_rate, to_rate)


def length(samples: int, from_rate: int, to_rate: int) -> int:
    """How many samples resampling gives."""
    return (2 * samples * to_rate + from_rate) // (2 * from_rate)


class _Resample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, samples: Tensor, from_rate: int, to_rate: int) -> Tensor:
        ctx.rates, ctx.samples = (from_rate, to_rate), samples.shape[-1]
        return _by_soxr(samples, from_rate, to_rate)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        from_rate, to_rate = ctx.rates
        back = _by_soxr(gradient, to_rate, from_rate)
        return fit(back, ctx.samples) * (to_rate / from_rate), None, None


def _by_soxr(samples: Tensor, from_rate: int, to_rate: int) -> Tensor:
    found = audio.resample(samples.detach().cpu().numpy(), from_rate, to_rate)
    return torch.from_numpy(found).to(samples.device)


def fit(samples: Tensor, count: int) -> Tensor:
    """[…, samples] cut, or followed by zeros: resampling twice may give one too many or too few."""
    missing = count - samples.shape[-1]
    return torch.nn.functional.pad(samples, (0, missing)) if missing > 0 else samples[..., :count]
