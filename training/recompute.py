"""Activations that are computed again in the backward pass, in place of being kept.

Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016): of each block its input alone
is kept, for the price of a second forward pass. Losses and gradients are the same bit by bit.
"""

import functools
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.models import precision


def again(blocks: Iterable[nn.Module]) -> None:
    """Let blocks, Tensor → Tensor, keep their input alone while they learn.

    They must neither draw random numbers nor gather statistics. Their parameters keep their names;
    a copy of such a net would compute with the original's, so copy before.
    """
    for block in blocks:
        block.forward = functools.partial(_forward, block.forward)


def _forward(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return forward(x)
    chosen = precision.chosen()  # the backward pass is outside `precision.lowered`

    def computed(x: Tensor) -> Tensor:
        with precision.lowered(chosen):
            return forward(x)

    return checkpoint(computed, x, use_reentrant=False, preserve_rng_state=False)
