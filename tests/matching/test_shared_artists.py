"""Pairs through any artist that both tracks list, against asking every two rows."""

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.rules import EXTENDED, THESIS, Rule
from matching.shared_artists import pairs

SCHEMA = pa.schema(
    [
        ("artist_ids", pa.list_(pa.string())),
        ("fuzzy_title", pa.string()),
        ("marker", pa.string()),
        ("duration_s", pa.float64()),
    ]
)
Row = tuple[list[str | None] | None, str | None, str | None, float]


def found(rows: list[Row], rule: Rule = EXTENDED) -> list[tuple[int, int, str]]:
    columns = [[row[place] for row in rows] for place in range(4)]
    tracks = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)
    mixtures, instrumentals, artists = pairs(tracks, rule)
    return list(zip(mixtures.tolist(), instrumentals.tolist(), artists.to_pylist(), strict=True))


def asked(rows: list[Row], rule: Rule) -> list[tuple[int, int, str]]:
    """The same by the words of the rule, for every two rows."""
    answers = []
    for i, (some, title, marker, duration) in enumerate(rows):
        for j, (others, other_title, other_marker, other_duration) in enumerate(rows):
            shared = {artist for artist in some or [] if artist} & set(others or [])
            roles = marker is None and other_marker is not None
            same = bool(title) and title == other_title
            if roles and same and shared and abs(duration - other_duration) < rule.tolerance_s:
                answers.append((i, j, min(shared)))
    return answers


def test_a_guest_may_stand_alone_on_the_instrumental() -> None:
    rows: list[Row] = [
        (["band", "guest"], "song", None, 200.0),
        (["guest"], "song", "instrumental", 203.0),
        (["stranger"], "song", "instrumental", 200.0),
    ]
    assert found(rows) == [(0, 1, "guest")]


def test_two_shared_artists_give_one_pair_with_the_least_of_them() -> None:
    rows: list[Row] = [
        (["b", "a", "c"], "song", None, 200.0),
        (["c", "b"], "song", "karaoke", 200.0),
    ]
    assert found(rows) == [(0, 1, "b")]


@pytest.mark.parametrize(("apart", "pair"), [(4.999, True), (5.0, False), (-5.0, False)])
def test_five_seconds_are_the_boundary(apart: float, pair: bool) -> None:
    rows: list[Row] = [
        (["a"], "song", None, 200.0 + apart),
        (["a"], "song", "instrumental", 200.0),
    ]
    assert bool(found(rows)) is pair


ids = st.none() | st.lists(st.sampled_from(["a", "b", "c", "", None]), max_size=3)
titles = st.sampled_from(["song", "song|live", "", None])
durations = st.sampled_from([0.0, 1.0, 3.5, 5.0, 6.0, math.nan])
tables = st.lists(st.tuples(ids, titles, st.sampled_from([None, "mr"]), durations), max_size=8)


@given(rows=tables, rule=st.sampled_from([THESIS, EXTENDED]))
def test_equal_to_asking_every_two_rows(rows: list[Row], rule: Rule) -> None:
    assert found(rows, rule) == asked(rows, rule)
