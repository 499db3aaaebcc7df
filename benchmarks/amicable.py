"""What an iteration of `stemlode perturb` costs beside forward and backward of the separator.

    python -m benchmarks.amicable

The limit: at most 1.15 times the processor time of one pass forward and backward through the
separator with its STFT and resampling, of the same song, in turns on one core.
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from pipelines.demo.music import render_song
from training.amicable import models, optimise, twin
from training.amicable.objective import Problem, Term
from training.amicable.optimise import Settings, State
from training.amicable.song import Song
from training.checkpoint import Checkpoint
from training.recipes.chunks import Chunking
from training.recipes.registry import RECIPES

RATE, SECONDS, TURNS, STEPS = 44_100, 6, 8, 4
NETS = ("unet-vocals-small", "demucs-vocals-small", "cws-unet5-k8-small")
CUT = Chunking(hop_seconds=1.5)
LIMIT = 1.15


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Print a line for each net."""
    torch.set_num_threads(1)
    stems = {name: x.astype(np.float32) for name, x in render_song(1, SECONDS, RATE).items()}
    vocals = stems.pop("vocals")
    backing = np.sum(list(stems.values()), axis=0)
    song = Song(vocals + backing, {"vocals": vocals, "accompaniment": backing}, RATE)
    for name in NETS:
        recipe = RECIPES[name]
        torch.manual_seed(0)
        trained = Checkpoint(recipe, recipe.nets().eval(), 0)
        separator = models.of_checkpoints([trained], CUT).separator
        terms = [Term(separator)]
        problem = Problem.of(song, terms)
        state = State.begun(problem, Settings(iterations=1))
        (piece,) = twin.pieces(problem.mixture.shape[1], RATE, 60)

        def plain(
            separator: twin.Separator = separator,
            problem: Problem = problem,
            piece: twin.Piece = piece,
        ) -> None:
            given = problem.mixture.clone().requires_grad_()
            levels = separator.levels(problem.mixture, RATE)
            (found,) = twin.separate(separator, [given], [piece], [levels])
            total = torch.stack([one.square().sum() for one in found.values()]).sum()
            torch.autograd.grad(total, given)

        def iterations(
            count: int, terms: list[Term] = terms, problem: Problem = problem, state: State = state
        ) -> None:
            state.iteration = 0
            optimise.run(terms, [problem], [state], Settings(iterations=count))

        plain()
        iterations(1)
        # The fastest of some turns: what else runs on the machine only ever adds.
        turns = [(seconds(plain), seconds(lambda run=iterations: run(STEPS))) for _ in range(TURNS)]
        one, more = (min(times) for times in zip(*turns, strict=True))
        ratio = more / (STEPS + 1) / one  # the iterate after the last step is evaluated too
        print(f"{name:<22} {ratio:.2f} times its separator (limit {LIMIT})", flush=True)


if __name__ == "__main__":
    main()
