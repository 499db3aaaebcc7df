"""What the nets are trained to make small. Each says what it sums and what it averages, and why."""

from torch import Tensor


def l1_sum(estimate: Tensor, target: Tensor) -> Tensor:
    """Eq. 4.2 of the thesis, a sum over everything but the batch: [batch, …] → [batch].

    The norm as printed. On magnitudes in [0, 1], most of them near 0, a mean over bins would bring
    gradients near Adam's epsilon.
    """
    return (target - estimate).abs().flatten(1).sum(1)
