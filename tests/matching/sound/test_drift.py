"""Lines over time: fitted among outliers, followed to the sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.sound.drift import Line, Warped, fit, least_squares

TIMES = np.linspace(0, 1e6, 24)


@given(st.floats(-1e5, 1e5), st.floats(-0.01, 0.01), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_most_points_outvote_the_rest(offset: float, slope: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wrong = rng.permutation(24)[:10]
    offsets = offset + slope * TIMES + rng.uniform(-0.5, 0.5, 24)
    offsets[wrong] += rng.uniform(100, 3e5, 10) * rng.choice([-1, 1], 10)
    near = fit(TIMES, offsets, np.ones(24), 2.5)
    right = np.setdiff1d(np.arange(24), wrong)
    assert near[right].all()
    line, error = least_squares(TIMES[near], offsets[near], np.ones(near.sum()), 5e5)
    assert line.slope == pytest.approx(slope, abs=5e-6)
    assert line.at(5e5) == pytest.approx(offset + slope * 5e5, abs=3)
    assert 0 < error < 5e-6


def test_two_points_have_no_speed_that_could_be_trusted() -> None:
    line, error = least_squares(np.array([0.0, 9.0]), np.array([1.0, 3.0]), np.ones(2), 4.5)
    assert (line.offset, line.slope, error) == (2.0, 0.0, float("inf"))


def test_a_faster_instrumental_has_less_and_less_offset() -> None:
    """0.1 % faster: what the mixture has at 1001 s, the instrumental has at 1000 s."""
    line = Line(0.0, -1 / 1001, 0.0)
    assert line.drift_ppm == pytest.approx(1000)
    assert 1001 + line.at(1001.0) == pytest.approx(1000)
    assert Line(2.0, 0.1, 3.0).scaled(10) == Line(20.0, 0.1, 30.0)


@pytest.mark.parametrize("line", [Line(30.25, 0.003, 500.0), Line(-12.0, -0.01), Line(0.0)])
def test_a_warped_signal_is_the_signal_at_another_speed(line: Line) -> None:
    def wave(at: np.ndarray) -> np.ndarray:
        return np.cos(0.2 * at).astype(np.float32)

    frames = np.arange(4000)
    warped = Warped(wave(np.arange(5000)), line, 4000)
    assert len(warped) == 4000
    found = warped[100:3900]
    expected = wave(frames[100:3900] + line.at(frames[100:3900].astype(float)))
    np.testing.assert_allclose(found, expected, atol=0.002)
    assert warped[5:5].tolist() == []
