"""The filter banks: exact inverses without delay, each filter with its own band."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.models import filterbank

BANDS = pytest.mark.parametrize("bands", [1, 2, 4, 8])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5000), st.sampled_from([1, 2, 4, 8]), st.integers(0, 1000))
def test_synthesis_gives_the_signal_back_without_delay(samples: int, bands: int, seed: int) -> None:
    signal = torch.randn(2, 3, samples, generator=torch.Generator().manual_seed(seed))
    found = filterbank.analyse(signal, bands)
    assert found.shape[:3] == (2, 3, bands)
    again = filterbank.synthesise(found, samples)
    assert again.shape == signal.shape
    error = (again - signal).square().sum() / signal.square().sum()
    assert 10 * np.log10(float(error) + 1e-30) < -100  # 60 dB is asked for


@BANDS
def test_a_bands_rate_is_the_signals_divided(bands: int) -> None:
    found = filterbank.analyse(torch.zeros(1, 44_100), bands)
    assert found.shape[-1] == filterbank.length(44_100, bands)
    assert 0 <= found.shape[-1] - 44_100 / bands < 64 / bands


@BANDS
def test_a_tone_is_in_its_band(bands: int) -> None:
    for band in range(bands):
        frequency = (band + 0.5) / bands / 2  # the band's middle, of the sample rate
        tone = torch.sin(2 * torch.pi * frequency * torch.arange(8192.0))
        power = filterbank.analyse(tone, bands)[:, 32:-32].square().mean(-1)
        others = power.sum() - power[band]
        assert float(others) <= 1e-3 * float(power[band])


@pytest.mark.parametrize("bands", [2, 4, 8])
def test_energy_is_kept(bands: int) -> None:
    """The transform is orthonormal, so no band is louder than it was."""
    signal = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    power = filterbank.analyse(signal, bands).square().sum()
    assert float(power) == pytest.approx(float(signal.square().sum()), rel=1e-5)


@pytest.mark.parametrize("bands", [2, 4, 8])
def test_filters_have_64_taps_and_hold_other_bands_off(bands: int) -> None:
    lowpass = filterbank.prototype(bands)
    assert lowpass.shape == (64,) and np.allclose(lowpass, lowpass[::-1])
    response = np.abs(np.fft.rfft(lowpass, 8192))
    beyond = np.arange(len(response)) > len(response) / bands  # half a band past the edge
    assert response[beyond].max() < 10 ** (-35 / 20) * response.max()


def test_an_impulse_stays_where_it_is() -> None:
    signal = torch.zeros(1000)
    signal[500] = 1
    for bands in (2, 4, 8):
        found = filterbank.analyse(signal, bands)
        centre = float((found.square().sum(0) * torch.arange(found.shape[1])).sum())
        assert abs(centre * bands - (500 + (64 - bands) / 2)) < bands
