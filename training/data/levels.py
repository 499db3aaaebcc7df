"""The level by which each song is divided: one pass over the corpus before the first step."""

from collections import defaultdict

import torch
from tqdm import tqdm

from stemlode import files, runs
from stemlode.runs import Failed, Run
from training import state
from training.console import tell
from training.data import corpus
from training.data.corpus import Bad, Corpus, Windows
from training.recipes.base import Recipe

FILE = "levels.json"


def levels(
    run: Run, data: Corpus, recipe: Recipe, workers: int, device: torch.device
) -> tuple[dict[str, float] | None, dict[str, str]]:
    """The level of each song (`Recipe.level`), and the samples that cannot be used, with reasons.

    If the recipe does not divide by levels, they are None and nothing is read. A resumed run reads
    the file that it wrote. Raises Failed if a split has no usable sample.
    """
    if not recipe.levelled:
        return None, {}
    if files.exists(run.path(FILE)):
        return state.read_levels(run.path(FILE))
    peaks: dict[str, float] = defaultdict(float)
    rejects: dict[str, str] = {}
    for split in ("train", "valid"):
        total, heard = data.usable(split, recipe.target), len(peaks)
        items = corpus.loader(Windows(data, split, recipe), workers) if total else []
        for item in tqdm(items, f"levels, {split}", total, unit="sample", disable=None):
            if isinstance(item, Bad):
                rejects[item.key] = item.reason
                tell(f"left out {item.key}: {item.reason}")
            elif item is not None:
                found = recipe.level(item.mixture.to(device))
                peaks[item.song] = max(peaks[item.song], found)
        if total and len(peaks) == heard:
            raise Failed(
                f"--corpus {data.folder}: the corpus has no sample in its {split} split "
                "that can be used; the lines above say why"
            )
    files.write_bytes(run.path(FILE), runs.to_json({"peaks": peaks, "rejects": rejects}))
    return dict(peaks), rejects
