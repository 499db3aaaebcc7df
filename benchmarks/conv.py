"""Training steps of the convolutional nets: as `stemlode train` takes them, against plain PyTorch.

Plain: eager, fp32 without TF32, memory as it comes (NCHW). Ours: channels_last and, on a GPU, bf16
inside the net. Compiled, on a GPU alone: ours with torch.compile, fused Adam and TF32. A step is a
whole one: spectrograms, net, masking, loss, backward, Adam, on a batch that is already on the
device. All take turns, and the fastest step of each counts.

    python -m benchmarks.conv [--device cuda] [--recipes unet-vocals cws-unet5-k8 …]
"""

import argparse
import time
from collections.abc import Callable

import torch

from training import devices
from training.models import precision
from training.recipes.base import Recipe
from training.recipes.registry import RECIPES

WAYS = ("plain", "ours", "compiled")
ON_GPU = ("unet-vocals", "complex-unet-vocals", "cws-unet5-k8", "cws-unet6-k4")
ON_GPU += ("cws-mdensenet-k8", "cws-mmdensenet")
ON_CPU = tuple(f"{name}-small" for name in ON_GPU)


def device_name(device: torch.device) -> str:
    """What the figures are of."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} thread(s)"


def step(recipe: Recipe, device: torch.device, batch: int, way: str) -> Callable[[], None]:
    """One training step of a freshly initialised net, in one of WAYS."""
    torch.manual_seed(0)
    nets = recipe.nets().to(device)
    plain, compiled = way == "plain", way == "compiled"
    if not plain:
        nets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compiled:
        for net in recipe.cores(nets):
            net.compile()
    adam = torch.optim.Adam(nets.parameters(), recipe.learning_rate, fused=compiled or None)
    shape = (batch, recipe.audio_channels, recipe.patch_samples)
    mixture = 0.1 * torch.randn(shape, device=device)
    residual = torch.zeros(batch, dtype=torch.bool, device=device)

    def work() -> None:
        devices.products("tf32" if compiled else "ieee")
        adam.zero_grad(set_to_none=True)
        with precision.lowered(precision.FULL if plain else precision.choose(None, device, nets)):
            loss = recipe.losses(nets, mixture, 0.5 * mixture, residual).mean()
        loss.backward()
        adam.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return work


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """Of the clock on a GPU, of this process alone on a CPU that others share."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    started = clock()
    work()
    return clock() - started


def main() -> None:
    """Print a row a recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--recipes", nargs="+", metavar="RECIPE")
    parser.add_argument("--batch", type=int, help="examples a step; else the recipe's, 2 on a CPU")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    on_gpu = device.type == "cuda"
    print(f"{device_name(device)}, torch {torch.__version__}")
    ways = WAYS if on_gpu else WAYS[:2]
    print(f"| recipe | batch | {' | '.join(ways)} | plain / {ways[-1]} |")
    print("|---" * (3 + len(ways)) + "|")
    for name in options.recipes or (ON_GPU if on_gpu else ON_CPU):
        recipe = RECIPES[name]
        batch = options.batch or (recipe.batch_size if on_gpu else 2)
        works = [step(recipe, device, batch, way) for way in ways]
        for work in works:
            work()  # compiles, and finds the fastest kernels
        rounds = [[seconds(work, device) for work in works] for _ in range(options.rounds)]
        best = [min(column) for column in zip(*rounds, strict=True)]
        times = " | ".join(f"{1e3 * time:.1f} ms" for time in best)
        print(f"| {name} | {batch} | {times} | {best[0] / best[-1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
