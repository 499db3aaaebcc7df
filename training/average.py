"""A moving average of the weights, which is often better than the weights themselves."""

import torch
from torch import nn


@torch.no_grad()
def follow(average: nn.Module, nets: nn.Module, decay: float, step: int) -> None:
    """Move the average by 1 − decay towards the nets, in place.

    Early on by more, for the first weights are random: decay is at most (1 + step) / (10 + step).
    Whole numbers, which count batches, are copied.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    pairs = list(zip(average.state_dict().values(), nets.state_dict().values(), strict=True))
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    torch._foreach_lerp_([held for held, _ in floats], [now for _, now in floats], share)
    for held, now in pairs:
        if not held.is_floating_point():
            held.copy_(now)
