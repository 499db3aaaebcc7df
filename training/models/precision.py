"""Lower precision where it is safe: inside the nets, while they learn.

Transforms, masking, losses, parameters and Adam stay in fp32. bf16 has the range of fp32 and needs
no scaler; fp16 needs one: of the gradients at a BSRNN's LSTMs, most would be 0. Validation,
evaluation, separation and teachers are in fp32: masks of eight bits would leave noise at −50 dB in
every stem.

Recurrent layers take care of themselves (`LSTM`), outside autocast, whose wrapper for cuDNN's RNNs
casts to fp16 whatever type it was given.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stemlode.runs import BadUsage

KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BF16_SINCE = 91_300  # cuDNN's first version with recurrent layers in bf16

# Weights that are cast at each step lie nowhere in one piece; cuDNN then copies them, which is
# nothing beside what it computes.
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous")


@dataclass(frozen=True)
class Precision:
    """What nets compute in while they learn; nets without recurrent layers have one type."""

    nets: torch.dtype = torch.float32
    recurrent: torch.dtype = torch.float32

    @property
    def scales(self) -> bool:
        """Whether gradients must be scaled lest they vanish."""
        return torch.float16 in (self.nets, self.recurrent)

    def facts(self) -> dict[str, Any]:
        """For run.json."""
        names = {kind: name for name, kind in KINDS.items()}
        kinds = {"nets": names[self.nets], "recurrent": names[self.recurrent]}
        return {**kinds, "scaled": self.scales}


FULL = Precision()
_chosen: ContextVar[Precision] = ContextVar("precision", default=FULL)


def choose(name: str | None, device: torch.device, nets: nn.Module) -> Precision:
    """The precision by its name; by default bf16 on a GPU, where it pays, and fp32 elsewhere.

    Recurrent layers are in fp16 in place of bf16 if cuDNN is older than BF16_SINCE. Raises BadUsage
    where the nets cannot compute in it.
    """
    kind = KINDS[name or ("bf16" if device.type == "cuda" else "fp32")]
    if not any(isinstance(module, nn.LSTM) for module in nets.modules()):
        return Precision(kind, kind)
    if kind is torch.float16 and device.type == "cpu":
        raise BadUsage("--precision fp16: a CPU has no LSTM in fp16; choose bf16 or fp32")
    old = device.type == "cuda" and not _knows_bf16(device)
    return Precision(kind, torch.float16 if kind is torch.bfloat16 and old else kind)


def _knows_bf16(device: torch.device) -> bool:
    """Whether recurrent layers are fast in bf16; without cuDNN one type is as good as another."""
    if not torch.backends.cudnn.is_available():
        return True
    version = torch.backends.cudnn.version() or 0
    probe = torch.zeros(1, device=device, dtype=torch.bfloat16)
    return version >= BF16_SINCE and torch.cudnn_is_acceptable(probe)


@contextmanager
def lowered(precision: Precision) -> Iterator[None]:
    """Within it, `masks` lets nets compute in this precision."""
    token = _chosen.set(precision)
    try:
        yield
    finally:
        _chosen.reset(token)


def chosen() -> Precision:
    """What `lowered` says here."""
    return _chosen.get()


def masks(net: nn.Module, spectrogram: Tensor) -> Tensor:
    """A net's masks, float32, computed in what `lowered` says."""
    kind = _chosen.get().nets
    if kind is torch.float32:
        return net(spectrogram)
    with torch.autocast(spectrogram.device.type, kind):
        return net(spectrogram).float()


class LSTM(nn.LSTM):
    """An LSTM that computes in what `lowered` says for recurrent layers.

    Its parameters stay in fp32; a copy of them is cast at each step.
    """

    def forward(self, input: Tensor, hx: Any = None) -> Any:  # type: ignore[override]
        """Inputs, laid out as `batch_first` says → outputs in that type, and the last state; from
        zeros on."""
        kind = _chosen.get().recurrent
        if kind is torch.float32:
            return super().forward(input, hx)
        assert hx is None
        with torch.autocast(input.device.type, enabled=False):
            layers = self.num_layers * (2 if self.bidirectional else 1)
            rows = input.shape[0 if self.batch_first else 1]
            zeros = input.new_zeros(layers, rows, self.hidden_size, dtype=kind)
            outputs, hidden, cell = torch.lstm(
                input.to(kind),
                (zeros, zeros),
                [weight.to(kind) for weight in self._flat_weights if weight is not None],
                self.bias,
                self.num_layers,
                self.dropout,
                self.training,
                self.bidirectional,
                self.batch_first,
            )
        return outputs, (hidden, cell)
