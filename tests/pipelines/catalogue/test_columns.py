"""Lists of ids, as types, as JSON, as Python prints them, or parted; names are never parted."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.catalogue.columns import first, flags, lists
from sql import match, on_duckdb
from sql.match import TEXT, Source

ids = st.lists(st.text("abc-09 ", min_size=1).map(str.strip).filter(bool), max_size=4)


@given(st.lists(st.one_of(st.none(), ids), min_size=1, max_size=5))
def test_a_list_is_the_same_however_it_is_written(some: list[list[str] | None]) -> None:
    as_lists = lists(pa.array(some, pa.list_(pa.string())), ";").to_pylist()
    assert as_lists == some
    for written in (json.dumps, repr, lambda entry: json.dumps(entry, indent=1)):
        texts = pa.array([None if entry is None else written(entry) for entry in some], pa.string())
        assert lists(texts, ";").to_pylist() == some
        assert lists(texts, None).to_pylist() == some
    parted = pa.array([None if entry is None else " ; ".join(entry) for entry in some], pa.string())
    expected = [entry or None for entry in some]
    assert lists(parted, ";").to_pylist() == expected
    assert first(lists(parted, ";")).to_pylist() == [entry[0] if entry else None for entry in some]


@pytest.mark.parametrize(
    ("text", "separator", "expected"),
    [
        ("a,b", ";", ["a,b"]),
        ("a,b", ",", ["a", "b"]),
        ("a / b", " / ", ["a", "b"]),
        ("a;b", None, ["a;b"]),
        ('["Tyler, The Creator", null, 3, 2.0]', ";", ["Tyler, The Creator", None, "3", "2"]),
        ("['it''s', \"it's\"]", ";", ["['it''s', \"it's\"]"]),
        ("['a' 'b']", ";", ["['a' 'b']"]),
        ("[__import__('os')]", ";", ["[__import__('os')]"]),
        ("[" * 9999 + "]" * 9999, ";", ["[" * 9999 + "]" * 9999]),
        ('["\\ud800"]', ";", ["?"]),
        ("[]", ";", []),
    ],
)
def test_what_is_written(text: str, separator: str | None, expected: list[Any]) -> None:
    assert lists(pa.array([text]), separator).to_pylist() == [expected]


def test_lists_of_other_types() -> None:
    assert lists(pa.array([[1, 2], None]), ";").to_pylist() == [["1", "2"], None]
    assert first(lists(pa.array([["", "b"], [], None, [None, "c"]]), None)).to_pylist() == [
        "b", None, None, "c"
    ]  # fmt: skip


def test_sql_reads_the_same_lists() -> None:
    texts = ["a;b", "", '["a", "b"]', "['a','b']", " [ 'a' , \"b\" ] ", "[]", "[a]", "a", None]
    source = Source("texts", {"artist_ids": "ids"}, {"ids": TEXT})
    expression = match._list(source, "artist_ids").replace(match.ROW, "texts")
    with on_duckdb.connect(threads=1) as connection:
        connection.register("texts", pa.table({"ids": texts, "n": range(len(texts))}))
        statement = f"SELECT {expression} AS found, n FROM texts ORDER BY n"
        found = on_duckdb.run(connection, statement, {})["found"].to_pylist()
    cleaned = [[entry.strip() for entry in row if entry.strip()] for row in found]
    expected = lists(pa.array(texts), ";").to_pylist()
    assert cleaned == [[entry for entry in row or [] if entry] for row in expected]


@pytest.mark.parametrize(
    "some",
    [[True, False, None], [1, 0, None], [1.0, 0.5, None], ["true", "no", None], [" YES ", "2", ""]],
)
def test_flags(some: list[Any]) -> None:
    assert flags(pa.array(some)).to_pylist() == [True, False, False]
