"""How strongly each loss of a recipe pulls: which of several tasks a net learns."""

import math

import torch
from torch import Tensor, nn

from training.recipes.base import Recipe


def gradient_norms(recipe: Recipe, nets: nn.Module, given: tuple[Tensor, ...]) -> dict[str, float]:
    """The norm of the gradient of each loss that is learnt, unweighted, over all weights, by
    `gradient_norm_NAME`; of two losses also their `gradient_ratio`, first by second.

    Empty if there is one loss alone. `given` is a batch as `Recipe.judge_given` takes it. Nothing
    is drawn at random and the nets stay as they are, batch statistics included.
    """
    training = nets.training
    nets.eval()
    weights = [weight for weight in nets.parameters() if weight.requires_grad]
    with torch.enable_grad():
        terms = recipe.judge_given(nets, *given).terms
        learnt = {name: term.mean() for name, term in terms.items() if term.requires_grad}
        norms = {name: _norm(term, weights) for name, term in learnt.items()}
    nets.train(training)
    if len(norms) < 2:
        return {}
    found = {f"gradient_norm_{name}": norm for name, norm in norms.items()}
    if len(norms) == 2:
        first, second = norms.values()
        found["gradient_ratio"] = first / second if second > 0 else math.inf
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _norm(term: Tensor, weights: list[nn.Parameter]) -> float:
    found = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
    parts = [gradient.norm() for gradient in found if gradient is not None]
    return float(torch.stack(parts).norm()) if parts else 0.0
