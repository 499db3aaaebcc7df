"""Banded fits: the same curves as scipy's, and the least squares that dense matrices give."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from matching.sound.repairs.splines import Splines


@settings(max_examples=20)
@given(st.integers(4, 40), st.integers(8, 60), st.integers(0, 99), st.integers(-6, 2))
def test_a_fit_is_that_of_dense_matrices(count: int, times: int, seed: int, power: int) -> None:
    rng = np.random.default_rng(seed)
    knots = np.linspace(3.0, 3.0 + 1.1 * (count - 1), count)
    at = np.sort(rng.uniform(knots[0], knots[-1], times))
    values, weights = rng.normal(size=times), rng.uniform(0.1, 1, times)
    splines = Splines(knots, at)
    found = splines.fit(values, weights, 10.0**power)
    basis = CubicSpline(knots, np.eye(count))(at)
    bends = np.sqrt(10.0**power) * np.diff(np.eye(count), 2, axis=0)
    rows = np.vstack([np.sqrt(weights)[:, None] * basis, bends])
    wanted = np.concatenate([np.sqrt(weights) * values, np.zeros(count - 2)])
    dense, *_ = np.linalg.lstsq(rows, wanted, rcond=None)
    scale = np.abs(dense).max() + 1
    np.testing.assert_allclose(splines.at_times(found), basis @ dense, atol=1e-3 * scale)
    curve = CubicSpline(knots, splines.at_knots(found))
    np.testing.assert_allclose(splines.at_times(found), curve(at), atol=1e-9 * scale)
