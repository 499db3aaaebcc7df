"""Rows as Tracks: any type is read leniently, and what is no track says why, once."""

import datetime
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.catalogue import columns as catalogue_columns
from pipelines.catalogue import tracks
from pipelines.catalogue.reading import Catalogue, RowBatch
from stemlode import schemas
from stemlode.ids import digest


def only_batch(catalogue: Catalogue) -> RowBatch:
    (part,) = catalogue.parts()
    (batch,) = catalogue.batches(part)
    return batch


def batch_of(folder: Path, columns: dict, mapping: str | None = None) -> RowBatch:
    """One Parquet file with the needed columns, unless others are given, and these."""
    count = len(next(iter(columns.values())))
    needed = {"track_id": [f"t{n}" for n in range(count)], "title": ["T"] * count}
    needed |= {"artist_id": ["a"] * count, "duration_s": [1.0] * count}
    pq.write_table(pa.table(needed | columns), folder / "c.parquet")
    return only_batch(Catalogue(str(folder / "c.parquet"), mapping))


def as_tracks(batch: RowBatch) -> list[dict]:
    checked = tracks.check(batch)
    table = tracks.table(batch, checked, checked.good)
    assert table.schema.equals(schemas.TRACK)
    table.validate(full=True)
    return table.to_pylist()


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array([7, None]), ["7", None]),
        (pa.array([7.0, math.nan]), ["7", None]),
        (pa.array([7.5]), ["7.5"]),
        (pa.array(["", "x", None]), [None, "x", None]),
        (pa.array(["x", "x"]).dictionary_encode(), ["x", "x"]),
        (pa.array(["x"], pa.large_string()), ["x"]),
        (pa.array(["x"], pa.string_view()), ["x"]),
        (pa.array([b"caf\xc3\xa9", b"caf\xe9"]), ["café", "caf\\xe9"]),
        (pa.array([b"caf\xe9"]).view(pa.string()), ["caf\\xe9"]),
        (pa.array([["a", "ü"], None]), ['["a", "ü"]', None]),
        (pa.array([{"a": 1}]), ['{"a": 1}']),
        (pa.array([datetime.date(1999, 1, 2)]), ["1999-01-02"]),
        (pa.nulls(2), [None, None]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_any_type_is_read_as_text(values: pa.Array, texts: list[str | None]) -> None:
    assert catalogue_columns.text(values).to_pylist() == texts


@pytest.mark.parametrize(
    "wrong", ["3:2x", "", "x", "1_0", "0x10", "nan", "inf", "1e999", "-1", "0"]
)
def test_what_is_no_length(wrong: str) -> None:
    assert catalogue_columns.seconds(pa.array([wrong, "2"])).to_pylist() == [None, 2.0]


@given(st.lists(st.floats() | st.none()))
def test_lengths_are_finite_numbers_above_zero(values: list[float | None]) -> None:
    expected = [v if v is not None and math.isfinite(v) and v > 0 else None for v in values]
    assert catalogue_columns.seconds(pa.array(values, pa.float64())).to_pylist() == expected
    as_text = pa.array([None if v is None else repr(v) for v in values], pa.string())
    assert catalogue_columns.seconds(as_text).to_pylist() == expected


def test_other_number_types_are_lengths_too() -> None:
    assert catalogue_columns.seconds(pa.array([3, -3])).to_pylist() == [3.0, None]
    assert catalogue_columns.seconds(pa.array([" 3.5 ", "+.5e1"])).to_pylist() == [3.5, 5.0]
    assert catalogue_columns.seconds(pa.array([datetime.time(0, 3)])).to_pylist() == [None]


def test_artist_ids_are_derived_only_where_there_are_none(tmp_path: Path) -> None:
    batch = batch_of(
        tmp_path,
        {
            "artist_id": ["id", None, "", None, None],
            "artist": ["The Ä", "The Ä", "ä", "!!!", None],
        },
    )
    derived = [row["artist_id"] for row in as_tracks(batch)]
    assert derived == ["id", digest("a"), digest("a"), digest("!!!")]
    (reject,) = tracks.rejects(batch, tracks.check(batch))
    assert (reject["key"], reject["error"]) == ("t4", "no_artist")


def test_numbers_may_be_ids(tmp_path: Path) -> None:
    batch = batch_of(tmp_path, {"track_id": [10, 11], "artist_id": [1.0, 2.0]})
    ids = [(row["track_id"], row["artist_id"]) for row in as_tracks(batch)]
    assert ids == [("10", "1"), ("11", "2")]


def test_relative_audio_lies_beside_the_catalogue(tmp_path: Path) -> None:
    uris = ["a/b.flac", "/c.flac", "gs://d/e.flac", "", None]
    found = [row["audio_uri"] for row in as_tracks(batch_of(tmp_path, {"audio_uri": uris}))]
    assert found == [f"{tmp_path}/a/b.flac", "/c.flac", "gs://d/e.flac", None, None]


@pytest.mark.parametrize(
    "values",
    [["1999", "1999-12-31", "1999/1", "19", "x1999", "19990"], [1999, 1999, 1999, 19, None, 19990]],
    ids=["text", "integers"],
)
def test_years_of_dates(values: list, tmp_path: Path) -> None:
    rows = as_tracks(batch_of(tmp_path, {"released": values}, "release_year=released"))
    assert [row["release_year"] for row in rows] == [1999, 1999, 1999, None, None, None]
    assert all(row["extra"] is None for row in rows)


def test_further_columns_travel_along(tmp_path: Path) -> None:
    batch = batch_of(
        tmp_path,
        {
            "plays": [3, None],
            "tags": [["a", "ü"], None],
            "score": [math.nan, 0.5],
            "when": [datetime.date(2020, 1, 2), None],
            "extra": ['{"old": 1, "plays": 2}', "no JSON"],
            "isrc": [123, None],
        },
    )
    first, second = as_tracks(batch)
    expected = {"old": 1, "plays": 3, "tags": ["a", "ü"], "score": "nan", "when": "2020-01-02"}
    assert json.loads(first["extra"]) == expected
    assert json.loads(second["extra"]) == {"extra": "no JSON", "score": 0.5}
    assert first["isrc"] == "123"


def test_some_rows_are_the_same_as_all(tmp_path: Path) -> None:
    batch = batch_of(tmp_path, {"plays": list(range(9)), "audio_uri": [f"{n}" for n in range(9)]})
    checked = tracks.check(batch)
    some = np.array([7, 2])
    assert tracks.table(batch, checked, some).to_pylist() == [as_tracks(batch)[n] for n in some]


def test_a_record_keeps_what_the_row_held(tmp_path: Path) -> None:
    (row,) = as_tracks(batch_of(tmp_path, {"plays": [3], "album": [None]}))
    assert json.loads(tracks.record(row)) == {
        "track_id": "t0",
        "title": "T",
        "artist_id": "a",
        "duration_s": 1.0,
        "plays": 3,
    }
