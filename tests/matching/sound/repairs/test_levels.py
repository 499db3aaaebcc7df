"""The gain of a backing along a stretch of a mixture."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.sound import coherence
from matching.sound.coherence import Aligned
from matching.sound.drift import Line
from matching.sound.repairs import levels

RATE = 44_100


@settings(max_examples=15)
@given(st.lists(st.floats(-9, 9), min_size=1, max_size=4), st.integers(0, 99))
def test_gains_are_found_as_they_were_applied(gains: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    backing = rng.normal(0, 0.1, (1, 6 * RATE)).astype(np.float32)
    found = levels.gains_db(levels.applied(backing, tuple(gains)), backing, RATE)
    got = levels.applied(backing, found or (0.0,))
    want = levels.applied(backing, tuple(gains))
    assert np.sum((got - want) ** 2) < 10 ** (-20 / 10) * np.sum(want**2)


def test_too_little_or_silence_has_no_level() -> None:
    for samples in (np.zeros((2, 12 * RATE)), np.zeros((2, 100)), np.ones((1, 30_000))):
        assert levels.gains_db(samples, samples, RATE) is None
    loud = np.random.default_rng(0).normal(0, 0.1, (1, 12 * RATE))
    assert levels.gains_db(loud, loud * 1e-3, RATE) is None  # it would raise what is not there


def test_a_last_frame_tells_no_level() -> None:
    """Two of one frame cohere whatever they hold, so a voice there would pass for the backing."""
    rng = np.random.default_rng(0)
    backing = rng.normal(0, 0.1, 8192 * 12 + 768).astype(np.float32)
    mixture = backing.copy()
    mixture[-1024:] *= 3
    aligned = Aligned(mixture, backing, Line(0.0), 1, 8192)
    found = coherence.segments(aligned)
    assert not found.whole[-1] and found.whole[:-1].all()
    assert levels.along(found, np.ones(len(found.whole), bool), 4) is None
