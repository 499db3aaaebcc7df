"""CSV in the dialects that people have: what is not said is not guessed, but named."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.catalogue import tracks
from pipelines.catalogue.formats.dialect import PLAIN, Dialect
from pipelines.catalogue.reading import Catalogue
from stemlode.runs import BadUsage, Failed

ROW = {"track_id": "1", "title": 'Söng, "two"\n', "artist": "A;B|C\tD", "duration_s": "2.5"}


def write(path: Path, delimiter: str, head: str = "", rows: tuple = (ROW,)) -> Path:
    sink = io.StringIO()
    sink.write(head)
    writer = csv.DictWriter(sink, list(ROW), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(sink.getvalue(), newline="")
    return path


def read(path: Path, dialect: Dialect = PLAIN, columns: str | None = None) -> list[dict]:
    catalogue = Catalogue(str(path), columns, dialect)
    batches = [b for part in catalogue.parts() for b in catalogue.batches(part)]
    return [row for b in batches for row in b.records(np.arange(len(b)))]


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_delimiters(delimiter: str, tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", delimiter)
    assert read(path, Dialect(delimiter=delimiter)) == [ROW]
    if delimiter != ",":
        shown = "tab" if delimiter == "\t" else f"'{delimiter}'"
        with pytest.raises(BadUsage, match="no columns track_id, title") as caught:
            read(path)
        assert f"--delimiter {shown}" in str(caught.value)
    tsv = write(tmp_path / "c.tsv", "\t")
    assert read(tsv) == [ROW]


@pytest.mark.parametrize("head", ["sep=;\n", "sep=;\r\n", '"sep=;"\n', "\ufeffsep=;\n"])
def test_what_excel_says_of_the_delimiter(head: str, tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", ";", head)
    assert read(path) == [ROW] == read(path, Dialect(delimiter=";"))
    with pytest.raises(BadUsage, match=r"c\.csv: its first line is sep=';', not --delimiter '\|'"):
        read(path, Dialect(delimiter="|"))


def test_blank_lines_come_before_a_header(tmp_path: Path) -> None:
    assert read(write(tmp_path / "c.csv", ",", "\n\r\n\n")) == [ROW]


FMA = """\
,album,album,artist,track,track
,title,date_released,name,title,duration
track_id,,,,,
2,AWOL,2009-01-05 00:00:00,AWOL,"Food, again",168
"""


def test_three_header_rows(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(FMA)
    columns = "title=track.title,artist=artist.name,duration_s=track.duration,album=album.title"
    (row,) = read(tmp_path / "c.csv", Dialect(header_rows=3), columns)
    assert row["title"] == "Food, again" and row["track_id"] == "2"
    assert row["album.date_released"].startswith("2009")
    with pytest.raises(BadUsage, match="--header-rows 3"):
        read(tmp_path / "c.csv")


def test_no_header_at_all(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("7,Song,A,200\n8,Other,B,100\n")
    columns = "track_id=1,title=2,artist=3,duration_s=4"
    found = read(tmp_path / "c.csv", Dialect(header_rows=0), columns)
    assert [row["title"] for row in found] == ["Song", "Other"]


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    for end in ("", "\n", "\r", "\r\n\r\n"):
        (tmp_path / "c.csv").write_text("track_id,title,artist,duration_s" + end, newline="")
        assert read(tmp_path / "c.csv") == []


def test_a_block_may_begin_like_a_file_of_utf_8(tmp_path: Path) -> None:
    """The next block begins after the last line's end, with the mark that a file may have."""
    for inside in ("\n", "x"):
        rows = [["1", inside, "a", "2"], ["\ufeff3", "b", "c", "4"]]
        lines = [",".join(ROW), *(",".join(f'"{v}"' if v == "\n" else v for v in r) for r in rows)]
        (tmp_path / "c.csv").write_text("".join(f"{line}\r" for line in lines), newline="")
        assert [[row[name] for name in ROW] for row in read(tmp_path / "c.csv")] == rows


def test_rows_that_are_no_header_spoil_no_message(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('id,name\n1,"a"b\n')
    with pytest.raises(BadUsage, match="no columns track_id, title"):
        read(tmp_path / "c.csv")


def test_a_header_that_breaks_off(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('a,b\ntrack_id,"title\n1,2\n')
    with pytest.raises((Failed, BadUsage), match=r"c\.csv"):
        read(tmp_path / "c.csv", Dialect(header_rows=2), "title=a.track_id")


def test_options_of_csv_need_csv(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"track_id": 1}\n')
    for dialect in (Dialect(delimiter=";"), Dialect(header_rows=3)):
        with pytest.raises(BadUsage, match="says how CSV is written"):
            read(tmp_path / "c.jsonl", dialect)


def test_all_missing_columns_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,name\n1,x\n")
    with pytest.raises(BadUsage) as caught:
        read(tmp_path / "c.csv")
    every = "track_id=NAME,title=NAME,duration_s=NAME,artist=NAME"
    assert "no columns track_id, title, duration_s, artist; it has id, name" in str(caught.value)
    assert f"--columns {every}" in str(caught.value)


def test_decimal_commas_and_units(tmp_path: Path) -> None:
    for written, dialect, expected in (
        ("205,5", Dialect(decimal_comma=True), 205.5),
        ("3:25,5", Dialect(decimal_comma=True), 205.5),
        ("1.234,5", Dialect(decimal_comma=True), None),
        ("205500", Dialect(duration_unit="ms"), 205.5),
        ("205500,5", Dialect(duration_unit="ms", decimal_comma=True), 205.5005),
        ("2055000000", Dialect(duration_unit="ticks"), 205.5),
        ("3:25", Dialect(duration_unit="ticks"), 205),
        ("205,5", PLAIN, None),
    ):
        path = write(tmp_path / "c.csv", ",", rows=({**ROW, "duration_s": written},))
        catalogue = Catalogue(str(path), None, dialect)
        (batch,) = catalogue.batches(catalogue.parts()[0])
        assert tracks.check(batch).duration_s.to_pylist() == [expected]


def test_a_unit_and_milliseconds(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("track_id,title,artist,duration_ms\n1,x,A,205500\n")
    with pytest.raises(BadUsage, match="--duration-unit is that of duration_s"):
        read(tmp_path / "c.csv", Dialect(duration_unit="s"))


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(TEXTS, min_size=4, max_size=4), min_size=1, max_size=6),
    delimiter=st.sampled_from([",", ";", "|", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"]),
    states=st.booleans(),
)
@example([["1", "x", "\ufeff", "2"]], ",", csv.QUOTE_MINIMAL, "\n", "utf-8", False)
@example([["1", "", "", ""], ["\ufeff", "", "", ""]], ",", csv.QUOTE_MINIMAL, "\r", "utf-8", False)
def test_whatever_a_writer_writes_comes_back(
    tmp_path: Path,
    rows: list,
    delimiter: str,
    quoting: int,
    ending: str,
    encoding: str,
    states: bool,
) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # Python's writer quotes the ends of its own lines alone
        for mark in {*"\r\n"} - {*ending}:
            rows = [[value.replace(mark, " ") for value in row] for row in rows]
    sink = io.StringIO()
    if states:
        sink.write(f"sep={delimiter}{ending}")
    writer = csv.writer(sink, delimiter=delimiter, quoting=quoting, lineterminator=ending)
    writer.writerow(ROW)
    writer.writerows(rows)
    (tmp_path / "c.csv").write_bytes(sink.getvalue().encode(encoding))
    dialect = Dialect(encoding=encoding, delimiter=None if states else delimiter)
    found = [[row[name] for name in ROW] for row in read(tmp_path / "c.csv", dialect)]
    assert found == [[value or None for value in row] for row in rows]
