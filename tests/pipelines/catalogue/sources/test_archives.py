"""ListenBrainz' archive, a data set on disk, a DuckDB file: what is in them, what is hostile."""

import json
import shutil
import zipfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from pipelines.catalogue.sources import database
from stemlode.runs import BadUsage, Failed
from tests.pipelines.catalogue.sources import exported
from tests.pipelines.catalogue.sources.test_named import read

DUCKDB = f"duckdb:{exported.TABLE}"


def test_ids_and_durations_of_listens(tmp_path: Path) -> None:
    found, _ = read(exported.listenbrainz(tmp_path), "listenbrainz")
    facts = [(row["track_id"], row["recording_id"], row["duration_s"]) for row in found]
    assert facts == [
        ("mb1", "mb1", 201.4),
        ("mb1", "mb1", 201.4),
        ("ms3", None, 201.1),
        ("mb5", "mb5", 123),
    ]
    assert found[0] == found[1]  # what differs from listen to listen is no fact of the track
    assert (found[2]["isrc"], found[2]["album"]) == ("GB1", "A")


def test_files_of_listens_without_the_archive(tmp_path: Path) -> None:
    whole, _ = read(exported.listenbrainz(tmp_path), "listenbrainz")
    with zipfile.ZipFile(exported.listenbrainz(tmp_path)) as archive:
        archive.extractall(tmp_path / "out")
    found, _ = read(tmp_path / "out", "listenbrainz")
    assert sorted(map(str, found)) == sorted(map(str, whole))
    (tmp_path / "old.json").write_text(json.dumps(exported.LISTENS))
    assert len(read(tmp_path / "old.json", "listenbrainz")[0]) == len(whole)


def test_entries_that_are_no_listens(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    odd = [
        {},
        {"track_metadata": None},
        {"track_metadata": {"mbid_mapping": 1, "additional_info": []}},
    ]
    good = json.dumps(exported.LISTENS[0])
    path.write_text("\n".join([good, *map(json.dumps, odd), "[1]", "{"]))
    found, rejected = read(path, "listenbrainz")
    assert len(found) == 1 and rejected == {"bad_row": 4, "no_track_id": 1}


@pytest.mark.parametrize("name", ["user.json", "../../listens/2020/1.jsonl.exe", "listens/x.jsonl"])
def test_an_archive_of_something_else(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, "{}")
    with pytest.raises(BadUsage, match=r"a\.zip: is no export of listens from ListenBrainz"):
        read(tmp_path / "a.zip", "listenbrainz")


def test_caches_and_missing_files_of_a_data_set(tmp_path: Path) -> None:
    folder = exported.arrow(tmp_path)
    found, _ = read(folder, "arrow")
    assert sorted(row["track_id"] for row in found) == ["test", "test 3", "train", "train 3"]
    (folder / "test" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(
        Failed, match=r"state\.json: names data-00001-of-00002\.arrow, which is mis"
    ):
        read(folder, "arrow")


@pytest.mark.parametrize("name", ["../train/data-00000-of-00002.arrow", "/etc/passwd", "", "..", 7])
def test_a_state_that_names_files_elsewhere(name: object, tmp_path: Path) -> None:
    folder = exported.arrow(tmp_path) / "test"
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(BadUsage, match=r"state\.json: names .*, which is no file beside it"):
        read(folder, "arrow")


def test_a_stream_that_ends_between_two_batches(tmp_path: Path) -> None:
    folder = exported.arrow(tmp_path) / "test"
    path = folder / "data-00000-of-00002.arrow"
    table = pa.ipc.open_stream(path.read_bytes()).read_all()
    with pa.ipc.new_stream(path, table.schema) as sink:
        sink.write_table(table, max_chunksize=1)
    whole, _ = read(folder, "arrow")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(Failed, match="breaks off between two batches"):
        read(folder, "arrow")
    with pa.ipc.new_file(path, table.schema) as sink:  # with a footer, which knows the number
        sink.write_table(table, max_chunksize=1)
    assert read(folder, "arrow")[0] == whole


def test_arrow_that_points_outside_of_itself(tmp_path: Path) -> None:
    folder = exported.arrow(tmp_path) / "test"
    path = folder / "data-00000-of-00002.arrow"
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole) - 8, 40):
        path.write_bytes(whole[:place] + b"\xff\x7f\xff\x7f" + whole[place + 4 :])
        try:
            read(folder, "arrow")
        except (BadUsage, Failed) as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 9


def test_a_table_of_any_name(tmp_path: Path) -> None:
    path = exported.database(tmp_path)
    found, _ = read(path, DUCKDB)
    assert json.loads(found[0]["extra"])["plays"] == "12345678901234567890"
    assert json.loads(found[0]["extra"])["mood"] == "calm"
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM other").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("passwords", "passwords is a view, whose query is not run"),
        ("other", "has several tables other: main.other, more.other"),
        ("more.other", "no columns track_id, title"),
        ("nothing", "has no table nothing; its tables are"),
        ("other; DROP TABLE other", "has no table other; DROP TABLE other"),
        ('other" UNION SELECT 1 --', "has no table other"),
        ("read_csv('/etc/passwd')", "has no table read_csv"),
        ("duckdb_settings", "has no table duckdb_settings"),
    ],
)
def test_what_is_no_table(table: str, message: str, tmp_path: Path) -> None:
    path = exported.database(tmp_path)
    before = path.read_bytes()
    with pytest.raises(BadUsage) as caught:
        read(path, f"duckdb:{table}")
    assert message in str(caught.value) and str(path) in str(caught.value)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_a_column_that_computes_reads_no_files(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE MACRO told(x) AS (SELECT content FROM read_text('/etc/passwd'))")
        connection.execute(
            "CREATE TABLE t (track_id INTEGER, title VARCHAR, artist VARCHAR, duration_s DOUBLE, "
            "leak VARCHAR GENERATED ALWAYS AS (title || getvariable('HOME')))"
        )
        connection.execute("INSERT INTO t VALUES (1, 'T', 'A', 9)")
    found, _ = read(path, "duckdb:t")
    assert found[0]["extra"] is None


def test_parts_of_a_table_are_all_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = exported.database(tmp_path)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE many AS SELECT range AS track_id, 'T' AS title, 'A' AS artist, "
            "3.5 AS duration_s FROM range(500)"
        )
        connection.execute("DELETE FROM many WHERE track_id % 7 = 3")
        connection.execute("CREATE TABLE none AS SELECT * FROM many LIMIT 0")
    monkeypatch.setattr(database, "PART_ROWS", 200)
    found, _ = read(path, "duckdb:many")
    assert [row["track_id"] for row in found] == [str(n) for n in range(500) if n % 7 != 3]
    assert read(path, "duckdb:none")[0] == []


def test_another_file_of_that_name(tmp_path: Path) -> None:
    shutil.copy(__file__, tmp_path / "m.db")
    with pytest.raises(BadUsage, match=r"m\.db: is no database of DuckDB"):
        read(tmp_path / "m.db", "duckdb:t")
