"""Every batch function equals its scalar twin: for any Unicode, and on real catalogues."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matching import titles
from matching.latin import latinise

TWINS = [
    (titles.fuzzy, titles.fuzzy_batch),
    (titles.marker, titles.marker_batch),
    (titles.artist_key, titles.artist_key_batch),
]
both = pytest.mark.parametrize(("scalar", "batch"), TWINS, ids=lambda f: f.__name__)

# Pieces that meet every step of the rule, put together in every way.
PIECES = [
    *titles.NUMERALS,
    *titles.MARKERS,
    *("the", "The ", "theo", "x", "_", "&", "and", "'", "9", "-", " - ", " -", "(", "[", ")"),
    *(" ", "\t", "\n", "\x0b", "\x1f", "\x00", "\u00a0", "é", "İ", "ß", "北", "🎵", "ＯＮＥ", "–"),
]
title_like = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
texts = st.lists(st.none() | title_like | st.text(), max_size=12)


def one_by_one(scalar: Callable, rows: list[str | None]) -> list:
    return [None if row is None else scalar(row) for row in rows]


@both
@given(rows=texts)
@example(rows=[])
@example(rows=[None])
@example(rows=["", ""])
@example(rows=["instru", "mental kara", "oke"])  # no word reaches into the next row
@example(rows=["foo ", "- bar", "on", "e", "the", "o"])
def test_equal_for_any_unicode(scalar: Callable, batch: Callable, rows: list[str | None]) -> None:
    assert batch(pa.array(rows, pa.string())).to_pylist() == one_by_one(scalar, rows)


@both
def test_equal_for_every_code_point_with_letters(scalar: Callable, batch: Callable) -> None:
    rows = [f"one{chr(c)}the" for c in range(0x110000) if latinise(chr(c))]
    assert len(rows) > 40_000
    assert batch(pa.array(rows)).to_pylist() == one_by_one(scalar, rows)


@both
def test_equal_on_real_catalogues(scalar: Callable, batch: Callable, test_data: Path) -> None:
    column = "artist" if scalar is titles.artist_key else "title"
    for path in sorted((test_data / "catalogs").glob("*.parquet")):
        real = pq.read_table(path, columns=[column])[column]
        assert batch(real).to_pylist() == one_by_one(scalar, real.to_pylist())


@both
@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_any_string_type_gives_the_same(
    scalar: Callable, batch: Callable, kind: pa.DataType
) -> None:
    rows = ["One & the Ünly", None, "Karaoke - x", "one", "", "!!!", "Karaoke - x"]
    array = pa.array(rows).cast(kind)
    chunked = pa.chunked_array([array[:3], array[3:3], array[3:]])
    assert batch(array).to_pylist() == one_by_one(scalar, rows)
    assert batch(chunked).to_pylist() == one_by_one(scalar, rows)
    assert batch(array[2:]).to_pylist() == one_by_one(scalar, rows[2:])
    assert batch(chunked).type == batch(pa.nulls(2)).type


@both
def test_blocks_join_without_a_seam(
    scalar: Callable, batch: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["The One", "Fünf [x]", None, "Karaoke", "", "two - three", "é&é"] * 3
    monkeypatch.setattr(titles, "BLOCK_ROWS", 2)
    assert batch(pa.array(rows)).to_pylist() == one_by_one(scalar, rows)


@both
def test_hostile_sizes(scalar: Callable, batch: Callable) -> None:
    """A title of a megabyte, and what hides under a null."""
    rows = ["one " * 250_000, " " * 1_000_000 + "é", "(" * 1_000_000, "ok"]
    assert batch(pa.array(rows)).to_pylist() == one_by_one(scalar, rows)
    data, offsets = pa.py_buffer("Karaoke éone".encode()), pa.array([0, 8, 10, 13], pa.int32())
    hidden = pa.Array.from_buffers(
        pa.string(), 3, [pa.py_buffer(b"\x05"), offsets.buffers()[1], data]
    )
    assert batch(hidden).to_pylist() == one_by_one(scalar, ["Karaoke ", None, "one"])
