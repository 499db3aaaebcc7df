"""The extra `train` alone does what a GPU box is for."""

from pathlib import Path

import pytest
import soundfile

from tests.installed import Install
from tests.training.conftest import RATE, TINY, sing


@pytest.mark.slow
def test_train_alone_verifies_trains_evaluates_and_separates(
    install: Install, corpus_folder: Path, stems: Path, tmp_path: Path
) -> None:
    stemlode = install("train", "torch==2.13.0")  # the release with a build for CPUs
    for missing in ("apache_beam", "scipy", "duckdb"):
        assert not stemlode.has(missing)
    assert "is whole" in stemlode("verify", corpus_folder)
    model, device = tmp_path / "model", ("--device", "cpu")
    words = ("--corpus", corpus_folder, "--output", model, "--steps", "2", *TINY, *device)
    stemlode("train", "unet-vocals", *words)
    scores = tmp_path / "scores"
    stemlode("evaluate", "--checkpoint", model, "--stems", stems, "--output", scores, *device)
    assert (scores / "songs.parquet").is_file()
    soundfile.write(tmp_path / "song.mp3", sum(sing(1, 3)).T, RATE)  # type: ignore[union-attr]
    separated = tmp_path / "separated"
    words = ("--checkpoint", model, "--output", separated, *device)
    stemlode("separate", tmp_path / "song.mp3", *words)
    found = sorted(path.name for path in separated.rglob("*.wav"))
    assert found == ["accompaniment.wav", "vocals.wav"]
