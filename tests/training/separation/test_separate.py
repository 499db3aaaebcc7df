"""Songs through nets that work chunk by chunk; blocks made ahead; several models."""

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from stemlode import audio
from stemlode.audio import AudioError
from stemlode.runs import BadUsage
from training import checkpoint
from training.checkpoint import Checkpoint
from training.recipes.bsrnn import BSRNNRecipe
from training.recipes.chunks import Chunking
from training.recipes.registry import RECIPES
from training.separation import command as separation_command
from training.separation import streams
from training.separation.separate import estimates

RATE = 44_100


class _Identity(nn.Module):
    """A core whose mask is 1."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, spectrum: Tensor) -> Tensor:
        return torch.cat((self.one.expand_as(spectrum[:, :1]), 0 * spectrum[:, 1:]), dim=1)


def _tone(samples: int) -> Tensor:
    return 0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(samples, dtype=torch.float64) / RATE)


def _decibels(error: Tensor, true: Tensor) -> float:
    return float(20 * torch.log10(error.abs().max() / true.abs().max()))


@pytest.mark.parametrize("hop_seconds", [0.5, 0.7, 1.5, 3.0])
@pytest.mark.parametrize("samples", [3, RATE, 7 * RATE + 12_345])
def test_a_tone_through_an_identity_model_comes_back(hop_seconds: float, samples: int) -> None:
    """Through STFT, mask, inverse STFT and overlap-add: the error stays below −100 dB."""
    tone = _tone(samples).float().expand(2, -1)
    model = Checkpoint(RECIPES["bsrnn-vocals"], _Identity(), 0)
    blocks = list(estimates(tone, model, Chunking(hop_seconds=hop_seconds)))
    found = torch.cat(blocks, dim=-1)
    assert found.shape == (1, 2, samples)
    assert _decibels(found[0] - tone, tone) < -100


def test_blocks_that_are_made_ahead_are_the_same() -> None:
    made: list[int] = []

    def blocks() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    assert list(streams.ahead(blocks())) == list(range(50))
    made.clear()
    before = set(threading.enumerate())
    some = streams.ahead(blocks())
    assert [next(some) for _ in range(3)] == [0, 1, 2]
    some.close()  # whoever has enough leaves nothing running
    count = len(made)
    assert count <= 3 + streams.AHEAD + 2
    assert set(threading.enumerate()) <= before


def test_what_breaks_ahead_breaks_here() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise AudioError("its middle does not decode")

    found = []
    with pytest.raises(AudioError, match="its middle"):
        for block in streams.ahead(broken()):
            found.append(block)
    assert found == [1]


def _model(folder: Path, name: str, **changes: object) -> Path:
    """An untrained net of a few weights."""
    torch.manual_seed(len(name))
    recipe = RECIPES[name]
    assert isinstance(recipe, BSRNNRecipe)
    tiny = {"n_fft": 256, "hop_length": 128, "bands": (1000, 500), "features": 4, "layers": 1}
    tiny |= {"sample_rate": 8000, "hidden": 4, "mask_hidden": 4} | changes
    recipe = dataclasses.replace(recipe, **tiny)  # type: ignore[arg-type]
    checkpoint.save(str(folder / name), Checkpoint(recipe, recipe.core(), 1))
    return folder / name


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_stems_of_several_models_and_the_residual_sum_exactly(tmp_path: Path, subtype: str) -> None:
    models = [_model(tmp_path, "bsrnn-vocals"), _model(tmp_path, "bsrnn-bass", sample_rate=11_025)]
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "song.wav", rng.uniform(-0.9, 0.9, (30_000, 2)), RATE, subtype)
    words = [str(tmp_path / "song.wav"), "--output", str(tmp_path / "out"), "--residual", "--fast"]
    words += [word for model in models for word in ("--checkpoint", str(model))]
    assert separation_command.main(words) == 0
    stems = ("vocals", "bass", "residual")
    parts = [audio.read(str(tmp_path / "out" / "song" / f"{stem}.wav")).samples for stem in stems]
    assert all(np.abs(part).max() > 1e-3 for part in parts)
    mixture = audio.read(str(tmp_path / "song.wav")).samples
    assert np.array_equal(parts[0] + parts[1] + parts[2], mixture)
    assert (
        separation_command.main([*words, "--overwrite"]) == 0
    )  # stems of any name are known as ours


def test_one_model_of_one_source_leaves_an_exact_rest(tmp_path: Path) -> None:
    model = _model(tmp_path, "bsrnn-drum")
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "song.wav", rng.uniform(-0.9, 0.9, (9000, 1)), 8000)
    words = [str(tmp_path / "song.wav"), "--output", str(tmp_path / "out")]
    assert separation_command.main([*words, "--checkpoint", str(model)]) == 0
    drums, rest = (
        audio.read(str(tmp_path / "out" / "song" / f"{stem}.wav")).samples
        for stem in ("drums", "no_drums")
    )
    assert np.array_equal(drums + rest, audio.read(str(tmp_path / "song.wav")).samples)


def test_two_models_of_one_source_are_refused(tmp_path: Path) -> None:
    model = str(_model(tmp_path, "bsrnn-vocals"))
    words = ["x.wav", "--output", str(tmp_path / "out"), "--checkpoint", model]
    with pytest.raises(BadUsage, match="two of the models estimate vocals"):
        separation_command.main([*words, "--checkpoint", model])
