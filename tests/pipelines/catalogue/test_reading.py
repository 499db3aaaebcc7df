"""Catalogues: every format and folder is read, and what is wrong with one is said in one line."""

import datetime
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from pipelines.catalogue import tracks
from pipelines.catalogue.formats import parquet
from pipelines.catalogue.mapping import mapping
from pipelines.catalogue.reading import NEEDED, Catalogue, RowBatch
from stemlode import files, runs, schemas, tables
from stemlode.runs import BadUsage, Failed

ROWS = [
    {"track_id": f"t{n}", "title": title, "artist": 'Ä, "B"\nC', "duration_s": n + 0.5}
    for n, title in enumerate(["One", "Zwei, drei", 'a "quoted" one', "two\nlines", "北京"])
]


def write(path: Path, rows: list[dict]) -> Path:
    """Rows in the format that the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
        return path
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if ".csv" in path.suffixes:
        sink = io.BytesIO()
        pacsv.write_csv(pa.Table.from_pylist(rows), sink)
        text = sink.getvalue()
    codec = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    path.write_bytes(pa.Codec(codec).compress(text, asbytes=True) if codec else text)
    return path


def batches(catalogue: Catalogue, columns: Sequence[str] | None = None) -> list[RowBatch]:
    return [b for part in catalogue.parts() for b in catalogue.batches(part, columns)]


def read(catalogue: Catalogue) -> list[dict]:
    return [row for b in batches(catalogue) for row in b.records(np.arange(len(b)))]


@pytest.mark.parametrize(
    "name",
    [
        "c.parquet",
        "c.csv",
        "c.csv.gz",
        "c.csv.zst",
        "c.CSV",
        "c.jsonl",
        "c.jsonl.gz",
        "c.jsonl.zst",
        "c.ndjson",
        "c.json",
    ],
)
def test_every_format_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, ROWS) if name != "c.CSV" else tmp_path / name
    if name == "c.CSV":
        write(tmp_path / "c.csv", ROWS).rename(path)
    found = [row | {"duration_s": float(row["duration_s"])} for row in read(Catalogue(str(path)))]
    assert found == ROWS


def test_only_needed_columns_are_read_where_they_are_enough(tmp_path: Path) -> None:
    path = write(tmp_path / "c.parquet", [row | {"lyrics": "la"} for row in ROWS])
    for batch in batches(Catalogue(str(path)), columns=NEEDED):
        assert "lyrics" not in batch.records(np.arange(1))[0]
        assert batch.column("title")[0].as_py()


def test_folders_and_globs(tmp_path: Path) -> None:
    write(tmp_path / "in" / "b.parquet", ROWS[:2])
    write(tmp_path / "in" / "deep" / "a.csv.gz", ROWS[2:4])
    write(tmp_path / "in" / "deep" / "b.jsonl.zst", ROWS[4:])
    for other in ("_hidden.csv", ".x.csv", "rejects-0.parquet", "run.json", "cover.jpg"):
        (tmp_path / "in" / other).write_text("not a catalogue")
    ids = [row["track_id"] for row in read(Catalogue(str(tmp_path / "in")))]
    assert sorted(ids) == ["t0", "t1", "t2", "t3", "t4"]
    ids = [row["track_id"] for row in read(Catalogue(f"{tmp_path}/in/*.parquet"))]
    assert ids == ["t0", "t1"]
    ids = [row["track_id"] for row in read(Catalogue(f"{tmp_path}/i*"))]
    assert sorted(ids) == ["t0", "t1", "t2", "t3", "t4"]


def test_a_run_s_folder_is_its_tables_but_not_its_rejects(tmp_path: Path) -> None:
    run = runs.start("scan", str(tmp_path), {}, {})
    assert run is not None
    made = [tables.write(run, "catalog-00000-of-00001.parquet", pa.Table.from_pylist(ROWS))]
    reject = pa.Table.from_pylist([schemas.reject("scan", "k", "e", "m")], schemas.REJECT)
    made.append(tables.write(run, "rejects-00000-of-00001.parquet", reject))
    with pytest.raises(BadUsage, match="not finished"):
        Catalogue(str(tmp_path)).parts()
    run.finish({}, {row["path"]: row["sha256"] for row in made})
    assert read(Catalogue(str(tmp_path))) == ROWS


def test_row_groups_are_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "c.parquet", ROWS)  # groups of 2, 2 and 1 rows
    for rows, expected in ((100, [(0, 1, 2)]), (4, [(0, 1), (2,)]), (1, [(0,), (1,), (2,)])):
        monkeypatch.setattr(parquet, "PART_ROWS", rows)
        parts = Catalogue(str(path)).parts()
        assert [part.row_groups for part in parts] == expected
        assert read(Catalogue(str(path))) == ROWS


def test_columns_are_mapped(tmp_path: Path) -> None:
    rows = [{"id": 1, "name": "T", "title": "their own", "by": "A", "len": 3}]
    columns = "track_id=id, title=name,artist=by,duration_s=len"
    catalogue = Catalogue(str(write(tmp_path / "c.jsonl", rows)), columns)
    (batch,) = batches(catalogue)
    assert batch.column("title").to_pylist() == ["T"]
    assert json.loads(batch.further(np.array([0]))[0] or "") == {"title": "their own"}


@pytest.mark.parametrize("lost", ["track_id", "title", "artist", "duration_s"])
@pytest.mark.parametrize("name", ["c.parquet", "c.csv", "c.jsonl"])
def test_a_missing_column_is_named_with_the_file_and_the_way_out(
    lost: str, name: str, tmp_path: Path
) -> None:
    rows = [{k: v for k, v in row.items() if k != lost} for row in ROWS]
    path = write(tmp_path / name, rows)
    with pytest.raises(BadUsage) as caught:
        Catalogue(str(path)).parts()
    line = str(caught.value)
    assert f"{path}: no column {lost}" in line and f"--columns {lost}=" in line
    assert ", ".join(rows[0]) in line and "\n" not in line


def test_one_file_of_many_without_a_column_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", ROWS)
    write(tmp_path / "b.parquet", [{"track_id": "x", "title": "y"}])
    with pytest.raises(BadUsage, match=r"b\.parquet: no columns duration_s, artist"):
        Catalogue(str(tmp_path)).parts()


def test_a_mapped_column_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "c.parquet", ROWS)
    with pytest.raises(BadUsage, match="no column ISRC; it has track_id, title"):
        Catalogue(str(path), "isrc=ISRC").parts()


def test_a_column_that_only_late_json_rows_have(tmp_path: Path) -> None:
    rows = [*ROWS * 300, ROWS[0] | {"album": "X", "ISRC": "Y"}]
    catalogue = Catalogue(str(write(tmp_path / "c.jsonl", rows)), "isrc=ISRC")
    (batch,) = batches(catalogue)
    assert batch.column("album")[-1].as_py() == "X"
    assert batch.column("isrc")[-1].as_py() == "Y"


@pytest.mark.parametrize("columns", ["title", "title=", "=x", "titel=name", "extra=x", "title=a,,"])
def test_a_mapping_that_is_none(columns: str) -> None:
    with pytest.raises(BadUsage, match="--columns"):
        mapping(columns)


def test_a_misspelt_column_of_ours_is_recognised() -> None:
    with pytest.raises(BadUsage, match="did you mean title"):
        mapping("titel=name")


def test_twice_the_same_column(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("track_id,title,title,artist,duration_s\n1,a,b,c,2\n")
    with pytest.raises(BadUsage, match="two columns title"):
        Catalogue(str(path)).parts()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.parquet", b""),
        ("c.parquet", b"PAR1 but no more"),
        ("c.jsonl.gz", b"not gzip"),
        (
            "c.csv.gz",
            gzip.compress(b"track_id,title,artist,duration_s\n" + b"x" * 9999, mtime=0)[:-20],
        ),
        ("c.jsonl.gz", gzip.compress(b'{"track_id": 1}\n' * 99, mtime=0)[:-9]),
        ("c.csv.zst", b"not zstd"),
        ("c.jsonl.zst", pa.compress(b'{"track_id": 1}\n' * 99, "zstd", asbytes=True)[:-9]),
        ("c.parquet.zst", b"a Parquet file packs itself"),
        ("c.csv", b'"track_id,title,artist,duration_s\n1,a,b,2\n'),
    ],
)
def test_an_unreadable_file_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises((Failed, BadUsage), match=name) as caught:
        batches(Catalogue(str(path)))
    assert "\n" not in str(caught.value)


def test_damage_in_the_middle_is_named_too(tmp_path: Path) -> None:
    path = write(tmp_path / "c.parquet", ROWS * 2000)
    data = bytearray(path.read_bytes())
    data[200:400] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(Failed, match=r"c\.parquet: cannot be read"):
        batches(Catalogue(str(path)))


@pytest.mark.parametrize("name", ["none.parquet", "none", "none/*.csv"])
def test_a_missing_catalogue(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="no such file or folder"):
        Catalogue(str(tmp_path / name)).parts()


def test_what_is_no_catalogue(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(BadUsage, match=r"ends in \.parquet"):
            Catalogue(str(path)).parts()
    (tmp_path / "c.csv").write_text("")
    with pytest.raises(BadUsage, match=r"c\.csv: is empty: it has neither a header nor rows"):
        Catalogue(str(tmp_path / "c.csv")).parts()


def test_lines_that_are_no_rows_stop_nobody(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    head = b"\xef\xbb\xbftrack_id,title,artist,duration_s\n"  # with a byte order mark
    path.write_bytes(head + b"1,a,b,2\n1,a,b,c,d,e\n2,caf\xc3\xa9,b,2\nshort\n3,c,d,4\n")
    (batch,) = batches(Catalogue(str(path)))
    assert [row["track_id"] for row in batch.records(np.arange(len(batch)))] == ["1", "2", "3"]
    assert [line for line, _ in batch.rows.broken] == ["1,a,b,c,d,e", "short"]
    (tmp_path / "c.csv").unlink()
    (tmp_path / "c.jsonl").write_text("\ufeff" + json.dumps(ROWS[0]) + "\n\n{\nnull\n")
    (batch,) = batches(Catalogue(str(tmp_path)))
    assert len(batch) == 1 and len(batch.rows.broken) == 2


def test_an_empty_json_lines_file_among_others(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", ROWS)
    (tmp_path / "b.jsonl").write_text("")
    assert read(Catalogue(str(tmp_path))) == ROWS


def test_a_catalogue_on_another_file_system() -> None:
    """fsspec's memory stands in for gs:// and s3://: the same layer, no network."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    files.write_bytes("memory://bucket/in/c.parquet", sink.getvalue().to_pybytes())
    files.write_bytes(
        "memory://bucket/in/d.csv.gz", gzip.compress(b"track_id,title,artist,duration_s\nz,a,b,2\n")
    )
    for path in ("memory://bucket/in", "memory://bucket/in/*"):
        assert [row["track_id"] for row in read(Catalogue(path))] == [
            "t0",
            "t1",
            "t2",
            "t3",
            "t4",
            "z",
        ]
    files.remove("memory://bucket")


def test_packed_files_in_several_pieces(tmp_path: Path) -> None:
    """As `cat a.zst b.zst` and parallel packers write them."""
    for name, codec in (("c.jsonl.gz", "gzip"), ("c.jsonl.zst", "zstd")):
        lines = [json.dumps(row).encode() + b"\n" for row in ROWS]
        packed = [pa.Codec(codec).compress(line, asbytes=True) for line in lines]
        (tmp_path / name).write_bytes(b"".join(packed))
        assert read(Catalogue(str(tmp_path / name))) == ROWS


def test_an_open_quote_swallows_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    lines = [
        "track_id,title,artist,duration_s",
        '1,"a",b,2',
        '2,"Heroes,b,2',
        '3,"c",b,2',
        "4,d,b,2",
    ]
    path.write_text("\n".join(lines) + "\n")
    for columns in (None, ("track_id", "duration_s")):
        (batch,) = batches(Catalogue(str(path)), columns)
        assert batch.column("track_id").to_pylist() == ["1", "3", "4"]
        ((line, why),) = batch.rows.broken
        assert line == '2,"Heroes,b,2' and "line 3" in why


def test_lists_of_artists_in_every_format(tmp_path: Path) -> None:
    found = {}
    for name, value in (("c.parquet", ["a", " b"]), ("c.jsonl", ["a", " b"]), ("c.csv", "a; b")):
        rows = [{**ROWS[0], "artist_ids": value}, {**ROWS[1], "artist_ids": None}]
        (batch,) = batches(Catalogue(str(write(tmp_path / name, rows))))
        found[name] = batch.texts("artist_ids", pa.array([0, 1]), ";").to_pylist()
    assert found["c.parquet"] == [["a", "b"], None] == found["c.csv"]
    assert found["c.jsonl"] == found["c.csv"]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("title", pa.array([["a", "list"]])),
        ("track_id", pa.array([{"a": "struct"}])),
        ("artist", pa.array([[("a", "map")]], pa.map_(pa.string(), pa.string()))),
        ("duration_s", pa.array([True])),
        ("duration_s", pa.array([datetime.time(0, 3)])),
        ("duration_s", pa.array([[3.0]])),
    ],
)
def test_a_column_whose_type_cannot_be_is_named(
    column: str, values: pa.Array, tmp_path: Path
) -> None:
    table = pa.Table.from_pylist(ROWS[:1])
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, values), tmp_path / "c.parquet")
    with pytest.raises(BadUsage, match=rf"c\.parquet: column {column} holds .*--columns {column}="):
        Catalogue(str(tmp_path / "c.parquet")).parts()


@pytest.mark.parametrize("name", ["c.parquet", "c.csv", "c.jsonl"])
def test_durations_in_milliseconds(name: str, tmp_path: Path) -> None:
    rows = [{**row, "length": 1234, "duration_ms": 5678} for row in ROWS]
    path = str(write(tmp_path / name, rows))
    for columns, expected in ((None, 0.5), ("duration_ms=length", 1.234)):
        batch, *_ = batches(Catalogue(path, columns))
        assert tracks.check(batch).duration_s[0].as_py() == expected
        further = json.loads(batch.further(np.array([0]))[0] or "")
        assert float(further["length" if columns is None else "duration_s"]) == (
            1234 if columns is None else 0.5
        )
    lost = [{k: v for k, v in row.items() if k != "duration_s"} for row in rows]
    batch, *_ = batches(Catalogue(str(write(tmp_path / name, lost)), None), NEEDED)
    assert tracks.check(batch).duration_s[0].as_py() == 5.678
    with pytest.raises(BadUsage, match="one of duration_s and duration_ms"):
        mapping("duration_s=a,duration_ms=b")
