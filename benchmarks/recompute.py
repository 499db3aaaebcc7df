"""What `--checkpoint-activations` costs: processor time of a step with it and without, in turn.

    python -m benchmarks.recompute [--rounds 7] [--batch 2]

A step is the losses of a recipe and their gradients, on one core. The gradients are compared.
"""

import argparse
import statistics
import time

import torch
from torch import nn

from training import recompute
from training.recipes.base import Recipe
from training.recipes.registry import RECIPES

NAMES = ("bsrnn-vocals-small", "demucs-vocals-small")


def spent(recipe: Recipe, nets: nn.ModuleDict, mixture: torch.Tensor) -> float:
    """Processor seconds of a step."""
    nets.zero_grad()
    begun = time.process_time()
    given = torch.zeros(len(mixture), dtype=torch.bool)
    recipe.losses(nets, mixture, mixture / 3, given).mean().backward()
    return time.process_time() - begun


def main() -> None:
    """Print a row a recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| recipe | a step | with --checkpoint-activations | ratio |\n|---|---|---|---|")
    for name in NAMES:
        recipe, both = RECIPES[name], []
        for again in (False, True):
            torch.manual_seed(0)
            nets = recipe.nets()
            if again:
                recompute.again(recipe.blocks(nets))
            both.append(nets)
        mixture = torch.randn(given.batch, recipe.audio_channels, recipe.patch_samples)
        taken = [[spent(recipe, nets, mixture) for nets in both] for _ in range(given.rounds)]
        for one, other in zip(both[0].parameters(), both[1].parameters(), strict=True):
            assert one.grad is not None and torch.equal(one.grad, other.grad)  # type: ignore[arg-type]
        plain, again_s = (statistics.median(column) for column in zip(*taken, strict=True))
        print(f"| {name} | {plain:.2f} s | {again_s:.2f} s | {again_s / plain:.2f} |", flush=True)


if __name__ == "__main__":
    main()
