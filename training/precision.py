"""Lower precision where it is safe: inside the nets, while they learn, on a GPU."""

import torch
from torch import Tensor, nn


def masks(net: nn.Module, spectrogram: Tensor) -> Tensor:
    """A net's masks, float32. Where `lowers` says so, the net computes in bf16, whose range is that
    of float32, so that no scaler is needed; transforms, masking and losses stay outside."""
    device = spectrogram.device.type
    with torch.autocast(device, torch.bfloat16, enabled=lowers(spectrogram)):
        return net(spectrogram).float()


def lowers(spectrogram: Tensor) -> bool:
    """On a GPU that trains. Where nothing is learnt, masks of eight bits would leave noise at
    −50 dB in every stem."""
    return spectrogram.is_cuda and torch.is_grad_enabled()
