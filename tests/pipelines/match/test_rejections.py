"""A run that rejects most rows for one reason ends as loudly as one that fails."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.match import command, on_beam
from stemlode import runs, tables
from stemlode.runs import Failed
from tests.pipelines.match.test_command import GOOD, PARTNER, PROJECT
from tests.pipelines.match.test_on_duckdb import by

Row = dict[str, Any]
ENGINES = [pytest.param("beam", marks=pytest.mark.slow), "duckdb"]
BAD = [{**GOOD, "track_id": f"b{n}", "duration_s": f"{n};16"} for n in range(3)]


def written(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def parquet(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def lasting(folder: Path) -> Row:
    record = json.loads((folder / "run.json").read_text())
    return {name: value for name, value in record.items() if name != "seconds"}


@pytest.mark.parametrize("engine", ENGINES)
def test_most_rows_rejected_for_one_reason(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    catalog, output = written(tmp_path / "tracks.jsonl", [GOOD, PARTNER, *BAD]), tmp_path / "out"
    for _ in range(2):  # a rerun says the same again
        with pytest.raises(Failed) as caught:
            by(engine, catalog, output)
        line = str(caught.value)
        for words in (str(catalog), "3 of 5 rows", "0;16", "--columns duration_s=", "--allow-rej"):
            assert words in line
        assert (output / "_ERROR.txt").read_text() == line + "\n"
        assert not (output / "_SUCCESS").exists()
    (rejects,) = output.glob("rejects-*.parquet")
    assert pq.read_table(rejects)["key"].to_pylist() == ["b0", "b1", "b2"]

    before = parquet(output)
    with monkeypatch.context() as patch:  # it is finished without the work
        patch.setattr(command, "by_duckdb", None)
        patch.setattr(on_beam, "build", None)
        by(engine, catalog, output, "--allow-rejects")
    assert "tracks read                             5" in capsys.readouterr().out
    assert (output / "_SUCCESS").exists() and not (output / "_ERROR.txt").exists()
    assert parquet(output) == before
    assert "allow_rejects" not in (output / "_PLAN.json").read_text()
    by(engine, catalog, output)
    assert "already complete" in capsys.readouterr().out

    from_the_start = by(engine, catalog, tmp_path / "other", "--allow-rejects")
    assert lasting(from_the_start) == lasting(output)
    assert parquet(from_the_start) == before


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "rows",
    [
        [GOOD, PARTNER, *BAD[:2]],
        [GOOD, PARTNER, BAD[0], {**GOOD, "title": None}, {**GOOD, "artist": None}],
        [GOOD, *[PARTNER] * 9],
    ],
    ids=["half", "several reasons", "repeated ids"],
)
def test_other_rejects_end_no_run(engine: str, rows: list[Row], tmp_path: Path) -> None:
    output = by(engine, written(tmp_path / "tracks.jsonl", rows), tmp_path / "out")
    assert runs.record(str(output))["counts"]["rejected"] == len(rows) - 2


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**GOOD, "track_id": None}, "the track has no id, .*--columns track_id=NAME"),
        ({**GOOD, "title": ""}, "the track has no title, .* has none at all; .*title=NAME"),
        ({**GOOD, "artist": None}, "neither an artist nor an artist id, .*artist=NAME"),
        ({**GOOD, "duration_s": -1}, "no positive number of seconds, such as '-1'; .*duration_s="),
        ({**GOOD, "duration_s": "3,5"}, "such as '3,5'; .* --decimal-comma"),
        ("{half", "the line is no row, such as '{half'"),
    ],
)
def test_each_reason_says_what_to_type(row: Row | str, said: str, tmp_path: Path) -> None:
    lines = [json.dumps(GOOD), *[row if isinstance(row, str) else json.dumps(row)] * 2]
    (tmp_path / "tracks.jsonl").write_text("\n".join(lines))
    with pytest.raises(Failed, match=said):
        by("duckdb", tmp_path / "tracks.jsonl", tmp_path / "out")


def test_what_was_written_and_is_damaged_is_done_again(tmp_path: Path) -> None:
    catalog, output = written(tmp_path / "tracks.jsonl", [GOOD, PARTNER, *BAD]), tmp_path / "out"
    with pytest.raises(Failed):
        by("duckdb", catalog, output)
    whole = parquet(output)
    (output / "rejects-00000-of-00001.parquet").write_bytes(b"half")
    by("duckdb", catalog, output, "--allow-rejects")
    assert parquet(output) == whole
    assert tables.read(str(output), "rejects").num_rows == 3


def test_an_estimate_says_it_before(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    catalog = written(tmp_path / "tracks.jsonl", [GOOD, PARTNER, *BAD])
    assert command.main([f"--catalog={catalog}", "--estimate"]) == 0
    said = capsys.readouterr().out
    assert "3 of 5 rows would be rejected" in said and "--allow-rejects" in said


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["beam", "duckdb"])
def test_the_command_ends_with_one_line_and_status_1(engine: str, tmp_path: Path) -> None:
    catalog = written(tmp_path / "tracks.jsonl", [GOOD, PARTNER, *BAD])
    given = [f"--catalog={catalog}", f"--output={tmp_path / 'out'}", f"--engine={engine}"]
    if engine == "beam":
        given += ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    done = subprocess.run(
        [sys.executable, "-m", "stemlode", "match", *given],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    *others, line = done.stderr.splitlines(keepends=True)
    assert done.returncode == 1 and "3 of 5 rows are rejected" in line
    assert line == f"error: {(tmp_path / 'out' / '_ERROR.txt').read_text()}"
    assert not others or engine == "beam"  # whose worker processes have a standard error too
