"""What half precision does to the gradients of a band-split RNN, emulated where there is no GPU.

A recurrent layer in fp16 gets the gradients at its outputs in fp16. Here they are rounded so by
hooks, in nets that compute in fp32, for one of a batch of 16 examples; without a scaler, and with
the scale that PyTorch's begins with. Printed: the median size of these gradients, the share that
becomes 0, and the median over weights of how far their gradients are off (norm of the difference
over norm). bf16 in place of fp16 beside them.

    python -m benchmarks.precision [--recipe bsrnn-vocals] [--layers 12] [--seconds 3]
"""

import argparse

import torch
from torch import Tensor, nn

from training.recipes import registry
from training.recipes.base import Recipe
from training.recipes.registry import RECIPES

SCALE = 65_536.0  # that torch.amp.GradScaler begins with
Gradients = dict[str, Tensor]


def gradients(
    recipe: Recipe, kind: torch.dtype | None, scale: float
) -> tuple[Gradients, list[Tensor]]:
    """Those of the recurrent weights, with those at the layers' outputs rounded to a type, and
    these before that; both without the scale."""
    torch.manual_seed(0)
    nets, seen = recipe.nets(), []

    def rounded(gradient: Tensor) -> Tensor:
        seen.append(gradient / scale)
        return gradient if kind is None else gradient.to(kind).float()

    for layer in nets.modules():
        if isinstance(layer, nn.LSTM):
            layer.register_forward_hook(lambda _, __, out: out[0].register_hook(rounded) and None)
    shape = (1, recipe.audio_channels, recipe.patch_samples)
    mixture = 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    loss = recipe.losses(nets, mixture, 0.5 * mixture, torch.zeros(1, dtype=torch.bool))
    (scale * loss.sum() / recipe.batch_size).backward()
    weights = {
        name: parameter.grad / scale
        for name, parameter in nets.named_parameters()
        if "lstm" in name and parameter.grad is not None
    }
    return weights, seen


def main() -> None:
    """Print a row for each type and scale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="bsrnn-vocals", metavar="RECIPE")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    changes = {"layers": given.layers, "patch_seconds": given.seconds}
    recipe = registry.override(RECIPES[given.recipe], changes)
    exact, seen = gradients(recipe, None, 1.0)
    sizes = torch.cat([gradient.flatten() for gradient in seen])
    seen.clear()
    print(f"gradients at the outputs: median size {float(sizes.abs().median()):.1g}")
    print("| type | scale | become 0 | weights' gradients off by, median |")
    print("|---|---|---|---|")
    for name, kind, scale in (
        ("fp16", torch.float16, 1.0),
        ("fp16", torch.float16, SCALE),
        ("bf16", torch.bfloat16, 1.0),
    ):
        share = float((((sizes * scale).to(kind) == 0) & (sizes != 0)).float().mean())
        found, _ = gradients(recipe, kind, scale)
        errors = torch.tensor([float((found[n] - g).norm() / g.norm()) for n, g in exact.items()])
        print(f"| {name} | {scale:,.0f} | {share:.2%} | {float(errors.median()):.2%} |", flush=True)


if __name__ == "__main__":
    main()
