"""The spectrogram difference: eq. 3.8, its normalised form, and what neither depends on."""

import math

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from matching.sound.difference import (
    Difference,
    compare,
    difference_sum,
    least_squares_gain,
    magnitude,
)

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


@given(magnitudes, st.integers(0, 2**32 - 1), st.sampled_from([0.25, 1.0, 4.0]))
@settings(max_examples=80)
def test_bounds(X: np.ndarray, seed: int, gain: float) -> None:
    """Blocks add up, a recording differs from itself by nothing, and gains scale nothing."""
    Y = np.random.default_rng(seed).uniform(0, 100, X.shape).astype(np.float32)
    whole, halves, louder, itself = Difference(), Difference(), Difference(), Difference()
    whole.add(X, Y)
    for part in (slice(0, X.shape[1] // 2), slice(X.shape[1] // 2, None)):
        halves.add(X[:, part], Y[:, part])
    louder.add(X * np.float32(gain), Y * np.float32(gain))
    itself.add(X, X)
    assert halves.distance == pytest.approx(whole.distance)
    assert whole.distance == pytest.approx(difference_sum(X, Y))
    assert -1 - 1e-6 <= whole.asymmetry <= 1 + 1e-6
    if X.any():
        assert itself.difference == 0
        assert louder.difference == pytest.approx(whole.difference, rel=1e-4)
    else:
        assert math.isnan(whole.difference)


def test_signals_compare_as_their_magnitudes_do() -> None:
    """Block by block, whatever their lengths: longer than a block, shorter than a frame."""
    for frames, others in ((300_001, 250_000), (768, 767), (1, 5000)):
        x, y = noise(frames), noise(others, 1)
        X, Y = magnitude(x), magnitude(y)
        found = compare(x, y)
        assert found.distance == pytest.approx(difference_sum(X, Y), rel=1e-6)
        assert found.total == pytest.approx(X[:, : Y.shape[1]].sum(dtype=np.float64), rel=1e-6)


def test_the_gain_is_the_least_squares_one() -> None:
    x, y = noise(20_000), noise(20_000, 1)
    X, Y = magnitude(x), magnitude(y)
    gain = least_squares_gain(x, y)
    error = [float(((X - g * Y) ** 2).sum()) for g in (gain * 0.99, gain, gain * 1.01)]
    assert error[1] < error[0] and error[1] < error[2]
    assert compare(x, y, gain=gain).distance == pytest.approx(np.abs(X - gain * Y).sum(), rel=1e-5)
    assert least_squares_gain(x, np.zeros(20_000)) == 0


def test_the_sign_says_which_of_the_two_holds_more() -> None:
    both, one = np.array([[1, 1]], np.float32), np.array([[1, 0]], np.float32)
    more, less = Difference(), Difference()
    more.add(both, one)
    less.add(one, both)
    assert (more.difference, more.asymmetry) == (0.5, 1)
    assert (less.difference, less.asymmetry) == (1, -1)


def test_silence_explains_nothing_and_holds_nothing() -> None:
    sound, silent = noise(5000), np.zeros(5000, np.float32)
    found = compare(sound, silent)
    assert (found.difference, found.asymmetry) == (1, 1)
    assert math.isnan(compare(silent, sound).difference)
    assert compare(silent, silent).asymmetry == 0
