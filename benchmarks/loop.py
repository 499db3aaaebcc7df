"""The training loop on real audio: does the device wait for data, and how busy is it?

Trains recipes as `stemlode train` does, on a corpus of the multitracks given (from
STEMLODE_TEST_DATA, default ../shared/data beside the project), and reads its log:
segments a second, the share of time without a batch, and the multiplications of the nets against
those of large matrix products measured on the same device. Then the loader alone, with nothing
learnt: in its first epoch, when every sample is read and decoded, and in the later ones, of which
what fits the cache is decoded no more. It must give at least twice what the recipe consumes.

    python -m benchmarks.loop [--stems DIR] [--device cuda] [--recipes unet-vocals-small …]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch

from benchmarks.conv import device_name
from pipelines.corpus import command as corpus_verb
from stemlode import runs
from training.data import corpus
from training.loop import command
from training.loop.material import Material
from training.loop.options import Options
from training.recipes.registry import RECIPES, Recipe
from training.state import Progress

ON_CPU = ("unet-vocals-small", "complex-unet-vocals-noncomplex-small", "cws-unet5-k8-small")
ON_CPU += ("bsrnn-vocals-small",)
ON_GPU = ("unet-vocals", "complex-unet-vocals", "cws-unet5-k8", "cws-mdensenet-k8", "bsrnn-vocals")
PROJECT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("STEMLODE_TEST_DATA", PROJECT.parent / "shared" / "data"))
STEMS = DATA / "audio" / "multitrack"


def trained(name: str, data: str, folder: Path, given: argparse.Namespace) -> dict[str, float]:
    """Means over a run's lines, without the first one, in which things warm up."""
    words = [name, "--corpus", data, "--output", str(folder), "--steps", str(given.steps)]
    words += ["--log-every", str(max(1, given.steps // 8)), "--validate-every", str(given.steps)]
    words += ["--workers", str(given.workers), "--device", given.device]
    command.main(words)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()][1:]
    return {
        key: statistics.mean(row[key] for row in log)
        for key in ("segments_per_s", "data_wait", "utilisation")
    }


def loaded(recipe: Recipe, data: str, folder: Path, given: argparse.Namespace) -> list[float]:
    """Segments a second that the loader gives alone: the first epoch, then the next ones."""
    device = torch.device(given.device)
    run = runs.Run("train", str(folder), {}, {}, 0.0)
    held = corpus.open_corpus(data)
    options = Options(workers=given.workers)
    batches = Material(run, held, recipe, options, device).batches(Progress())
    epoch = max(2, held.usable("train", recipe.target) // recipe.batch_size)
    rates = []
    for count in (epoch, 4 * epoch):
        started = time.monotonic()
        segments = sum(len(batch.sample_ids) for batch in islice(batches, count))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        rates.append(segments / (time.monotonic() - started))
    return rates


def main() -> None:
    """Print a row a recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stems", default=str(STEMS), metavar="DIR", help="folder of multitracks")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--recipes", nargs="+", metavar="RECIPE")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    given = parser.parse_args()
    if not Path(given.stems).is_dir():
        print(f"no multitracks at {given.stems}: set STEMLODE_TEST_DATA")
        return
    torch.set_num_threads(given.threads)
    print(
        f"{device_name(torch.device(given.device))}, {given.workers} workers, {given.steps} steps"
    )
    print("| recipe | segments/s | data wait | utilisation | loader, first epoch | later | ratio |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = str(root / "corpus")
        made = ["--stems", given.stems, "--output", data, "--split", "train=1"]
        corpus_verb.main(made)
        for name in given.recipes or (ON_GPU if given.device.startswith("cuda") else ON_CPU):
            found = trained(name, data, root / name, given)
            first, later = loaded(RECIPES[name], data, root / f"{name} loader", given)
            rate = found["segments_per_s"]
            print(
                f"| {name} | {rate:.1f} | {100 * found['data_wait']:.1f} % "
                f"| {100 * found['utilisation']:.0f} % | {first:.1f}/s | {later:.1f}/s "
                f"| {later / rate:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
