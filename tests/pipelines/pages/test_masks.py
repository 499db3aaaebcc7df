"""Masks told from what went in and what came out."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.pages import masks, media
from stemlode import audio
from tests.pipelines.pages.test_media import _image

RATE = 8192


def _noise(seed: int, seconds: float = 3) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return samples.astype(np.float32)


def _masked(mixture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return media.istft(media.stft(mixture) * mask, len(mixture))


def test_the_mask_that_was_applied_is_found() -> None:
    """A smooth one, so that overlapping frames agree."""
    mixture = _noise(0)
    bins, frames = media.stft(mixture).shape
    slope = np.linspace(0, 1, bins)[:, None]
    estimate = _masked(mixture, slope * np.exp(0.5j * np.pi * slope))
    found = [masks._stft(one, 1024, 256) for one in (mixture, estimate)]
    magnitude, phase = masks.mask(*found)
    middle = slice(8, frames - 8)
    assert np.median(abs(magnitude[:, middle] - slope)) < 0.03
    upper = slice(bins // 4, None)
    assert np.median(abs(phase[upper, middle] - 0.5 * np.pi * slope[upper])) < 0.1
    assert magnitude.min() >= 0 and magnitude.max() <= 1
    assert phase.min() >= 0 and phase.max() <= np.pi


def test_an_inverted_estimate_is_turned_by_half() -> None:
    spectrum = masks._stft(_noise(1), 512, 128)
    magnitude, phase = masks.mask(spectrum, -spectrum)
    sure = np.quantile(magnitude, 0.01), np.quantile(phase, 0.01)
    assert sure == pytest.approx((1, np.pi))


@pytest.mark.parametrize("quiet", [0.0, 1e-20])
def test_where_nothing_sounds_there_is_no_mask(quiet: float) -> None:
    silent = masks._stft(quiet * _noise(2), 512, 128)
    magnitude, phase = masks.mask(silent, masks._stft(_noise(3), 512, 128))
    assert not magnitude.any() and not phase.any()
    both = masks.mask(silent, silent)
    assert np.isfinite(both).all() and not np.any(both)


def test_pictures_are_bright_where_the_mask_lets_through(tmp_path: Path) -> None:
    mixture = _noise(4)
    low = (np.arange(513) < 128)[:, None]
    for name, samples in (("mixture", mixture), ("estimate", _masked(mixture, low))):
        audio.write(str(tmp_path / f"{name}.flac"), 0.1 * samples[None], RATE)
    uris = [str(tmp_path / f"{name}.flac") for name in ("mixture", "estimate")]
    magnitude, phase = masks.pictures(*uris, n_fft=1024, hop_length=768)
    assert magnitude.player == phase.player == ""
    image = _image(magnitude.picture).sum(axis=2)
    assert image.shape[0] == 512
    assert image[-100:].mean() > 3 * image[:300].mean()
    assert _image(phase.picture).shape == (*image.shape, 3)
