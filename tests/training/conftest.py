"""Corpora made by the real verb, and a net small enough to train in a test."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pipelines.corpus import command
from training import checkpoint
from training.checkpoint import Checkpoint
from training.recipes import registry

torch.set_num_threads(1)  # tests run beside each other
RATE = 16_000
OPTIONS = ["--sample-rate", str(RATE), "--chunk-seconds", "1", "--shard-bytes", "600kB"]
OPTIONS += ["--split", "train=0.6,valid=0.2,test=0.2", "--seed", "1"]
TINY = ["--channels", "2,3,4", "--n-fft", "256", "--hop-length", "192", "--patch-frames", "16"]
TINY += ["--batch-size", "2", "--learning-rate", "0.003", "--log-every", "1", "--cache-gb", "0.01"]
TINY += ["--workers", "0"]


def sing(seed: int, seconds: float, rate: int = RATE) -> tuple[np.ndarray, np.ndarray]:
    """A voice that glides, and an accompaniment of chords and hiss: [2, frames] each."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    low = rng.uniform(200, 400)
    vibrato = 2 * np.pi * (low * time + rng.uniform(5, 20) * np.sin(2 * np.pi * 5 * time))
    voice = sum(np.sin(k * vibrato) / k for k in range(1, 6))
    voice *= np.sin(2 * np.pi * rng.uniform(0.3, 0.8) * time) > -0.3
    chord = sum(np.sin(2 * np.pi * f * time) for f in rng.uniform(100, 1500, 4))
    hiss = rng.standard_normal((2, len(time)))
    sides = rng.uniform(0.5, 1, (2, 1))
    return (
        (0.1 * voice * np.ones((2, 1))).astype(np.float32),
        (0.1 * chord * sides + 0.02 * hiss).astype(np.float32),
    )


@pytest.fixture(scope="session")
def stems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ten multitrack songs of 2 to 4.5 s, without mixtures."""
    root = tmp_path_factory.mktemp("stems")
    for seed in range(10):
        folder = root / f"song {seed}"
        folder.mkdir()
        vocals, accompaniment = sing(seed, 2 + seed / 4)
        soundfile.write(folder / "vocals.flac", vocals.T, RATE)
        soundfile.write(folder / "accompaniment.flac", accompaniment.T, RATE)
    return root


@pytest.fixture(scope="session")
def corpus_folder(stems: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those songs in chunks of 1 s, in several shards."""
    output = tmp_path_factory.mktemp("corpus") / "corpus"
    assert command.main(["--stems", str(stems), "--output", str(output), *OPTIONS]) == 0
    return output


@pytest.fixture(scope="session")
def parquet_folder(stems: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The songs of `corpus_folder`, cut and split as there, in Parquet shards."""
    output = tmp_path_factory.mktemp("parquet") / "corpus"
    argv = ["--stems", str(stems), "--output", str(output), *OPTIONS, "--format", "parquet"]
    assert command.main(argv) == 0
    return output


@pytest.fixture(params=["webdataset", "parquet"])
def either(request: pytest.FixtureRequest) -> Path:
    """The corpus in either format."""
    name = "corpus_folder" if request.param == "webdataset" else "parquet_folder"
    return Path(request.getfixturevalue(name))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained net of a few weights with the thesis' spectrograms."""
    torch.manual_seed(0)
    recipe = registry.override(registry.RECIPES["unet-vocals"], {"channels": (2, 3, 4)})
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    checkpoint.save(str(folder), Checkpoint(recipe, recipe.core(), 7, {"valid_loss": 1.5}))
    return folder
