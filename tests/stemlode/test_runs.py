"""Run folders: claimed once, resumed, finished, never mistaken for something else."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from stemlode import files, runs


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "in.csv").write_text("a\n1\n")
    return str(tmp_path / "in.csv")


def _start(tmp_path: Path, source: str, value: int = 1, **more: bool) -> runs.Run | None:
    return runs.start("verb", str(tmp_path / "out"), {"x": value}, {"catalog": source}, **more)


def test_a_finished_run_is_complete_and_its_rerun_does_nothing(tmp_path: Path, source: str) -> None:
    run = _start(tmp_path, source)
    assert run is not None
    run.finish({"tracks": 3}, {"a.parquet": "00"})
    record = runs.record(run.output)
    assert record["counts"] == {"tracks": 3} and record["verb"] == "verb"
    assert {"python", "pyarrow"} <= record["versions"].keys()
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert _start(tmp_path, source) is None
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_an_unfinished_run_resumes(tmp_path: Path, source: str) -> None:
    assert _start(tmp_path, source) is not None
    assert _start(tmp_path, source) is not None


def test_another_option_is_refused_by_name(tmp_path: Path, source: str) -> None:
    _start(tmp_path, source)
    with pytest.raises(runs.BadUsage, match=r"--x 1, not 2.*--overwrite"):
        _start(tmp_path, source, 2)
    assert _start(tmp_path, source, 2, overwrite=True) is not None


def test_a_changed_input_is_refused_by_name(tmp_path: Path, source: str) -> None:
    _start(tmp_path, source)
    Path(source).write_text("a\n1\n2\n")
    with pytest.raises(runs.BadUsage, match="before --catalog changed"):
        _start(tmp_path, source)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, source: str) -> None:
    thesis = tmp_path / "out" / "thesis.doc"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(runs.BadUsage, match="holds something else"):
            _start(tmp_path, source, overwrite=overwrite)
    assert thesis.read_text() == "years of work"


def test_a_file_in_the_output_s_place_is_left_alone(tmp_path: Path, source: str) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(runs.BadUsage, match="something else"):
        _start(tmp_path, source, overwrite=True)
    assert (tmp_path / "out").read_text() == "mine"


def test_an_output_that_cannot_be_written_fails_in_a_line(source: str) -> None:
    with pytest.raises(runs.Failed, match="cannot be written"):
        runs.start("verb", "/proc/nowhere/out", {}, {"catalog": source})


def test_what_is_no_finished_run_is_said(tmp_path: Path, source: str) -> None:
    run = _start(tmp_path, source)
    assert run is not None
    with pytest.raises(runs.BadUsage, match="not finished"):
        runs.record(run.output)
    with pytest.raises(runs.BadUsage, match="not a run folder"):
        runs.record(str(tmp_path))
    with pytest.raises(runs.BadUsage, match="does not exist"):
        runs.record(str(tmp_path / "nothing"))


def test_a_damaged_record_fails_in_a_line(tmp_path: Path, source: str) -> None:
    run = _start(tmp_path, source)
    assert run is not None
    run.finish({}, {})
    for damaged in ("{", "[]", "null", "{}", '{"verb": "verb"}', '{"verb": "verb", "outputs": []}'):
        Path(run.path("run.json")).write_text(damaged)
        with pytest.raises(runs.Failed, match=r"run\.json"):
            runs.record(run.output)


def test_overwrite_removes_what_runs_write_and_nothing_else(tmp_path: Path, source: str) -> None:
    run = _start(tmp_path, source)
    assert run is not None
    writes = (r"(train|test)/\1-\d{5}\.tar", r"[a-z]+/vocals\.wav")
    ours = ["a-00000-of-00001.parquet", "train/train-00000.tar", "_parts/x", "song/vocals.wav"]
    for name in ours:
        files.write_bytes(run.path(name), b"x")
    run.finish({}, {})
    for foreign in ("notes.txt", "train/test-00000.tar", "song/vocals.wav.bak"):
        files.write_bytes(run.path(foreign), b"mine")
        with pytest.raises(runs.BadUsage, match=rf"--overwrite would remove .*{foreign}"):
            _start(tmp_path, source, 2, overwrite=True, writes=writes)
        assert all(files.exists(run.path(name)) for name in (*ours, "_SUCCESS", foreign))
        files.remove(run.path(foreign))
    with pytest.raises(runs.BadUsage, match=r"--overwrite would remove"):  # not of this verb
        _start(tmp_path, source, 2, overwrite=True, writes=writes[:1])
    assert _start(tmp_path, source, 2, overwrite=True, writes=writes) is not None
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["_LOCK", "_PLAN.json"]


@pytest.mark.parametrize("plan", ['{"verb": "other", "options": {}, "inputs": {}}', "{}", "mine"])
def test_overwrite_leaves_another_verb_s_run_and_foreign_plans_alone(
    tmp_path: Path, source: str, plan: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "_PLAN.json").write_text(plan)
    for overwrite in (False, True):
        with pytest.raises(runs.BadUsage, match=r"choose another folder$"):
            _start(tmp_path, source, overwrite=overwrite)
    assert (tmp_path / "out" / "_PLAN.json").read_text() == plan


def test_a_foreign_file_that_only_looks_temporary_is_something_else(
    tmp_path: Path, source: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "essay.tmp").write_text("mine")
    with pytest.raises(runs.BadUsage, match="something else"):
        _start(tmp_path, source)


def test_inputs_and_output_that_lie_in_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out" / "music").mkdir(parents=True)
    (tmp_path / "out" / "music" / "a.wav").write_text("x")
    music, inside = str(tmp_path / "out" / "music"), str(tmp_path / "out" / "music" / "run")
    for output in (str(tmp_path / "out"), music):
        with pytest.raises(runs.BadUsage, match=r"--music .* is (inside it|that folder too)"):
            runs.start("verb", output, {}, {"music": music}, overwrite=True)
    with pytest.raises(runs.BadUsage, match="is inside --music"):
        runs.start("verb", inside, {}, {"music": music})
    assert (tmp_path / "out" / "music" / "a.wav").exists()


def test_a_run_may_lie_below_the_finished_run_that_it_reads(tmp_path: Path, source: str) -> None:
    run = _start(tmp_path, source)
    assert run is not None
    run.finish({}, {})
    below = ("other", run.path("below"), {}, {"model": run.output})
    assert runs.start(*below) is not None
    again = runs.start(*below)
    assert again is not None
    again.finish({}, {})
    assert runs.start(*below) is None


WORKS = """
import sys, time
from stemlode import runs
print(runs.start("match", sys.argv[1], {}, {}) is not None, flush=True)
time.sleep(float(sys.argv[2]))
"""


CLAIMS = """
import sys, time
from stemlode import locks
print(locks.claim(sys.argv[1]), flush=True)
time.sleep(60)
"""


def _at_work(output: Path, seconds: float) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", WORKS, str(output), str(seconds)]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "True\n"
    return child


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    output = tmp_path / "out"
    child = _at_work(output, 60)
    with pytest.raises(runs.Failed, match=rf"out: process {child.pid} works there"):
        runs.start("match", str(output), {}, {})
    child.kill()
    child.wait()
    run = runs.start("match", str(output), {}, {})  # the lock died with its process
    assert run is not None
    assert runs.start("match", str(output), {}, {}) is not None  # the same process may go on
    run.finish({}, {})
    assert not (output / "_LOCK").exists()
    assert runs.start("match", str(output), {}, {}) is None


def test_a_process_that_ends_leaves_no_lock(tmp_path: Path) -> None:
    assert _at_work(tmp_path / "out", 0).wait() == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_PLAN.json"]


def test_a_finished_run_loses_the_lock_of_one_who_was_killed(tmp_path: Path, source: str) -> None:
    run = _start(tmp_path, source)
    assert run is not None
    run.finish({}, {})
    lock = tmp_path / "out" / "_LOCK"
    lock.write_text("process 1")
    assert _start(tmp_path, source) is None and not lock.exists()
    child = subprocess.Popen(
        [sys.executable, "-c", CLAIMS, str(tmp_path / "out")], stdout=subprocess.PIPE
    )
    assert child.stdout is not None and child.stdout.readline()
    assert _start(tmp_path, source) is None and lock.exists()  # which is held
    child.kill()
    child.wait()


def test_a_run_that_was_held_back_is_finished_without_its_work(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    run = runs.start("match", output, {"a": 1}, {})
    assert run is not None
    name = "rejects-00000-of-00001.parquet"
    files.write_bytes(run.path(name), b"rows")
    outputs = {name: files.sha256(run.path(name))}
    assert not run.accept()  # nothing was done yet
    with pytest.raises(runs.Failed, match="most are bad"):
        run.finish({"n": 1}, outputs, held_back="most are bad\x1b")
    assert files.read_bytes(run.path(runs.ERROR)) == b"most are bad\\x1b\n"
    with pytest.raises(runs.BadUsage, match="is not finished"):
        runs.record(output)
    other = dataclasses.replace(run, options={"a": 2})
    assert not other.accept()
    assert run.accept()
    assert runs.record(output)["counts"] == {"n": 1}
    assert runs.start("match", output, {"a": 1}, {}) is None


def test_a_half_finished_run_of_another_decoder_is_refused_and_a_finished_one_is_done(
    tmp_path: Path, source: str
) -> None:
    def start(decoder: str | None, overwrite: bool = False) -> runs.Run | None:
        where = str(tmp_path / "out")
        return runs.start("verb", where, {}, {}, decoder=decoder, overwrite=overwrite)

    assert start("one 1.0") is not None
    assert start("one 1.0") is not None
    with pytest.raises(runs.BadUsage, match=r"with one 1\.0, not one 1\.1; .* --overwrite"):
        start("one 1.1")
    run = start("one 1.1", overwrite=True)
    assert run is not None
    run.finish({}, {})
    assert runs.record(run.output)["decoder"] == "one 1.1"
    assert start("one 2.0") is None


def test_a_half_finished_run_from_before_decoders_were_named_is_refused(tmp_path: Path) -> None:
    assert runs.start("verb", str(tmp_path / "out"), {}, {}) is not None
    with pytest.raises(runs.BadUsage, match="the decoders of an earlier version, not one"):
        runs.start("verb", str(tmp_path / "out"), {}, {}, decoder="one")
