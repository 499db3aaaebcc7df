"""Transforms that invert at any length, whole and in pieces."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.models import spectrogram

SHAPES = [(1024, 768), (1024, 256), (1024, 512), (256, 192)]


def _noise(samples: int, channels: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5000), st.sampled_from(SHAPES))
def test_the_inverse_gives_every_sample_back(samples: int, shape: tuple[int, int]) -> None:
    signal = _noise(samples)
    spectrum = spectrogram.stft(signal, *shape)
    assert spectrum.shape == (
        2,
        shape[0] // 2 + 1,
        spectrogram.frame_count(samples, shape[1]),
    )
    back = spectrogram.istft(spectrum, *shape, samples)
    assert torch.allclose(back, signal, atol=2e-5)


@pytest.mark.parametrize("samples", [767, 768, 769, 1023, 1024, 1025, 98_304])
def test_the_last_samples_lie_under_a_window(samples: int) -> None:
    """With hop 768 and no frame at the end, up to 255 samples would be lost."""
    signal = torch.zeros(1, samples)
    signal[0, -1] = 1
    back = spectrogram.istft(spectrogram.stft(signal, 1024, 768), 1024, 768, samples)
    assert back[0, -1] == pytest.approx(1, abs=1e-5)


def test_a_frame_is_the_windowed_fourier_transform() -> None:
    signal = _noise(5000, 1)
    spectrum = spectrogram.stft(signal, 1024, 768)[0, :, 3].numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    piece = signal[0, 3 * 768 - 512 : 3 * 768 + 512].numpy().astype(np.float64)
    assert np.allclose(spectrum, np.fft.rfft(window * piece), atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 6000), st.sampled_from(SHAPES))
def test_a_part_of_the_frames_is_that_part_of_all(
    data: st.DataObject, samples: int, shape: tuple[int, int]
) -> None:
    signal = _noise(samples)
    whole = spectrogram.stft(signal, *shape)
    first = data.draw(st.integers(0, whole.shape[-1] - 1))
    last = data.draw(st.integers(first + 1, whole.shape[-1]))
    part = spectrogram.stft_part(signal, first, last, *shape)
    assert torch.allclose(part, whole[..., first:last], atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 6000), st.sampled_from(SHAPES))
def test_overlap_add_of_pieces_is_the_inverse_of_the_whole(
    data: st.DataObject, samples: int, shape: tuple[int, int]
) -> None:
    spectrum = spectrogram.stft(_noise(samples), *shape)
    spectrum = spectrum * torch.rand(spectrum.shape, generator=torch.Generator().manual_seed(1))
    adder, blocks, first = spectrogram.OverlapAdd(*shape), [], 0
    while first < spectrum.shape[-1]:
        count = data.draw(st.integers(1, spectrum.shape[-1] - first))
        blocks.append(adder.add(spectrum[..., first : first + count]))
        first += count
    blocks.append(adder.end())
    found = torch.cat(blocks, dim=1)[:, :samples]
    assert found.shape == (2, samples)
    assert torch.allclose(found, spectrogram.istft(spectrum, *shape, samples), atol=1e-4)


def test_the_highest_bin_is_dropped_and_gets_its_neighbours_mask() -> None:
    magnitude = torch.arange(513.0)[:, None].expand(513, 4)
    dropped = spectrogram.drop_bin(magnitude)
    assert dropped.shape == (512, 4)
    assert torch.equal(dropped[:, 0], torch.arange(512.0))  # bin k still is frequency k
    mask = torch.rand(1, 512, 4)
    restored = spectrogram.restore_bin(mask)
    assert restored.shape == (1, 513, 4)
    assert torch.equal(restored[:, :512], mask)
    assert torch.equal(restored[:, 512], mask[:, 511])


def test_a_window_first_seen_without_gradients_serves_training_too() -> None:
    with torch.inference_mode():
        spectrogram.stft(torch.zeros(1, 900), 96, 32, root=True)
    x = torch.randn(1, 900, requires_grad=True)
    spectrum = spectrogram.stft(x, 96, 32, root=True)
    again = spectrogram.istft(spectrum, 96, 32, 900, root=True)
    again.square().sum().backward()
    assert x.grad is not None and torch.allclose(again, x, atol=1e-5)
