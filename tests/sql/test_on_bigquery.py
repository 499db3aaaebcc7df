"""The rule's SQL by Google's client, over HTTP, on a BigQuery server: what DuckDB finds."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import GoogleAPIError
from google.cloud import bigquery

from matching.rules import THESIS, Rule
from matching.titles import artist_key, fuzzy, marker
from sql import match, on_bigquery, on_duckdb
from sql.match import CANDIDATE, Found, NotPlain
from sql.names import Unsafe
from stemlode.ids import digest
from tests.plain_match import plain_pairs
from tests.sql.test_titles import PIECES

pytestmark = pytest.mark.slow
MOST = 10**9  # pairs of a key
VALUES = match.parameters(THESIS, MOST)
COLUMNS = {name: name for name in (*match.TEXTS, match.SECONDS)}


def find(client: bigquery.Client, catalogue: str, rule: Rule = THESIS, **columns: str) -> Found:
    source = on_bigquery.source(client, catalogue, columns)
    return on_bigquery.find(client, source, rule, most_per_key=MOST, storage_api=False)


def load(client: bigquery.Client, tracks: pa.Table, table: str, folder: Path) -> str:
    pq.write_table(tracks, folder / "tracks.parquet")
    on_bigquery.upload(client, [str(folder / "tracks.parquet")], table)
    return table


def ordered(records: pa.Table) -> list[dict[str, Any]]:
    return sorted(records.to_pylist(), key=repr)


@pytest.mark.parametrize("name", ["discographies", "playlists"])
def test_a_real_catalogue_goes_up_and_its_candidates_come_back(
    name: str, bigquery_client: bigquery.Client, test_data: Path
) -> None:
    path = str(test_data / "catalogs" / f"{name}.parquet")
    for _ in range(2):  # a table that exists is replaced
        on_bigquery.upload(bigquery_client, [path], f"local.ds.{name}")
    found = find(bigquery_client, f"local.ds.{name}")
    plain = plain_pairs(pq.read_table(path).to_pylist())
    assert found.candidates.to_pylist() == [{n: r[n] for n in CANDIDATE.names} for r in plain]
    local = on_duckdb.find([path], COLUMNS, THESIS, most_per_key=MOST)
    assert found.candidates.equals(local.candidates)
    assert found.counts == local.counts
    assert ordered(found.records) == ordered(local.records.drop([on_duckdb.PATH]))


def test_two_files_become_one_table(bigquery_client: bigquery.Client, tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    for path, title in zip(paths, ["X", "X (Karaoke)"], strict=True):
        tracks = {"track_id": [path], "artist_id": ["a"], "title": [title], "duration_s": [60]}
        pq.write_table(pa.table(tracks), path)
    on_bigquery.upload(bigquery_client, paths, "ds.two")
    assert find(bigquery_client, "ds.two").candidates.num_rows == 1


def test_any_title_and_artist_is_what_python_makes_of_it(
    bigquery_client: bigquery.Client, tmp_path: Path
) -> None:
    titles = [f"{a}{b}{a}" for a in PIECES for b in PIECES[::3]]
    numbers = [f"{number:06}" for number in range(len(titles))]
    tracks = pa.table(
        {
            "track_id": [*numbers, *(f"{number} marked" for number in numbers)],
            "artist": titles * 2,
            "title": titles + ["Karaoke"] * len(titles),  # without one an artist is passed over
            "duration_s": [60.0] * len(titles) * 2,
        }
    )
    table = load(bigquery_client, tracks, "ds.any", tmp_path)
    source = on_bigquery.source(bigquery_client, table, {})
    statement = match.statement(source, THESIS, result="SELECT * FROM tracks ORDER BY track_id")
    job = bigquery_client.query(statement, job_config=on_bigquery.job_config(VALUES))
    rows = {row["track_id"]: row for row in job.result()}
    for number, title in enumerate(titles):
        if not title.strip(" \t\n\v\f\r"):  # no artist
            assert f"{number:06}" not in rows
            continue
        row = rows[f"{number:06}"]
        assert (row["fuzzy_title"], row["marker"]) == (fuzzy(title), marker(title))
        assert row["artist_id"] == digest(artist_key(title))


def test_a_query_with_columns_of_other_names_and_types(bigquery_client: bigquery.Client) -> None:
    query = """
        SELECT 1 AS id, 7 AS artist_id, 'X' AS name, ' 6e1 ' AS length, DATE '2020-01-01' AS day
        UNION ALL SELECT 2, 7, 'X [Instrumental]', '60.75', NULL
        UNION ALL SELECT 3, 7, 'X', '1:01', NULL
        UNION ALL SELECT 4, 7, NULL, '60.75', NULL -- has no title
        UNION ALL SELECT 5, 7, 'X', 'a minute', NULL
    """
    names = {"track_id": "id", "title": "name", "duration_s": "length"}
    found = find(bigquery_client, query, Rule("it's", 1.0), **names)
    differences = {
        digest("1", "2"): -0.75,
        digest("3", "2"): 0.25,
    }  # 1:01 is a minute and one second
    assert {
        pair["pair_id"]: pair["duration_difference_s"] for pair in found.candidates.to_pylist()
    } == differences
    assert {(p["artist_id"], p["rule"]) for p in found.candidates.to_pylist()} == {("7", "it's")}
    assert found.counts["errors"] == 2
    assert sorted(found.records["id"].to_pylist()) == [1, 2, 3, 4, 5]
    numeric = f"SELECT * REPLACE (CAST('60.5' AS NUMERIC) AS length) FROM ({query})"
    assert find(bigquery_client, numeric, **names).candidates.num_rows == 3


def test_a_dry_run_counts_bytes_and_runs_nothing(bigquery_client: bigquery.Client) -> None:
    before = {job.job_id for job in bigquery_client.list_jobs()}
    source = on_bigquery.source(
        bigquery_client, "SELECT '1' AS track_id, 'A' AS artist, 'X' AS title, 1 AS duration_s", {}
    )
    assert on_bigquery.estimate(bigquery_client, source, THESIS, most_per_key=MOST) >= 0
    ran = [
        job for job in bigquery_client.list_jobs() if job.job_id not in before and not job.dry_run
    ]
    assert ran == []


def test_the_most_that_may_be_billed_and_all_values_go_with_the_job() -> None:
    sent = on_bigquery.job_config(VALUES, maximum_bytes_billed=10).to_api_repr()["query"]
    assert sent["maximumBytesBilled"] == "10"
    assert {p["name"] for p in sent["queryParameters"]} == set(VALUES)
    assert on_bigquery.job_config(VALUES, dry_run=True).dry_run


def test_what_cannot_be_read_is_said(bigquery_client: bigquery.Client) -> None:
    with pytest.raises(Unsafe, match="no table"):
        on_bigquery.source(bigquery_client, "ds.x`; DROP TABLE ds.y; --", {})
    with pytest.raises(Unsafe, match="one statement"):
        on_bigquery.source(bigquery_client, "SELECT 1) AS a; DROP TABLE ds.y; --", {})
    with pytest.raises(GoogleAPIError, match=r"ds\.missing"):
        on_bigquery.source(bigquery_client, "ds.missing", {})
    with pytest.raises(NotPlain, match="no column nome; it has a, title"):
        on_bigquery.source(bigquery_client, "SELECT 1 AS a, 'X' AS title", {"title": "nome"})
    with pytest.raises(NotPlain, match="no column track_id"):
        on_bigquery.source(bigquery_client, "SELECT 1 AS a, 'X' AS title", {})
    with pytest.raises(NotPlain, match="duration_s"):
        find(bigquery_client, "SELECT '1' AS track_id, 'X' AS title, 'A' AS artist")
    with pytest.raises(NotPlain, match="title is neither"):
        find(
            bigquery_client,
            "SELECT '1' AS track_id, 'A' AS artist, ['X'] AS title, 60 AS duration_s",
        )
