"""Generated tables of every Arrow type, and CSV in every dialect: both engines say the same."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.match import command
from stemlode.runs import BadUsage, Failed
from tests.pipelines.match.test_bad_catalogues import adds_up
from tests.pipelines.match.test_on_duckdb import same

SLOWLY = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ROWS = 8
TITLES = ["Song", "Song (Karaoke)", "Söng - Instrumental", "The Song", "歌", "22", "", None]
LENGTHS = [200.0, 200.5, 0.0, -1.0, math.nan, math.inf, None, 1e17]
texts = st.sampled_from(TITLES)
keys = st.sampled_from(["k", "ö"])
ids = st.sampled_from(["a", "b", "1", "7", "", None])


def maybe(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(st.none(), values)


def array(values: st.SearchStrategy, *kinds: pa.DataType) -> st.SearchStrategy:
    some = st.lists(values, min_size=ROWS, max_size=ROWS)
    return st.builds(pa.array, some, st.sampled_from(kinds))


def encoded(values: st.SearchStrategy, *encodings: str) -> st.SearchStrategy:
    """Bytes, some of which may be no UTF-8."""
    return st.builds(
        lambda v, e: None if v is None else v.encode(e, "replace"),
        values,
        st.sampled_from(encodings),
    )


STRINGS = (pa.string(), pa.large_string(), pa.string_view())
BYTES = (pa.binary(), pa.large_binary(), pa.binary_view())
LISTS = (pa.list_, pa.large_list, pa.list_view, pa.large_list_view)
whole = maybe(st.integers(0, 9))
names = st.one_of(
    array(texts, *STRINGS),
    array(texts, pa.string()).map(lambda a: a.dictionary_encode()),
    array(encoded(texts, "utf-8"), *BYTES),
    array(encoded(texts, "utf-8", "latin-1"), *BYTES),
    array(whole, pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()),
    array(maybe(st.booleans()), pa.bool_()),
    array(maybe(st.lists(texts, max_size=2)), *(make(pa.string()) for make in LISTS)),
)
identities = st.one_of(
    array(ids, *STRINGS),
    array(whole, pa.int16(), pa.uint8(), pa.int64(), pa.float32(), pa.float64()),
    array(st.sampled_from([1.0, 2.0, 2.0**53, 0.5, None, math.nan]), pa.float64()),
    array(maybe(st.decimals(0, 9, places=0)), pa.decimal128(9, 0), pa.decimal32(4, 0)),
    array(encoded(ids, "ascii"), *BYTES),
)
durations = st.one_of(
    array(st.sampled_from(LENGTHS), pa.float32(), pa.float64()),
    array(st.sampled_from([200, 201, 0, None]), pa.int16(), pa.uint32(), pa.int64(), pa.float16()),
    array(st.sampled_from(["3:20", "PT3M20.5S", "200", " 200.5 ", "x", None]), *STRINGS),
    array(maybe(st.integers(0, 300)), *(pa.duration(u) for u in ("s", "ms", "us"))),
    array(maybe(st.decimals(0, 300, places=2)), pa.decimal128(9, 2)),
    array(maybe(st.times()), pa.time64("us")),
)
artists = st.one_of(
    array(maybe(st.lists(ids, max_size=3)), *(m(k) for m in LISTS for k in STRINGS)),
    array(st.sampled_from(["a;b", '["a", "b"]', "['a']", "[]", "a", None]), *STRINGS),
    array(maybe(st.lists(st.integers(1, 9), max_size=2)), pa.list_(pa.int64())),
)
further = st.one_of(
    array(maybe(st.dates()), pa.date32(), pa.date64()),
    array(maybe(st.integers(-(2**62), 2**62)), pa.timestamp("us")),
    array(maybe(st.integers(-(2**52), 2**52)), pa.timestamp("s")),  # Parquet has no seconds
    array(maybe(st.times()), pa.time64("us")),
    array(maybe(st.binary(max_size=3)), *BYTES),
    array(maybe(st.binary(min_size=2, max_size=2)), pa.binary(2)),
    array(
        maybe(st.fixed_dictionaries({"x": texts, "y": whole})),
        pa.struct([("x", pa.string()), ("y", pa.int8())]),
        pa.struct([("x", pa.large_string()), ("y", pa.float64())]),  # pyarrow writes no views in it
    ),
    array(maybe(st.lists(st.lists(whole))), pa.list_(pa.list_view(pa.int8()))),
    array(
        st.lists(st.tuples(texts.filter(bool), whole), max_size=2), pa.map_(pa.string(), pa.int8())
    ),
    array(st.floats(), pa.float32(), pa.float64()),
    array(st.none(), pa.null(), pa.uuid()),
)
YEARS = [1999, 2004, 12345, None]
years = st.one_of(
    array(st.sampled_from(["1999", "1999-01-02", "x", None]), *STRINGS),
    array(st.sampled_from(YEARS), pa.int16(), pa.float64(), pa.int32()),
)
COLUMNS = {
    "track_id": identities,
    "title": names,
    "artist": names,
    "artist_id": identities,
    "duration_s": durations,
    "artist_ids": artists,
    "work_id": identities,
    "recording_id": identities,
    "album": names,
    "release_year": years,
    "isrc": artists,
    "genre": names,
    "Title": names,
    "mood": further,
}
NEEDED = ("track_id", "title", "artist", "duration_s")


@st.composite
def tables(draw: Any) -> pa.Table:
    chosen = [
        *NEEDED,
        *draw(st.lists(st.sampled_from(sorted({*COLUMNS} - {*NEEDED})), unique=True)),
    ]
    columns = {name: draw(COLUMNS[name]) for name in chosen}
    if draw(st.booleans()):  # as good as a catalogue can be, that there are pairs
        columns["track_id"] = pa.array([f"t{n}" for n in range(ROWS)])
        columns["title"] = pa.array(["Song", "Song (Karaoke)"] * (ROWS // 2))
        columns["artist"] = pa.array(["A"] * ROWS, draw(st.sampled_from(STRINGS)))
        columns.pop("artist_id", None)
    return pa.table(columns)


def outcome(engine: str, catalog: Path, output: Path, flags: tuple[str, ...]) -> str | None:
    """What an engine says instead of finishing."""
    given = [f"--catalog={catalog}", f"--output={output}", f"--engine={engine}", *flags]
    try:
        assert command.main(given) == 0
    except (BadUsage, Failed) as error:
        return f"{type(error).__name__}: {error}"
    return None


def alike(catalog: Path, folder: Path, *flags: str) -> None:
    beam, duckdb = (
        outcome(engine, catalog, folder / engine, flags) for engine in ("beam", "duckdb")
    )
    assert beam == duckdb
    if beam is None:
        assert adds_up(same(folder / "beam", folder / "duckdb"))


@pytest.mark.slow
@SLOWLY
@given(
    table=tables(),
    rule=st.sampled_from(["--rule=thesis", "--rule=extended", "--rule=extended --artist-names"]),
)
def test_tables_of_every_type(
    table: pa.Table, rule: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("table")
    pq.write_table(table, folder / "c.parquet", row_group_size=3)
    alike(folder / "c.parquet", folder, *rule.split(), "--allow-rejects")


values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.one_of(st.sampled_from(["1", "2"]), values),
            "name": st.one_of(st.sampled_from(["Song", "Song (Inst.)", "A, B; C"]), values),
            "by": st.one_of(st.sampled_from(["A", "Tyler, The Creator"]), values),
            "ids": st.one_of(st.sampled_from(["x;y", "x | y", '["x"]', "['y', 'z']", ""]), values),
            "length": st.sampled_from(["200", "200,5", "200.5", "3:20", "PT3M20S", "", "x"]),
            "more": values,
        }
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.slow
@SLOWLY
@given(
    table=rows,
    rule=st.sampled_from(["thesis", "extended"]),
    delimiter=st.sampled_from([",", ";", "|", "\t"]),
    header=st.integers(0, 3),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ending=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030", "cp1251"]),
    said=st.booleans(),
    flags=st.lists(
        st.sampled_from(
            ["--list-separator= | ", "--duration-unit=ms", "--decimal-comma", "--constant=genre=x"]
        ),
        unique=True,
    ),
)
def test_csv_in_every_dialect(
    table: list[dict[str, str]],
    rule: str,
    delimiter: str,
    header: int,
    quoting: int,
    ending: str,
    encoding: str,
    said: bool,
    flags: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, quoting=quoting, lineterminator=ending)
    called = [*table[0]]
    for number in range(header):
        writer.writerow([f"{name}{number}" if number else name for name in called])
    writer.writerows([*row.values()] for row in table)
    (folder / "c.csv").write_bytes(sink.getvalue().encode(encoding, "replace"))
    full = [
        str(place) if header == 0 else ".".join([name, *(f"{name}{n}" for n in range(1, header))])
        for place, name in enumerate(called, 1)
    ]
    ours = ("track_id", "title", "artist", "artist_ids", "duration_s")
    columns = ",".join(f"{name}={theirs}" for name, theirs in zip(ours, full, strict=False))
    given = [f"--rule={rule}", f"--columns={columns}", f"--header-rows={header}", *flags]
    given += [f"--delimiter={delimiter}", "--allow-rejects"]
    given += [f"--encoding={encoding}"] if said else []
    alike(folder / "c.csv", folder, *given)
