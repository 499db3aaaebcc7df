"""Batches and targets: levels, half-wave rectification, remixing."""

import dataclasses

import pytest
import torch
from torch import Tensor

from training.data import examples
from training.data.corpus import Window
from training.data.examples import Batch
from training.models import losses, spectrogram
from training.recipes import registry
from training.recipes.registry import RECIPES, Recipe

VOCALS = registry.override(RECIPES["unet-vocals"], {"patch_frames": 4})
INSTRUMENTAL = registry.override(RECIPES["unet-instrumental"], {"patch_frames": 4})


def _noise(count: int = 3, samples: int = 4 * 768, seed: int = 0) -> Tensor:
    """[count, 1, samples]"""
    return torch.randn(count, 1, samples, generator=torch.Generator().manual_seed(seed))


def _batch(accompaniment: Tensor, vocals: Tensor, *, residual: bool, recipe: Recipe) -> Batch:
    isolated = recipe.target == "vocals" and not residual
    count = len(vocals)
    return Batch(
        [str(i) for i in range(count)],
        accompaniment + vocals,
        vocals if isolated else accompaniment,
        torch.full((count,), residual),
    )


def _given(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    return batch.mixture, batch.reference, batch.residual


def _magnitude(samples: Tensor) -> Tensor:
    """[batch, 512, frames] by the definition, frame by frame."""
    window = torch.hann_window(1024)
    padded = torch.nn.functional.pad(samples[:, 0], (512, 1024))
    frames = [torch.fft.rfft(window * padded[:, t * 768 : t * 768 + 1024]).abs() for t in range(4)]
    return torch.stack(frames, dim=-1)[:, :512]


def test_without_isolated_vocals_the_target_is_the_rectified_residual() -> None:
    accompaniment, vocals = _noise(), 0.7 * _noise(seed=1)
    batch = _batch(accompaniment, vocals, residual=True, recipe=VOCALS)
    mixture, target = VOCALS.magnitudes(*_given(batch))
    assert mixture.shape == target.shape == (3, 1, 512, 4)
    X, Y = _magnitude(accompaniment + vocals), _magnitude(accompaniment)
    assert torch.allclose(mixture[:, 0], X, atol=1e-3)
    assert torch.allclose(target[:, 0], (X - Y).clamp(min=0), atol=1e-3)
    assert float((X - Y).min()) < -1  # there was something to rectify


def test_isolated_vocals_are_the_target_where_they_exist() -> None:
    accompaniment, vocals = _noise(), _noise(seed=1)
    batch = _batch(accompaniment, vocals, residual=False, recipe=VOCALS)
    _, target = VOCALS.magnitudes(*_given(batch))
    assert torch.allclose(target[:, 0], _magnitude(vocals), atol=1e-3)


def test_the_instrumental_net_learns_the_accompaniment_itself() -> None:
    accompaniment, vocals = _noise(), _noise(seed=1)
    batch = _batch(accompaniment, vocals, residual=False, recipe=INSTRUMENTAL)
    _, target = INSTRUMENTAL.magnitudes(*_given(batch))
    assert torch.allclose(target[:, 0], _magnitude(accompaniment), atol=1e-3)


def test_the_loss_is_a_sum_for_each_example() -> None:
    estimate, target = torch.zeros(2, 1, 3, 4), torch.full((2, 1, 3, 4), 0.5)
    assert losses.l1_sum(estimate, target).tolist() == [6.0, 6.0]


def test_levels_are_those_of_the_whole_song() -> None:
    loud, quiet = (
        Window(name, "song", level * _noise(1)[0], level * _noise(1)[0], True)
        for name, level in (("loud", 1.0), ("quiet", 0.1))
    )
    peak = float(spectrogram.stft(loud.mixture, 1024, 768).abs().max())
    batch = examples.batch_of([loud, quiet], {"song": peak})
    mixture, _ = VOCALS.magnitudes(*_given(batch))
    assert float(mixture[0].max()) == pytest.approx(1)
    assert float(mixture[1].max()) == pytest.approx(0.1)


def test_windows_of_different_length_share_a_batch() -> None:
    windows = [Window(str(n), "song", torch.ones(1, n), torch.ones(1, n), True) for n in (5, 3)]
    batch = examples.batch_of(windows, {"song": 2.0})
    assert batch.mixture.tolist() == [[[0.5] * 5], [[0.5] * 3 + [0.0] * 2]]


def test_a_silent_song_stays_silent() -> None:
    window = Window("a", "song", torch.zeros(1, 768), torch.zeros(1, 768), True)
    mixture, target = VOCALS.magnitudes(*_given(examples.batch_of([window], {"song": 0.0})))
    assert not mixture.any() and not target.any()


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("recipe", [VOCALS, INSTRUMENTAL], ids=lambda recipe: recipe.target)
def test_remixing_swaps_vocals_and_nothing_else(recipe: Recipe, residual: bool) -> None:
    residual = residual and recipe.target == "vocals"
    accompaniment, vocals = _noise(), 0.3 * _noise(seed=1)
    batch = _batch(accompaniment, vocals, residual=residual, recipe=recipe)
    torch.manual_seed(3)
    mixed = examples.remix(batch, dataclasses.replace(recipe, remix_db=6.0))
    new_vocals = mixed.mixture - accompaniment
    sources = set()
    for row in new_vocals[:, 0]:
        gains = [float(row @ v / (v @ v)) for v in vocals[:, 0]]
        errors = [float((row - g * v).norm()) for g, v in zip(gains, vocals[:, 0], strict=True)]
        source = min(range(3), key=errors.__getitem__)
        assert errors[source] < 1e-3
        assert 10 ** (-6 / 20) - 1e-4 <= gains[source] <= 10 ** (6 / 20) + 1e-4
        sources.add(source)
    assert sources == {0, 1, 2}
    isolated = recipe.target == "vocals" and not residual
    expected = new_vocals if isolated else accompaniment
    assert torch.allclose(mixed.reference, expected, atol=1e-5)
    assert mixed.residual.tolist() == [residual] * 3


def test_remixing_pairs_with_isolated_vocals_makes_residuals() -> None:
    """Vocals that are a residual make the target one, whoever's accompaniment they join."""
    accompaniment, vocals = _noise(2), _noise(2, seed=1)
    batch = Batch(
        ["pair", "stems"],
        accompaniment + vocals,
        torch.stack((accompaniment[0], vocals[1])),
        torch.tensor([True, False]),
    )
    for seed in range(5):
        torch.manual_seed(seed)
        mixed = examples.remix(batch, dataclasses.replace(VOCALS, remix_db=1.0))
        expected = torch.where(
            mixed.residual[:, None, None], accompaniment, mixed.mixture - accompaniment
        )
        assert torch.allclose(mixed.reference, expected, atol=1e-5)
        assert mixed.residual[0]
