"""What a file says is read the same by every engine of files, whatever its path or its types."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matching.rules import RULES
from pipelines.catalogue import options
from pipelines.catalogue.reading import Catalogue
from pipelines.catalogue.sources import musicbrainz
from pipelines.match import estimate
from stemlode import runs, tables
from stemlode.runs import BadUsage
from tests.pipelines.match.test_bad_catalogues import adds_up
from tests.pipelines.match.test_command import GOOD, PARTNER
from tests.pipelines.match.test_on_duckdb import by, same

Row = dict[str, Any]


def alike(catalog: Path, folder: Path, *flags: str) -> list[Row]:
    """The candidates that both engines find, in the same bytes, with counts that add up."""
    beam = by("beam", catalog, folder / "beam", *flags)
    counts = same(beam, by("duckdb", catalog, folder / "duckdb", *flags))
    assert adds_up(counts)
    return tables.read(str(beam), "candidates").to_pylist()


@pytest.mark.parametrize("ending", ["parquet", pytest.param("jsonl", marks=pytest.mark.slow)])
def test_folders_named_like_columns(ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "title=Foo" / "duration_s=300" / "artist=Muse"
    folder.mkdir(parents=True)
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist([GOOD, PARTNER]), folder / "c.parquet")
    else:
        (folder / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (GOOD, PARTNER)))
    (pair,) = alike(tmp_path / "in", tmp_path)
    assert pair["mix"]["title"] == "Song" and pair["mix"]["artist"] == "A"


@pytest.mark.slow
def test_partitioned_folders(tmp_path: Path) -> None:
    """As a writer of Hive's partitions leaves them, by Arrow's own."""
    rows = [
        {**row, "track_id": f"{row['track_id']}{n}", "artist": artist, "release_year": 2000 + n}
        for n, artist in enumerate(["Simon & Garfunkel", "Möt/head", None, "A=B"])
        for row in (GOOD, PARTNER)
    ]
    table = pa.Table.from_pylist(rows)
    pq.write_to_dataset(table, tmp_path / "in", partition_cols=["artist", "release_year"])
    found = alike(tmp_path / "in", tmp_path / "parted", "--partitions=hive")
    assert sorted(pair["mix"]["artist"] for pair in found) == [
        "A=B",
        "Möt/head",
        "Simon & Garfunkel",
    ]
    pq.write_table(table, tmp_path / "whole.parquet")
    whole = alike(tmp_path / "whole.parquet", tmp_path / "whole")
    assert [pair["pair_id"] for pair in whole] == [pair["pair_id"] for pair in found]


@pytest.mark.slow
def test_names_that_differ_in_case_alone(tmp_path: Path) -> None:
    """DuckDB takes them for one."""
    odd = {"mood": "x", "Mood": "y", "nested": {"a": 1, "A": 2}}
    rows = [{**GOOD, **odd}, {**PARTNER, **odd}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    (pair,) = alike(tmp_path / "c.parquet", tmp_path)
    assert json.loads(pair["mix"]["extra"]) == odd


@pytest.mark.slow
def test_text_of_another_encoding(tmp_path: Path) -> None:
    rows = [{**row, "artist": "Кино", "genre": "рок"} for row in (GOOD, PARTNER)]
    catalog = tmp_path / "c.csv"
    lines = [",".join(map(str, row.values())) for row in rows]
    catalog.write_bytes("\n".join([",".join(rows[0]), *lines]).encode("cp1251"))
    for engine in ("beam", "duckdb"):
        with pytest.raises(BadUsage, match=r"c\.csv: row 1, line 2: byte 0xca .* cp1251"):
            by(engine, catalog, tmp_path / engine)
    (pair,) = alike(catalog, tmp_path / "again", "--encoding=cp1251")
    assert (pair["mix"]["artist"], pair["mix"]["genre"]) == ("Кино", "рок")


def test_a_plan_from_before_the_options_is_the_same_run(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([GOOD, PARTNER]), tmp_path / "c.parquet")
    output = by("duckdb", tmp_path / "c.parquet", tmp_path / "out")
    plan = json.loads((output / "_PLAN.json").read_text())
    for name in options.ADDED:
        del plan["options"][name]
    (output / "_PLAN.json").write_text(json.dumps(plan))
    before = (output / "run.json").stat().st_mtime_ns
    by("duckdb", tmp_path / "c.parquet", output)
    assert (output / "run.json").stat().st_mtime_ns == before
    with pytest.raises(BadUsage, match=r"--partitions None, as all were .*, not hive"):
        by("duckdb", tmp_path / "c.parquet", output, "--partitions=hive")


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["thesis", "extended"])
def test_a_dialect_that_has_to_be_said(rule: str, tmp_path: Path) -> None:
    lines = [
        "Lieder;;;;;",
        "id;name;by;ids;code;length",
        "1;Söng;A;x | y;GB1 | GB2;205500,25",
        "2;Söng (Instrumental);B;['z', 'y'];[];3:25,5",
        "3;Söng (Karaoke);A;;;nichts",
    ]
    (tmp_path / "c.csv").write_bytes("\r\n".join(lines).encode("utf-16"))
    columns = "track_id=Lieder.id,title=name,artist=by,artist_ids=ids,isrc=code,duration_s=length"
    flags = [f"--rule={rule}", f"--columns={columns}", "--encoding=utf-16", "--header-rows=2"]
    flags += ["--list-separator= | ", "--duration-unit=ms", "--decimal-comma", "--delimiter=;"]
    found = alike(tmp_path / "c.csv", tmp_path, *flags)
    if rule == "extended":
        (pair,) = found
        assert (pair["artist_id"], pair["mix"]["isrc"]) == ("y", "GB1")
        assert pair["duration_difference_s"] == pytest.approx(0.00025)


def dumped(number: int, title: str, artist: str = "a", **facts: Any) -> Row:
    """A recording of a MusicBrainz dump, shortened."""
    credit = {"name": artist.upper(), "joinphrase": "", "artist": {"id": artist}}
    row = {"id": f"r{number}", "title": title, "length": 200_000, "video": False}
    return {**row, "artist-credit": [credit], "isrcs": [], "relations": [], **facts}


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["thesis", "extended"])
def test_a_dump_s_videos_and_what_has_no_title(rule: str, tmp_path: Path) -> None:
    instrumental = {"disambiguation": "instrumental"}
    rows = [
        dumped(0, "Song"),
        dumped(1, "Song", **instrumental),
        dumped(2, "Song", video=True),
        dumped(3, "Song", video=True, **instrumental),
        dumped(4, "Intro", artist=musicbrainz.UNKNOWN),
        dumped(5, "Intro", artist=musicbrainz.UNKNOWN, **instrumental),
    ]
    nameless = ["[unknown]", "[untitled]", "[silence]", "[data track]", "[Untitled]"]
    for number, title in enumerate(nameless):
        rows += [dumped(10 + number, title), dumped(20 + number, title, **instrumental)]
    catalog = tmp_path / "recording"
    catalog.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = alike(catalog, tmp_path, f"--rule={rule}", "--allow-rejects")
    pairs = {(pair["mix_track_id"], pair["instrumental_track_id"]) for pair in found}
    assert pairs == {("r0", "r1"), ("r2", "r3")}
    counts = runs.record(str(tmp_path / "beam"))["counts"]
    assert (counts["empty_keys"], counts["rejected"]) == (0, 2 * len(nameless) + 2)
    given = Catalogue(str(catalog))
    assert estimate.expected(given, RULES[rule], 100).candidates == 2


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[True, False], ["yes", None], [1, 0], ["1", "0"]])
def test_videos_of_any_catalogue(flags: list[Any], tmp_path: Path) -> None:
    rows = [{**GOOD, "is_video": flags[0]}, {**PARTNER, "is_video": flags[1]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    assert alike(tmp_path / "c.parquet", tmp_path) == []
    rows[1]["is_video"] = flags[0]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    (pair,) = alike(tmp_path / "c.parquet", tmp_path / "again")
    assert "is_video" in json.loads(pair["mix"]["extra"])
