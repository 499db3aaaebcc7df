"""`stemlode match`: the pairs of a plain implementation, one reject a bad row, the same bytes."""

import gzip
import json
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from pipelines.match import command as match_command
from pipelines.match import record
from stemlode import runs, schemas, tables
from stemlode.runs import BadUsage
from tests.plain_match import plain_digest, plain_key, plain_pairs

Row = dict[str, Any]
PROJECT = Path(__file__).resolve().parents[3]


# Running ours


def run(catalog: Path, output: Path, *flags: str) -> dict[str, int]:
    """The counts of a run, checked to add up."""
    engine = () if any("--direct" in flag for flag in flags) else ("--engine=beam",)
    assert match_command.main([f"--catalog={catalog}", f"--output={output}", *engine, *flags]) == 0
    counts = runs.record(str(output))["counts"]
    kinds = ("rejected", "empty_keys", "instrumentals", "mixtures")
    assert counts["tracks_read"] == sum(counts[kind] for kind in kinds)
    assert counts["rejected"] == tables.read(str(output), "rejects").num_rows
    assert counts["candidates"] == tables.read(str(output), "candidates").num_rows
    return counts


def is_full(counts: dict[str, int]) -> bool:
    """Whether there is some of everything that a plain run can count."""
    return all(counts[name] for name in {*counts} - {"left_out", "not_chosen"})


def candidates(output: Path) -> list[Row]:
    found = tables.read(str(output), "candidates").sort_by("pair_id")
    assert found.schema.equals(schemas.CANDIDATE)
    return found.to_pylist()


def scalars(row: Row) -> Row:
    return {name: row[name] for name in schemas.CANDIDATE.names[:-2]}


def written(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.glob("*.parquet")}


@pytest.mark.parametrize("name", ["discographies", "playlists"])
def test_real_catalogues_give_the_plain_pairs(name: str, test_data: Path, tmp_path: Path) -> None:
    catalog = test_data / "catalogs" / f"{name}.parquet"
    tracks = pq.read_table(catalog).to_pylist()
    counts = run(catalog, tmp_path / "out")
    found = candidates(tmp_path / "out")
    assert [scalars(row) for row in found] == plain_pairs(tracks)
    assert counts["candidates"] == len(found) > 0
    assert counts["songs"] == len({row["song_id"] for row in found})
    by_id = {track["track_id"]: track for track in tracks}
    for row in found:
        for side, track_id in (("mix", "mix_track_id"), ("instrumental", "instrumental_track_id")):
            whole = json.loads(row[side]["extra"]) | row[side]
            expected = by_id[row[track_id]]
            assert {k: whole[k] for k in expected if whole.get(k) is not None} == {
                k: v for k, v in expected.items() if v is not None
            }


def test_judged_pairs_as_a_csv_catalogue(test_data: Path, tmp_path: Path) -> None:
    """Columns under other names, and another file format."""
    judged = pacsv.read_csv(test_data / "catalogs" / "labelled_pairs.csv").to_pylist()
    names = ("track_id", "artist_id", "artist", "title", "duration_s", "album")
    tracks = {
        row[f"{side}_track_id"]: {name: row[f"{side}_{name}"] for name in names}
        for row in judged
        for side in ("left", "right")
    }
    table = pa.Table.from_pylist(list(tracks.values()))
    catalog = tmp_path / "judged.csv"
    pacsv.write_csv(
        table.rename_columns(["id", "by", "artist", "name", "length", "album"]), catalog
    )
    mapping = "--columns=track_id=id, artist_id=by, title=name, duration_s=length"
    run(catalog, tmp_path / "out", mapping)
    found = [scalars(row) for row in candidates(tmp_path / "out")]
    assert found == plain_pairs(list(tracks.values()))
    right = {(row["left_track_id"], row["right_track_id"]) for row in judged if row["label"]}
    agreed = {(row["mix_track_id"], row["instrumental_track_id"]) for row in found} & right
    assert len(agreed) / len(right) > 0.5  # the thesis' rule finds about half of the hard cases


def test_the_catalogue_without_durations_is_refused_in_one_line(
    test_data: Path, tmp_path: Path
) -> None:
    catalog = test_data / "catalogs" / "hiphop_titles.parquet"
    command = [sys.executable, "-m", "stemlode", "match"]
    done = subprocess.run(
        [*command, f"--catalog={catalog}", f"--output={tmp_path / 'out'}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1
    for words in ("hiphop_titles.parquet", "duration_s", "artist, album", "--columns"):
        assert words in done.stderr
    assert not (tmp_path / "out").exists()


GOOD = {"track_id": "m", "artist": "A", "title": "Song", "duration_s": 100.0}
PARTNER = {**GOOD, "track_id": "i", "title": "Song (Instrumental)", "duration_s": 100.5}
BAD = [
    ("no_track_id", {**GOOD, "track_id": None}),
    ("no_track_id", {**GOOD, "track_id": ""}),
    ("no_track_id", {k: v for k, v in GOOD.items() if k != "track_id"}),
    ("no_title", {**GOOD, "track_id": "b1", "title": None}),
    ("no_title", {**GOOD, "track_id": "b2", "title": ""}),
    ("no_artist", {**GOOD, "track_id": "b3", "artist": None}),
    ("no_artist", {**GOOD, "track_id": "b4", "artist": "  "}),
    *(
        ("bad_duration", {**GOOD, "track_id": f"d{n}", "duration_s": length})
        for n, length in enumerate(
            [None, float("nan"), float("inf"), -float("inf"), -3.0, 0, -0.0, "3:2x", "", "x", [1]]
        )
    ),
    ("duplicate_id", {**GOOD, "title": "Song, once more"}),
    ("duplicate_id", {**GOOD, "title": "Song, yet again"}),
]


def test_every_bad_row_gives_one_reject(tmp_path: Path) -> None:
    catalog = tmp_path / "tracks.jsonl"
    lines = [json.dumps(row) for row in (GOOD, PARTNER, *(row for _, row in BAD))]
    lines += ["{half", '"a text"', "[1]", "北京", "[" * 100_000, "", '{"ß": 1}']
    catalog.write_text("\n".join(lines))
    counts = run(catalog, tmp_path / "out")
    rejects = tables.read(str(tmp_path / "out"), "rejects").to_pylist()
    expected = [error for error, _ in BAD] + ["bad_row"] * 5 + ["no_track_id"]
    assert sorted(row["error"] for row in rejects) == sorted(expected)
    assert counts["candidates"] == 1  # the bad rows did no harm to the good ones
    assert candidates(tmp_path / "out")[0]["mix"]["title"] == "Song"
    keys = [row["key"] for row in rejects if row["error"] == "bad_duration"]
    assert sorted(keys) == sorted(row["track_id"] for e, row in BAD if e == "bad_duration")
    for row in rejects:
        assert row["stage"] == "match" and row["message"]
        json.loads(row["record"])
    assert next(r for r in rejects if r["key"] == "d7")["message"].endswith("seconds: 3:2x")


def messy_catalogue(seed: int) -> list[Row]:
    """Keys with many versions, ids that are there twice or thrice, rows that are no track."""
    rng = random.Random(seed)
    titles = ["Song", "The Song", "Song (Instrumental)", "Song - Karaoke", "Zwei", "Zwei [Karaoke]"]
    rows = [
        {
            "track_id": f"t{rng.randrange(500)}",
            "artist_id": rng.choice(["a", "b", None]),
            "artist": rng.choice(["Ä", "The A", "b"]),
            "title": rng.choice([*titles, "(Intro)", "", None]),
            "duration_s": rng.choice([100.0, 100.4, 101.2, 180.0, -1.0, None]),
            "audio_uri": rng.choice(["/a.flac", "gs://b/c.flac", None]),
        }
        for _ in range(600)
    ]
    return [*rows, rows[0], rows[0]]


@pytest.mark.slow
def test_order_files_buckets_and_workers_change_no_byte(tmp_path: Path) -> None:
    rows = messy_catalogue(1)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "one.parquet", row_group_size=100)
    counts = run(tmp_path / "one.parquet", tmp_path / "a")
    assert is_full(counts)

    random.Random(2).shuffle(rows)
    folder = tmp_path / "many"
    folder.mkdir()
    for name, some in (("x", rows[:200]), ("y", rows[200:350]), ("z", rows[350:])):
        pq.write_table(pa.Table.from_pylist(some), folder / f"{name}.parquet", row_group_size=70)
    two = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")
    assert run(folder, tmp_path / "b", "--buckets=3", *two) == counts
    assert written(tmp_path / "a") == written(tmp_path / "b")


def test_file_formats_change_no_candidate(tmp_path: Path) -> None:
    rows = messy_catalogue(1)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "one.parquet")
    run(tmp_path / "one.parquet", tmp_path / "a")
    folder = tmp_path / "many"
    folder.mkdir()
    pacsv.write_csv(pa.Table.from_pylist(rows[:300]), folder / "part.csv")
    with gzip.open(folder / "part.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows[300:])
    run(folder, tmp_path / "b")
    assert candidates(tmp_path / "a") == candidates(tmp_path / "b") != []


def test_of_tracks_with_one_id_the_first_by_title_stays(tmp_path: Path) -> None:
    rows = messy_catalogue(4)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "one.parquet")
    run(tmp_path / "one.parquet", tmp_path / "out", "--buckets=1")
    by_id = defaultdict(list)
    for row in rows:
        if row["title"] and (row["duration_s"] or 0) > 0:
            artist_id = row["artist_id"] or plain_digest(plain_key(row["artist"]))
            track = {**row, "artist_id": artist_id}
            present = {name: value for name, value in track.items() if value is not None}
            text = json.dumps(present, sort_keys=True, ensure_ascii=False)
            by_id[row["track_id"]].append((row["title"], artist_id, row["duration_s"], text))
    left = [json.loads(min(records)[-1]) for records in by_id.values()]
    assert [scalars(row) for row in candidates(tmp_path / "out")] == plain_pairs(left)
    rejects = tables.read(str(tmp_path / "out"), "rejects").to_pylist()
    again = [(r["key"], r["record"]) for r in rejects if r["error"] == "duplicate_id"]
    expected = [(i, text) for i, rows in by_id.items() for *_, text in sorted(rows)[1:]]
    assert sorted(again) == sorted(expected) != []


@pytest.mark.slow
def test_worker_processes_change_no_byte(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(messy_catalogue(3)), tmp_path / "one.parquet")
    run(tmp_path / "one.parquet", tmp_path / "a")
    two = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    run(tmp_path / "one.parquet", tmp_path / "b", *two)
    assert written(tmp_path / "a") == written(tmp_path / "b")


def test_a_finished_run_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    catalog = tmp_path / "tracks.parquet"
    pq.write_table(pa.Table.from_pylist([GOOD, PARTNER]), catalog)
    run(catalog, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    capsys.readouterr()
    run(catalog, tmp_path / "out", "--buckets=5")  # which changes no result
    assert "already complete" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    with pytest.raises(BadUsage, match="--overwrite"):
        run(catalog, tmp_path / "out", "--columns=album=artist")
    run(catalog, tmp_path / "out", "--columns=album=artist", "--overwrite")
    assert candidates(tmp_path / "out")[0]["mix"]["album"] == "A"


def test_an_empty_catalogue_has_no_candidates(tmp_path: Path) -> None:
    fields = [(name, pa.string()) for name in ("track_id", "title", "artist", "duration_s")]
    pq.write_table(pa.schema(fields).empty_table(), tmp_path / "none.parquet")
    counts = run(tmp_path / "none.parquet", tmp_path / "out")
    assert counts == dict.fromkeys(record.COUNTS, 0)


def test_buckets_have_to_be_some(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([GOOD]), tmp_path / "tracks.parquet")
    with pytest.raises(BadUsage, match="--buckets 0"):
        run(tmp_path / "tracks.parquet", tmp_path / "out", "--buckets=0")


# Words that the rule does not know


@pytest.mark.parametrize("engine", ["beam", "duckdb"])
def test_unknown_words_beside_markers_are_counted_by_every_engine(
    engine: str, tmp_path: Path
) -> None:
    titles = [
        "Blue",
        "Blue (Riddim Inst.)",
        "Red (Inst. Riddim Tuba)",
        "Red (Live Inst.)",
        "Sun (Tuba)",
    ]
    again = ["Blue (Kazoo Inst.)", "Blue (Kazoo Inst.)"]  # one id: one track
    rows = [f"{n},a,{title},60" for n, title in enumerate(titles)] + [f"x,a,{t},60" for t in again]
    catalog = tmp_path / "tracks.csv"
    catalog.write_text("track_id,artist_id,title,duration_s\n" + "\n".join(rows))
    arguments = [f"--catalog={catalog}", f"--output={tmp_path}/out", f"--engine={engine}"]
    assert match_command.main([*arguments, "--rule=extended"]) == 0
    words = runs.record(f"{tmp_path}/out")["unknown_words"]
    assert words == {"riddim": 2, "kazoo": 1, "tuba": 1}


# A rule that has changed since


@pytest.fixture
def begun_before(tmp_path: Path) -> tuple[list[str], Path]:
    """The arguments of a finished run whose plan is as it was before rules had versions."""
    catalog, output = tmp_path / "tracks.csv", tmp_path / "out"
    catalog.write_text("track_id,artist_id,title,duration_s\n1,a,Blue,60\n2,a,Blue (Inst.),60\n")
    arguments = [f"--catalog={catalog}", f"--output={output}", "--rule=extended"]
    assert match_command.main(arguments) == 0
    plan = json.loads((output / "_PLAN.json").read_text())
    for name in ("rule_version", "covers", "artist_names"):
        del plan["options"][name]
    (output / "_PLAN.json").write_text(json.dumps(plan))
    return arguments, output


def test_a_run_finished_by_an_older_rule_stays_as_it_is(
    begun_before: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, output = begun_before
    before = written(output)
    assert match_command.main(arguments) == 0
    assert "already complete" in capsys.readouterr().out
    assert written(output) == before
    assert match_command.main([*arguments, "--overwrite"]) == 0
    assert runs.record(str(output))["options"]["rule_version"] == 2


def test_a_run_begun_by_an_older_rule_is_not_finished_by_a_newer_one(
    begun_before: tuple[list[str], Path],
) -> None:
    arguments, output = begun_before
    (output / "_SUCCESS").unlink()
    with pytest.raises(BadUsage, match=r"begun with version 1 of the rule, this is 2; .*overwrite"):
        match_command.main(arguments)
