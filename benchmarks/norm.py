"""A band-split RNN that normalises a band over time, beside one that does so frame by frame.

Small nets, equal steps, trained on all songs but one and scored on that one by uSDR of the vocals;
for each song and seed the difference of the two, and a 95 % interval of its mean. What is done is
kept in a file, so that an ended benchmark goes on:

    python -m benchmarks.norm [--results norm.jsonl] [--steps 80] [--seeds 3]
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import trials
from training.recipes import registry
from training.recipes.chunks import Chunking
from training.recipes.registry import RECIPES

SMALL: dict[str, Any] = {
    "sample_rate": 16_000,
    "n_fft": 1024,
    "hop_length": 256,
    "patch_seconds": 1.5,
}
SMALL |= {"features": 16, "hidden": 32, "mask_hidden": 32, "layers": 1, "batch_size": 4}
SMALL |= {"learning_rate": 3e-3, "bands": (1000, 100, 4000, 250)}


def main() -> None:
    """Print each trial, then a table of the songs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kept = Path(tempfile.gettempdir()) / "stemlode-norm.jsonl"
    parser.add_argument("--results", type=Path, default=kept)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    recipes = {
        norm: registry.override(RECIPES["bsrnn-vocals-small"], SMALL | {"norm": norm})
        for norm in ("band", "frame")
    }
    songs = trials.songs(recipes["band"])
    results = trials.Results(given.results)
    rows: dict[str, list[tuple[float, float]]] = {}
    for seed in range(given.seeds):
        for song in songs:
            others = [other for other in songs if other is not song]
            found = []
            for norm, recipe in recipes.items():

                def trial(
                    recipe: registry.Recipe = recipe,
                    others: list[trials.Song] = others,
                    seed: int = seed,
                    song: trials.Song = song,
                ) -> float:
                    nets = trials.train(recipe, others, given.steps, seed)
                    return trials.score(recipe, nets, song, Chunking(hop_seconds=0.75))

                found.append(results.once(f"{song.name} {norm} {seed} {given.steps}", trial))
            rows.setdefault(song.name, []).append((found[0], found[1]))
    print("| song left out | band | frame | mixture |\n|---|---|---|---|")
    for song in songs:
        pairs = rows[song.name]
        cells = [", ".join(f"{pair[place]:.1f}" for pair in pairs) for place in (0, 1)]
        print(
            f"| {song.name} | {' | '.join(cells)} | {trials.usdr(song.vocals, song.mixture):.1f} |"
        )
    differences = [pair[0] - pair[1] for pairs in rows.values() for pair in pairs]
    mean, half = trials.interval(differences)
    print(f"band − frame: {mean:+.2f} ± {half:.2f} dB (95 %, {len(differences)} pairs)")


if __name__ == "__main__":
    main()
