"""Folders' names mean nothing, or with --partitions hive a column that the files lack."""

import json
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.catalogue import partitions, tracks
from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.reading import Catalogue, RowBatch
from stemlode.runs import BadUsage

HIVE = Dialect(partitions="hive")
ROW = {"track_id": "t", "title": "Song", "duration_s": 1.5}


def write(path: Path, row: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([row]), path)
    elif path.suffix == ".csv":
        path.write_text(f"{','.join(row)}\n{','.join(map(str, row.values()))}\n")
    else:
        path.write_text(json.dumps(row) + "\n")
    return path


def only(catalogue: Catalogue) -> RowBatch:
    (batch,) = [b for part in catalogue.parts() for b in catalogue.batches(part)]
    return batch


@given(st.text(min_size=1).filter(lambda text: text not in (partitions.NULL, ".", "..")))
def test_any_value_comes_back(value: str) -> None:
    found = partitions.of(f"/tracks/artist={quote(value, safe=' =+')}/2001/c.parquet")
    assert found == {"artist": value}


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_folder_gives_the_column_that_the_files_lack(ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "artist=Simon%20%26%20Garfunkel" / "release_year=1970" / "mood=a=b+c"
    write(folder / "genre=__HIVE_DEFAULT_PARTITION__" / "album=" / f"c.{ending}", ROW)
    batch = only(Catalogue(str(tmp_path), None, HIVE))
    (row,) = tracks.table(batch, tracks.check(batch), np.array([0])).to_pylist()
    assert (row["artist"], row["release_year"]) == ("Simon & Garfunkel", 1970)
    assert row["genre"] is None and row["album"] is None
    assert json.loads(row["extra"]) == {"mood": "a=b+c"}


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_without_the_option_folders_mean_nothing(ending: str, tmp_path: Path) -> None:
    write(tmp_path / "title=Foo" / "duration_s=300" / f"c.{ending}", {**ROW, "artist": "A"})
    batch = only(Catalogue(str(tmp_path)))
    checked = tracks.check(batch)
    assert (checked.title[0].as_py(), checked.duration_s[0].as_py()) == ("Song", 1.5)
    assert batch.further(np.array([0])) == [None]


def test_a_duration_is_cast_as_a_csv_s(tmp_path: Path) -> None:
    row = {"track_id": "t", "name": "Song", "artist": "A"}
    write(tmp_path / "length=200.5" / "c.parquet", row)
    catalogue = Catalogue(str(tmp_path), "duration_s=length,title=name", HIVE)
    assert tracks.check(only(catalogue)).duration_s.to_pylist() == [200.5]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_column_in_both_is_an_error(ending: str, tmp_path: Path) -> None:
    write(tmp_path / "title=Foo" / f"c.{ending}", {**ROW, "artist": "A"})
    with pytest.raises(BadUsage, match=rf"c\.{ending}: column title is in the file, and a folder"):
        only(Catalogue(str(tmp_path), None, HIVE))


def test_a_column_in_both_that_only_late_json_rows_have(tmp_path: Path) -> None:
    path = write(tmp_path / "album=X" / "c.jsonl", {**ROW, "artist": "A"})
    late = {**ROW, "artist": "A", "album": "Y"}
    path.write_text(path.read_text() * 2000 + json.dumps(late) + "\n")
    with pytest.raises(BadUsage, match="column album is in the file"):
        only(Catalogue(str(tmp_path), None, HIVE))


def test_two_folders_for_one_column(tmp_path: Path) -> None:
    write(tmp_path / "artist=A" / "artist=B" / "c.parquet", ROW)
    with pytest.raises(BadUsage, match="two folders name the column artist"):
        only(Catalogue(str(tmp_path), None, HIVE))


def test_a_folder_that_is_no_utf8(tmp_path: Path) -> None:
    write(tmp_path / "artist=%ff" / "c.parquet", ROW)
    with pytest.raises(BadUsage, match="the folder artist=%ff is no UTF-8"):
        only(Catalogue(str(tmp_path), None, HIVE))


def test_a_column_that_only_folders_have_says_so(tmp_path: Path) -> None:
    write(tmp_path / "artist=A" / "c.parquet", ROW)
    with pytest.raises(BadUsage, match=r"no column artist; .* --partitions hive"):
        only(Catalogue(str(tmp_path)))
