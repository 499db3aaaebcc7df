"""Every type of Arrow is read as what it means, or named with its column."""

import datetime
import decimal
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching import rules
from pipelines.catalogue import tracks
from pipelines.catalogue.formats.arrow_types import settled, settled_type
from pipelines.catalogue.formats.rows import ArrowRows
from pipelines.catalogue.reading import Catalogue
from stemlode.runs import BadUsage

TEXTS = ["a", None, "bé", ""]
LISTS = [["a"], None, ["b", "c"], []]
texts = st.one_of(st.none(), st.text("abé", max_size=3))
lists = st.one_of(st.none(), st.lists(texts, max_size=3))

OF_TEXT = [pa.string(), pa.large_string(), pa.string_view()]
OF_LISTS = [
    make(inner)
    for make in (pa.list_, pa.large_list, pa.list_view, pa.large_list_view)
    for inner in (pa.string(), pa.string_view())
]


@given(st.lists(texts, min_size=1, max_size=9), st.sampled_from(OF_TEXT), st.integers(0, 3))
def test_texts(some: list[str | None], kind: pa.DataType, start: int) -> None:
    for column in (
        pa.array(some, kind),
        pa.array(some).dictionary_encode(),
        pc.run_end_encode(pa.array(some, pa.string())),
        pa.array([None if t is None else t.encode() for t in some], pa.binary_view()),
    ):
        batch = settled(pa.record_batch({"c": column.slice(start)}))
        assert ArrowRows(batch).column("c").cast(pa.string()).to_pylist() == some[start:]


@given(st.lists(lists, min_size=1, max_size=9), st.sampled_from(OF_LISTS), st.integers(0, 3))
def test_lists(some: list[list[str] | None], kind: pa.DataType, start: int) -> None:
    batch = settled(pa.record_batch({"c": pa.array(some, kind).slice(start)}))
    assert batch.column("c").type == pa.large_list(pa.string())
    assert batch.column("c").to_pylist() == some[start:]


@given(st.lists(lists, min_size=1, max_size=6))
def test_structs_of_lists_of_views(some: list[list[str] | None]) -> None:
    inner = pa.struct([("x", pa.list_view(pa.string_view())), ("y", pa.int8())])
    rows = [None if entry is None else {"x": entry, "y": 1} for entry in some]
    batch = settled(pa.record_batch({"c": pa.array(rows, inner)}))
    assert batch.column("c").to_pylist() == rows


ID = uuid.UUID(int=5)
FURTHER: list[tuple[pa.Array, Any]] = [
    (pa.array([ID.bytes] * 3, pa.uuid()), str(ID)),
    (pa.array(['{"a": 1}'] * 3, pa.json_()), '{"a": 1}'),
    (pa.array([b"ab"] * 3, pa.binary(2)), "ab"),
    (pa.array([1.5] * 3, pa.float16()), 1.5),
    (pa.array([decimal.Decimal("1.50")] * 3, pa.decimal128(9, 2)), "1.50"),
    (pa.array([["a", "b"]] * 3, pa.list_(pa.string(), 2)), ["a", "b"]),
    (pa.array([[("k", "v")]] * 3, pa.map_(pa.string(), pa.string())), [["k", "v"]]),
    (pa.array([(1, 2, 3)] * 3, pa.month_day_nano_interval()), [1, 2, 3]),
    (pa.array([2**30] * 3, pa.int32()).cast(pa.date32()), "<value out of range: 1073741824>"),
    (pa.array([2**62] * 3, pa.timestamp("us")), "<value out of range: 4611686018427387904>"),
    (pa.array([7] * 3, pa.timestamp("ms", "Mars/Olympus")), 7),
    (pa.array([2**62] * 3, pa.duration("s")), str(2**62)),
    (pa.array([datetime.time(1, 2)] * 3), "01:02:00"),
    (pa.UnionArray.from_sparse(pa.array([0] * 3, pa.int8()), [pa.array(["u"] * 3)]), "u"),
]


@pytest.mark.parametrize(("column", "expected"), FURTHER, ids=[str(c.type) for c, _ in FURTHER])
def test_further_columns_travel_along(column: pa.Array, expected: Any) -> None:
    from pipelines.catalogue.formats.rows import plain

    rows = ArrowRows(settled(pa.record_batch({"c": column})))
    assert plain(rows.records(np.array([2]))[0]["c"]) == expected


def write(folder: Path, **columns: pa.Array) -> Catalogue:
    given = {"track_id": ["1", "2", "3"], "title": ["x", "y", "z"], "artist": ["A"] * 3}
    pq.write_table(
        pa.table({**given, "duration_s": [1.0, 2.0, 3.0], **columns}), folder / "c.parquet"
    )
    return Catalogue(str(folder / "c.parquet"))


def checked(catalogue: Catalogue) -> Any:
    (batch,) = catalogue.batches(catalogue.parts()[0])
    return batch, tracks.check(batch)


def test_views_in_every_needed_column(tmp_path: Path) -> None:
    views = {name: pa.array(["1", "2", "3"], pa.string_view()) for name in ("track_id", "title")}
    ids = pa.array([["a"], None, ["b", "c"]], pa.list_view(pa.string_view()))
    batch, found = checked(write(tmp_path, **views, artist_ids=ids, genre=views["title"]))
    assert found.title.to_pylist() == ["1", "2", "3"]
    keyed = tracks.keyed(batch, found, rules.EXTENDED)
    assert keyed["artist_ids"].to_pylist() == [["a"], None, ["b", "c"]]
    assert tracks.table(batch, found, np.array([2]))["genre"].to_pylist() == ["3"]


def test_whole_floats_are_the_integers_that_they_were(tmp_path: Path) -> None:
    ids = {"track_id": pa.array([1.0, None, 2.0**53 - 1]), "artist_id": pa.array([7.0, 8.0, 9.0])}
    _, found = checked(write(tmp_path, **ids, title=pa.array([22.0, 1.5, 1999.0])))
    assert found.track_id.to_pylist() == ["1", None, str(2**53 - 1)]
    assert found.artist_id.to_pylist() == ["7", "8", "9"]
    assert found.title.to_pylist() == ["22", "1.5", "1999"]


@pytest.mark.parametrize("value", [1.5, 2.0**53, -(2.0**60), float("inf")])
@pytest.mark.parametrize("name", ["track_id", "artist_id"])
def test_other_floats_are_no_ids(name: str, value: float, tmp_path: Path) -> None:
    batch, found = checked(write(tmp_path, **{name: pa.array([1.0, value, 3.0])}))
    assert found.error.tolist() == [-1, 0, -1]
    (reject,) = tracks.rejects(batch, found)
    assert reject["error"] == "bad_id" and "no whole number for certain" in reject["message"]
    (tmp_path / "c.jsonl").write_text(
        '{"track_id": 1e300, "title": "x", "artist": "A", "duration_s": 1}'
    )
    _, found = checked(Catalogue(str(tmp_path / "c.jsonl")))
    assert found.error.tolist() == [0]


def test_a_float32_holds_fewer_integers(tmp_path: Path) -> None:
    ids = pa.array([2.0**24 - 1, 2.0**24, 5.0], pa.float32())
    assert checked(write(tmp_path, track_id=ids))[1].error.tolist() == [-1, 0, -1]


@pytest.mark.parametrize(
    ("name", "ids"),
    [("work_id", pa.array([1.0, 1e17, 3.0])), ("artist_ids", pa.array([[1.0], [2.0, 0.5], None]))],
)
def test_optional_ids_that_are_no_ids_end_the_run(name: str, ids: pa.Array, tmp_path: Path) -> None:
    batch, found = checked(write(tmp_path, **{name: ids}))
    tracks.keyed(batch, found, rules.THESIS)
    with pytest.raises(BadUsage, match=rf"c\.parquet: row 2, column {name}: .* is no id"):
        tracks.keyed(batch, found, rules.EXTENDED)


@pytest.mark.parametrize(
    "kind", [pa.struct([("a", pa.string_view())]), pa.list_view(pa.string()), pa.time64("us")]
)
def test_a_type_that_cannot_be_is_named_with_its_column(kind: pa.DataType, tmp_path: Path) -> None:
    name = "duration_s" if pa.types.is_time(kind) else "title"
    with pytest.raises(BadUsage, match=rf"column {name} holds .*--columns {name}="):
        write(tmp_path, **{name: pa.nulls(3, kind)}).parts()


def test_what_stays_stays() -> None:
    for kind in (pa.string(), pa.int64(), pa.float64(), pa.binary(), pa.date32(), pa.null()):
        assert settled_type(kind) == kind
