"""`stemlode status` on runs as they go on, crash, fail and end; and what a run shows meanwhile."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlode import cli, files, runs
from stemlode.progress import logs, meters


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    sound = np.random.default_rng(0).normal(0, 0.1, 8000)
    for name in ("A - One", "A - Two", "B - Three"):
        soundfile.write(folder / f"{name}.flac", sound, 8000)
    (folder / "A - Bad.mp3").write_bytes(b"no" * 500)
    return folder


def _json(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    capsys.readouterr()
    cli.main(["status", "--json", *words])
    return json.loads(capsys.readouterr().out)


def test_a_run_that_is_done(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "tracks")
    assert cli.main(["scan", str(music), "--output", out]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^  rejected because: unreadable \(1\)$", said, re.M)
    assert not re.search(r" 0$", said, re.M)  # no rows of zeros
    record = runs.record(out)
    assert record["counts"]["rejects/unreadable"] == 1
    assert record["distributions"]["files_ms"]["count"] == 3
    assert not (tmp_path / "tracks" / runs.PROGRESS).exists()
    assert cli.main(["status", out]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("scan: done in ") and "such as A - Bad.mp3: not audio" in shown
    found = _json(capsys, out)
    assert found["state"] == "done" and found["rejects"]["unreadable"]["count"] == 1
    assert all(re.search(r"^  audio +3\.0 s$", text, re.M) for text in (said, shown))  # a unit
    Path(out, runs.RECORD).write_text("{")
    assert cli.main(["status", out]) == 1
    assert "run.json: unreadable: " in (told := capsys.readouterr().err) and "--overwrite" in told


def test_quiet_says_nothing_and_json_logs_each_reject(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["scan", str(music), "--output", str(tmp_path / "tracks"), "--quiet", "--log", "json"]
    assert cli.main(words) == 0
    told = capsys.readouterr()
    events = [json.loads(line) for line in told.err.splitlines()]
    assert told.out == "" and [e["event"] for e in events] == ["begun", "reject", "done"]
    assert events[1]["key"] == "A - Bad.mp3" and events[1]["stage"] == "scan"


@pytest.mark.parametrize("collects", [True, False])
def test_events_of_a_far_worker_reach_somebody(
    collects: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(logs, "_WANTED", logs.Wanted(json=True, remote=True))
    monkeypatch.setattr(logging.getLogger("stemlode"), "propagate", collects)
    with caplog.at_level(logging.INFO):
        logs.event("warning", "reject", "scan", "scan", "a.mp3", error="unreadable")
    held = capsys.readouterr().err
    line = caplog.messages[0] if collects else held
    assert json.loads(line)["key"] == "a.mp3" and bool(held) != collects


def test_a_run_that_failed_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.txt").write_text("")
    out = str(tmp_path / "tracks")
    assert cli.main(["scan", str(tmp_path / "music"), "--output", out]) == 1
    capsys.readouterr()
    assert cli.main(["status", out]) == 1
    said = capsys.readouterr().out
    assert said.startswith("scan: failed: ") and "holds no audio" in said
    assert "the same command goes on" in said


def _half_done(folder: Path) -> None:
    """As a run leaves it that was killed."""
    plan = {"verb": "prune", "options": {"no_align": False}, "inputs": {}}
    folder.mkdir()
    (folder / runs.PLAN).write_bytes(runs.to_json(plan))
    for name in ("a.json", "b.json", "c.part", "c.part.facts", "d.plan.json"):
        files.write_bytes(str(folder / runs.PARTS / name), b"{}")
    run = runs.Run("prune", str(folder), {}, {}, time.time())
    held = meters.begin(run, "a" * 32, {"host": "h", "pid": 1})
    meters.expect("pairs", 200)
    meters.step("pairs", 50)
    held.reject("prune", "t1", "silent", "nothing but silence")
    held.write()
    meters.end()


def test_a_run_that_was_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _half_done(tmp_path / "pairs")
    found = _json(capsys, str(tmp_path / "pairs"))
    assert found["state"] == "stopped" and found["parts"] == 3
    assert found["counted"]["phases"]["pairs"]["done"] == 50
    assert found["rejects"]["silent"]["example"]["key"] == "t1"
    assert cli.main(["status", str(tmp_path / "pairs")]) == 1
    said = capsys.readouterr().out
    assert "nothing works there" in said and "50 of 200 pairs (25 %)" in said
    assert cli.main(["status", "--watch", str(tmp_path / "pairs")]) == 1  # it does not wait


def test_a_run_that_another_process_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _half_done(tmp_path / "pairs")
    code = "import sys; from stemlode import locks; print(locks.claim(sys.argv[1])); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "pairs")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "None\n"
        assert _json(capsys, str(tmp_path / "pairs"))["state"] == "running"
        code2 = "from stemlode import locks; import sys; print(locks.claim(sys.argv[1]))"
        again = subprocess.run(
            [sys.executable, "-c", code2, str(tmp_path / "pairs")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "process" in again.stdout  # looking took nobody's lock
        other.stdin.write("\n")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is not a run folder"),
        (lambda path: path.write_text("x"), "is not a run folder"),
        (lambda path: files.write_bytes(f"{path}/{runs.PLAN}", b"{"), "no plan of a run"),
        (lambda path: files.write_bytes(f"{path}/{runs.PLAN}", b'{"verb": 1}'), "no plan of a run"),
    ],
)
def test_what_is_no_run(
    make: object, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "x")  # type: ignore[operator]
    assert cli.main(["status", str(tmp_path / "x")]) == 2
    assert why in capsys.readouterr().err


@pytest.mark.slow
def test_several_processes_are_watched_killed_and_resumed(music: Path, tmp_path: Path) -> None:
    """With multi_processing workers: while it runs, after SIGKILL, and when it goes on."""
    stems = tmp_path / "stems"
    for number in range(24):
        song = stems / f"song{number}"
        song.mkdir(parents=True)
        sound = np.random.default_rng(number).normal(0, 0.1, (44100 * 30, 2))
        soundfile.write(song / "vocals.wav", sound, 44100)
        soundfile.write(song / "accompaniment.wav", sound[::-1], 44100)
    out = tmp_path / "corpus"
    words = [
        sys.executable,
        "-m",
        "stemlode",
        "corpus",
        "--stems",
        str(stems),
        "--output",
        str(out),
    ]
    words += ["--fingerprints", "off", "--direct_num_workers", "2"]
    words += ["--direct_running_mode", "multi_processing", "--log", "json"]
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    ) as first:
        seen = None
        for _ in range(6000):
            time.sleep(0.1)
            held = meters.held(str(out))
            seen = held and held[0].phases.get("recordings")
            if seen and seen.done >= 4:
                break
        os.killpg(first.pid, signal.SIGKILL)
    assert seen is not None and 4 <= seen.done <= seen.expected == 24
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert re.match(r"\d+ of 24 recordings .*finished parts", events[0]["message"])
    assert runs.record(str(out))["counts"]["recordings"] == 24
    assert not (out / runs.PROGRESS).exists()


def test_a_run_in_a_store_runs_as_long_as_it_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = "memory://status-run"
    plan = runs.to_json({"verb": "corpus", "options": {}, "inputs": {}})
    files.write_bytes(f"{out}/{runs.PLAN}", plan)
    files.write_bytes(f"{out}/{runs.PARTS}/a.part", b"12345")
    held = meters.begin(runs.Run("corpus", out, {}, {}, time.time()), "a" * 32)
    meters.step("recordings", 3)
    held.write()
    meters.end()
    found = _json(capsys, out)
    assert (found["state"], found["parts"], found["parts_bytes"]) == ("running", 1, 5)
    later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: later)
    assert _json(capsys, out)["state"] == "stopped"
    files.remove(out)
