"""Which original an instrumental was most likely made from: the documented order, one of each."""

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching import originals
from matching.rules import THESIS
from pipelines.match.record import candidate
from stemlode import schemas

Row = dict[str, Any]
INSTRUMENTAL = {"album": "The Album", "duration_s": 100.0, "isrc": "SEAYD9901020"}


def track(track_id: str, duration_s: float = 100.5, **facts: Any) -> Row:
    row = dict.fromkeys(schemas.TRACK.names) | facts
    return row | {"track_id": track_id, "duration_s": duration_s, "fuzzy_title": "x"}


def pair(mix: Row, instrumental_id: str = "i", **facts: Any) -> Row:
    instrumental = track(instrumental_id, **INSTRUMENTAL | facts) | {"marker": "karaoke"}
    return candidate(mix, instrumental, "artist", THESIS)


@pytest.mark.parametrize(
    ("likelier", "other"),
    [
        (track("z", 100.9, album="THE ALBUM (Deluxe)"), track("a", 100.0)),
        (track("z", 100.9, album="the album"), track("a", 100.0, album="The Album II")),
        (track("z", 99.9), track("a", 100.2, isrc="SEAYD9901020", release_year=1999)),
        (track("z", isrc="se-ayd-99-12345"), track("a", isrc="SEAYD0001020", release_year=1999)),
        (track("z", release_year=1999), track("a", release_year=2000)),
        (track("z", release_year=1999), track("a")),
        (track("a"), track("b")),
    ],
    ids=["album", "its name", "duration", "ISRC", "earliest", "a year at all", "id"],
)
def test_the_order(likelier: Row, other: Row) -> None:
    assert originals.rank(pair(likelier)) < originals.rank(pair(other))


def test_tracks_without_an_album_are_not_of_one_album() -> None:
    nowhere = pair(track("z", 100.9), album=None)
    assert originals.rank(pair(track("a", 100.1), album=None)) < originals.rank(nowhere)
    signs = (pair(track(i, d, album="??"), album="!!") for i, d in (("a", 100.1), ("z", 100.9)))
    assert originals.rank(next(signs)) < originals.rank(next(signs))


mixes = st.builds(
    track,
    st.sampled_from("abcdef"),
    st.sampled_from([99.5, 100.0, 100.5]),
    album=st.sampled_from(["The Album", None]),
    release_year=st.sampled_from([1999, None]),
)
candidates = st.lists(
    st.tuples(mixes, st.sampled_from("ijk")), unique_by=lambda p: (p[0]["track_id"], p[1])
)


@given(chosen=candidates, seed=st.integers(0, 9))
def test_one_for_each_instrumental_in_any_order(chosen: list[tuple[Row, str]], seed: int) -> None:
    rows = [pair(mix, instrumental) for mix, instrumental in chosen]
    left = originals.likeliest(pa.Table.from_pylist(rows, schemas.CANDIDATE)).to_pylist()
    best: dict[str, Row] = {}
    for row in rows:
        held = best.get(row["instrumental_track_id"])
        if held is None or originals.rank(row) < originals.rank(held):
            best[row["instrumental_track_id"]] = row
    assert {r["pair_id"] for r in left} == {r["pair_id"] for r in best.values()}
    random.Random(seed).shuffle(rows)
    again = originals.likeliest(pa.Table.from_pylist(rows, schemas.CANDIDATE))
    assert {r["pair_id"] for r in again.to_pylist()} == {r["pair_id"] for r in left}
