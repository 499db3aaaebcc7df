"""Tables: same rows, same bytes; every row once; nothing half-written."""

import errno
from pathlib import Path

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import transforms
from pipelines.remote.runners import LOCAL_RUNNER
from stemlode import files, runs, schemas, tables

ROWS = [schemas.reject("verb", f"key {n % 40}", "bad", "a sentence", {"n": n}) for n in range(100)]


def _write(output: Path, rows: list[dict[str, str]], *flags: str, rows_per_file: int = 30) -> None:
    run = runs.start("verb", str(output), {}, {})
    assert run is not None
    with beam.Pipeline(options=PipelineOptions([f"--runner={LOCAL_RUNNER}", *flags])) as pipeline:
        given = pipeline | beam.Create(rows, reshuffle=False)
        manifest = given | transforms.WriteTable(
            run, "rejects", schemas.REJECT, ["key"], rows_per_file
        )
        counts = given | beam.Map(lambda _: ("rejected", 1))
        _ = (manifest, counts) | transforms.Finish(run, clear=["_parts"])


def _bytes(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.glob("*.parquet")}


def test_every_row_comes_out_once_in_files_of_bounded_size(tmp_path: Path) -> None:
    _write(tmp_path / "a", ROWS)
    found = tables.read(str(tmp_path / "a"), "rejects")
    assert sorted(found["record"].to_pylist()) == sorted(row["record"] for row in ROWS)
    assert len(tables.parts(str(tmp_path / "a"), "rejects")) == 4
    assert runs.record(str(tmp_path / "a"))["counts"] == {"rejected": 100, "rejects/bad": 100}
    assert found.schema.equals(schemas.REJECT)


def test_order_and_workers_do_not_change_a_byte(tmp_path: Path) -> None:
    _write(tmp_path / "a", ROWS)
    _write(tmp_path / "b", ROWS[::-1])
    two = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")
    _write(tmp_path / "c", ROWS[50:] + ROWS[:50], *two)
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b") == _bytes(tmp_path / "c")


def test_an_empty_table_is_one_file_with_its_schema(tmp_path: Path) -> None:
    _write(tmp_path / "a", [])
    table = tables.read(str(tmp_path / "a"), "rejects")
    assert table.num_rows == 0 and table.schema.equals(schemas.REJECT)


def test_the_last_step_clears_what_only_served_the_way(tmp_path: Path) -> None:
    leftovers = [tmp_path / "a" / "_parts" / "x", tmp_path / "a" / f"y.{32 * '0'}{files.TEMPORARY}"]
    assert runs.start("verb", str(tmp_path / "a"), {}, {}) is not None
    for path in leftovers:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    _write(tmp_path / "a", ROWS)
    assert not any(path.exists() for path in leftovers)
    assert (tmp_path / "a" / "_SUCCESS").exists()


def test_a_full_disk_leaves_no_final_name_and_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(Exception, match="No space left"):
        _write(tmp_path / "a", ROWS)
    assert not list((tmp_path / "a").glob("*.parquet"))
    assert not (tmp_path / "a" / "_SUCCESS").exists()


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "a", ROWS, rows_per_file=1000)
    (part,) = (tmp_path / "a").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(runs.Failed, match=part.name):
        tables.read(str(tmp_path / "a"), "rejects")


def test_every_field_of_every_schema_has_a_unit_and_a_sentence() -> None:
    for schema in (
        schemas.TRACK,
        schemas.CANDIDATE,
        schemas.SCORED_PAIR,
        schemas.INDEX,
        schemas.REJECT,
    ):
        for field in schema:
            assert field.metadata[b"description"].endswith(b"."), field.name
            assert b"unit" in field.metadata, field.name
