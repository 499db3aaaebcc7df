"""The losses that nets are trained with; each says what it sums, what it averages, and why.

All take [batch, …] and give the loss of each example, [batch].
"""

import torch
from torch import Tensor

EPSILON = 1e-8  # keeps the angle to silence defined


def l1_sum(estimate: Tensor, target: Tensor) -> Tensor:
    """Eq. 4.2 of the thesis, a sum over everything but the batch.

    The norm as printed. As most magnitudes, all in [0, 1], are near 0, a mean over bins would bring
    gradients near Adam's epsilon.
    """
    return (target - estimate).abs().flatten(1).sum(1)


def l1_mean(estimate: Tensor, target: Tensor) -> Tensor:
    """Eq. 5.2 and 6.10 of the thesis, each term of CWS' eq. 8: a mean over all but the batch.

    Printed as a norm, but CWS 2.4 calls it "the mean absolute error", eq. 5.4 adds it to another
    norm, of fewer rows, and eq. 6.12 to a cosine with equal weights. The mean magnitude of a stem
    of real songs is 0.1 to 0.3 in spectra that nothing normalises; a sum would be 130,000 times
    that, and the cosine would not count.
    """
    return (target - estimate).abs().flatten(1).mean(1)


def l2_mean(estimate: Tensor, target: Tensor) -> Tensor:
    """Eq. 5.3 of the thesis: a mean of squares over everything but the batch.

    Printed as a norm; its root over a whole batch would weigh each example by the others' errors.
    """
    return (target - estimate).square().flatten(1).mean(1)


def sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Eq. 6.11 of the thesis: minus the cosine of the angle between waveforms, in [−1, 1].

    The scalar product runs over channels and samples. The level of the estimate does not count, nor
    does an example whose target is silent.
    """
    guess, truth = estimate.flatten(1), target.flatten(1)
    return -(guess * truth).sum(1) / (guess.norm(dim=1) * truth.norm(dim=1) + EPSILON)


def conservation(estimates: Tensor, mixture: Tensor) -> Tensor:
    """CWS eq. 8, second part: how far sources [batch, sources, …] in sum are from the mixture.

    As printed, each source alone would have to be the mixture; what is conserved (eq. 2) is their
    sum. A mean over everything but the batch, as `l1_mean`.
    """
    return l1_mean(torch.sum(estimates, dim=1), mixture)
