"""The spectrogram difference: eq. 3.8, its normalised form, and what neither depends on."""

import math

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from matching.difference import compare, difference_sum, magnitude

# Smaller ones than 2^-60 are below any recording's noise, and their squares below float32's range.
values = st.just(0.0) | st.floats(2**-60, 100, width=32)
magnitudes = arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(0, 12)), elements=values)


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(frames).astype(np.float32)


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large:UserWarning")
@pytest.mark.parametrize("frames", [1, 767, 768, 1024, 50_001])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(1024, 768), (2048, 512)])
def test_magnitude_equals_librosa(frames: int, n_fft: int, hop_length: int) -> None:
    samples = noise(frames)
    found = magnitude(samples, n_fft, hop_length)
    expected = np.abs(
        librosa.stft(samples, n_fft=n_fft, hop_length=hop_length, pad_mode="constant")
    )
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_eq_3_8_by_hand() -> None:
    X = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    Y = np.array([[1, 0], [6, 5]], np.float32)
    assert difference_sum(X, Y) == 0 + 2 + 2 + 0  # cut to two frames
    assert difference_sum(Y, X) == 4


@given(magnitudes)
@settings(max_examples=80)
def test_a_recording_differs_from_itself_by_nothing_at_any_level(X: np.ndarray) -> None:
    for gain in (0.25, 1, 4):
        found = compare(X, X * np.float32(gain))
        if X.any():
            assert found.difference == pytest.approx(0, abs=1e-5)
            assert found.gain == pytest.approx(1 / gain, rel=1e-5)
        else:
            assert math.isnan(found.difference)


@given(magnitudes, st.integers(0, 2**32 - 1), st.floats(0.01, 100))
@settings(max_examples=80)
def test_bounds_and_invariance(X: np.ndarray, seed: int, gain: float) -> None:
    Y = np.random.default_rng(seed).uniform(0, 100, X.shape).astype(np.float32)
    found = compare(X, Y)
    louder = compare(X, Y * np.float32(gain))
    assert found.gain >= 0
    assert -1 <= found.asymmetry <= 1
    if X.any():
        assert found.difference >= 0
        assert louder.difference == pytest.approx(found.difference, rel=1e-3, abs=1e-3)
        assert compare(X * np.float32(gain), Y).difference == pytest.approx(
            found.difference, rel=1e-3, abs=1e-3
        )


def test_the_gain_is_the_least_squares_one() -> None:
    rng = np.random.default_rng(1)
    X, Y = rng.uniform(0, 1, (2, 50, 40)).astype(np.float32)
    gain = compare(X, Y).gain
    error = [float(((X - g * Y) ** 2).sum()) for g in (gain * 0.99, gain, gain * 1.01)]
    assert error[1] < error[0] and error[1] < error[2]


def test_the_sign_says_which_of_the_two_holds_more() -> None:
    both, one = np.array([[1, 1]], np.float32), np.array([[1, 0]], np.float32)
    more, less = compare(both, one), compare(one, both)
    assert (more.gain, more.difference, more.asymmetry) == (1, 0.5, 1)
    assert (less.gain, less.difference, less.asymmetry) == (0.5, 1, 0)


def test_silence_explains_nothing_and_holds_nothing() -> None:
    X, silent = magnitude(noise(5000)), magnitude(np.zeros(5000))
    found = compare(X, silent)
    assert (found.difference, found.asymmetry, found.gain) == (1, 1, 0)
    assert found.gain_db == -math.inf
    assert math.isnan(compare(silent, X).difference)
    assert compare(silent, silent).asymmetry == 0
