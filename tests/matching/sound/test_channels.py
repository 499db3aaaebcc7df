"""Where channels lie in another recording's, told of noise at known gains under a loud voice."""

import numpy as np
import pytest

from matching.sound import channels
from matching.sound.channels import HALF_DIFFERENCE, IN_PLACE, MEAN
from matching.sound.signals import Stereo, stereo

BINS = 257
BANDS = {"low": slice(2, 100), "high": slice(100, BINS)}


def backing(seed: int = 0) -> np.ndarray:
    """Spectra of two channels that share half of their power, complex64 [2, frames, bins]."""
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((6, 320, BINS)).astype(np.float32)
    mid, left, right = parts[:3] + 1j * parts[3:]
    return np.stack([mid + left, mid + right]).astype(np.complex64)


def voice() -> np.ndarray:
    """As loud, in both channels, and at rest in three of ten cells."""
    found = backing(1).mean(axis=0)
    found *= np.random.default_rng(2).random((40, BINS)).repeat(8, axis=0) > 0.3
    return np.stack([found, found])


def mixture(rows: np.ndarray | list[list[float]], Y: np.ndarray) -> np.ndarray:
    return (np.tensordot(np.array(rows), Y, 1) + voice()).astype(np.complex64)


@pytest.mark.parametrize(
    ("rows", "gains"),
    [
        ([[1, 0], [0, 1]], IN_PLACE),
        ([[0, 1], [1, 0]], (0, 1, 1, 0)),
        ([[1, 0], [0, -1]], (1, 0, 0, -1)),
        ([[0.5, 0], [0, 1]], (0.5, 0, 0, 1)),
        ([[0, 0.8], [-0.4, 0]], (0, 1, -0.5, 0)),
        ([[0.75, 0.25], [0.25, 0.75]], (0.75, 0.25, 0.25, 0.75)),
        ([[-0.3, 0], [0, -0.3]], IN_PLACE),
    ],
)
def test_gains_are_found_under_a_voice(rows: list[list[float]], gains: tuple[float, ...]) -> None:
    Y = backing()
    found = channels.find(mixture(rows, Y), Y, BANDS, 2)
    assert found is not None and found.mono_gains is None
    np.testing.assert_allclose(found.gains, gains, atol=0.01)
    np.testing.assert_allclose(
        found.level * np.reshape(found.gains, (2, 2)), rows, atol=0.01 * abs(found.level)
    )
    assert set(found.residual_db) == set(BANDS) and max(found.residual_db.values()) < -30


def test_a_mono_instrumental_lies_in_both_channels_or_in_a_sum_of_them() -> None:
    Y = backing()
    mono = np.stack([Y[0], Y[0]])
    on_both = channels.find(mixture([[1, 0], [1, 0]], Y), mono, BANDS, 2)
    assert on_both is not None and on_both.mono_gains is None
    np.testing.assert_allclose(on_both.gains, 4 * (0.5,), atol=0.01)
    mean = np.stack([Y.mean(axis=0)] * 2)
    in_a_sum = channels.find(mixture([[1, 0], [0, 1]], Y), mean, BANDS, 2)
    assert in_a_sum is not None and in_a_sum.mono_gains == MEAN
    np.testing.assert_allclose(in_a_sum.level * np.array(in_a_sum.gains), (0.5, 0.5), atol=0.01)
    assert max(in_a_sum.residual_db.values()) < -30


def test_what_is_of_something_else_leaves_much_and_silence_leaves_nothing_to_tell() -> None:
    found = channels.find(backing(5), backing(6), BANDS, 2)
    assert found is None or max(found.residual_db.values()) > -12
    assert channels.find(0 * backing(), backing(), BANDS, 2) is None


def test_the_louder_of_mean_and_half_difference_is_compared() -> None:
    left, right = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    near, inverted = (
        channels.width(stereo(left, left + right / 9)),
        channels.width(stereo(left, -left)),
    )
    assert (near.gains, near.alike, near.wide) == (MEAN, False, False)
    assert (inverted.gains, inverted.alike, inverted.wide) == (HALF_DIFFERENCE, False, False)
    assert channels.width(stereo(left, right)).wide
    assert channels.width(Stereo(left)).alike and channels.width(stereo(left, left)).alike
