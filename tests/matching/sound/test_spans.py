"""Which spans match: gaps that a voice explains are bridged, others are not."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.sound.spans import AGREES, matches, spans


def matched(letters: str) -> str:
    """M: agrees; v: a little; x: does not; s: the mixture is silent; i: the instrumental is."""
    agreement = np.array([{"M": 0.5, "v": 0.1}.get(c, 0.0) for c in letters])
    x = np.array([0.0 if c == "s" else 1.0 for c in letters])
    y = np.array([0.0 if c == "i" else 1.0 for c in letters])
    return "".join("M" if found else "." for found in matches(agreement, x, y))


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("MMMM", "MMMM"),
        ("xxxx", "...."),
        ("", ""),
        ("MvM", "MMM"),  # a loud voice
        ("MvvM", "MMMM"),
        ("MvvvM", "M...M"),
        ("vMv", ".M."),
        ("MxM", "M.M"),  # another song
        ("MvxM", "M..M"),
        ("MviM", "MMMM"),
        ("MiiiiiM", "MMMMMMM"),  # the voice alone
        ("MssssM", "MMMMMM"),
        ("iiMMss", "MMMMMM"),
        ("xMMx", ".MM."),
        ("xiMMix", "..MM.."),  # beyond the silence lies what does not match
        ("iiii", "...."),
    ],
)
def test_gaps(given_: str, expected: str) -> None:
    assert matched(given_) == expected


@given(st.lists(st.booleans(), max_size=30))
def test_spans_cover_what_matches_and_nothing_else(found: list[bool]) -> None:
    edges = np.arange(len(found) + 1) * 3.0
    runs = spans(np.array(found, bool), edges)
    assert sum(end - start for start, end in runs) == 3.0 * sum(found)
    assert all(a[1] < b[0] for a, b in pairwise(runs))
    for start, end in runs:
        assert all(found[int(start // 3) : int(end // 3)])


def test_chance_does_not_reach_the_threshold() -> None:
    """The mean cosine of 32 frames × 500 bins of unrelated phases."""
    phases = np.random.default_rng(0).uniform(-np.pi, np.pi, (200, 32 * 500))
    assert np.cos(phases).mean(axis=1).max() < AGREES / 3
