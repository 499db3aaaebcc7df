"""Smooth curves through scattered values: cubic splines with a penalty on how they bend.

In B-splines every matrix is banded, so that a fit takes as long as there are knots. Dense ones of
this size are where BLAS begins to use threads, which on a machine with other work wait for each
other a hundred times as long as they compute.
"""

import numpy as np
import scipy.linalg
from scipy.interpolate import BSpline

_ORDER = 4
_BANDS = _ORDER + 2  # of the penalty: three neighbouring knots have so many B-splines
_RIDGE = 1e-9  # of the mean of the diagonal


class Splines:
    """The cubic splines through some knots, four at least, at some times between them.

    As of scipy's CubicSpline: the third derivative does not jump at the second knot and the last
    but one.
    """

    def __init__(self, knots: np.ndarray, times: np.ndarray) -> None:
        inner = knots[2:-2]
        places = np.concatenate([[knots[0]] * _ORDER, inner, [knots[-1]] * _ORDER])
        self._size = len(knots)
        self._columns, self._weights = _design(times, places)
        self._knot_columns, self._knot_weights = _design(knots, places)
        at_knots = np.zeros((self._size, self._size))
        np.put_along_axis(at_knots, self._knot_columns, self._knot_weights, axis=1)
        bends = np.diff(at_knots, 2, axis=0)
        self._bends = np.zeros((_BANDS, self._size))
        for off in range(min(_BANDS, self._size)):
            both = bends[:, : self._size - off] * bends[:, off:]
            self._bends[off, : self._size - off] = both.sum(axis=0)

    def fit(self, values: np.ndarray, weights: np.ndarray, stiffness: float) -> np.ndarray:
        """The coefficients of least Σ weights · (values − spline)² + stiffness · Σ (second
        differences of the spline at its knots)²; a time of weight 0 has no say."""
        bands = stiffness * self._bends
        right = np.zeros(self._size)
        for one in range(_ORDER):
            heavy = weights * self._weights[:, one]
            right += np.bincount(self._columns[:, one], heavy * values, self._size)
            for other in range(one, _ORDER):
                product = heavy * self._weights[:, other]
                bands[other - one] += np.bincount(self._columns[:, one], product, self._size)
        bands[0] += _RIDGE * bands[0].mean()
        return scipy.linalg.solveh_banded(bands[: self._size], right, lower=True)

    def at_times(self, coefficients: np.ndarray) -> np.ndarray:
        """A spline at the times."""
        return (self._weights * coefficients[self._columns]).sum(axis=1)

    def at_knots(self, coefficients: np.ndarray) -> np.ndarray:
        """And at the knots."""
        return (self._knot_weights * coefficients[self._knot_columns]).sum(axis=1)


def _design(times: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which B-splines are not 0 at each time, and their values there, both [times, 4]."""
    found = BSpline.design_matrix(times, places, _ORDER - 1)
    return found.indices.reshape(-1, _ORDER), found.data.reshape(-1, _ORDER)
