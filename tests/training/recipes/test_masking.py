"""Masks over long signals: in pieces as in one go, without clicks, phase kept."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from training import checkpoint
from training.checkpoint import Checkpoint
from training.models import spectrogram
from training.recipes import masking, registry
from training.recipes.chunks import Chunking
from training.recipes.registry import RECIPES
from training.recipes.unet import EncoderDecoderRecipe

RECIPE = RECIPES["unet-vocals"]


class Constant(nn.Module):
    """A net whose mask is the same everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, magnitude: Tensor) -> Tensor:
        assert float(magnitude.max()) <= 1.0001  # normalised by the song's maximum
        return self.value.expand_as(magnitude)


def _noise(samples: int, channels: int = 2) -> Tensor:
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(0))


def _masked(samples: Tensor, trained: Checkpoint) -> Tensor:
    whole = trained.recipe.separate(trained.core, samples, Chunking())
    return torch.cat(list(whole), dim=-1)[0]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60_000), st.integers(1, 6), st.sampled_from([64, 128, 192]))
def test_the_identity_mask_gives_the_mixture(samples: int, channels: int, piece: int) -> None:
    signal = _noise(samples, channels)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(masking, "PIECE_FRAMES", piece)
        found = _masked(signal, Checkpoint(RECIPE, Constant(1.0), 0))
    assert found.shape == signal.shape
    assert torch.allclose(found, signal, atol=1e-4)


def test_no_clicks_at_the_edges_of_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tone through the identity: what differs lies below −100 dB."""
    monkeypatch.setattr(masking, "PIECE_FRAMES", 192)
    tone = torch.sin(2 * torch.pi * 441.3 * torch.arange(8192 * 60, dtype=torch.float64) / 8192)
    signal = tone.float()[None]
    error = _masked(signal, Checkpoint(RECIPE, Constant(1.0), 0)) - signal
    assert 20 * np.log10(float(error.abs().max())) < -100, float(error.abs().max())


def _trained(name: str) -> Checkpoint:
    """A net with random weights, and running statistics of what it will hear."""
    torch.manual_seed(0)
    recipe = registry.override(RECIPES[name], {"channels": (2, 3, 4, 5, 6, 7)})
    nets = recipe.nets()
    with torch.no_grad():
        for _ in range(20):
            recipe.estimate(nets, 0.2 * torch.randn(1, 1, recipe.patch_samples))
    return Checkpoint(recipe, nets.eval(), 0)


@pytest.mark.parametrize("frames", [100, 641, 1900])
@pytest.mark.parametrize("name", ["unet-vocals", "complex-unet-vocals", "complex-unet-bass-sdr"])
def test_pieces_give_what_the_whole_song_gives(
    name: str, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within −110 dB, whatever the level of a passage; memory holds a piece and its margins."""
    trained = _trained(name)
    recipe, seen = trained.recipe, []
    assert isinstance(recipe, EncoderDecoderRecipe)
    samples = frames * recipe.hop_length - 7
    signal = 0.2 * _noise(samples) * torch.linspace(0.01, 1, samples)

    def separated() -> Tensor:
        blocks = recipe.separate(trained.core, signal, Chunking(whole=True))
        return torch.cat(list(blocks), dim=-1)[0]

    trained.core.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-1]))
    pieces = separated()
    assert max(seen) <= 1024 and pieces.shape == signal.shape
    monkeypatch.setattr(masking, "PIECE_FRAMES", 100_000)
    whole = separated()
    error = (pieces - whole).square().sum() / whole.square().sum()
    assert 10 * torch.log10(error + 1e-20) < -110
    if recipe.family == "complex-unet":
        with torch.inference_mode():
            at_once = recipe.estimate(trained.core, signal[None])[0, 0]
        assert torch.allclose(pieces, at_once, atol=1e-5)


@pytest.mark.parametrize("name", ["unet-instrumental", "complex-unet-vocals"])
def test_a_song_is_separated_whole_or_in_chunks(name: str) -> None:
    """Chunks of the song's own length around it are the whole; shorter ones hear less."""
    trained = _trained(name)
    recipe = trained.recipe
    signal = 0.2 * _noise(recipe.sample_rate * 3, 2)

    def by(chunking: Chunking) -> Tensor:
        return torch.cat(list(recipe.separate(trained.core, signal, chunking)), dim=-1)[0]

    whole = by(Chunking(whole=True))
    assert torch.allclose(by(dataclasses.replace(Chunking(3.0, 3.0))), whole, atol=1e-3)
    assert not torch.allclose(by(Chunking(1.0, 0.5)), whole, atol=1e-3)
    if recipe.own_chunks.whole:  # songs side by side, each at its own level
        both = recipe.estimate_songs(trained.core, torch.stack([signal, 0.1 * signal]))[:, 0]
        assert torch.allclose(both, torch.stack([whole, 0.1 * whole]), atol=1e-3)
    own = "whole" if recipe.own_chunks.whole else "chunks"
    other = registry.override(recipe, {"chunk_seconds": 1.0 if own == "whole" else 0.0})
    found = torch.cat(list(other.separate(trained.core, signal, Chunking())), dim=-1)[0]
    expected = by(Chunking(1.0, 0.5)) if own == "whole" else whole
    assert torch.equal(found, expected)


def test_a_net_for_the_accompaniment_gives_the_rest(tiny_checkpoint: Path) -> None:
    """The source that is masked are the vocals; the accompaniment is what they leave."""
    trained = Checkpoint(RECIPES["unet-instrumental"], Constant(0.25), 0)
    assert trained.recipe.separated == ("vocals",)
    assert trained.recipe.stems == ("vocals", "accompaniment")
    signal = _noise(5000)
    assert torch.allclose(_masked(signal, trained), 0.75 * signal, atol=1e-4)


def test_one_mask_serves_all_channels() -> None:
    """The stereo image stays: what one channel lacks, its estimate lacks."""
    signal = _noise(30_000)
    signal[1] *= 0.1
    found = _masked(signal, Checkpoint(RECIPE, Constant(0.5), 0))
    assert torch.allclose(found, 0.5 * signal, atol=1e-4)


def test_the_ideal_mask_is_the_clipped_ratio() -> None:
    mixture, source = _noise(20_000, 1), 0.5 * torch.roll(_noise(20_000, 1), 100)
    X, S = (spectrogram.stft(x, 1024, 768) for x in (mixture, source))
    wanted = X * (S.abs() / X.abs()).clamp(max=1)

    def by_oracle(known: Tensor) -> Tensor:
        blocks = RECIPE.separate_by_oracle(mixture, known[None], Chunking())
        return torch.cat(list(blocks), dim=-1)[0]

    expected = spectrogram.istft(wanted, 1024, 768, 20_000)
    assert torch.allclose(by_oracle(source), expected, atol=1e-3)
    assert not by_oracle(torch.zeros(1, 20_000)).any()


def test_silence_stays_silent(tiny_checkpoint: Path) -> None:
    trained = checkpoint.load(str(tiny_checkpoint))
    assert not _masked(torch.zeros(2, 10_000), trained).any()


def test_the_level_of_a_song_does_not_matter(tiny_checkpoint: Path) -> None:
    """Magnitudes are normalised by the song's maximum (thesis 4.2.2)."""
    trained = checkpoint.load(str(tiny_checkpoint))
    signal = _noise(40_000)
    quiet = _masked(1e-3 * signal, trained)
    assert torch.allclose(1e3 * quiet, _masked(signal, trained), atol=1e-3)


def test_other_hops_work_as_well() -> None:
    recipe = registry.override(RECIPE, {"hop_length": 256})
    signal = _noise(20_000)
    found = _masked(signal, Checkpoint(recipe, Constant(1.0), 0))
    assert torch.allclose(found, signal, atol=1e-4)
