"""Small trials on real songs, which benchmarks share: songs in memory, nets trained with one seed.

A trial trains a net on all songs but one, and scores it on that one. Each result is a line of a
JSON file as soon as it is known, so a benchmark that is ended goes on where it stopped.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
import torch
from torch import Tensor, nn

from stemlode import audio
from training.recipes.base import Recipe
from training.recipes.chunks import Chunking

WITH_VOICE = ("so_easy", "mallory", "playlist", "song1_planetblupi_sung", "song2_rap_92bpm")
GAIN_DB = 6.0  # of the voices that are mixed with accompaniments of other songs


@dataclass(frozen=True)
class Song:
    """A song at the trial's rate: voice and accompaniment, float32 [channels, samples] each."""

    name: str
    vocals: Tensor
    accompaniment: Tensor

    @property
    def mixture(self) -> Tensor:
        """What the two sum to."""
        return self.vocals + self.accompaniment


def songs(recipe: Recipe, names: Iterable[str] = WITH_VOICE) -> list[Song]:
    """Songs of STEMLODE_TEST_DATA's multitracks, at a recipe's rate and channels."""
    root = Path(os.environ["STEMLODE_TEST_DATA"]) / "audio/multitrack"
    return [_song(root / name, recipe) for name in names]


def read(path: Path, recipe: Recipe) -> Tensor:
    """An audio file at a recipe's rate and channels."""
    samples = audio.read(str(path), sample_rate=recipe.sample_rate).samples
    if recipe.audio_channels == 1:
        samples = samples.mean(axis=0, keepdims=True)
    shape = (recipe.audio_channels, samples.shape[1])
    return torch.from_numpy(np.array(np.broadcast_to(samples, shape), np.float32))


def _song(folder: Path, recipe: Recipe) -> Song:
    stems = {path.stem: read(path, recipe) for path in sorted(folder.iterdir())}
    stems.pop("mixture", None)
    length = min(stem.shape[1] for stem in stems.values())
    vocals = stems.pop("vocals")[:, :length]
    return Song(folder.name, vocals, torch.stack([s[:, :length] for s in stems.values()]).sum(0))


def train(
    recipe: Recipe,
    material: Sequence[Song],
    steps: int,
    seed: int,
    draw: Callable[[np.random.Generator], tuple[Song, Song]] | None = None,
) -> nn.Module:
    """Nets after so many steps of the recipe on mixtures of the songs' voices with any song's
    accompaniment; `draw` says of which two songs these are, by default of any."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    nets = recipe.nets()
    betas = (recipe.beta1, recipe.beta2)
    adam = torch.optim.Adam(nets.parameters(), recipe.learning_rate, betas=betas)
    samples, residual = recipe.patch_samples, torch.zeros(recipe.batch_size, dtype=torch.bool)

    def any_two(rng: np.random.Generator) -> tuple[Song, Song]:
        one, other = rng.integers(len(material), size=2)
        return material[one], material[other]

    def piece(signal: Tensor) -> Tensor:
        start = int(rng.integers(max(1, signal.shape[1] - samples + 1)))
        found = signal[:, start : start + samples]
        return nn.functional.pad(found, (0, samples - found.shape[1]))

    for _ in range(steps):
        mixtures, targets = [], []
        for _ in range(recipe.batch_size):
            voice, backing = (draw or any_two)(rng)
            target = piece(voice.vocals) * 10 ** (rng.uniform(-GAIN_DB, GAIN_DB) / 20)
            mixture = target + piece(backing.accompaniment)
            level = _level(recipe, mixture, target)
            mixtures.append(mixture / level)
            targets.append(target / level)
        loss = recipe.losses(nets, torch.stack(mixtures), torch.stack(targets), residual).mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(nets.parameters(), recipe.clip_norm)
        adam.step()
    return nets.eval()


def _level(recipe: Recipe, mixture: Tensor, target: Tensor) -> float:
    """By what an example is divided: as `training.data` does it."""
    if recipe.mixing is not None:
        return max(1e-6, float(torch.maximum(mixture.abs(), target.abs()).max()))
    return max(1e-6, recipe.level(mixture)) if recipe.levelled else 1.0


@torch.inference_mode()
def score(recipe: Recipe, nets: nn.Module, song: Song, chunking: Chunking) -> float:
    """uSDR in dB of a song's vocals at the recipe's rate."""
    found = torch.cat(list(recipe.separate(nets, song.mixture, chunking)), dim=-1)[0]
    return usdr(song.vocals, found)


def usdr(true: Tensor, estimate: Tensor) -> float:
    """The SDR of a whole song in dB."""
    error = (true - estimate).square().sum()
    return float(10 * torch.log10((true.square().sum() + 1e-7) / (error + 1e-7)))


class Results:
    """Results by key, a line of a file each."""

    def __init__(self, path: Path) -> None:
        self.path, self.found = path, dict[str, Any]()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self.found[row["key"]] = row["value"]

    def once(self, key: str, work: Callable[[], Any]) -> Any:
        """What is known of a key, or else what `work` finds."""
        if key not in self.found:
            started = time.process_time()
            self.found[key] = work()
            row = {"key": key, "value": self.found[key]}
            row["cpu_s"] = round(time.process_time() - started, 1)
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
        return self.found[key]


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Mean of paired differences, and the half width of its 95 % interval by Student's t."""
    values = np.array(differences, np.float64)
    if len(values) < 2:
        return float(values.mean()), math.inf
    t = float(scipy.stats.t.ppf(0.975, len(values) - 1))
    return float(values.mean()), t * float(values.std(ddof=1)) / math.sqrt(len(values))
