"""A clock: what is written of it comes back, and what is no clock is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.sound.repairs.clock import Part, parts_of


@given(
    st.floats(-30, 30),
    st.lists(st.floats(-1e-3, 1e-3), min_size=1, max_size=6),
    st.floats(0, 1e4),
)
def test_what_is_written_comes_back_to_the_last_bit(
    offset: float, slopes: list[float], begin: float
) -> None:
    times = begin + np.arange(len(slopes) + 1.0)
    others = times + offset + np.concatenate([[0.0], np.cumsum(slopes)])
    part = Part(tuple(map(float, times)), tuple(map(float, others)))
    (back,) = parts_of(json.loads(json.dumps(part.pieces)))
    assert back == part
    asked = np.linspace(times[0] - 2, times[-1] + 2, 50)
    np.testing.assert_array_equal(back.at(asked), part.at(asked))
    np.testing.assert_allclose(part.at(times), others, rtol=0, atol=1e-9)


def test_pieces_that_do_not_join_are_parts_of_their_own() -> None:
    pieces = [[0.0, 20.0, 0.0, 20.0], [25.0, 40.0, 20.0, 35.0], [40.0, 50.0, 35.0, 45.001]]
    first, second = parts_of(pieces)
    assert first.is_even and not second.is_even
    assert (second.begin_s, second.end_s) == (25.0, 50.0)


@pytest.mark.parametrize(
    "pieces",
    [
        [[0.0, 1.0, 0.0]],
        [[0.0, 1.0, 0.0, float("nan")]],
        [[1.0, 1.0, 0.0, 0.0]],
        [[0.0, 10.0, 0.0, 9.0]],
        [[0.0, 10.0, 10.0, 0.0]],
        [[0.0, 10.0, 0.0, 10.0], [9.0, 20.0, 30.0, 41.0]],
    ],
)
def test_what_is_no_clock_is_refused(pieces: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"piece|twice"):
        parts_of(pieces)


def test_drift_says_how_much_faster_the_instrumental_runs() -> None:
    part = Part((0.0, 100.0), (1.0, 1.0 + 100.0 / 1.001))
    assert part.drift_ppm == pytest.approx(1000.0)
    assert Part((3.1, 99.7), (3.1 + 1 / 3, 99.7 + 1 / 3)).is_even
