"""From a real song's files to a better one: corpus, training, evaluation, as a user runs them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stemlode import audio
from training.recipes.registry import RECIPES

WANTED_SHARE = 0.8  # of the gain that the oracle of the net's kind has
# A passage is one chunk of a corpus, which is one example: no crops to generalise to.
DENSE = "--batch-size 1 --dropout 0 --remix no --conservation-weight 0.01 --width 0.5 "
# Seconds, and the options with which to learn by heart is the task.
BY_HEART = {
    "complex-unet-vocals-small": (
        12,
        "--sample-rate 8000 --patch-frames 376 --batch-size 1 --dropout 0 --remix-db 0 "
        "--learning-rate 0.003 --steps 400",
    ),
    "cws-unet5-k4-small": (
        12,
        "--sample-rate 8000 --patch-seconds 12 --batch-size 1 --dropout 0 --remix no "
        "--conservation-weight 0.01 --learning-rate 0.005 --width 0.25 --steps 350",
    ),
    "cws-mdensenet-k4-small": (
        6,
        DENSE + "--sample-rate 8000 --patch-seconds 6 --learning-rate 0.005 --steps 400",
    ),
    "cws-mmdensenet-small": (
        6,
        DENSE + "--sample-rate 4000 --patch-seconds 6 --learning-rate 0.005 --steps 300",
    ),
    "demucs-vocals-small": (
        6,
        "--sample-rate 8000 --patch-seconds 6 --batch-size 1 --remix no --swap-channels no "
        "--channels 32,64,128 --learning-rate 0.003 --decay 0.8 --decay-every 75 --steps 600",
    ),
}


def _stemlode(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "stemlode", *words], check=True)


def _learn(folder: Path, recipe: str, options: list[str], evaluation: list[str]) -> None:
    """Train on the songs in `folder`/stems and assert what `evaluate` says of them."""
    stems, corpus, model, scores = (
        str(folder / name) for name in ("stems", "corpus", "model", "scores")
    )
    _stemlode("corpus", "--stems", stems, "--output", corpus, "--split", "train=1")
    _stemlode("train", recipe, "--corpus", corpus, "--output", model, *options)
    named = ["--checkpoint", model, "--stems", stems, "--output", scores]
    _stemlode("evaluate", *named, *evaluation)
    means = json.loads((folder / "scores" / "run.json").read_text())["scores"]
    for source in ("vocals", "accompaniment"):
        mixture, estimate, oracle = (
            means[f"{source}_usdr_{name}"] for name in ("mixture", "estimate", "oracle")
        )
        assert estimate - mixture > 8
        assert estimate - mixture > WANTED_SHARE * (oracle - mixture)


@pytest.mark.slow
@pytest.mark.parametrize("song", ["so_easy", "mallory"])
def test_the_unet_overfits_a_real_song(test_data: Path, tmp_path: Path, song: str) -> None:
    shutil.copytree(test_data / "audio" / "multitrack" / song, tmp_path / "stems" / song)
    options = ["--steps", "150", "--batch-size", "3", "--learning-rate", "0.001"]
    options += ["--dropout", "0", "--remix-db", "0"]
    _learn(tmp_path, "unet-vocals-small", options, [])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", BY_HEART)
def test_other_families_overfit_a_passage_of_a_real_song(
    test_data: Path, tmp_path: Path, recipe: str
) -> None:
    excerpt_s, words = BY_HEART[recipe]
    for stem in ("vocals", "accompaniment"):
        song = audio.read(str(test_data / "audio" / "multitrack" / "so_easy" / f"{stem}.mp3"))
        first = 8 * song.sample_rate
        part = song.samples[:, first : first + excerpt_s * song.sample_rate]
        if RECIPES[recipe].audio_channels == 1:
            part = part.mean(axis=0, keepdims=True)  # what such a net learns from
        audio.write(f"{tmp_path}/stems/so_easy/{stem}.wav", part, song.sample_rate)
    # The net sees in evaluation what it saw in training: the passage in one chunk.
    whole = ["--chunk-seconds", str(excerpt_s), "--hop-seconds", str(excerpt_s)]
    options = [*words.split(), "--validate-every", "1000", "--workers", "0"]
    _learn(tmp_path, recipe, options, whole)
