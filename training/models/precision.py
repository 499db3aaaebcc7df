"""Lower precision where it is safe: inside the nets, while they learn.

Transforms, masking, losses and Adam stay in fp32. bf16 has the range of fp32 and needs no scaler;
fp16 needs one. Validation, evaluation and separation are in fp32: masks of eight bits would leave
noise at −50 dB in every stem.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from stemlode.runs import BadUsage

KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_chosen: ContextVar[torch.dtype] = ContextVar("precision", default=torch.float32)


def choose(name: str | None, device: torch.device, nets: nn.Module) -> torch.dtype:
    """The type by its name; by default bf16 on a GPU, where it pays, and fp32 elsewhere.

    Raises BadUsage where the nets cannot compute in it.
    """
    kind = KINDS[name or ("bf16" if device.type == "cuda" else "fp32")]
    recurrent = any(isinstance(module, nn.LSTM) for module in nets.modules())
    if kind is torch.float16 and device.type == "cpu" and recurrent:
        raise BadUsage("--precision fp16: a CPU has no LSTM in fp16; choose bf16 or fp32")
    return kind


@contextmanager
def lowered(kind: torch.dtype) -> Iterator[None]:
    """Within it, `masks` lets nets compute in this type."""
    token = _chosen.set(kind)
    try:
        yield
    finally:
        _chosen.reset(token)


def masks(net: nn.Module, spectrogram: Tensor) -> Tensor:
    """A net's masks, float32, computed in what `lowered` says."""
    kind = _chosen.get()
    if kind is torch.float32:
        return net(spectrogram)
    with torch.autocast(spectrogram.device.type, kind):
        return net(spectrogram).float()
