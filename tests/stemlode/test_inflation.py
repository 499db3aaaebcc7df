"""Small Parquet files that hold more than memory does: refused, or read a few rows at a time."""

import contextlib
import io
import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.catalogue.reading import Catalogue
from stemlode import inflation, schemas, tables
from stemlode.runs import BadUsage, Failed

MANY = 200_000


def _named(rows: int, text: str) -> pa.DictionaryArray:
    """One text that every row names."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


def _nested(rows: int, text: str, kind: str) -> pa.Array:
    texts = _named(rows, text)
    if kind == "list":
        return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32)), texts)
    if kind == "map":
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32))
        return pa.MapArray.from_arrays(offsets, texts, texts)
    if kind == "one list":
        return pa.ListArray.from_arrays(pa.array([0, rows], pa.int32()), texts)
    return pa.StructArray.from_arrays([texts], ["inner"]) if kind == "struct" else texts


def _opened(table: pa.Table, **facts: object) -> tuple[io.BytesIO, pq.ParquetFile]:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=False, **facts)
    assert len(sink.getvalue()) < 1 << 16
    return sink, pq.ParquetFile(sink)


@pytest.mark.parametrize("kind", ["text", "list", "struct", "map", "one list"])
def test_a_text_that_every_row_names(kind: str) -> None:
    """200 GB of text in a kilobyte."""
    source, table = _opened(pa.table({"a": _nested(MANY, "x" * 1_000_000, kind)}))
    with pytest.raises(pa.ArrowInvalid, match=r"would take .* GiB of memory, of 4\.0 GiB at most"):
        inflation.check(source, table)
    if kind == "one list":  # which cannot be read in pieces
        with pytest.raises(pa.ArrowInvalid, match="GiB of memory"):
            inflation.rows_at_a_time(source, table, [0], None, 1 << 16)
    elif kind in ("text", "struct"):
        assert inflation.rows_at_a_time(source, table, [0], None, 1 << 16) < 300
    inflation.check(source, table, ["b"])  # what is not read takes nothing


def test_texts_that_share_their_beginning() -> None:
    column = pa.array(["x" * 100_000] * 100)
    facts = {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY"}}
    source, table = _opened(pa.table({"a": column}), **facts)
    assert 100 < inflation.rows_at_a_time(source, table, [0], None, 1 << 16) < 1000
    inflation.check(source, table)
    with pytest.raises(pa.ArrowInvalid, match="would take"):
        inflation.check(source, table, most=1 << 20)


def test_pages_of_one_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflation, "MOST", 1 << 20)
    source, table = _opened(pa.table({"a": ["x" * (1 << 21)]}), use_dictionary=False)
    with pytest.raises(pa.ArrowInvalid, match="row group 0 would take"):
        inflation.rows_at_a_time(source, table, [0], None, 1 << 16)
    with pytest.raises(pa.ArrowInvalid, match="would take"):
        inflation.check(source, table, most=1 << 20)


def test_usual_tables_are_read_in_whole_pieces() -> None:
    rows = [f"title {number % 5000} " + "é" * 40 for number in range(MANY)]
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": rows, "b": [[row] for row in rows]}), sink)
    table = pq.ParquetFile(sink)
    inflation.check(sink, table)
    assert inflation.rows_at_a_time(sink, table, [0], None, 1 << 16) == 1 << 16


def test_a_catalogue_that_inflates_is_read_a_few_rows_at_a_time(tmp_path: Path) -> None:
    few, path = 500, tmp_path / "c.parquet"  # half a gigabyte of titles
    facts = {"track_id": [str(n) for n in range(few)], "artist": ["A"] * few}
    facts |= {"duration_s": [9.0] * few, "title": _named(few, "x" * 1_000_000)}
    pq.write_table(pa.table(facts), path, store_schema=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    given = Catalogue(str(path), None)
    rows = [len(batch) for part in given.parts() for batch in given.batches(part)]
    assert sum(rows) == few and max(rows) < 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 450_000  # KiB


def test_a_catalogue_that_cannot_be_read_in_pieces_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    facts = {"track_id": ["1"], "artist": ["A"], "duration_s": [9.0], "title": ["T"]}
    facts["extra"] = _nested(MANY, "x" * 1_000_000, "one list")
    pq.write_table(pa.table(facts), path, store_schema=False)
    given = Catalogue(str(path), None)
    with pytest.raises((BadUsage, Failed), match=r"c\.parquet.* GiB of memory"):
        [*given.batches(given.parts()[0])]


def test_a_run_by_someone_else_that_inflates_is_one_line(tmp_path: Path) -> None:
    columns = {
        field.name: _named(MANY, "x" * 1_000_000)
        if field.type == pa.string()
        else pa.array([None] * MANY, field.type)
        for field in schemas.REJECT
    }
    path = tmp_path / "rejects-00000-of-00001.parquet"
    pq.write_table(pa.table(columns), path, store_schema=False)
    with pytest.raises(Failed, match=r"rejects-.*: unreadable table: it would take .* GiB"):
        tables.read_part(str(path))


def test_a_flipped_bit_of_what_a_file_says_of_itself_is_said() -> None:
    """Some would end the process, if pyarrow were asked for what they say."""
    texts = pa.table({"a": ["x"] * 9, "b": [["p", "q"]] * 9, "c": range(9)})
    whole = _opened(texts)[0].getvalue()
    for place in range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole) - 8):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        with contextlib.suppress(OSError, ValueError, pa.ArrowException):
            table = pq.ParquetFile(io.BytesIO(damaged))
            inflation.check(io.BytesIO(damaged), table, most=100)
