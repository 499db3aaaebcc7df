"""Candidates that cannot be listened to at all cost one line, before anything is written."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.prune import command, inputs
from stemlode import runs, schemas, tables
from stemlode.runs import BadUsage
from tests.pipelines.prune import folders
from tests.pipelines.prune.folders import candidate, track


def _rows(number: int, mix: str | None, instrumental: str | None) -> list[dict[str, Any]]:
    return [
        candidate(f"{n}", track(f"mix {n}", mix), track(f"other {n}", instrumental))
        for n in range(number)
    ]


def _without(tmp_path: Path, column: str) -> str:
    """A folder whose table lacks a column."""
    return _folder(tmp_path, _table().drop_columns([column]))


def _table() -> pa.Table:
    return pa.Table.from_pylist(_rows(3, "a", "b"), schemas.CANDIDATE)


def _folder(tmp_path: Path, table: pa.Table) -> str:
    run = runs.start("match", str(tmp_path), {}, {})
    assert run is not None
    name = "candidates-00000-of-00001.parquet"
    run.finish({}, {name: tables.write(run, name, table)["sha256"]})
    return str(tmp_path)


@pytest.mark.parametrize(
    ("column", "values", "why"),
    [
        ("song_id", pa.array([1, 2, 3]), "song_id of its candidates is int64, not string"),
        ("mix_audio_uri", pa.array([b"a"] * 3), "mix_audio_uri of its candidates is binary"),
        ("mix", pa.array(["a"] * 3), "mix of its candidates is string, not struct"),
        ("pair_id", pa.array(["a", None, None]), "pair_id of its candidates is empty in 2 rows"),
        ("mix", pa.array([None] * 3, pa.struct(list(schemas.TRACK))), "mix .* empty in 3 rows"),
    ],
)
def test_another_type_and_what_must_not_be_empty_is_named(
    tmp_path: Path, column: str, values: pa.Array, why: str
) -> None:
    field = pa.field(column, values.type)
    table = _table().set_column(schemas.CANDIDATE.get_field_index(column), field, values)
    with pytest.raises(BadUsage, match=why):
        inputs.check(_folder(tmp_path / "c", table))


def test_strings_may_be_large(tmp_path: Path) -> None:
    values = _table()["song_id"].cast(pa.large_string())
    at = schemas.CANDIDATE.get_field_index("song_id")
    inputs.check(_folder(tmp_path / "c", _table().set_column(at, "song_id", values)))


@pytest.mark.parametrize("column", ["mix_audio_uri", "instrumental_audio_uri", "song_id"])
@pytest.mark.parametrize("flags", [(), ("--estimate",)])
def test_a_missing_column_is_named(tmp_path: Path, column: str, flags: tuple[str, ...]) -> None:
    words = ["--candidates", _without(tmp_path / "c", column), "--output", str(tmp_path / "o")]
    with pytest.raises(BadUsage, match=f"candidates have no column {column}; write them again"):
        command.main([*words, *flags])
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("mix", "instrumental", "named"),
    [(None, None, "mix_audio_uri"), (None, "b", "mix_audio_uri"),
     ("a", None, "instrumental_audio_uri")],
)  # fmt: skip
def test_a_column_that_is_empty_throughout_is_named(
    tmp_path: Path, mix: str | None, instrumental: str | None, named: str
) -> None:
    folder = folders.write(tmp_path / "c", _rows(9, mix, instrumental))  # two files
    with pytest.raises(BadUsage, match=f"{named} is empty in all 9 rows; give the catalogue"):
        inputs.check(folder)


def test_one_row_with_audio_is_enough(tmp_path: Path) -> None:
    rows = [*_rows(9, None, None), candidate("x", track("x", "a"), track("y", "b"))]
    inputs.check(folders.write(tmp_path / "some", rows))
    inputs.check(folders.write(tmp_path / "none", []))


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "c", _rows(3, "a", "b"))
    (path,) = (tmp_path / "c").glob("*.parquet")
    path.write_bytes(b"PAR1")
    with pytest.raises(runs.Failed, match=rf"{path.name}: unreadable table"):
        inputs.check(folder)


def test_the_command_line_says_one_line(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "c", _rows(2, None, None))
    done = subprocess.run(
        [sys.executable, "-m", "stemlode", "prune", "--candidates", folder,
         "--output", str(tmp_path / "o")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert "mix_audio_uri is empty" in done.stderr
