"""What a net costs: parameters, and "GFLOPs" as the CWS paper's table 2 counts them.

Its figures are reproduced by: the multiply-accumulates of convolutions, plus one for each output
where they have a bias, two for each element that batch normalisation passes on, eleven for each
element that linear interpolation gives.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def parameters(net: nn.Module) -> int:
    """Trained numbers of a net."""
    return sum(parameter.numel() for parameter in net.parameters())


@torch.no_grad()
def operations(net: nn.Module, example: Tensor) -> int:
    """Operations of one pass, by the rule above."""
    training = net.training
    net.eval()
    with _Counter() as counter:
        net(example)
    net.train(training)
    return counter.total


class _Counter(TorchFunctionMode):
    total = 0

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        name = getattr(function, "__name__", "")
        if name in ("conv2d", "conv_transpose2d"):
            weight, bias = args[1], args[2] if len(args) > 2 else None
            # A plain convolution works for each output, a transposed one for each input.
            places = found if name == "conv2d" else args[0]
            self.total += weight[0].numel() * places.numel()
            self.total += found.numel() if bias is not None else 0
        elif name == "batch_norm":
            self.total += 2 * found.numel()
        elif name == "interpolate":
            self.total += 11 * found.numel()
        return found


class Products(TorchFunctionMode):
    """Within it, `total` counts the multiply-accumulates of all matrix products: of convolutions,
    linear layers, LSTMs and products themselves."""

    total = 0

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        name = getattr(function, "__name__", "")
        if name == "conv2d":
            self.total += args[1][0].numel() * found.numel()
        elif name == "conv_transpose2d":
            self.total += args[1][0].numel() * args[0].numel()
        elif name == "linear":
            self.total += args[1].numel() * (args[0].numel() // args[0].shape[-1])
        elif name in ("matmul", "bmm", "__matmul__"):
            self.total += found.numel() * args[0].shape[-1]
        elif name == "baddbmm":
            self.total += found.numel() * args[1].shape[-1]
        elif name == "lstm":
            weights = sum(weight.numel() for weight in args[2] if weight.dim() == 2)
            self.total += weights * (args[0].numel() // args[0].shape[-1])
        return found
