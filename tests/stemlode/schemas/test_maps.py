"""Maps lie on disk as lists of entries, and are maps again when they are read."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlode import runs, schemas, tables
from stemlode.schemas import maps

MAPS = [field for field in schemas.INDEX if pa.types.is_map(field.type)]
MEMBER = st.fixed_dictionaries(
    {
        "offset": st.integers(0, 1 << 40),
        "size": st.integers(0, 1 << 30),
        "seek_step": st.none() | st.integers(1, 1 << 20),
        "seek_points": st.none() | st.lists(st.integers(0, 1 << 30), max_size=3),
    }
)
VALUES = {
    "salient": st.lists(st.floats(0, 100), max_size=3),
    "energies_db": st.floats(-120, 0),
    "members": MEMBER,
    "sha256": st.text(max_size=3),
}
ROWS = st.fixed_dictionaries(
    {
        name: st.none() | st.lists(st.tuples(st.text(max_size=3), values), max_size=3)
        for name, values in VALUES.items()
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ROWS, max_size=5), st.integers(0, 4))
def test_what_is_stored_is_read_again(rows: list[dict[str, Any]], cut: int) -> None:
    schema = pa.schema([field.with_nullable(True) for field in MAPS])
    table = pa.Table.from_pylist(rows, schema)
    whole = pa.concat_tables([table.slice(cut), table, table.slice(0, cut)])  # with offsets
    stored = maps.stored(whole)
    assert not any(pa.types.is_map(field.type) for field in stored.schema)
    found = tables.fitted(stored, schema)
    found.validate(full=True)
    assert found.equals(whole) and found.schema.equals(schema, check_metadata=True)
    assert tables.fitted(whole, schema).equals(whole)  # as versions 1 and 2 have them


@pytest.mark.parametrize(
    "name", [f"{table}-00000-of-00001.parquet" for table in ("index", "index-append1")]
)
def test_an_index_has_no_maps_on_disk(tmp_path: Path, name: str) -> None:
    run = runs.start("corpus", str(tmp_path), {}, {})
    assert run is not None
    tables.write(run, name, schemas.INDEX.empty_table())
    found = pq.read_schema(tmp_path / name)
    assert not any(pa.types.is_map(field.type) for field in found)
    assert found.field("sha256").metadata[b"description"]
    assert tables.read_part(run.path(name)).schema.equals(schemas.INDEX)


def test_lists_of_other_things_are_no_map() -> None:
    table = pa.table({"sha256": [[1, 2]]})
    with pytest.raises(ValueError, match=r"column sha256 is list<.*>, not map<string, string>"):
        tables.fitted(table, pa.schema([schemas.INDEX.field("sha256")]))
