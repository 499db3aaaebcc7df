"""Songs separated as a whole, beside averages of chunks of 3 s and of an example's length.

Small U-Nets of the thesis' two chapters, trained on all songs but one and scored on that one by
uSDR of the vocals; for each song and seed the differences, with 95 % intervals of their means, and
the processor time. What is done is kept in a file, so that an ended benchmark goes on:

    python -m benchmarks.whole [--results whole.jsonl] [--steps 200] [--seeds 1]
"""

import argparse
import functools
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import trials
from training.recipes import registry
from training.recipes.chunks import Chunking
from training.recipes.registry import RECIPES, Recipe

SMALL: dict[str, Any] = {"channels": (4, 8, 16, 32, 64, 128), "batch_size": 4}
NAMES = ("unet-vocals-small", "complex-unet-vocals-small")


def ways(recipe: Recipe) -> dict[str, Chunking]:
    """How songs are cut, by name; chunks begin every half second."""
    patch_s = recipe.patch_samples / recipe.sample_rate
    found = {"whole": Chunking(whole=True), "3 s": Chunking(3.0)}
    return found if patch_s < 4 else {**found, f"{patch_s:.0f} s": Chunking(patch_s)}


def trial(recipe: Recipe, songs: list[trials.Song], out: int, steps: int, seed: int) -> Any:
    """uSDR and processor seconds of each way, of a net that was trained without a song."""
    others = [song for song in songs if song is not songs[out]]
    nets = trials.train(recipe, others, steps, seed)
    found = {}
    for name, chunking in ways(recipe).items():
        started = time.process_time()
        ratio = trials.score(recipe, nets, songs[out], chunking)
        found[name] = [ratio, time.process_time() - started]
    return found


def main() -> None:
    """Print each trial, then a table for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kept = Path(tempfile.gettempdir()) / "stemlode-whole.jsonl"
    parser.add_argument("--results", type=Path, default=kept)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    results = trials.Results(given.results)
    for name in NAMES:
        recipe = registry.override(RECIPES[name], SMALL)
        songs = trials.songs(recipe)
        rows = []
        for seed in range(given.seeds):
            for out, song in enumerate(songs):
                work = functools.partial(trial, recipe, songs, out, given.steps, seed)
                rows.append((song.name, results.once(f"{name} {song.name} {seed}", work)))
        cuts = list(ways(recipe))
        print(f"{name}\n| song left out | {' | '.join(cuts)} |\n|---|{'---|' * len(cuts)}")
        for song_name, found in rows:
            print(f"| {song_name} | {' | '.join(f'{found[cut][0]:.2f}' for cut in cuts)} |")
        for cut in cuts[1:]:
            mean, half = trials.interval([f[cut][0] - f["whole"][0] for _, f in rows])
            costs = sum(f[cut][1] for _, f in rows) / sum(f["whole"][1] for _, f in rows)
            print(f"{cut} − whole: {mean:+.2f} ± {half:.2f} dB, at {costs:.1f} times the cost")


if __name__ == "__main__":
    main()
