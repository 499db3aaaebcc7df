"""What joint networks cost: a step beside those of their nets, and `pitch` beside the clock.

    python -m benchmarks.joint_speed [--rounds 5] [--seconds 20]

One thread, processor time, full width. A step of a joint network is held against the sum of the
steps of its U-Nets alone (Pitch Only and Source Only on the same batch, losses and Adam included);
both by turns in one process, and the ratio is the median over rounds. Then how many seconds of a
song a network hears in a second of a core.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from stemlode.shards.salience import ROWS, SAMPLE_RATE
from training.recipes.joint import JointRecipe
from training.recipes.registry import RECIPES

NETS = {  # how many nets of each task stand in a network
    "shared-encoder": (1, 1),
    "cross-stitch": (1, 1),
    "source-to-pitch": (1, 1),
    "pitch-to-source": (1, 1),
    "separately-trained": (1, 1),
    "stacked-refinement": (2, 2),
}
BATCH, FRAMES = 2, 128
HEARD = ("pitch-only", "stacked-refinement")


def took(work: Callable[[], object]) -> float:
    """Processor seconds."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def recipe_of(wiring: str) -> JointRecipe:
    """A network at full width."""
    recipe = RECIPES[f"joint-{wiring}"]
    assert isinstance(recipe, JointRecipe)
    return recipe


def step_of(wiring: str) -> Callable[[], None]:
    """A step of training, as the loop does it."""
    torch.manual_seed(0)
    recipe = recipe_of(wiring)
    nets = recipe.nets().train()
    adam = torch.optim.Adam([weight for weight in nets.parameters() if weight.requires_grad])
    mixture = torch.rand(BATCH, 1, FRAMES * recipe.hop_length) - 0.5
    salience, residual = torch.rand(BATCH, ROWS, FRAMES), torch.zeros(BATCH, dtype=torch.bool)

    def step() -> None:
        judged = recipe.judge_with_salience(nets, mixture, mixture / 2, residual, salience)
        adam.zero_grad(set_to_none=True)
        judged.loss.mean().backward()
        adam.step()

    return step


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="of the song that is heard")
    given = parser.parse_args()
    torch.set_num_threads(1)
    source, pitch = step_of("source-only"), step_of("pitch-only")
    source(), pitch()
    print("| network | a step, s | its nets' steps, s | ratio |\n|---|---|---|---|")
    for wiring, (sources, pitches) in NETS.items():
        joint = step_of(wiring)
        joint()
        found = []
        for _ in range(given.rounds):
            alone = sources * took(source) + pitches * took(pitch)
            found.append((took(joint), alone))
        whole, parts = (statistics.median(column) for column in zip(*found, strict=True))
        ratio = statistics.median(one / other for one, other in found)
        print(f"| {wiring} | {whole:.2f} | {parts:.2f} | {ratio:.2f} |", flush=True)
    for wiring in HEARD:
        recipe = recipe_of(wiring)
        nets = recipe.nets().eval()
        signal = torch.randn(1, round(given.seconds * SAMPLE_RATE)) * 0.1

        def hear(
            recipe: JointRecipe = recipe,
            nets: torch.nn.Module = nets,
            signal: torch.Tensor = signal,
        ) -> None:
            for _ in recipe.hear(nets, signal):
                pass

        with torch.inference_mode():
            seconds = statistics.median(took(hear) for _ in range(min(3, given.rounds)))
        print(f"joint-{wiring} hears {given.seconds / seconds:.1f} times as fast as it sounds")


if __name__ == "__main__":
    main()
