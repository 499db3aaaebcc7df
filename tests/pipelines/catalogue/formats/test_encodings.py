"""Text is strict UTF-8; of any other, the place is named and the option to type, and no more."""

import codecs
import csv
import gzip
import io
import json
import random
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching import rules
from pipelines.catalogue import aliases, tracks
from pipelines.catalogue.formats import encodings
from pipelines.catalogue.formats.dialect import PLAIN, Dialect
from pipelines.catalogue.formats.encodings import BadByte, Utf8, likely
from pipelines.catalogue.reading import Catalogue, RowBatch
from stemlode.runs import BadUsage

HEAD = "track_id,title,artist,duration_s\n"


def read(path: Path, dialect: Dialect = PLAIN) -> list[dict]:
    catalogue = Catalogue(str(path), None, dialect)
    batches = [b for part in catalogue.parts() for b in catalogue.batches(part)]
    return [row for b in batches for row in b.records(np.arange(len(b)))]


def refused(path: Path, dialect: Dialect = PLAIN) -> str:
    with pytest.raises(BadUsage) as caught:
        read(path, dialect)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(
    text=st.text(max_size=40),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030"]),
    chunk=st.integers(1, 9),
)
def test_any_text_comes_back_in_pieces(text: str, encoding: str, chunk: int) -> None:
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError:
        return
    with mock.patch.object(encodings, "CHUNK", chunk):
        read_back = io.BufferedReader(Utf8(io.BytesIO(data), encoding), 5).read()
    assert read_back.decode() == text.removeprefix("\ufeff")


@given(st.binary(max_size=60), st.integers(1, 9))
def test_the_first_bad_byte_is_found_where_it_is(data: bytes, chunk: int) -> None:
    try:
        data.decode()
        expected = None
    except UnicodeDecodeError as error:
        expected = error.start
    with mock.patch.object(encodings, "CHUNK", chunk):
        try:
            found = io.BufferedReader(Utf8(io.BytesIO(data), "utf-8")).read()
            assert expected is None and found == data.removeprefix(codecs.BOM_UTF8)
        except BadByte as error:
            assert error.place == expected


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv"])
def test_the_file_the_row_the_line_and_the_option(ending: str, tmp_path: Path) -> None:
    lines = [HEAD, '1,"two\nlines",A,2\n', "2,Вася,Б,2\n", "3,Мумий Тролль,В,3\n"]
    text = "".join(lines).replace(",", "\t" if ending == "tsv" else ",")
    data = text.encode("cp1251")
    path = tmp_path / f"c.{ending}"
    path.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    line = refused(path)
    for words in (f"{path}: row 2, line 4: byte 0xc2 is not UTF-8", "--encoding cp1251", "Вася"):
        assert words in line
    titles = [row["title"] for row in read(path, Dialect(encoding="cp1251"))]
    assert titles == ["two\nlines", "Вася", "Мумий Тролль"]


def test_json_lines_and_headers_too(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    row = {"track_id": "1", "title": "Mörk", "artist": "Märk", "duration_s": 2}
    path.write_bytes(
        b"\n".join(json.dumps(row, ensure_ascii=False).encode("latin-1") for _ in "ab")
    )
    line = refused(path)
    assert "line 1: byte 0xf6 is not UTF-8" in line and "--encoding cp1252" in line
    assert read(path, Dialect(encoding="latin-1")) == [row, row]
    path.unlink()
    path = tmp_path / "c.csv"
    path.write_bytes("Größe,title\n".encode("cp1252"))
    assert "the header, line 1: byte 0xf6" in refused(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "utf-32"])
def test_marks_and_wide_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes((HEAD + "1,Größe,A,2\r\n2,北京\u0a0a,B,3\r\n").encode(encoding))
    if encoding == "utf-8-sig":
        assert [row["title"] for row in read(path)] == ["Größe", "北京\u0a0a"]
    elif encoding != "utf-32":
        assert f"--encoding {encoding}" in refused(path)
    assert [row["title"] for row in read(path, Dialect(encoding=encoding))] == [
        "Größe",
        "北京\u0a0a",
    ]


def test_a_byte_that_the_given_encoding_lacks(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(HEAD.encode() + b"1,caf\x98,A,2\n")
    assert "row 1, line 2: byte 0x98 is not cp1251" in refused(path, Dialect(encoding="cp1251"))


def test_no_encoding_is_applied_by_guess(tmp_path: Path) -> None:
    """Two titles that differ in bytes which UTF-8 does not know are no pair, and no track."""
    path = tmp_path / "c.csv"
    path.write_bytes(HEAD.encode() + "1,Mörk,A,2\n2,Märk (Karaoke),A,2\n".encode("latin-1"))
    refused(path)
    first, second = read(path, Dialect(encoding="latin-1"))
    assert (first["title"], second["title"]) == ("Mörk", "Märk (Karaoke)")


ROWS = {"track_id": ["a", "b", "c"], "title": ["x", "y", "z"], "duration_s": [1.0, 2.0, 3.0]}


def table(folder: Path, **columns: pa.Array) -> Path:
    given = {**ROWS, "artist": ["A"] * 3, **columns}
    pq.write_table(pa.table(given), folder / "c.parquet", row_group_size=2)
    return folder / "c.parquet"


def test_bytes_of_a_table_are_text_of_the_encoding(tmp_path: Path) -> None:
    titles = [text.encode("cp1251") for text in ("Раз", "Мумий Тролль", "Три")]
    path = table(tmp_path, title=pa.array(titles))
    batch, *_ = _batches(path, Dialect(encoding="cp1251"))
    assert tracks.check(batch).title.to_pylist() == ["Раз", "Мумий Тролль", "Три"]
    with pytest.raises(BadUsage, match=r"row 1, column title: .* is not UTF-8; .* cp1251"):
        tracks.check(_batches(path)[0])


def test_a_broken_promise_names_the_row_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.catalogue.formats.parquet.PART_ROWS", 2)
    path = table(tmp_path, artist=pa.array([b"A", b"B", b"\xff"]).view(pa.string()))
    batches = _batches(path)
    tracks.check(batches[0])
    with pytest.raises(BadUsage, match=r"c\.parquet: row 3, column artist: .*\\xff.* promises"):
        tracks.check(batches[1])


def test_lists_and_albums_that_the_extended_rule_reads(tmp_path: Path) -> None:
    ids = pa.array([["a"], ["b", "c"], [b"\xff"]], pa.list_(pa.binary()))
    (batch,) = _batches(table(tmp_path, artist_ids=ids))
    checked = tracks.check(batch)
    tracks.keyed(batch, checked, rules.THESIS)
    with pytest.raises(BadUsage, match="row 3, column artist_ids"):
        tracks.keyed(batch, checked, rules.EXTENDED)


def test_bytes_that_nobody_reads_are_escaped(tmp_path: Path) -> None:
    odd = {"cover": pa.array([b"\x89PNG", None, b"ok"]), "genre": pa.array([b"M\xf6rk"] * 3)}
    odd["genre"] = odd["genre"].view(pa.string())
    (batch,) = _batches(table(tmp_path, **odd))
    first = tracks.table(batch, tracks.check(batch), np.array([0])).to_pylist()[0]
    assert first["genre"] == "M\\xf6rk" and json.loads(first["extra"]) == {"cover": "\\x89PNG"}


def _batches(path: Path, dialect: Dialect = PLAIN) -> list[RowBatch]:
    catalogue = Catalogue(str(path), None, dialect)
    return [b for part in catalogue.parts() for b in catalogue.batches(part)]


def test_aliases_are_converted_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "aliases.csv"
    path.write_bytes("alias,artist_id\nМумий Тролль,m\nМашина времени,v\n".encode("cp1251"))
    with pytest.raises(BadUsage, match=r"--aliases .*row 1, line 2: .* from cp1251 to UTF-8"):
        aliases.read(str(path))


SAMPLES = {
    "cp1252": ["Sigur Rós,Hoppípolla", "Björk,Jóga", "Françoise Hardy,L’été", "Motörhead,Ace"],
    "cp1251": ["Мумий Тролль,Владивосток 2000", "Кино,Группа крови", "Аквариум,Город золотой"],
    "cp1250": [
        "Karel Gott,Včelka Mája",
        "Tři sestry,Mexiko",
        "Myslovitz,Długość dźwięku",
        "Žbirka",
    ],
    "cp1254": ["Tarkan,Şımarık", "Sezen Aksu,Gülümse", "Barış Manço,Dağlar Dağlar"],
    "koi8_r": ["Мумий Тролль,Владивосток 2000", "Кино,Группа крови", "Аквариум,Город золотой"],
    "cp932": [
        "宇多田ヒカル,ファーストラブ",
        "坂本九,上を向いて歩こう",
        "初音ミク,みくみくにしてあげる",
    ],
    "cp949": ["아이유,좋은 날", "방탄소년단,봄날", "빅뱅,거짓말"],
    "gb18030": ["邓丽君,月亮代表我的心", "周杰伦,青花瓷", "王菲,红豆"],
    "utf-16-le": ["a,b", "c,d"],
}


@pytest.mark.parametrize(("encoding", "lines"), SAMPLES.items())
def test_what_is_likely(encoding: str, lines: Sequence[str]) -> None:
    text = "".join(f"{line},200\n" for line in lines)
    found = likely(text.encode(encoding))
    assert found is not None and text.encode(encoding).decode(found) == text


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x81\x8d\x8f\x90\x9d" * 9, bytes(range(256))])
def test_what_is_nothing_breaks_nothing(data: bytes) -> None:
    likely(data)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "cp1251", "cp932", "cp949", "gb18030", "koi8_r"])
def test_real_titles(encoding: str, test_data: Path) -> None:
    """Of twenty lines of a real catalogue that an encoding has, nine guesses in ten are right."""
    path = test_data / "catalogs" / "playlists.parquet"
    real = pq.read_table(path, columns=["artist", "title"])
    telling = {"cp1252": "äöüéñ", "cp932": "のカ", "cp949": "이사", "gb18030": "的我"}.get(
        encoding, "ияо"
    )
    pool = []
    for row in real.to_pylist():
        sink = io.StringIO()
        csv.writer(sink).writerow([row["artist"], row["title"]])
        try:
            data = sink.getvalue().encode(encoding)
        except UnicodeEncodeError:
            continue
        if any(letter in sink.getvalue() for letter in telling):
            pool.append(data)
    chance = random.Random(1)
    right = 0
    for _ in range(50):
        data = b"".join(chance.sample(pool, min(20, len(pool))))
        found = likely(data)
        right += found is not None and data.decode(found, "replace") == data.decode(encoding)
    assert right >= 45
