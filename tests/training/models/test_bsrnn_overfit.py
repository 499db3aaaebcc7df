"""From a real song's files to a separated one: the way that the band-split RNN takes is right."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stemlode import audio

SECONDS = 6  # one chunk of a corpus, which is one example
# At 8 kHz bands 125 Hz wide hold two bins. Here to learn by heart is the task.
OPTIONS = "--sample-rate 8000 --n-fft 512 --hop-length 256 --bands 1000,125,4000,250 "
OPTIONS += "--others= --patch-seconds 6 --learning-rate 0.01 --decay 0.8 --decay-every 30 "
OPTIONS += "--steps 240 --validate-every 240 --workers 0"


def _stemlode(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "stemlode", *words], check=True)


@pytest.mark.slow
def test_it_overfits_a_passage_of_a_real_song(test_data: Path, tmp_path: Path) -> None:
    for stem in ("vocals", "accompaniment"):
        song = audio.read(str(test_data / "audio" / "multitrack" / "so_easy" / f"{stem}.mp3"))
        first = 8 * song.sample_rate
        part = song.samples[:, first : first + SECONDS * song.sample_rate]
        audio.write(f"{tmp_path}/stems/so_easy/{stem}.wav", part, song.sample_rate)
    stems, corpus, model, scores = (
        str(tmp_path / name) for name in ("stems", "corpus", "model", "scores")
    )
    _stemlode("corpus", "--stems", stems, "--output", corpus, "--split", "train=1")
    named = ["--corpus", corpus, "--output", model]
    _stemlode("train", "bsrnn-vocals-small", *named, *OPTIONS.split())
    # The net sees in evaluation what it saw in training: the passage in one chunk.
    whole = ["--chunk-seconds", str(SECONDS), "--hop-seconds", str(SECONDS)]
    _stemlode("evaluate", "--checkpoint", model, "--stems", stems, "--output", scores, *whole)
    means = json.loads((tmp_path / "scores" / "run.json").read_text())["scores"]
    assert means["vocals_usdr_estimate"] - means["vocals_usdr_mixture"] > 15
