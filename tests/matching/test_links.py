"""A track's keys, against saying them one track at a time."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.links import links, preferred, with_names
from matching.rules import EXTENDED, THESIS, Rule
from matching.titles import artist_key

SCHEMA = pa.schema(
    [
        ("artist_id", pa.string()),
        ("artist_ids", pa.list_(pa.string())),
        ("fuzzy_title", pa.string()),
        ("work_id", pa.string()),
        ("other_titles", pa.string()),
    ]
)
Row = tuple[str, list[str | None] | None, str | None, str | None, str | None]


def found(rows: list[Row], rule: Rule) -> list[tuple[int, str, str]]:
    columns = [[row[place] for row in rows] for place in range(5)]
    tracks = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)
    places, artists, keys = links(tracks, rule)
    assert places.tolist() == sorted(places.tolist())
    return sorted(zip(places.tolist(), artists.to_pylist(), keys.to_pylist(), strict=True))


def said(rows: list[Row], rule: Rule) -> list[tuple[int, str, str]]:
    answers = set()
    for number, (artist, artists, title, work, others) in enumerate(rows):
        extended = rule is EXTENDED
        descriptors = "|" + title.split("|")[1] if title and "|" in title else ""
        for one in {artist, *((artists or []) if extended else [])} - {None, ""}:
            if title:
                answers.add((number, one, title))
            if title and others is not None and extended:
                answers |= {(number, one, other) for other in others.split("\n")}
            if title and work is not None and extended:
                answers.add((number, one, f"work:{work}{descriptors}"))
    return sorted(answers)


ids = st.sampled_from(["a", "b", "c"])
lists = st.none() | st.lists(st.sampled_from(["a", "b", "", None]), max_size=3)
titles = st.sampled_from(["song", "song|live", "", None])
works = st.sampled_from([None, "w", "v|x"])
others = st.sampled_from([None, "canto", "canto\nlied|live"])
tables = st.lists(st.tuples(ids, lists, titles, works, others), max_size=6)


@pytest.mark.parametrize("rule", [THESIS, EXTENDED], ids=lambda rule: rule.name)
@given(rows=tables)
def test_every_key_of_every_track(rule: Rule, rows: list[Row]) -> None:
    assert found(rows, rule) == said(rows, rule)


names = st.none() | st.sampled_from(["The Band", "band", "!!!", "", " ", "Ö"]) | st.text(max_size=3)


@given(rows=st.lists(st.tuples(lists, names), max_size=8))
def test_a_name_stands_behind_the_ids(
    rows: list[tuple[list[str | None] | None, str | None]],
) -> None:
    ids, artists = ([row[place] for row in rows] for place in range(2))
    found = with_names(pa.array(ids, pa.list_(pa.string())), pa.array(artists, pa.string()))
    keys = [artist_key(name or "") for name in artists]
    assert found.to_pylist() == [
        [*(own or []), *([f"name:{key}"] if key else [])]
        for own, key in zip(ids, keys, strict=True)
    ]


def test_a_name_is_preferred_to_an_id() -> None:
    assert min(["17", "name:z", "a", "name:b"], key=preferred) == "name:b"
    assert min(["b", "a"], key=preferred) == "a"
