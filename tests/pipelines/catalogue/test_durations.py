"""Durations: numbers, clocks and ISO 8601, and nothing else; every engine reads the same."""

import datetime
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.catalogue.columns import seconds
from sql import match, on_duckdb
from sql.match import TEXT, Source

RIGHT = {
    "3:16": 196,
    "03:16": 196,
    "3:16.5": 196.5,
    "0:07": 7,
    "63:12": 3792,
    "1:03:12": 3792,
    "01:03:12.250": 3792.25,
    "PT3M25S": 205,
    "PT3M25.5S": 205.5,
    "PT3M25,5S": 205.5,
    "PT205S": 205,
    "PT1H": 3600,
    "P1DT1S": 86401,
    " 3:16\n": 196,
    "205.5": 205.5,
    "+2e2": 200,
    "5.": 5,
}
WRONG = [
    "3:60",
    "3:6",
    "1:60:00",
    "1:2:03",
    ":16",
    "3:",
    "-3:16",
    "3:16:",
    "0:00",
    "PT",
    "P",
    "P3Y",
]
WRONG += [
    "pt3m",
    "PT3M25",
    "3 min",
    "3'16",
    "3,5",
    "1.234,5",
    "0x10",
    "1_000",
    "inf",
    "nan",
    "",
    "-1",
]
PIECES = [
    "3",
    "16",
    "60",
    "5",
    "00",
    ":",
    ".",
    ",",
    "P",
    "T",
    "D",
    "H",
    "M",
    "S",
    "-",
    "e",
    " ",
    "٣",
]


def plain(text: str) -> float | None:
    """What a text means, written without RE2."""
    said = text.strip(" \t\n\v\f\r")
    if re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", said, re.ASCII):
        found = float(said)
    elif re.fullmatch(r"(\d{1,6}:)?\d{1,6}:\d\d(\.\d{1,9})?", said, re.ASCII):
        *units, last = said.split(":")
        if float(last) >= 60 or (len(units) == 2 and (len(units[1]) != 2 or int(units[1]) >= 60)):
            return None
        found = 60.0 * int(units[-1]) + (3600.0 * int(units[0]) if len(units) == 2 else 0)
        found += float(last)
    elif iso := re.fullmatch(
        r"P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:[.,]\d{1,9})?)S)?)?",
        said,
        re.ASCII,
    ):
        days, hours, minutes = (int(group or 0) for group in iso.groups()[:3])
        found = 86400.0 * days + 3600 * hours + 60 * minutes
        found += float((iso[4] or "0").replace(",", "."))
    else:
        return None
    return found if 0 < found < float("inf") else None


@pytest.mark.parametrize(("text", "expected"), RIGHT.items())
def test_what_is_unambiguous_is_read(text: str, expected: float) -> None:
    assert seconds(pa.array([text])).to_pylist() == [expected] == [plain(text)]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_not_is_none(text: str) -> None:
    assert seconds(pa.array([text, None])).to_pylist() == [None, None]


def test_a_unit_is_of_plain_numbers_alone() -> None:
    texts = pa.array(["205500", "3:16", "PT3M25S"])
    assert seconds(texts, per_second=1000).to_pylist() == [205.5, 196, 205]
    assert seconds(pa.array([2_055_000_000]), per_second=10_000_000).to_pylist() == [205.5]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_arrow_s_own_durations(unit: str) -> None:
    column = pa.array([datetime.timedelta(seconds=205), None], pa.duration(unit))
    assert seconds(column, per_second=1000).to_pylist() == [205, None]


texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.from_regex(r"\A\s?(\d{1,3}:)?\d{1,3}:\d\d(\.\d{1,4})?\s?\Z"),
    st.from_regex(r"\AP(\d{1,2}D)?T?(\d{1,3}H)?(\d{1,3}M)?(\d{1,4}([.,]\d{1,3})?S)?\Z"),
    st.floats(0, 1e6).map(str),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(texts, min_size=1, max_size=40))
@example([*RIGHT, *WRONG])
def test_sql_and_arrow_read_what_a_plain_reader_reads(some: list[str]) -> None:
    expected = [plain(text) for text in some]
    assert seconds(pa.array(some)).to_pylist() == expected
    source = Source("texts", {"duration_s": "length"}, {"length": TEXT})
    expression = match._seconds(source).replace(match.ROW, "texts")
    with on_duckdb.connect(threads=1) as connection:
        connection.register("texts", pa.table({"length": some, "n": range(len(some))}))
        statement = f"SELECT {expression} AS s, n FROM texts ORDER BY n"
        found = on_duckdb.run(connection, statement, {})["s"].to_pylist()
    lengths = [s if s is not None and 0 < s < float("inf") else None for s in found]
    assert lengths == expected


def test_a_real_archive_s_clock_is_read_from_parquet_by_duckdb_itself(tmp_path: Path) -> None:
    rows = {
        "track_id": ["m", "i"],
        "title": ["X", "X (Karaoke)"],
        "artist": ["A", "A"],
        "duration_s": ["3:16", "PT3M16.5S"],
    }
    pq.write_table(pa.table(rows), tmp_path / "c.parquet")
    columns = {name: name for name in rows}
    rule = match.Rule("thesis", 1.0)
    found = on_duckdb.find([str(tmp_path / "c.parquet")], columns, rule, most_per_key=9)
    assert found.candidates["duration_difference_s"].to_pylist() == [-0.5]
