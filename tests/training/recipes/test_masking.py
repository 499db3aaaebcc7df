"""Masks over long signals: in pieces as in one go, without clicks, phase kept."""

from collections.abc import Iterator
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
from training.recipes.masking import Masking
from training.recipes.registry import RECIPES
from training.recipes.unet import UNetRecipe

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


def _masks(samples: Tensor, trained: Checkpoint) -> Iterator[Tensor]:
    recipe = trained.recipe
    assert isinstance(recipe, UNetRecipe)
    return Masking(recipe.n_fft, recipe.hop_length).masks(samples, trained.core)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60_000), st.integers(1, 6), st.sampled_from([64, 128, 192]))
def test_the_identity_mask_gives_the_mixture(samples: int, channels: int, piece: int) -> None:
    signal = _noise(samples, channels)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(masking, "PIECE_FRAMES", piece)
        patched.setattr(masking, "OVERLAP_FRAMES", 32)
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


def test_pieces_fade_into_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nets that disagree from piece to piece change the mask by small steps."""
    values = iter([0.2, 0.9, 0.4, 0.7, 0.1, 0.8, 0.3, 0.6])

    class Fickle(Constant):
        def forward(self, magnitude: Tensor) -> Tensor:
            return torch.full_like(magnitude, next(values))

    monkeypatch.setattr(masking, "PIECE_FRAMES", 320)
    trained = Checkpoint(RECIPE, Fickle(0.0), 0)
    mask = torch.cat(list(_masks(_noise(768 * 1000, 1), trained)), dim=1)
    assert mask.shape == (513, 1001)
    steps = mask.diff(dim=1).abs().max()
    assert steps <= 0.7 / masking.OVERLAP_FRAMES + 1e-6
    assert float(mask[0, 0]) == pytest.approx(0.2) and float(mask.max()) == pytest.approx(0.9)


def test_pieces_give_what_the_whole_song_gives(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away from fades, a net sees in a piece what it sees in the whole."""
    trained = checkpoint.load(str(tiny_checkpoint))
    signal = _noise(768 * 900, 1)
    whole = torch.cat(list(_masks(signal, trained)), dim=1)
    monkeypatch.setattr(masking, "PIECE_FRAMES", 512)
    pieces = torch.cat(list(_masks(signal, trained)), dim=1)
    assert whole.shape == pieces.shape
    assert float((whole - pieces).abs().max()) < 0.05
    inside = slice(0, 300)  # before the first fade
    assert torch.allclose(whole[:, inside], pieces[:, inside], atol=1e-5)


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
    thesis = Masking(1024, 768)
    (mask,) = thesis.ideal_masks(mixture, source)
    X, S = (spectrogram.stft(x, 1024, 768).abs()[0, :, :-1] for x in (mixture, source))
    assert torch.allclose(mask[:, :-1], (S / X).clamp(max=1), atol=1e-3)
    (zeros,) = thesis.ideal_masks(mixture, torch.zeros(1, 20_000))
    assert not zeros.any()


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
