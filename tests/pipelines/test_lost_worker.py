"""A worker process that is gone: the run ends with one line, and the next one goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.verify import command as verify_command
from stemlode import cli, files, runs

RATE = 8000
OPTIONS = ["--sample-rate", "8000", "--channels", "1", "--chunk-seconds", "2"]
OPTIONS += ["--shard-bytes", "600kB", "--fingerprints", "off", "--window-seconds", "0"]
WORKERS = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes in /proc"),
]


def _below(pid: int) -> Iterator[int]:
    """The processes that a process has started, and those that they have."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from _below(child)


def _workers(pid: int) -> list[int]:
    """Beam's workers, the processes themselves and not the shells that started them."""
    found = []
    for child in _below(pid):
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if words[0] != b"/bin/sh" and any(b"sdk_worker_main" in word for word in words):
            found.append(child)
    return found


def test_a_lost_worker_ends_the_run_and_the_next_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for song in range(12):
        for number, stem in enumerate(("vocals", "drums")):
            path = tmp_path / f"stems/song {song}/{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            walk = np.random.default_rng(10 * song + number).integers(-9, 10, 60 * RATE).cumsum()
            soundfile.write(path, (walk % 9000).astype(np.int16), RATE, subtype="PCM_16")
    argv = ["corpus", "--stems", str(tmp_path / "stems"), *OPTIONS]
    assert cli.main([*argv, "--output", str(tmp_path / "undisturbed")]) == 0
    output = tmp_path / "out"
    command = [sys.executable, "-m", "stemlode", *argv, "--output", str(output), *WORKERS]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        while not list(output.glob("_parts/*.part.json")) and run.poll() is None:
            time.sleep(0.005)
        os.kill(_workers(run.pid)[-1], signal.SIGKILL)
        _, told = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 1
    assert told.splitlines()[-1].startswith("error: ") and "run again to resume" in told
    assert "Traceback" not in told
    assert not (output / "_SUCCESS").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in output.glob("_parts/*.part")}
    assert kept
    assert cli.main([*argv, "--output", str(output), *WORKERS]) == 0
    whole = runs.record(str(tmp_path / "undisturbed"))["outputs"]
    assert runs.record(str(output))["outputs"] == whole
    assert verify_command.check(str(output))[0] == []
    assert not [path for path in files.list_files(str(output)) if files.is_temporary(path)]
