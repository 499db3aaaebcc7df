"""Names stay names: nothing in them reaches the statement."""

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from sql import names
from sql.names import Unsafe


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="."), min_size=1))
def test_a_quoted_column_is_that_column_and_nothing_else(name: str) -> None:
    tree = sqlglot.parse_one(f"SELECT {names.quoted(name)} FROM t", read="bigquery")
    (column,) = tree.expressions
    assert isinstance(column, exp.Column) and column.name == name and not column.table


@pytest.mark.parametrize(
    "name",
    ["ds.tracks", "p-1.ds.tracks", "example.com:p.ds.tracks", "ds.events_*", "ds.été 表-2"],
)
def test_tables(name: str) -> None:
    assert names.relation(name) == f"`{name}`"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "tracks",
        "ds.",
        "ds.t`; DROP TABLE x; --",
        "ds.t\\",
        "ds.t\n",
        "ds.t) AS a, (SELECT 1",
        "ds.t -- ; DROP TABLE x;",
        "ds.*t",
        "../ds.t",
        "DROP TABLE ds.t",
        "DELETE FROM ds.t WHERE TRUE",
    ],
)
def test_what_is_no_table_is_refused(name: str) -> None:
    with pytest.raises(Unsafe):
        names.relation(name)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS a",
        " with x as (select 1) select * from x -- ends in a comment )",
        'SELECT \')\' AS a, """x);--""" AS b # )',
        "SELECT 1 /* ; ) */;",
    ],
)
def test_a_query_stays_within_its_brackets(query: str) -> None:
    tree = sqlglot.parse_one(f"SELECT * FROM {names.relation(query)} AS q", read="bigquery")
    assert isinstance(tree, exp.Select) and isinstance(tree.args["from_"].this, exp.Subquery)
    assert tree.args["from_"].this.alias == "q"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1; DROP TABLE x",
        "SELECT 1) AS a, (SELECT 2",
        "SELECT (1",
        "SELECT 'a",
        "SELECT 1 /* x",
        "SELECT 1;;",
        "SELECT r'\\'",
    ],
)
def test_what_would_leave_its_brackets_is_refused(query: str) -> None:
    with pytest.raises(Unsafe):
        names.relation(query)
