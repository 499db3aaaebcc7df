"""Demucs: its size, its shapes, and that it can learn a passage of a real song by heart."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stemlode import audio
from training.models import cost
from training.models.demucs import Demucs
from training.recipes.registry import RECIPES

SECONDS = 6  # one chunk of a corpus, which is one example
OPTIONS = "--sample-rate 8000 --patch-seconds 6 --batch-size 1 --remix no --swap-channels no "
OPTIONS += "--gain-low 1 --channels 32,64,128 --learning-rate 0.003 --decay 0.8 --decay-every 40 "
OPTIONS += "--steps 240 --validate-every 240 --workers 0"


def test_its_size_is_that_of_its_layers() -> None:
    """Of each convolution, gate, LSTM and linear layer, counted by hand."""
    channels, kernel, context, sources = (5, 7), 8, 3, 2
    wanted, before, given = 0, 2, 2 * sources
    for after in channels:
        wanted += after * (before * kernel + 1) + 2 * after * (after + 1)
        wanted += 2 * after * (after * context + 1) + given * after * kernel + given
        before = given = after
    for seen in (7, 2 * 7):  # two layers, two directions, four gates, two biases
        wanted += 2 * 4 * 7 * (seen + 7 + 2)
    wanted += 7 * (2 * 7 + 1)
    assert cost.parameters(Demucs(channels, kernel, 4, context, 2, sources)) == wanted
    with torch.device("meta"):
        assert cost.parameters(RECIPES["demucs-vocals"].core()) == 265_677_444


@pytest.mark.parametrize("samples", [1, 255, 256, 1023, 4001])
def test_any_length_and_level(samples: int) -> None:
    """The sources have the input's length, and follow its level."""
    torch.manual_seed(0)
    net = Demucs((3, 4, 5, 6)).eval()
    mixture = torch.randn(2, 2, samples)
    with torch.inference_mode():
        found = net(mixture)
        louder = net(10 * mixture)
        silent = net(torch.zeros_like(mixture))
    assert found.shape == (2, 2, 2, samples)
    assert torch.allclose(louder, 10 * found, rtol=1e-3, atol=1e-4)
    assert float(silent.abs().max()) < 1e-4


def test_each_sample_depends_on_both_sides_and_all_weights_learn() -> None:
    torch.manual_seed(0)
    net = Demucs((3, 4, 5))
    mixture = torch.randn(1, 2, 640, requires_grad=True)
    net(mixture)[0, 0, 0, 320].backward()
    assert mixture.grad is not None
    assert bool((mixture.grad[0, :, :64] != 0).any() and (mixture.grad[0, :, -64:] != 0).any())
    net(mixture).square().sum().backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in net.parameters())


@pytest.mark.slow
def test_it_overfits_a_passage_of_a_real_song(test_data: Path, tmp_path: Path) -> None:
    def stemlode(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "stemlode", *words], check=True)

    for stem in ("vocals", "accompaniment"):
        song = audio.read(str(test_data / "audio" / "multitrack" / "so_easy" / f"{stem}.mp3"))
        first = 8 * song.sample_rate
        part = song.samples[:, first : first + SECONDS * song.sample_rate]
        audio.write(f"{tmp_path}/stems/so_easy/{stem}.wav", part, song.sample_rate)
    stems, corpus, model, scores = (
        str(tmp_path / name) for name in ("stems", "corpus", "model", "scores")
    )
    stemlode("corpus", "--stems", stems, "--output", corpus, "--split", "train=1")
    words = ["demucs-vocals-small", "--corpus", corpus, "--output", model, *OPTIONS.split()]
    stemlode("train", *words)
    whole = ["--chunk-seconds", str(SECONDS), "--hop-seconds", str(SECONDS)]
    stemlode("evaluate", "--checkpoint", model, "--stems", stems, "--output", scores, *whole)
    means = json.loads((tmp_path / "scores" / "run.json").read_text())["scores"]
    for source in ("vocals", "accompaniment"):
        gain = means[f"{source}_usdr_estimate"] - means[f"{source}_usdr_mixture"]
        assert gain > 8
