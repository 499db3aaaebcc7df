"""Titles a second: the batch functions against their per-title twins and DuckDB, on one core.

    python -m benchmarks.titles [--repeats 5]

DuckDB does the same normalisation by its string functions, as the rule's SQL has them (LOWER,
REPLACE, one REGEXP_REPLACE for each step and numeral), on one thread, from a table of its own to an
Arrow table; but it is spared the transliteration, so it gets latinised titles.

Real catalogues are read from STEMLODE_TEST_DATA (default: ../shared/data beside the project).
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from matching import titles
from matching.latin import latinise_batch

PROJECT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STEMLODE_TEST_DATA", PROJECT.parent / "shared" / "data"))
TWINS = [
    ("title", titles.fuzzy, titles.fuzzy_batch),
    ("title", titles.marker, titles.marker_batch),
    ("artist", titles.artist_key, titles.artist_key_batch),
]

COMMENTS = r"(?s)^[ \t\n\v\f\r]+|(?:[(\[]| - ).*"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="the fastest of these counts")
    repeats = parser.parse_args().repeats
    print(f"{'catalogue':<16}{'function':<12}{'single/s':>12}{'batch/s':>12}{'ratio':>8}")
    for path in sorted((DATA / "catalogs").glob("*.parquet")):
        for column, scalar, batch in TWINS:
            texts = pq.read_table(path, columns=[column])[column].drop_null()
            report(path.stem, texts, scalar, batch, repeats)
        report_duckdb(path.stem, pq.read_table(path, columns=["title"]).drop_null(), repeats)


def report_duckdb(name: str, table: pa.Table, repeats: int) -> None:
    """`fuzzy_batch` beside DuckDB."""
    latin = pa.chunked_array([latinise_batch(chunk) for chunk in table["title"].chunks])
    arrow = pa.table({"title": latin.cast(pa.string())})
    connection = duckdb.connect(config={"threads": 1})
    connection.register("arrow", arrow)
    connection.execute("CREATE TABLE titles AS SELECT title FROM arrow")
    digits = "replace(t, '&', 'and')"
    for word, digit in titles.DIGITS.items():
        digits = rf"regexp_replace({digits}, '\b{word}\b', '{digit}', 'g')"
    cut = f"regexp_replace(lower(title), '{COMMENTS}', '', 'g')"
    query = rf"""
        SELECT regexp_replace(regexp_replace(d, '^the\b', ''), '[^a-z0-9]+', '', 'g') AS fuzzy
        FROM (
          SELECT
            CASE
              WHEN regexp_matches(t, '\b(?:{"|".join(titles.NUMERALS)})\b') THEN {digits}
              ELSE replace(t, '&', 'and')
            END AS d
          FROM (SELECT {cut} AS t FROM titles)
        )
    """
    assert connection.sql(query).to_arrow_table()["fuzzy"].to_pylist() == [
        titles.fuzzy(title) for title in table["title"].to_pylist()
    ]
    ours_s = theirs_s = float("inf")
    for _ in range(repeats):
        ours_s = min(ours_s, seconds(lambda: titles.fuzzy_batch(table["title"])))
        theirs_s = min(theirs_s, seconds(lambda: connection.sql(query).to_arrow_table()))
    count = table.num_rows
    print(
        f"{name:<16}{'DuckDB':<12}{count / theirs_s:>12,.0f}{count / ours_s:>12,.0f}"
        f"{theirs_s / ours_s:>8.1f}"
    )


def report(
    name: str, texts: pa.ChunkedArray, scalar: Callable, batch: Callable, repeats: int
) -> None:
    """Time both alternately, so that a slow moment of the machine meets both."""
    strings = texts.to_pylist()
    single_s = batch_s = float("inf")
    for _ in range(repeats):
        single_s = min(single_s, seconds(lambda: [scalar(text) for text in strings]))
        batch_s = min(batch_s, seconds(lambda: batch(texts)))
    count = len(strings)
    print(
        f"{name:<16}{scalar.__name__:<12}{count / single_s:>12,.0f}{count / batch_s:>12,.0f}"
        f"{single_s / batch_s:>8.1f}"
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
