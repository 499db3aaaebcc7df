"""One rule, three engines: DuckDB and BigQuery write the very bytes that the pipeline writes."""

import dataclasses
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

from matching.rules import EXTENDED
from pipelines import transforms
from pipelines.catalogue.reading import Catalogue
from pipelines.match import command, estimate
from sql import on_bigquery
from stemlode import runs, tables
from stemlode.runs import BadUsage, Failed
from tests.pipelines.match.test_command import BAD, GOOD, PARTNER, is_full, messy_catalogue

Row = dict[str, Any]
NOWHERE = "http://127.0.0.1:9"  # where no server is


def by_beam(catalog: Path, output: Path, *flags: str) -> Path:
    return by("beam", catalog, output, *flags)


def by_duckdb(catalog: Path, output: Path, *flags: str) -> Path:
    return by("duckdb", catalog, output, *flags)


def by(engine: str, catalog: Path | str, output: Path, *flags: str) -> Path:
    arguments = [f"--catalog={catalog}", f"--output={output}", f"--engine={engine}", *flags]
    assert command.main(arguments) == 0
    return output


def same(one: Path, other: Path) -> dict[str, int]:
    """The counts of two runs that wrote the same bytes."""
    first, second = (runs.record(str(folder)) for folder in (one, other))
    for facts in ("counts", "notes", "durations", "releases", "large_keys"):
        assert first[facts] == second[facts]
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
        by_duckdb(tmp_path / "one.parquet", tmp_path / "b", "--threads=2"),
    )
    assert is_full(counts)
    random.Random(2).shuffle(rows)
    folder = tmp_path / "many [1]"
    folder.mkdir()
    schema = pa.Table.from_pylist(rows).schema
    for name, some in (("x", rows[:200]), ("y", rows[200:])):
        pq.write_table(pa.Table.from_pylist(some, schema), folder / f"{name}.parquet")
    assert same(tmp_path / "a", by_duckdb(folder, tmp_path / "c", "--threads=1")) == counts


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
    assert is_full(counts)


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
        by_duckdb(tmp_path / "tracks.parquet", tmp_path / "b", "--columns=album=mapped"),
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
    is_text = odd.type not in (pa.binary(), pa.string())  # the others here are no UTF-8
    if name == "title" and not is_text:
        for engine in ("beam", "duckdb"):
            with pytest.raises(BadUsage, match=r"row 1, column title: .* is not UTF-8"):
                by(engine, tmp_path / "tracks.parquet", tmp_path / engine)
        return
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
        placed = [
            transforms._placed(row, ("pair_id",), len(pieces))[0] for row in piece.to_pylist()
        ]
        assert set(placed) == {number}
    assert pa.concat_tables(piece for _, piece in pieces).sort_by("pair_id").equals(table)


def test_what_duckdb_cannot_do_is_one_line(tmp_path: Path) -> None:
    rows = [{**GOOD, "track_id": f"é{n}", "title": f"é {n}"} for n in range(50_000)]
    catalog = tmp_path / "tracks.parquet"
    pq.write_table(pa.Table.from_pylist(rows), catalog)
    with pytest.raises(Failed, match=r"tracks\.parquet: DuckDB: .*[Mm]emory"):
        by_duckdb(catalog, tmp_path / "a", "--memory=1MB")
    with pytest.raises(BadUsage, match=r"--memory lots: "):
        by_duckdb(catalog, tmp_path / "b", "--memory=lots")
    with pytest.raises(BadUsage, match=r"--spill .*nowhere: no such folder"):
        by_duckdb(catalog, tmp_path / "c", f"--spill={tmp_path}/nowhere")


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["thesis", "extended", "names"])
@pytest.mark.parametrize("name", ["discographies", "playlists"])
def test_real_catalogues(
    name: str, rule: str, bigquery_client: bigquery.Client, test_data: Path, tmp_path: Path
) -> None:
    catalog = test_data / "catalogs" / f"{name}.parquet"
    chosen = ["--rule=extended", "--artist-names"] if rule == "names" else [f"--rule={rule}"]
    flags = (*chosen, "--tolerance=2")
    by_beam(catalog, tmp_path / "a", *flags)
    counts = same(tmp_path / "a", by_duckdb(catalog, tmp_path / "b", *flags))
    assert counts["candidates"] > 0
    on_bigquery.upload(bigquery_client, [str(catalog)], f"ds.{name}_{rule}")
    table = f"ds.{name}_{rule}"
    assert same(tmp_path / "a", by_bigquery(bigquery_client, table, tmp_path / "c", *flags))


def by_bigquery(client: bigquery.Client, given: str, output: Path, *flags: str) -> Path:
    server = f"--bigquery-endpoint={client._connection.API_BASE_URL}"
    return by("bigquery", given, output, "--project=local", server, *flags)


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
    assert counts["candidates"] and counts["rejected"]
    query = "SELECT * EXCEPT (title), title AS name FROM ds.messy"
    named = by_bigquery(bigquery_client, query, tmp_path / "c", "--columns=title=name")
    assert same(tmp_path / "a", named) == counts


@pytest.mark.slow
def test_a_table_that_changed_is_another_catalogue(
    bigquery_client: bigquery.Client, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    catalog = tmp_path / "tracks.parquet"
    pq.write_table(pa.Table.from_pylist([GOOD, PARTNER]), catalog)
    on_bigquery.upload(bigquery_client, [str(catalog)], "ds.changing")
    by_bigquery(bigquery_client, "ds.changing", tmp_path / "out")
    by_bigquery(bigquery_client, "ds.changing", tmp_path / "out")
    assert "already complete" in capsys.readouterr().out
    bigquery_client.delete_table("ds.changing")  # the server keeps no time of a change
    on_bigquery.upload(bigquery_client, [str(catalog)], "ds.changing")
    with pytest.raises(BadUsage, match="--overwrite"):
        by_bigquery(bigquery_client, "ds.changing", tmp_path / "out")


@pytest.mark.slow
def test_what_bigquery_refuses_is_one_line(
    bigquery_client: bigquery.Client, tmp_path: Path
) -> None:
    for given, flags, kind, words in (
        ("ds.x`; DROP TABLE y", (), BadUsage, r"ds\.x`; DROP TABLE y: .* is no table"),
        ("ds.none", (), Failed, r"--catalog ds\.none: BigQuery: .*none.* not found"),
        ("SELECT 1 AS a", ("--columns=title=nome",), BadUsage, "no column nome"),
    ):
        with pytest.raises(kind, match=words):
            by_bigquery(bigquery_client, given, tmp_path / "out", *flags)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_bigquery_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"--catalog ds\.t: BigQuery: "):
        by("bigquery", "ds.t", tmp_path / "out", "--project=p", f"--bigquery-endpoint={NOWHERE}")


@pytest.mark.slow
def test_an_artists_title_that_is_there_too_often(tmp_path: Path) -> None:
    """100 × 100 "Intro": said and left out, and the rest is found, whatever the engine."""
    rows = [GOOD, PARTNER]
    for number in range(100):
        facts = {"artist": "Various", "duration_s": 60 + number / 200}
        rows.append({"track_id": f"m{number}", "title": "Intro", **facts})
        rows.append({"track_id": f"i{number}", "title": "Intro [Karaoke]", **facts})
    catalog = tmp_path / "tracks.parquet"
    pq.write_table(pa.Table.from_pylist(rows), catalog)
    found = by_beam(catalog, tmp_path / "a", "--max-key=9999")
    counts = same(found, by_duckdb(catalog, tmp_path / "b", "--max-key=9999"))
    assert (counts["candidates"], counts["left_out"]) == (1, 10_000)
    record = runs.record(str(found))
    assert record["large_keys"][0]["fuzzy_title"] == "intro"
    assert "'intro'" in record["notes"][0] and "10,000" in record["notes"][0]
    every = ("--max-key=10000",)
    assert same(
        by_beam(catalog, tmp_path / "c", *every), by_duckdb(catalog, tmp_path / "d", *every)
    )["candidates"] == 10_001  # fmt: skip


def test_one_original_for_each_instrumental(tmp_path: Path) -> None:
    rows = [
        {**PARTNER, "album": "Single", "release_year": 2001},
        {**GOOD, "track_id": "album", "duration_s": 100.45, "album": "Album"},
        {**GOOD, "track_id": "single", "duration_s": 100.1, "album": "SINGLE (Deluxe)"},
    ]
    catalog = tmp_path / "tracks.parquet"
    pq.write_table(pa.Table.from_pylist(rows), catalog)
    counts = same(
        by_beam(catalog, tmp_path / "a", "--one-to-one"),
        by_duckdb(catalog, tmp_path / "b", "--one-to-one"),
    )
    assert (counts["candidates"], counts["not_chosen"]) == (1, 1)
    (pair,) = tables.read(str(tmp_path / "a"), "candidates").to_pylist()
    assert pair["mix_track_id"] == "single"


def test_releases_with_instrumentals_by_year(tmp_path: Path) -> None:
    rows = [
        {**GOOD, "track_id": f"{year}{n}{title}", "title": title, "album": f"{year}{n}",
         "release_year": year}
        for year, albums in ((1999, 2), (2004, 3), (None, 1))
        for n in range(albums)
        for title in (["X", "X (Instrumental)"] if n == 1 else ["X"])
    ]  # fmt: skip
    catalog = tmp_path / "tracks.jsonl"
    catalog.write_text("\n".join(map(json.dumps, rows)))
    same(by_beam(catalog, tmp_path / "a"), by_duckdb(catalog, tmp_path / "b"))
    assert runs.record(str(tmp_path / "a"))["releases"] == {
        "1999": {"releases": 2, "with_instrumentals": 1},
        "2004": {"releases": 3, "with_instrumentals": 1},
    }


def test_durations_in_whole_seconds_are_said(tmp_path: Path) -> None:
    rows = [{**GOOD, "track_id": str(n), "title": str(n), "duration_s": 180 + n} for n in range(9)]
    catalog = tmp_path / "tracks.jsonl"
    catalog.write_text("\n".join(map(json.dumps, rows)))
    same(by_beam(catalog, tmp_path / "a"), by_duckdb(catalog, tmp_path / "b"))
    assert "9 of 9 durations are whole seconds" in runs.record(str(tmp_path / "a"))["notes"][0]


def test_extended_keys_artists_works_and_recordings(tmp_path: Path) -> None:
    """Different credits of one recording, and different titles of one work; all engines agree."""
    rows = [
        {**GOOD, "artist_id": "band", "artist_ids": ["band", "singer"]},
        {**PARTNER, "artist_id": "singer", "artist_ids": ["singer"], "title": "Song Instr."},
        {**GOOD, "track_id": "w1", "title": "Eine Geige", "work_id": "w", "duration_s": 300.0},
        {**GOOD, "track_id": "w2", "title": "A Violin - Off Vocal", "work_id": "w",
         "duration_s": 304.9},
        {**GOOD, "track_id": "r1", "title": "Same", "recording_id": "r"},
        {**GOOD, "track_id": "r2", "title": "Same (Karaoke)", "recording_id": "r"},
    ]  # fmt: skip
    catalog = tmp_path / "tracks.jsonl"
    catalog.write_text("\n".join(map(json.dumps, rows)))
    flags = ("--rule=extended",)
    same(by_beam(catalog, tmp_path / "a", *flags), by_duckdb(catalog, tmp_path / "b", *flags))
    found = tables.read(str(tmp_path / "a"), "candidates").to_pylist()
    assert sorted(pair["mix_track_id"] for pair in found) == ["m", "w1"]


@pytest.mark.parametrize(
    "ending",
    ["parquet", pytest.param("jsonl", marks=pytest.mark.slow)],  # DuckDB gets a copy
)
def test_artists_of_one_name(ending: str, tmp_path: Path) -> None:
    """One artist under two ids; which id the pairs have, and so their song, is the same for all."""
    titled = {"a": "Song", "b": "Song (Inst.)", "c": "Song (Karaoke)"}
    mix, other, own = (
        {**GOOD, "track_id": number, "title": title, "artist_ids": []}
        for number, title in titled.items()
    )
    rows = [
        {**mix, "artist_id": "1", "artist": "The Blue Band"},
        {**other, "artist_id": "2", "artist": "blue band", "artist_ids": ["9"]},
        {**own, "artist_id": "1", "artist": "The Blue Band"},
        {**mix, "track_id": "d", "artist_id": "3", "artist": None},  # names that nobody knows
        {**other, "track_id": "e", "artist_id": "4", "artist": None},
        {**mix, "track_id": "f", "artist_id": "5", "artist": "Renamed"},
        {**other, "track_id": "g", "artist_id": "5", "artist": "New"},
    ]
    catalog = tmp_path / f"tracks.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), catalog)
    else:
        catalog.write_text("\n".join(map(json.dumps, rows)))
    flags = ("--rule=extended", "--artist-names")
    same(by_beam(catalog, tmp_path / "a", *flags), by_duckdb(catalog, tmp_path / "b", *flags))
    found = tables.read(str(tmp_path / "a"), "candidates").to_pylist()
    pairs = {(p["mix_track_id"], p["instrumental_track_id"]): p["artist_id"] for p in found}
    assert pairs == {("a", "b"): "name:blueband", ("a", "c"): "name:blueband", ("f", "g"): "5"}
    rule = dataclasses.replace(EXTENDED, artist_names=True)
    assert estimate.expected(Catalogue(str(catalog)), rule, 100).candidates == 3
    by_duckdb(catalog, tmp_path / "c", "--rule=extended")
    assert tables.read(str(tmp_path / "c"), "candidates").num_rows == 2
    with pytest.raises(BadUsage, match="--artist-names needs --rule extended"):
        by_duckdb(catalog, tmp_path / "d", "--artist-names")
