"""Tables of any age are read: the columns of version 1 stand, later ones may be missing."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlode import runs, schemas, tables

NESTED = pa.schema([*schemas.CANDIDATE, pa.field("score", pa.float64())])


def _since(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, True, {"since": "9.9"})


def _columns(schema: pa.Schema) -> str:
    """A schema's columns of the first release, a line each; `!` where one may not be null."""
    first = [field for field in schema if b"since" not in (field.metadata or {})]
    return "\n".join(f"{f.name}{'' if f.nullable else '!'} {_kind(f.type)}" for f in first)


def _kind(kind: pa.DataType) -> str:
    return "TRACK" if kind == pa.struct(list(schemas.TRACK)) else str(kind)


FIRST = {
    "catalogue": """track_id! string
artist_id! string
artist string
title! string
duration_s! double
audio_uri string
isrc string
recording_id string
work_id string
album string
release_year int32
genre string
licence string
extra string""",
    "candidates": """pair_id! string
song_id! string
mix_track_id! string
instrumental_track_id! string
artist_id! string
fuzzy_title! string
duration_difference_s! double
marker! string
rule! string
mix_audio_uri string
instrumental_audio_uri string
mix! TRACK
instrumental! TRACK""",
    "pairs": """pair_id! string
song_id! string
mix_track_id! string
instrumental_track_id! string
artist_id! string
fuzzy_title! string
duration_difference_s! double
marker! string
rule! string
mix_audio_uri string
instrumental_audio_uri string
mix! TRACK
instrumental! TRACK
difference_sum double
difference double
asymmetry double
offset_s double
gain_db double
polarity int32
drift_ppm double
alignment_confidence double
coherent bool
residual_db map<string, double>
matched_spans list<item: fixed_size_list<item: double>[2]>
matched_share double
bass_correlation double
rest_share double
decision! string
reason! string""",
    "index": """sample_id! string
song_id! string
split_group! string
split! string
shard! string
offset! int64
size! int64
kind! string
sources! list<item: string>
salient map<string, list<item: double>>
start_s! double
duration_s! double
sample_rate! int32
channels! int32
scale! double
track_ids list<item: string>
licence string
genre string
release_year int32
augmentation string
energies_db map<string, double>
teacher_sha256 string
confidence double
sha256! map<string, string>""",
    "songs": """recording_id! string
song_id! string
name string
kind! string
split! string
split_group! string
joined list<item: string>
duration_s! double
chunks! int64
left_out! int64
sum_error_db double
residual_chunks int64
bleed list<item: string>""",
    "landmarks": """recording_id! string
source! string
song_id! string
values list<item: int32>
frames list<item: int32>""",
    "salience": """sample_id! string
song_id! string
split! string
shard! string
offset! int64
size! int64
first_frame! int64
first_sample! int32
frames! int32
voiced! double
targets! string
teacher! string
teacher_sha256! string
voices_share double
several_voices bool
sha256! map<string, string>""",
    "rejects": """stage! string
key! string
error! string
message! string
record! string""",
}


@pytest.mark.parametrize("name", schemas.TABLES)
def test_the_columns_of_the_first_version_stand(name: str) -> None:
    """Where this fails, a column of before was changed: see the docstring of `schemas`."""
    assert schemas.VERSIONS[name] == (3 if name == "index" else 1)
    assert _columns(schemas.TABLES[name]) == FIRST[name]


@pytest.mark.parametrize("name", schemas.TABLES)
def test_later_columns_may_be_null(name: str) -> None:
    later = [field for field in schemas.TABLES[name] if field.name in _later(schemas.TABLES[name])]
    assert all(field.nullable for field in later)


def _later(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if b"since" in (field.metadata or {})]


def _rows(schema: pa.Schema, count: int) -> list[dict[str, Any]]:
    return [{field.name: _value(field, n) for field in schema} for n in range(count)]


def _value(field: pa.Field, number: int) -> Any:
    if field.nullable and number % 2:
        return None
    kind = field.type
    if pa.types.is_struct(kind):
        return {inner.name: _value(inner, number) for inner in kind}
    if pa.types.is_boolean(kind):
        return True
    if pa.types.is_string(kind):
        return f"{field.name} {number}"
    return number if pa.types.is_integer(kind) or pa.types.is_floating(kind) else None


@settings(max_examples=25, deadline=None)
@given(
    lost=st.sets(st.sampled_from([f.name for f in NESTED if f.nullable])),
    lost_within=st.sets(st.sampled_from([f.name for f in schemas.TRACK if f.nullable])),
    count=st.integers(0, 3),
    strange=st.booleans(),
)
def test_what_a_table_lacks_reads_as_null(
    lost: set[str], lost_within: set[str], count: int, strange: bool
) -> None:
    rows = _rows(NESTED, count)
    whole = pa.Table.from_pylist(rows, NESTED)
    old_track = [field for field in schemas.TRACK if field.name not in lost_within]
    old = pa.schema(
        [
            field.with_type(pa.struct(old_track)) if pa.types.is_struct(field.type) else field
            for field in NESTED
            if field.name not in lost
        ]
    )
    table = pa.Table.from_pylist(rows, old)
    if strange:
        table = table.append_column("of_a_later_release", pa.array([1] * count))
    found = tables.fitted(table, NESTED)
    assert found.schema.equals(whole.schema) and found.num_rows == count
    for row, before in zip(found.to_pylist(), whole.to_pylist(), strict=True):
        wanted = {name: None if name in lost else value for name, value in before.items()}
        for side in ("mix", "instrumental"):
            wanted[side] = wanted[side] | dict.fromkeys(lost_within)
        assert row == wanted


def test_a_struct_that_is_null_stays_null_in_its_row() -> None:
    inner = [pa.field("a", pa.string())]
    table = pa.table({"s": pa.array([{"a": "x"}, None, {"a": None}], pa.struct(inner))})
    wide = pa.schema([pa.field("s", pa.struct([*inner, _since("b", pa.int32())]))])
    pieces = pa.concat_tables([table, table.slice(1)])  # chunks, one of them with an offset
    found = tables.fitted(pieces, wide)["s"].to_pylist()
    assert found == [
        {"a": "x", "b": None}, None, {"a": None, "b": None}, None, {"a": None, "b": None},
    ]  # fmt: skip


def test_columns_may_be_chosen_whether_the_table_has_them_or_not() -> None:
    table = pa.Table.from_pylist(_rows(schemas.CANDIDATE, 2), schemas.CANDIDATE)
    found = tables.fitted(
        table.drop_columns(["mix_audio_uri"]),
        schemas.CANDIDATE,
        ["mix_audio_uri", "mix.title", "mix.genre", "pair_id", "unheard_of"],
    )
    assert found.column_names == ["mix_audio_uri", "mix", "pair_id", "unheard_of"]
    assert found["mix_audio_uri"].null_count == found["unheard_of"].null_count == 2
    assert found["mix"].to_pylist()[0].keys() == {"title", "genre"}


def test_what_may_not_be_missing_or_is_another_thing_is_named() -> None:
    table = pa.Table.from_pylist(_rows(schemas.CANDIDATE, 2), schemas.CANDIDATE)
    with pytest.raises(ValueError, match=r"^no column song_id$"):
        tables.fitted(table.drop_columns(["song_id"]), schemas.CANDIDATE)
    poor = [field for field in schemas.TRACK if field.name != "title"]
    at = table.column_names.index("mix")
    rows = [{field.name: _value(field, 0) for field in poor}] * 2
    without = table.set_column(at, "mix", pa.array(rows, pa.struct(poor)))
    with pytest.raises(ValueError, match=r"^no column mix\.title$"):
        tables.fitted(without, schemas.CANDIDATE)
    spelt = table.set_column(0, "pair_id", pa.array([["a"], ["b"]]))
    with pytest.raises(ValueError, match=r"column pair_id is list<.*>, not string"):
        tables.fitted(spelt, schemas.CANDIDATE)


def test_strings_of_other_writers_are_strings() -> None:
    table = pa.Table.from_pylist(_rows(schemas.REJECT, 3), schemas.REJECT)
    for kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()):
        found = tables.fitted(
            table.set_column(0, "stage", table["stage"].cast(kind)), schemas.REJECT
        )
        assert found.equals(table)


def test_only_columns_of_the_first_release_can_be_lacking() -> None:
    schema = pa.schema([*schemas.REJECT, _since("later", pa.string())])
    assert schemas.lacking(schema, ["stage", "key", "error", "message"]) == ["record"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("index-00000-of-00001.parquet", "index"),
        ("index-append12-00003-of-00010.parquet", "index"),
        ("pairs-00000-of-00001.parquet", "pairs"),
        ("train/train-00000.tar", "shards"),
        ("valid/valid-00000.parquet", "shards"),
        ("songs.parquet", ""),
        ("unheard-00000-of-00001.parquet", ""),
        ("run.json", ""),
    ],
)
def test_a_run_s_files_are_known_by_name(path: str, name: str) -> None:
    assert schemas.name_of(path) == name


def test_a_record_states_the_versions_and_tables_of_another_are_refused(tmp_path: Path) -> None:
    run = runs.start("corpus", str(tmp_path), {}, {})
    assert run is not None
    names = ["index-00000-of-00001.parquet", "rejects-00000-of-00001.parquet", "notes.txt"]
    run.finish({}, dict.fromkeys([*names, "train/train-00000.tar"], "0"))
    record = runs.record(run.output)
    assert record["schemas"] == {"index": 3, "rejects": 1, "shards": 1}

    def state(stated: object) -> None:
        (tmp_path / "run.json").write_bytes(runs.to_json(record | {"schemas": stated}))

    for readable in (None, {}, {"index": 1}, {"index": 3}, {"a table of a later release": 3}):
        state(readable)
        runs.record(run.output)
    state({"index": 4})
    with pytest.raises(runs.Failed, match=r"run\.json: version 4 of its index .* update Stemlode"):
        runs.record(run.output)
    for broken in ([], {"index": "one"}, {"index": 0}, {"index": True}):
        state(broken)
        with pytest.raises(runs.Failed, match=r"run\.json: schemas "):
            runs.record(run.output)


def test_a_table_of_before_is_read_by_its_path(tmp_path: Path) -> None:
    rows = _rows(schemas.SONG, 2)
    old = pa.schema([field for field in schemas.SONG if field.name != "bleed"])
    run = runs.start("corpus", str(tmp_path), {}, {})
    assert run is not None
    name = "songs-00000-of-00001.parquet"
    written = tables.write(run, name, pa.Table.from_pylist(rows, old))
    run.finish({}, {name: written["sha256"]})
    assert [row["bleed"] for row in tables.rows(run.path(name))] == [None, None]
    assert tables.read(run.output, "songs", ["bleed", "song_id"]).num_rows == 2
    assert tables.read(run.output, "songs", ["bleed"])["bleed"].null_count == 2
    lacks = pa.schema([field for field in schemas.SONG if field.name != "song_id"])
    tables.write(run, name, pa.Table.from_pylist(rows, lacks))
    with pytest.raises(runs.Failed, match=rf"{name}: no column song_id"):
        tables.read(run.output, "songs")
