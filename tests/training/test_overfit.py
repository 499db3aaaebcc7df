"""From a real song's files to a better one: corpus, training, evaluation, as a user runs them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WANTED_SHARE = 0.8  # of the gain that an ideal mask on the same magnitudes has


def _stemlode(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "stemlode", *words], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("song", ["so_easy", "mallory"])
def test_the_unet_overfits_a_real_song(test_data: Path, tmp_path: Path, song: str) -> None:
    stems, corpus, model = (str(tmp_path / name) for name in ("stems", "corpus", "model"))
    shutil.copytree(test_data / "audio" / "multitrack" / song, f"{stems}/{song}")
    _stemlode("corpus", "--stems", stems, "--output", corpus, "--split", "train=1")
    options = ["--steps", "150", "--batch-size", "3", "--learning-rate", "0.001"]
    options += ["--dropout", "0", "--remix-db", "0"]  # here to learn by heart is the task
    _stemlode("train", "unet-vocals-small", "--corpus", corpus, "--output", model, *options)
    scores = str(tmp_path / "scores")
    _stemlode("evaluate", "--checkpoint", model, "--stems", stems, "--output", scores)
    means = json.loads((tmp_path / "scores" / "run.json").read_text())["scores"]
    for source in ("vocals", "accompaniment"):
        mixture, estimate, oracle = (
            means[f"{source}_usdr_{name}"] for name in ("mixture", "estimate", "oracle")
        )
        assert estimate - mixture > 8
        assert estimate - mixture > WANTED_SHARE * (oracle - mixture)
