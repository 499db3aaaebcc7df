"""Pairing: exactly eq. 3.4, at its boundary too, and without a cross product."""

import math
import tracemalloc
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matching.rules import THESIS, Rule, pairs, sweep

SCHEMA = pa.schema(
    [
        ("artist_id", pa.string()),
        ("fuzzy_title", pa.string()),
        ("marker", pa.string()),
        ("duration_s", pa.float64()),
    ]
)
Track = tuple[str | None, str | None, str | None, float]


def table(tracks: list[Track]) -> pa.Table:
    columns = zip(*tracks, strict=True) if tracks else [[]] * 4
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)


def found(tracks: list[Track], rule: Rule = THESIS) -> list[tuple[int, int]]:
    mixture, instrumental = pairs(table(tracks), rule)
    return list(zip(mixture.tolist(), instrumental.tolist(), strict=True))


def every_pair(tracks: list[Track], tolerance_s: float) -> list[tuple[int, int]]:
    """Eq. 3.4 by the letter."""
    return [
        (m, i)
        for m, (artist, title, marker, duration) in enumerate(tracks)
        for i, (other_artist, other_title, other_marker, other_duration) in enumerate(tracks)
        if marker is None
        and other_marker is not None
        and artist is not None
        and title
        and (artist, title) == (other_artist, other_title)
        and abs(duration - other_duration) < tolerance_s
    ]


# Sums of fractions that binary floats cannot hold, around the tolerance.
durations = st.one_of(
    st.sampled_from([10.0, 10.1, 10.9, 11.0, 11.1, 12.0, 0.1, 0.3, 1.1, 1.3]),
    st.floats(0.01, 20),
    st.floats(),
)
tracks = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "", None]),
        st.sampled_from(["x", "y", "z", "", None]),
        st.sampled_from(["instrumental", "karaoke", None, None]),
        durations,
    ),
    max_size=30,
)


@given(tracks, st.sampled_from([1.0, 0.1, 5.0]))
@example([("a", "x", None, 0.3), ("a", "x", "karaoke", 1.3)], 1.0)
def test_equal_to_the_equation(rows: list[Track], tolerance_s: float) -> None:
    assert found(rows, Rule("any", tolerance_s)) == every_pair(rows, tolerance_s)


@pytest.mark.parametrize(
    ("mixture", "instrumental", "is_pair"),
    [
        (200.0, 201.0, False),  # strictly less
        (201.0, 200.0, False),
        (200.0, math.nextafter(201.0, 0), True),
        (200.0, 200.999, True),
        (0.7, 1.7, 1.7 - 0.7 < 1.0),  # as float64 subtraction has it
        (0.3, 1.3, 1.3 - 0.3 < 1.0),
    ],
)
def test_the_boundary(mixture: float, instrumental: float, is_pair: bool) -> None:
    rows: list[Track] = [("a", "x", None, mixture), ("a", "x", "instrumental", instrumental)]
    assert found(rows) == ([(0, 1)] if is_pair else [])


def test_an_empty_key_never_matches() -> None:
    assert found([("a", "", None, 10.0), ("a", "", "instrumental", 10.0)]) == []


def test_a_huge_key_costs_no_cross_product() -> None:
    """100,000 tracks called "Intro", half of them instrumental: 2.5e9 combinations, few pairs."""
    count = 100_000
    lengths = np.arange(count) * 2.0
    marker = np.where(np.arange(count) % 2, "instrumental", None)
    rows = pa.table(
        {
            "artist_id": ["various"] * count,
            "fuzzy_title": ["intro"] * count,
            "marker": pa.array(marker.tolist(), pa.string()),
            "duration_s": np.where(np.arange(count) == 7, lengths[6] + 0.5, lengths),
        }
    )
    tracemalloc.start()
    mixture, instrumental = pairs(rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (mixture.tolist(), instrumental.tolist()) == ([6], [7])
    assert peak < 50_000_000


@given(rows=tracks, most=st.integers(1, 6))
def test_a_key_with_more_pairs_than_allowed_gives_none_and_is_named(rows: list, most: int) -> None:
    listed = table(rows)
    every = list(zip(*(side.tolist() for side in pairs(listed)), strict=True))
    mixtures, instrumentals, large = sweep(listed, THESIS, most)
    keys = [(row["artist_id"], row["fuzzy_title"]) for row in listed.to_pylist()]
    counts = Counter(keys[mixture] for mixture, _ in every)
    left = [pair for pair in every if counts[keys[pair[0]]] <= most]
    assert list(zip(mixtures.tolist(), instrumentals.tolist(), strict=True)) == left
    named = {(r["artist_id"], r["fuzzy_title"]): r["candidates"] for r in large.to_pylist()}
    assert named == {key: count for key, count in counts.items() if count > most}


def test_a_hundred_thousand_intros_are_counted_not_multiplied() -> None:
    """2.5 billion pairs, if they were all made."""
    count = 100_000
    intros = pa.table(
        {
            "artist_id": ["various artists"] * count,
            "fuzzy_title": ["intro"] * count,
            "marker": [None, "karaoke"] * (count // 2),
            "duration_s": np.linspace(60, 61, count, endpoint=False),
        }
    )
    mixtures, _, large = sweep(intros, THESIS, 1_000_000)
    assert not mixtures.size
    (row,) = large.to_pylist()
    assert row["mixtures"] == row["instrumentals"] == count // 2
    assert row["candidates"] == (count // 2) ** 2
