"""A worker that is gone, or never begins: the process ends by itself, with a line."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines import causes, watching
from stemlode import cli, runs
from tests.pipelines.test_lost_worker import _below, _workers

GONE = "error: a worker process is gone (Worker subprocess exited with return code 3)"
WITHIN = "error: no worker began to work within 4 s (STEMLODE_START_TIMEOUT_S says"
WORKERS = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="looks at processes in /proc"
)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for number in range(6):
        noise = np.random.default_rng(number).integers(-900, 900, 16_000)
        soundfile.write(folder / f"A - {number}.wav", noise.astype(np.int16), 8000)
    return folder


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


LIBRARY = """
import sys, threading, stemlode
def call():
    try:
        stemlode.scan(sys.argv[2], sys.argv[4], config=sys.argv[5])
    except stemlode.Failed as error:
        print("error:", error, file=sys.stderr)
if "thread" in sys.argv[1]:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
else:
    call()
print("the last line")
sys.exit(7)
"""


def _started(code: str, *words: object) -> subprocess.Popen[str]:
    """The command line, or a library's call, with some names set to other values first."""
    script = f"from pipelines import watching\n{code}\n"
    if words[0] == "scan":
        script += "import sys\nfrom stemlode import cli\nsys.exit(cli.main(sys.argv[1:]))"
    else:
        script += LIBRARY
    command = [sys.executable, "-c", script, *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_wrapper_that_is_killed_ends_the_run(music: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run = _started("watching.GRACE_S = 3", "scan", music, "--output", output, *WORKERS)
    workers: list[int] = []
    try:
        while not (workers := _workers(run.pid)) and run.poll() is None:
            time.sleep(0.02)
        time.sleep(1.5)  # the watch has seen them
        (wrapper,) = [pid for pid in _below(run.pid) if workers[0] in _below(pid)]
        os.kill(wrapper, signal.SIGKILL)
        _, said = run.communicate(timeout=200)
    finally:
        run.kill()
    done = (output / runs.SUCCESS).exists()
    assert run.returncode == (0 if done else 1)
    if not done:
        assert "error: a worker process is gone (" in said and "run again to resume" in said
    assert not [pid for pid in workers if _lives(pid)]
    assert cli.main(["scan", str(music), "--output", str(output)]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("caller", "worker", "line"),
    [
        (
            "scan",
            "exit 3",
            GONE,
        ),
        ("scan", "sleep 600", WITHIN),
        ("library", "sleep 600", WITHIN),
    ],
)
def test_a_portable_worker_that_cannot_start(
    caller: str,
    worker: str,
    line: str,
    music: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(watching.VARIABLE, "4" if "sleep" in worker else "300")
    portable = ["--runner", "PortableRunner", "--job_endpoint", "embed"]
    portable += ["--environment_type", "beam:env:harness_subprocess_python:v1"]
    portable += ["--environment_config", worker]
    output = tmp_path / "out"
    if caller != "scan":
        keys = (word.removeprefix("--") for word in portable[::2])
        told = (f"{key} = {word!r}\n" for key, word in zip(keys, portable[1::2], strict=True))
        (tmp_path / "run.toml").write_text("".join(told))
        portable = [str(tmp_path / "run.toml")]
    run = _started("watching.GRACE_S = 2", caller, music, "--output", output, *portable)
    try:
        shown, said = run.communicate(timeout=200)
    finally:
        run.kill()
    assert caller == "scan" or shown.endswith("the last line\n")
    # A script ends as it says, or is ended where threads of the runner hold it.
    assert run.returncode in ((1,) if caller == "scan" else (1, 7))
    assert line in said
    assert not (output / runs.SUCCESS).exists()
    assert line.removeprefix("error: ")[:20] in (output / runs.ERROR).read_text()


@pytest.mark.parametrize("held", ["a thread", "a pool"])
def test_a_script_whose_call_was_given_up_ends_though_threads_would_hold_it(held: str) -> None:
    script = f"""
import threading
from concurrent.futures import ThreadPoolExecutor
from pipelines import watching
watching.LOOK_S = watching.GRACE_S = 0.05
if {held == "a pool"}:
    ThreadPoolExecutor(1).submit(threading.Event().wait)
else:
    threading.Thread(target=threading.Event().wait).start()
waiting = watching._call_of(print, threading.Event())
threading.Thread(target=waiting.end, daemon=True).start()
threading.Event().wait(0.3)
print("the last line")
"""
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (1, "the last line\n")


@pytest.mark.parametrize("apart", [False, True], ids=["main thread", "another"])
def test_a_call_that_waits_for_ever_ends_and_its_process_does_not(
    apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(watching.VARIABLE, "0.01")
    monkeypatch.setattr(watching, "LOOK_S", 0.01)
    run = runs.Run("scan", str(tmp_path), {}, {}, 0.0)
    handler, found = signal.getsignal(signal.SIGINT), []

    def called() -> None:
        with pytest.raises(runs.Failed, match=r"^no worker began .* run again to resume$"):
            watching.watched(run, threading.Event().wait, lambda: False, limited=True)
        found.append("it went on")

    if apart:
        thread = threading.Thread(target=called)
        thread.start()
        thread.join()
    else:
        called()
    assert found and signal.getsignal(signal.SIGINT) is handler


def test_what_a_watched_call_raises_is_raised(tmp_path: Path) -> None:
    run = runs.Run("scan", str(tmp_path), {}, {}, 0.0)
    for error in (ValueError, KeyboardInterrupt):

        def called(error: type[BaseException] = error) -> None:
            raise error

        with pytest.raises(error):
            watching.watched(run, called, lambda: True, limited=False)


def test_a_run_in_this_process_leaves_no_sign(music: Path, tmp_path: Path) -> None:
    before = watching.threading.excepthook
    assert cli.main(["scan", str(music), "--output", str(tmp_path / "out")]) == 0
    assert watching.threading.excepthook is before
    run = runs.Run("scan", str(tmp_path / "out"), {}, {}, 0.0)
    assert causes.has_begun(run)
    assert not (tmp_path / "out" / runs.BEGUN).exists()


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "nan"])
def test_what_is_no_time_is_the_usual_one(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(watching.VARIABLE, text)
    assert watching.start_s() == watching.START_S
