"""What Arrow makes in place of the SQL has the rows that the SQL would give."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from matching.rules import RULES
from sql import by_arrow, match, on_duckdb
from sql.match import FLOAT, TEXT, Source
from tests.sql.test_titles import texts

KINDS = {**dict.fromkeys(("track_id", "artist", "title", "album"), TEXT), "duration_s": FLOAT}
COLUMNS = {name: name for name in KINDS}
RELATIONS = ("noted", "latin_texts", "again", "repeated")


def rows(catalogue: pa.Table, rule: str, *, made: bool) -> list[list[str]]:
    """Those relations' rows, in an order of their own."""
    by = by_arrow.relations(RULES[rule]) if made else {}
    with on_duckdb.connect(threads=2) as connection, tempfile.TemporaryDirectory() as folder:
        connection.register("catalogue", catalogue)
        statement = match.statement(Source("catalogue", COLUMNS, KINDS), RULES[rule])
        values = match.parameters(RULES[rule], 1)
        on_duckdb.relation(connection, statement, values, by, folder)
        tables = [connection.table(name).to_arrow_table() for name in RELATIONS]
    return [sorted(map(repr, table.to_pylist())) for table in tables]


def same(catalogue: pa.Table, rule: str) -> list[list[str]]:
    found = rows(catalogue, rule, made=True)
    assert found == rows(catalogue, rule, made=False)
    return found


@pytest.mark.parametrize("rule", RULES)
def test_a_real_catalogue(rule: str, test_data: Path) -> None:
    whole = pq.read_table(test_data / "catalogs" / "playlists.parquet", columns=[*COLUMNS])
    some = whole.slice(0, 20_000)
    found = same(pa.concat_tables([some, some.slice(0, 100)]), rule)
    assert all(found)


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    catalogue=st.lists(
        st.tuples(st.sampled_from("abc"), texts | st.none(), texts), min_size=1, max_size=30
    ),
    rule=st.sampled_from(sorted(RULES)),
    in_parts=st.booleans(),
)
@example(
    catalogue=[("", "INSTRUMENTAL", "é"), ("", "instru", "a"), ("", "mentalkaraoke", "a")],
    rule="thesis",
    in_parts=False,
)
@example(
    catalogue=[("a", "", "a"), ("a", "ﬁn Karaoke", ""), ("a", None, "a")],
    rule="thesis",
    in_parts=True,
)
def test_any_texts(
    monkeypatch: pytest.MonkeyPatch,
    catalogue: list[tuple[str, str | None, str]],
    rule: str,
    in_parts: bool,
) -> None:
    ids, titles, names = zip(*catalogue, strict=True)
    columns = {"track_id": ids, "title": titles, "artist": names, "album": titles}
    table = {name: pa.array(column, pa.string()) for name, column in columns.items()}
    with monkeypatch.context() as patch:
        if in_parts:
            patch.setattr(by_arrow, "NUMBERS_AT_ONCE", 3)
        same(pa.table({**table, "duration_s": [60.0] * len(ids)}), rule)


def test_a_catalogue_of_no_rows() -> None:
    kinds = {TEXT: pa.string(), FLOAT: pa.float64()}
    nothing = pa.schema([(name, kinds[kind]) for name, kind in KINDS.items()]).empty_table()
    assert same(nothing, "thesis") == [[]] * len(RELATIONS)
