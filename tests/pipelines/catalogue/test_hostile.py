"""Catalogues that are made to harm: each costs a reject, or ends in one line, in little memory."""

import gzip
import io
import json
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.catalogue.formats import json_rows
from pipelines.catalogue.reading import Catalogue
from stemlode.runs import BadUsage, Failed
from tests.pipelines.catalogue.sources.exported import LISTENS
from tests.pipelines.catalogue.sources.test_named import read

GOOD = b'{"track_id": %d, "title": "T", "artist": "A", "duration_s": 9}\n'
FILLING = 1 << 25  # bytes, of which memory may hold a quarter


def test_a_line_without_end_is_one_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MOST", 1 << 18)
    path = tmp_path / "c.jsonl.gz"
    long = b'{"track_id": 2, "title": "' + b"0" * FILLING + b'"}\n'
    path.write_bytes(gzip.compress(GOOD % 1 + long + GOOD % 3, 1))
    del long
    tracemalloc.start()
    found, rejected = read(path, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row["track_id"] for row in found] == ["1", "3"] and rejected == {"bad_row": 1}
    assert peak < FILLING / 4


def test_a_line_without_end_in_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MOST", 1 << 16)
    path = tmp_path / "l.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        good = json.dumps(LISTENS[0]).encode()
        archive.writestr("listens/2020/1.jsonl", b"0" * (1 << 22) + b"\n" + good)
    found, rejected = read(path, "listenbrainz")
    assert len(found) == 1 and rejected == {"bad_row": 1}


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 5_000_000,
        b'[{"a":' + b"[" * 2_000_000,
        b'{"track_id":' * 1_000_000,
        b'{"track_id": ' + b"9" * 1_000_000 + b"}",
    ],
)
def test_nests_and_numbers_without_end(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(text)
    try:
        found, rejected = read(path, None)
    except (BadUsage, Failed) as error:
        assert "c.json" in str(error) and "\n" not in str(error)
    else:
        assert not found and rejected == {"bad_row": 1}


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_a_dump_whose_recordings_are_a_link(kind: bytes, tmp_path: Path) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:xz") as archive:
        info = tarfile.TarInfo("mbdump/recording")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    path = tmp_path / "recording.tar.xz"
    path.write_bytes(sink.getvalue())
    with pytest.raises((BadUsage, Failed), match=r"recording\.tar\.xz"):
        read(path, None)
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("name", ["../../out", "/tmp/absolute", "mbdump/../../recording"])
def test_a_dump_with_names_that_lead_out_writes_nothing(name: str, tmp_path: Path) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:xz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(GOOD % 1)
        archive.addfile(info, io.BytesIO(GOOD % 1))
    path = tmp_path / "in" / "recording.tar.xz"
    path.parent.mkdir()
    path.write_bytes(sink.getvalue())
    try:
        assert len(read(path, None)[0]) == 1  # what is read as text harms nobody
    except BadUsage as error:
        assert "not a MusicBrainz dump" in str(error)
    assert [*tmp_path.rglob("*")] == [path.parent, path]


@pytest.mark.parametrize(
    "theirs",
    ["x'; DROP TABLE t; --", '"', "a`b", "${x}", "$(touch y)", "*", "read_csv('/etc/passwd')"],
)
def test_sql_in_columns_is_a_name(theirs: str, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    row = {"track_id": "1", theirs: "T", "artist": "A", "duration_s": 9}
    path.write_text(json.dumps(row))
    quoted = theirs.replace('"', '""')
    assert read(path, None, columns=f'title="{quoted}"')[0][0]["title"] == "T"
    with pytest.raises(BadUsage, match=r"c\.csv: no column"):
        (tmp_path / "c.csv").write_text("track_id,name,artist,duration_s\n1,T,A,9\n")
        Catalogue(str(tmp_path / "c.csv"), f'title="{quoted}"').parts()


def packed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(range(256)) * 9)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.write_bytes(gzip.compress(GOOD % 1)), "gzip; name it"),
        (lambda path: pq.write_table(pa.table({"a": list(range(999))}), path), "Parquet; name it"),
        (packed, "a zip archive, as .xlsx files are"),
    ],
)
@pytest.mark.parametrize("name", ["c.csv", "c.jsonl"])
def test_no_text_by_its_first_bytes(
    make: Callable[[Path], None], what: str, name: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    with pytest.raises(BadUsage, match=f"{name}: is no text but {what}"):
        read(tmp_path / name, None)


def test_columns_in_capitals_are_named(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("Track_ID,TITLE,artist,length\n1,T,A,9\n")
    with pytest.raises(BadUsage, match="--columns track_id=Track_ID,title=TITLE,duration_s=NAME"):
        read(tmp_path / "c.csv", None)
