"""Catalogues as they come: every engine says the same of them, and no row is lost."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matching.rules import THESIS
from pipelines.catalogue.reading import Catalogue
from pipelines.match import command, estimate
from sql import on_bigquery
from stemlode import runs, tables
from stemlode.runs import BadUsage, Failed
from tests.pipelines.match.test_on_duckdb import by, by_bigquery, same

Row = dict[str, Any]
NULL = dict.fromkeys(("track_id", "title", "artist", "artist_id", "duration_s", "album", "work_id"))
SONG = {"artist": "A", "duration_s": 200.25}
ODD = [
    {**NULL},
    *({**SONG, "track_id": f"null {name}", "title": "X", **{name: None}} for name in NULL),
    {**SONG, "track_id": "long", "title": "é(" * 500_000},
    {**SONG, "track_id": "long marked", "title": "a" * 1_000_000 + " (Instrumental)"},
    {**SONG, "track_id": "long too", "title": "A" * 1_000_000},
    {**SONG, "track_id": "controls", "title": "So\x00ng\x1b[31m\x7f"},
    {**SONG, "track_id": "controls marked", "title": "Song31m\n(Karaoke)"},
    {**SONG, "track_id": "rtl", "title": "\u202eSong\u200f \u2067Two\u2069"},
    {**SONG, "track_id": "rtl marked", "title": "Song Two [Instrumental]"},
    {**SONG, "track_id": "emoji", "title": "🎵🎤"},
    {**SONG, "track_id": "emoji marked", "title": "🎵🎤 (Instrumental)"},
    {**SONG, "track_id": "surrogate \ud800", "title": "S\udfffng \ud83d"},
    {**SONG, "track_id": "twice", "title": "Twice"},
    {**SONG, "track_id": "twice", "title": "Twice", "duration_s": 7},
    {**SONG, "track_id": "<script>", "title": "'; DROP TABLE t; -- \\ {{title}} @rule `x`"},
    {**SONG, "track_id": "hostile", "title": "'; DROP TABLE t; -- (Karaoke)"},
    *(
        {**SONG, "track_id": f"duration {value}", "title": "X", "duration_s": value}
        for value in (0, -1, "", "3:2x", "nan", "inf", "1e999", True, [1], {"s": 1})
    ),
]


def adds_up(counts: dict[str, int]) -> bool:
    kinds = ("rejected", "empty_keys", "instrumentals", "mixtures")
    return counts["tracks_read"] == sum(counts[kind] for kind in kinds)


def written(rows: list[Row], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["thesis", "extended"])
def test_odd_rows_cost_themselves_alone(rule: str, tmp_path: Path) -> None:
    catalog = written(ODD, tmp_path / "odd.jsonl")
    flag = f"--rule={rule}"
    beam = by("beam", catalog, tmp_path / "a", flag)
    counts = same(beam, by("duckdb", catalog, tmp_path / "b", flag))
    assert counts["tracks_read"] == len(ODD) and adds_up(counts)
    pairs = tables.read(str(beam), "candidates").select(["mix_track_id", "instrumental_track_id"])
    found = {tuple(pair.values()) for pair in pairs.to_pylist()}
    assert {("long too", "long marked"), ("rtl", "rtl marked")} <= found
    # A title without letters is a key of its own in the extended rule, and none in the thesis'.
    of_signs = {pair for pair in found if any("emoji" in id_ for id_ in pair)}
    assert of_signs == ({("emoji", "emoji marked")} if rule == "extended" else set())
    causes = {row["error"] for row in tables.read(str(beam), "rejects").to_pylist()}
    assert causes == {"no_track_id", "no_title", "no_artist", "bad_duration", "duplicate_id"}


def generated(seed: int, rows: int = 400) -> list[Row]:
    """Tracks whose artists, works, recordings, ids, years and durations meet in every way."""
    chance = random.Random(seed)
    titles = [
        "Song",
        "Söng",
        "The Song, Pt. 2",
        "Song (part two)",
        "(Song) One",
        "Song One",
        "歌",
        "!!!",
    ]
    versions = [*[""] * 4, " (Live)", " - Remastered 2011", " (Inst.)", " [Live Instrumental]"]
    versions += [" カラオケ", " - Off Vocal", " (RAMI Remix)", " (RAMI Remix) (Instrumental)"]
    made = []
    for number in range(rows):
        artists = chance.sample(["a", "b", "c", " ", ""], k=chance.randint(0, 3))
        made.append(
            {
                "track_id": str(chance.randint(0, rows)) if chance.random() < 0.1 else f"t{number}",
                "title": chance.choice(titles) + chance.choice(versions),
                "artist": chance.choice(["Beatles", "The Beatles", "B", "ビートルズ", None]),
                "artist_id": chance.choice(["a", "b", None]),
                "artist_ids": artists,
                "work_id": chance.choice([None, None, "w1", "w2"]),
                "recording_id": chance.choice([None, "r1", "r2"]),
                "album": chance.choice([None, "Hits", "Hits (Instrumental Version)", "Änderung"]),
                "release_year": chance.choice([None, "1999", "2004-05-06", "04", 2010]),
                "duration_s": chance.choice([200, 201, 204.999, 205, 205.0001, 300.5]),
            }
        )
    return made


def typed(rows: list[Row]) -> pa.Table:
    """The same where a column has one type."""
    years = [None if row["release_year"] is None else str(row["release_year"]) for row in rows]
    lengths = [float(row["duration_s"]) for row in rows]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return pa.table({**columns, "release_year": years, "duration_s": lengths})


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["thesis", "extended"])
def test_artists_works_recordings_and_years_in_every_way(rule: str, tmp_path: Path) -> None:
    rows = generated(1)
    aliases = tmp_path / "aliases.csv"
    aliases.write_text("alias,artist_id\nB,a\nBeatles,b\nビートルズ,b\nX,a\nX,b\n,c\n")
    flags = (f"--rule={rule}", f"--aliases={aliases}", "--max-key=120", "--one-to-one")
    pq.write_table(typed(rows), tmp_path / "lists.parquet")
    beam = by("beam", tmp_path / "lists.parquet", tmp_path / "a", *flags)
    counts = same(beam, by("duckdb", tmp_path / "lists.parquet", tmp_path / "b", *flags))
    assert adds_up(counts) and counts["candidates"] > 10
    assert counts["left_out"] and counts["not_chosen"]
    assert counts["empty_keys"] or rule == "extended"  # where signs are a key
    assert {"1999", "2004"} <= runs.record(str(beam))["releases"].keys()
    # As text with ";" between, in milliseconds, without the columns' types.
    loose = [
        {
            **{name: value for name, value in row.items() if name != "duration_s"},
            "artist_ids": ";".join(row["artist_ids"]),
            "duration_ms": row["duration_s"] * 1000,
        }
        for row in rows
    ]
    catalog = written(loose, tmp_path / "loose.jsonl")
    in_ms = by("beam", catalog, tmp_path / "c", *flags)
    assert same(in_ms, by("duckdb", catalog, tmp_path / "d", *flags)) == counts


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
pieces = st.sampled_from(["Song", " (Inst.)", " [Karaoke]", " Live", "The ", " - ", "é", "pt. 2"])
names = st.one_of(texts, st.lists(pieces, max_size=4).map("".join))
anything = st.fixed_dictionaries(
    {
        "track_id": st.one_of(st.text(max_size=2), st.integers(0, 99).map(str)),
        "title": names,
        "artist": st.sampled_from(["A", "á", "", None]),
        "artist_ids": st.one_of(st.none(), st.lists(st.sampled_from(["x", "y", ""]), max_size=2)),
        "album": st.one_of(st.none(), names),
        "work_id": st.sampled_from([None, "w"]),
        "duration_s": st.sampled_from([100, 104.9, 105, 0.5]),
    }
)


@pytest.mark.slow
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(anything, min_size=1, max_size=40), st.sampled_from(["thesis", "extended"]))
def test_any_catalogue(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], rule: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    catalog = written(rows, folder / "tracks.jsonl")
    flags = (f"--rule={rule}", "--allow-rejects")  # most rows may lack an id
    beam = by("beam", catalog, folder / "a", *flags)
    counts = same(beam, by("duckdb", catalog, folder / "b", *flags))
    assert counts["tracks_read"] == len(rows) and adds_up(counts)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["thesis", "extended"])
def test_bigquery_has_lists_works_and_years_too(
    rule: str, bigquery_client: bigquery.Client, tmp_path: Path
) -> None:
    rows = generated(2, 150)
    for row in rows:
        row["artist_ids"] = ";".join(row["artist_ids"])
    pq.write_table(typed(rows), tmp_path / "text.parquet")
    flags = (f"--rule={rule}", "--max-key=30", "--one-to-one")
    table = f"ds.ways_{rule}"
    on_bigquery.upload(bigquery_client, [str(tmp_path / "text.parquet")], table)
    beam = by("beam", tmp_path / "text.parquet", tmp_path / "a", *flags)
    assert same(beam, by_bigquery(bigquery_client, table, tmp_path / "b", *flags))["candidates"]
    if rule == "extended":
        table = f"SELECT * EXCEPT (artist_ids), SPLIT(artist_ids, ';') AS artist_ids FROM {table}"
        by_lists = by_bigquery(bigquery_client, table, tmp_path / "c", *flags)
        columns = ["pair_id", "song_id", "artist_id"]
        one, other = (tables.read(str(run), "candidates") for run in (beam, by_lists))
        assert one.select(columns).equals(other.select(columns))


@pytest.mark.parametrize("engine", ["beam", "duckdb"])
def test_durations_in_milliseconds_are_said_and_not_guessed(engine: str, tmp_path: Path) -> None:
    rows = [{**SONG, "track_id": str(n), "title": str(n), "duration_s": 2e5 + n} for n in range(9)]
    run = by(engine, written(rows, tmp_path / "tracks.jsonl"), tmp_path / "out")
    notes = runs.record(str(run))["notes"]
    assert any("milliseconds" in note and "--duration-unit ms" in note for note in notes)


def test_files_with_different_schemas_are_one_catalogue(tmp_path: Path) -> None:
    folder = tmp_path / "tracks"
    folder.mkdir()
    mix = {"track_id": "m", "title": "X", "artist": "A", "duration_s": 100.0}
    pq.write_table(pa.Table.from_pylist([{**mix, "mood": "blue"}]), folder / "one.parquet")
    other = {"title": "X (Karaoke)", "duration_s": "100.5", "track_id": 2, "artist": "The A"}
    pq.write_table(pa.Table.from_pylist([{**other, "artist": "A"}]), folder / "two.parquet")
    beam = by("beam", folder, tmp_path / "a")
    assert same(beam, by("duckdb", folder, tmp_path / "b"))["candidates"] == 1


@pytest.mark.parametrize("engine", ["beam", "duckdb"])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.parquet", b"PAR1 but no more", r"a\.parquet"),
        ("a.jsonl.gz", gzip.compress(b'{"track_id": 1}\n' * 99, mtime=0)[:-9], r"a\.jsonl\.gz"),
        ("a.csv", b"track_id,duration_s\n1,2\n", "no columns title, artist"),
        ("a.txt", b"track_id", "no file that ends in"),
    ],
)
def test_files_that_are_no_catalogue_are_one_line(
    engine: str, name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    folder = tmp_path / "tracks"
    folder.mkdir()
    (folder / name).write_bytes(content)
    with pytest.raises((BadUsage, Failed), match=said) as error:
        by(engine, folder, tmp_path / "out")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--rule=fuzzy", "--rule"),
        ("--engine=spark", "--engine"),
        ("--tolerance=0", "--tolerance"),
        ("--tolerance=nan", "--tolerance"),
        ("--max-key=0", "--max-key"),
        ("--maximum-bytes-billed=1", "--engine bigquery"),
        ("--aliases=nowhere.csv", "nowhere.csv"),
        ("--columns=title=nome", "nome"),
        ("--columns=titel=name", "title"),
    ],
)
def test_options_that_cannot_be_are_one_line(
    flag: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    catalog = written([{**SONG, "track_id": "1", "title": "X"}], tmp_path / "tracks.jsonl")
    arguments = [f"--catalog={catalog}", f"--output={tmp_path}/out", flag]
    try:
        command.main(arguments)
    except (BadUsage, SystemExit) as error:
        assert said in f"{error} {capsys.readouterr().err}"
    else:
        pytest.fail(f"{flag} was taken")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rule", ["thesis", "extended"])
@pytest.mark.parametrize("name", ["discographies", "playlists"])
def test_an_estimate_is_what_a_run_finds(
    name: str, rule: str, test_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    catalog = test_data / "catalogs" / f"{name}.parquet"
    flags = [f"--catalog={catalog}", f"--rule={rule}"]
    assert command.main([*flags, "--estimate"]) == 0
    said = capsys.readouterr().out
    counts = runs.record(str(by("duckdb", catalog, tmp_path / "out", f"--rule={rule}")))["counts"]
    assert int(said.split(" candidates")[0].replace(",", "")) == counts["candidates"] > 0
    assert "hours of audio" in said and "largest keys" in said
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_sample_that_found_nothing_does_not_say_that_there_is_nothing(tmp_path: Path) -> None:
    rows = [
        {"track_id": f"{n}{end}", "title": f"X{end}", "artist": f"A{n}", "duration_s": 60.0 + n / 8}
        for n in range(500)
        for end in (("", " (Karaoke)") if n == 7 else ("",))
    ]
    catalogue = Catalogue(str(written(rows, tmp_path / "tracks.jsonl")))
    found = estimate.expected(catalogue, THESIS, 100, most_tracks=20)
    assert found.share < 0.1 and found.candidates == 0
    assert "probably fewer than" in estimate.lines(found)[0] and found.most > 10
