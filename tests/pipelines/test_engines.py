"""One rule, three engines: DuckDB and BigQuery write the very bytes that the pipeline writes."""

import datetime
import gzip
import json
import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery

from matching.rules import THESIS
from pipelines import engines, match, runs, tables
from pipelines.catalogue import Catalogue
from pipelines.runs import BadUsage, Failed
from sql import on_bigquery
from tests.pipelines.test_match import BAD, GOOD, PARTNER, messy_catalogue

Row = dict[str, Any]


def by_beam(catalog: Path, output: Path, *flags: str) -> Path:
    assert match.main([f"--catalog={catalog}", f"--output={output}", *flags]) == 0
    return output


def by_duckdb(catalog: Path, output: Path, columns: str | None = None, **limits: Any) -> Path:
    run = runs.start("match", str(output), {}, {})
    assert run is not None
    engines.write(
        run, engines.by_duckdb(Catalogue(str(catalog), columns), THESIS, **limits), THESIS
    )
    return output


def same(one: Path, other: Path) -> dict[str, int]:
    """The counts of two runs that wrote the same bytes."""
    first, second = (runs.record(str(folder)) for folder in (one, other))
    assert first["counts"] == second["counts"]
    assert {path.name: path.read_bytes() for path in one.glob("*.parquet")} == {
        path.name: path.read_bytes() for path in other.glob("*.parquet")
    }
    assert first["outputs"] == second["outputs"]
    return first["counts"]


def test_duckdb_writes_what_the_pipeline_writes(tmp_path: Path) -> None:
    """Nulls, errors, repeated ids, derived artist ids; over several files in another order."""
    rows = messy_catalogue(5)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "one.parquet", row_group_size=100)
    counts = same(
        by_beam(tmp_path / "one.parquet", tmp_path / "a"),
        by_duckdb(tmp_path / "one.parquet", tmp_path / "b", threads=2),
    )
    assert min(counts.values()) > 0
    random.Random(2).shuffle(rows)
    folder = tmp_path / "many [1]"
    folder.mkdir()
    schema = pa.Table.from_pylist(rows).schema
    for name, some in (("x", rows[:200]), ("y", rows[200:])):
        pq.write_table(pa.Table.from_pylist(some, schema), folder / f"{name}.parquet")
    assert same(tmp_path / "a", by_duckdb(folder, tmp_path / "c", threads=1)) == counts


def test_formats_and_schemas_that_duckdb_gets_a_copy_of(tmp_path: Path) -> None:
    rows = messy_catalogue(6)
    folder = tmp_path / "many"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows[:150]), folder / "a.parquet", row_group_size=70)
    other = [{**row, "genre": "ß", "audio_uri": "x/y.flac"} for row in rows[150:300]]
    pq.write_table(pa.Table.from_pylist(other), folder / "b.parquet")
    pacsv.write_csv(pa.Table.from_pylist(rows[300:450]), folder / "c.csv")
    with gzip.open(folder / "d.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows[450:])
    counts = same(by_beam(folder, tmp_path / "a"), by_duckdb(folder, tmp_path / "b"))
    assert min(counts.values()) > 0


def test_bad_rows_are_the_same_rejects(tmp_path: Path) -> None:
    catalog = tmp_path / "tracks.jsonl"
    lines = [json.dumps(row) for row in (GOOD, PARTNER, *(row for _, row in BAD))]
    catalog.write_text("\n".join([*lines, "{half", '"a text"', ""]))
    same(by_beam(catalog, tmp_path / "a"), by_duckdb(catalog, tmp_path / "b"))


def test_columns_of_all_kinds_travel_along(tmp_path: Path) -> None:
    facts = {
        "mapped": "x",
        "whole": 2**40,
        "small": 1.1,
        "nan": math.nan,
        "yes": True,
        "day": datetime.date(2020, 2, 29),
        "list": ["a", None],
        "struct": {"a": 1, "b": {"c": "é"}},
        "release_year": 1999,
        "licence": "CC BY",
        "artist_id": 7,
    }
    rows = [{**GOOD, **facts}, {**PARTNER, **facts, "list": [], "day": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "tracks.parquet")
    same(
        by_beam(tmp_path / "tracks.parquet", tmp_path / "a", "--columns=album=mapped"),
        by_duckdb(tmp_path / "tracks.parquet", tmp_path / "b", "album=mapped"),
    )
    (pair,) = tables.read(str(tmp_path / "b"), "candidates").to_pylist()
    assert pair["mix"]["artist_id"] == "7" and pair["mix"]["album"] == "x"
    assert json.loads(pair["mix"]["extra"])["struct"] == facts["struct"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "odd",
    [
        pa.array(
            [datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)] * 2, pa.timestamp("ns", "UTC")
        ),
        pa.array([b"\xff", None], pa.binary()),
        pa.array([b"a\xff", b"b"]).view(pa.string()),
        pa.array(["a", "b"]).dictionary_encode(),
    ],
)
@pytest.mark.parametrize("name", ["title", "further"])
def test_columns_that_duckdb_reads_otherwise(odd: pa.Array, name: str, tmp_path: Path) -> None:
    catalog = pa.Table.from_pylist([GOOD, PARTNER])
    if name in catalog.schema.names:
        catalog = catalog.drop([name])
    pq.write_table(catalog.append_column(name, odd), tmp_path / "tracks.parquet")
    same(
        by_beam(tmp_path / "tracks.parquet", tmp_path / "a"),
        by_duckdb(tmp_path / "tracks.parquet", tmp_path / "b"),
    )


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_an_empty_catalogue(ending: str, tmp_path: Path) -> None:
    catalog = tmp_path / f"tracks.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist([GOOD]).slice(1), catalog)
    else:
        catalog.write_text("")
    assert not any(
        same(by_beam(catalog, tmp_path / "a"), by_duckdb(catalog, tmp_path / "b")).values()
    )


def test_candidates_over_several_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(messy_catalogue(7)), tmp_path / "tracks.parquet")
    table = tables.read(str(by_duckdb(tmp_path / "tracks.parquet", tmp_path / "a")), "candidates")
    assert table.num_rows > 100
    pieces = list(tables.cut("candidates", table, ["pair_id"], rows_per_file=50))
    assert [name for name, _ in pieces][
        -1
    ] == f"candidates-{len(pieces) - 1:05}-of-{len(pieces):05}.parquet"
    for number, (_, piece) in enumerate(pieces):
        placed = [tables._placed(row, ("pair_id",), len(pieces))[0] for row in piece.to_pylist()]
        assert set(placed) == {number}
    assert pa.concat_tables(piece for _, piece in pieces).sort_by("pair_id").equals(table)


def test_what_duckdb_cannot_do_is_one_line(tmp_path: Path) -> None:
    rows = [{**GOOD, "track_id": f"é{n}", "title": f"é {n}"} for n in range(50_000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "tracks.parquet")
    with pytest.raises(Failed, match=r"tracks\.parquet: DuckDB: .*[Mm]emory"):
        engines.by_duckdb(Catalogue(str(tmp_path / "tracks.parquet")), THESIS, memory="1MB")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["discographies", "playlists"])
def test_real_catalogues(
    name: str, bigquery_client: bigquery.Client, test_data: Path, tmp_path: Path
) -> None:
    catalog = test_data / "catalogs" / f"{name}.parquet"
    by_beam(catalog, tmp_path / "a")
    assert same(tmp_path / "a", by_duckdb(catalog, tmp_path / "b"))["candidates"] > 0
    on_bigquery.upload(bigquery_client, [str(catalog)], f"ds.{name}")
    assert same(tmp_path / "a", by_bigquery(bigquery_client, f"ds.{name}", tmp_path / "c"))


def by_bigquery(
    bigquery_client: bigquery.Client, given: str, output: Path, columns: str | None = None
) -> Path:
    run = runs.start("match", str(output), {}, {})
    assert run is not None
    matched = engines.by_bigquery(bigquery_client, given, columns, THESIS, storage_api=False)
    engines.write(run, matched, THESIS)
    return output


@pytest.mark.slow
def test_bigquery_writes_what_the_pipeline_writes(
    bigquery_client: bigquery.Client, tmp_path: Path
) -> None:
    catalog = tmp_path / "tracks.parquet"
    pq.write_table(pa.Table.from_pylist(messy_catalogue(5)), catalog)
    on_bigquery.upload(bigquery_client, [str(catalog)], "ds.messy")
    counts = same(
        by_beam(catalog, tmp_path / "a"),
        by_bigquery(bigquery_client, "local.ds.messy", tmp_path / "b"),
    )
    assert min(counts.values()) > 0
    query = "SELECT * EXCEPT (title), title AS name FROM ds.messy"
    named = by_bigquery(bigquery_client, query, tmp_path / "c", "title=name")
    assert same(tmp_path / "a", named) == counts


@pytest.mark.slow
def test_what_bigquery_refuses_is_one_line(bigquery_client: bigquery.Client) -> None:
    with pytest.raises(BadUsage, match=r"ds\.x`; DROP TABLE y: .* is no table"):
        engines.by_bigquery(bigquery_client, "ds.x`; DROP TABLE y", None, THESIS)
    with pytest.raises(Failed, match=r"--catalog ds\.none: BigQuery: .*none.* not found"):
        engines.by_bigquery(bigquery_client, "ds.none", None, THESIS)
    with pytest.raises(BadUsage, match="no column nome"):
        engines.by_bigquery(bigquery_client, "SELECT 1 AS a", "title=nome", THESIS)
