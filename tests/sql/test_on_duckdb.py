"""The rule's SQL on Parquet files: the pairs of a plain implementation, whatever the names."""

import math
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from matching.rules import THESIS, Rule
from sql import on_duckdb
from sql.match import CANDIDATE, Found, NotPlain
from tests.plain_match import plain_pairs

Row = dict[str, Any]
MOST = 10**9  # pairs of a key
NAMES = ("track_id", "artist_id", "artist", "title", "duration_s")
COLUMNS = {name: name for name in NAMES}
SCHEMA = pa.schema(
    [(name, pa.float64() if name == "duration_s" else pa.string()) for name in NAMES]
)


def find(tracks: list[Row], folder: Path, rule: Rule = THESIS, **options: Any) -> Found:
    path = folder / "tracks.parquet"
    pq.write_table(pa.Table.from_pylist(tracks, SCHEMA), path)
    limits = {"most_per_key": MOST, "threads": 2} | options
    return on_duckdb.find([str(path)], COLUMNS, rule, **limits)


def of_plain(tracks: list[Row]) -> list[Row]:
    return [{name: row[name] for name in CANDIDATE.names} for row in plain_pairs(tracks)]


def track(number: int, title: str, duration_s: float, **facts: Any) -> Row:
    row = {"track_id": f"t{number}", "artist_id": "a", "artist": "A", "title": title}
    return row | {"duration_s": duration_s} | facts


@pytest.mark.parametrize("name", ["discographies", "playlists"])
def test_real_catalogues_give_the_plain_pairs(name: str, test_data: Path) -> None:
    path = test_data / "catalogs" / f"{name}.parquet"
    tracks = pq.read_table(path).to_pylist()
    found = on_duckdb.find([str(path)], COLUMNS, THESIS, most_per_key=MOST, threads=2)
    assert found.candidates.schema == CANDIDATE
    assert found.candidates.to_pylist() == of_plain(tracks) != []
    assert found.counts["tracks_read"] == len(tracks)
    by_id = {row["track_id"]: row for row in tracks}
    for record in found.records.to_pylist():
        assert record.pop(on_duckdb.PATH) == str(path)
        assert record == by_id[record["track_id"]]
    paired = {*found.candidates["mix_track_id"].to_pylist()}
    paired |= {*found.candidates["instrumental_track_id"].to_pylist()}
    assert paired <= {*found.records["track_id"].to_pylist()}


# Float sums around the tolerance, and spans' edges at four times the tolerance.
durations = st.one_of(
    st.sampled_from([0.1, 0.3, 1.1, 1.3, 3.9, 4.0, 4.1, 3.0, 5.0, 7.999999999999999, 8.0, 9.0]),
    st.floats(0.01, 20),
    st.floats(min_value=1e-300, max_value=1e300),
)
catalogues = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(
            ["X", "X (Karaoke)", "x - Instrumental", "The X", "Ýnstrumental", "(x)", "5"]
        ),
        durations,
    ),
    max_size=30,
)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(catalogues, st.sampled_from([1.0, 0.1, 5.0]))
@example([("a", "X", 0.3), ("a", "X (Karaoke)", 1.3), ("a", "X [Karaoke]", 0.7)], 1.0)
def test_any_durations_and_tolerances(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, float]], tolerance_s: float
) -> None:
    tracks = [track(n, title, d, artist_id=a) for n, (a, title, d) in enumerate(rows)]
    rule = Rule("thesis", tolerance_s)
    found = find(tracks, tmp_path_factory.mktemp("any"), rule).candidates.to_pylist()
    assert found == [
        {name: row[name] for name in CANDIDATE.names} for row in plain_pairs(tracks, tolerance_s)
    ]


@pytest.mark.parametrize(
    ("mixture", "instrumental", "is_pair"),
    [
        (200.0, 201.0, False),  # strictly less
        (201.0, 200.0, False),
        (200.0, math.nextafter(201.0, 0), True),
        (0.7, 1.7, 1.7 - 0.7 < 1.0),  # as float64 subtraction has it
        (0.3, 1.3, 1.3 - 0.3 < 1.0),
        (math.nextafter(4.0, 0), 4.0, True),  # across the edge of a span
        (math.nextafter(4.0, 0), 5.0, False),
    ],
)
def test_the_boundary(mixture: float, instrumental: float, is_pair: bool, tmp_path: Path) -> None:
    tracks = [track(1, "X", mixture), track(2, "X (Instrumental)", instrumental)]
    assert find(tracks, tmp_path).candidates.num_rows == is_pair


def test_rows_with_errors_come_out_and_match_nothing(tmp_path: Path) -> None:
    good = [track(1, "X", 60.0), track(2, "X (Karaoke)", 60.5)]
    bad = [
        track(3, "X", math.nan),
        track(4, "X", -1.0),
        track(5, "X", 0.0),
        track(6, "X", math.inf),
        track(7, "", 60.0),
        track(8, "X", 60.0, artist_id="", artist=" \t\v"),
        track(9, "X", 60.0, artist_id=None, artist=None),
        {**track(0, "X", 60.0), "track_id": ""},
        dict.fromkeys(NAMES),
    ]
    found = find(good + bad, tmp_path)
    assert found.candidates.num_rows == 1
    assert found.counts["errors"] == len(bad)
    assert found.records.num_rows == len(bad) + 2


def test_of_tracks_with_one_id_the_first_by_title_artist_and_duration_stays(tmp_path: Path) -> None:
    tracks = [
        track(1, "Y", 60.0),
        track(1, "X", 61.5),
        track(1, "X", 60.5),  # this one
        track(1, "X", 10.0, artist_id="b"),
        track(2, "X (Karaoke)", 60.0),
        track(2, "X (Karaoke)", 60.0),
        track(3, "Y (Karaoke)", 60.0),
    ]
    found = find(tracks, tmp_path)
    assert found.candidates.to_pylist() == of_plain([tracks[2], tracks[4], tracks[6]])
    assert found.candidates.num_rows == 1
    assert found.counts["duplicates"] == 4
    assert found.records.num_rows == 6


def test_a_huge_key_costs_no_cross_product(tmp_path: Path) -> None:
    """100,000 tracks called "Intro", half of them instrumental: 2.5e9 combinations, few pairs."""
    count = 100_000
    numbers = np.arange(count)
    lengths = 1.0 + numbers * 2.0
    lengths[7] = lengths[6] + 0.5
    tracks = pa.table(
        {
            "track_id": pa.array(numbers).cast(pa.string()),
            "artist_id": ["various"] * count,
            "title": np.where(numbers % 2, "Intro (Instrumental)", "Intro").tolist(),
            "duration_s": lengths,
        }
    )
    pq.write_table(tracks, tmp_path / "tracks.parquet")
    columns = {name: name for name in tracks.schema.names}
    paths = [str(tmp_path / "tracks.parquet")]
    found = on_duckdb.find(paths, columns, THESIS, most_per_key=MOST, memory="256MB")
    assert found.candidates.select(["mix_track_id", "instrumental_track_id"]).to_pylist() == [
        {"mix_track_id": "6", "instrumental_track_id": "7"}
    ]


def test_hostile_names_and_titles_are_only_names_and_titles(tmp_path: Path) -> None:
    folder = tmp_path / "a'b[1]*?\"; DROP"
    folder.mkdir()
    title = "'; DROP TABLE tracks; -- {{title}} $latin `x` \\"
    tracks = pa.table(
        {
            'i"d`\\': ["1", "2"],
            "{{title}}": [f"{title} (Karaoke)", title],
            "'); --\n": [60, 61],
            "artist_id": [7, 7],
            "SELECT": [[1], [2]],
        }
    )
    path = folder / "x.parquet"
    pq.write_table(tracks, path)
    columns = {"track_id": 'i"d`\\', "title": "{{title}}", "duration_s": "'); --\n"}
    columns["artist_id"] = "artist_id"
    found = on_duckdb.find([str(path)], columns, Rule("o'x", 1.5), most_per_key=MOST)
    assert [(r["artist_id"], r["rule"]) for r in found.candidates.to_pylist()] == [("7", "o'x")]
    assert found.records.drop([on_duckdb.PATH]).sort_by("{{title}}").to_pylist() == [
        tracks.to_pylist()[1],
        tracks.to_pylist()[0],
    ]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([pa.table({"track_id": ["1"]}), pa.table({"track_id": [1]})], "different columns"),
        ([pa.table({"track_id": ["1"], "stemlode_path": [1]})], "stemlode_path"),
        ([pa.table({"track_id": ["1"], "Stemlode_Row": [1]})], "stemlode_row"),
        ([pa.table({"track_id": ["1"], "title": [["x"]]})], "title is neither"),
        ([pa.table({"track_id": ["1"], "title": [1.5]})], "title is neither"),
        ([pa.table({"a.b": [60.0], "track_id": ["1"], "title": ["x"]})], "a dot"),
        ([pa.table({"track_id": ["1"], "title": ["x"], "Title": ["y"]})], "Title"),
        ([pa.table({"track_id": ["1"], "title": ["x"], "duration_s": [True]})], "no number"),
    ],
)
def test_what_sql_cannot_read_is_said(tables: list[pa.Table], said: str, tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.parquet") for number in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path)
    names = tables[-1].schema.names
    columns = {n.lower(): n for n in names if n.lower() in NAMES}
    with pytest.raises(NotPlain, match=said):
        on_duckdb.find(paths, {"duration_s": names[0]} | columns, THESIS, most_per_key=MOST)


def test_text_that_is_no_utf8_is_said(tmp_path: Path) -> None:
    broken = pa.array([b"a\xff", b"b"]).view(pa.string())
    tracks = pa.table({"track_id": ["1", "2"], "title": broken, "duration_s": [1.0, 2.0]})
    path = tmp_path / "x.parquet"
    pq.write_table(tracks, path)
    columns = {name: name for name in tracks.schema.names}
    with pytest.raises(NotPlain):
        on_duckdb.find([str(path)], columns, THESIS, most_per_key=MOST)


def test_too_little_memory_and_no_disk_to_spill_is_an_error(tmp_path: Path) -> None:
    tracks = [track(n, f"Song {n} é", 60.0) for n in range(30_000)]
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    with pytest.raises(duckdb.Error):
        find(tracks, tmp_path, memory="2MB", spill=str(nowhere / "spill"))
