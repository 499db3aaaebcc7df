"""Processes that are told to end, and pipes whose reader leaves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from stemlode import runs, signals

# A verb that claims its folder and then waits; one that a library would end with its own error.
WORKS = """
import os, sys, time
from stemlode import arguments, cli, runs, signals

class Verb:
    @staticmethod
    def parser(argv):
        return arguments.Parser()

    @staticmethod
    def main(argv):
        runs.start("verb", argv[0], {}, {})
        try:
            print("begun", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            if argv[1] == "converts":
                raise RuntimeError("cancelled") from None
            if argv[1] == "swallows":
                time.sleep(60)
            raise
        return 0

signals.PATIENCE_S = 0.3 if sys.argv[2] == "swallows" else 60
sys.modules["verb_of_a_test"] = Verb
cli.VERBS["works"] = ("verb_of_a_test", [], "")
sys.exit(cli.main(["works", *sys.argv[1:]]))
"""


def _begun(output: Path, how: str, wrapper: Sequence[str] = ()) -> subprocess.Popen[str]:
    argv = [*wrapper, sys.executable, "-c", WORKS, str(output), how]
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize("how", ["raises", "converts", "swallows"])
@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated (SIGTERM)"),
        (signal.SIGHUP, 129, "terminated: the terminal was closed (SIGHUP)"),
    ],
)
def test_a_signal_is_one_line_and_leaves_word_in_the_folder(
    tmp_path: Path, number: signal.Signals, status: int, said: str, how: str
) -> None:
    process = _begun(tmp_path / "out", how)
    process.send_signal(number)
    _, told = process.communicate(timeout=600)
    assert process.returncode == status
    assert told == f"error: {said}; run the same command again to resume\n"
    left = (tmp_path / "out" / "_ERROR.txt").read_text()
    assert left.startswith(f"{said}\n") and "Traceback" in left
    assert "run again" not in left
    run = runs.start("verb", str(tmp_path / "out"), {}, {})  # the same command goes on
    assert run is not None
    run.finish({}, {})
    assert not (tmp_path / "out" / "_ERROR.txt").exists()


def test_a_folder_that_holds_no_run_yet_is_left_as_it_is(tmp_path: Path) -> None:
    runs.claim(str(tmp_path))
    runs.give_up("terminated")
    assert [path.name for path in tmp_path.iterdir()] == ["_LOCK"]


def test_what_is_done_is_not_said_to_have_failed(tmp_path: Path) -> None:
    run = runs.start("verb", str(tmp_path), {}, {})
    assert run is not None
    (tmp_path / "_SUCCESS").touch()  # by a worker process; this one still holds the folder
    runs.give_up("terminated")
    assert not (tmp_path / "_ERROR.txt").exists()
    (tmp_path / "_APPEND.json").touch()
    runs.give_up("terminated")
    assert (tmp_path / "_ERROR.txt").read_text() == "terminated"


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    process = _begun(tmp_path / "out", "raises", ["nohup"])
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=600)
    assert process.returncode == 143


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in signals.HEEDED]
    with signals.heeded(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signals.received() == signal.SIGTERM
    assert [signal.getsignal(number) for number in signals.HEEDED] == before
    with signals.heeded():
        assert signals.received() is None


def test_a_forked_child_ends_without_a_word() -> None:
    with signals.heeded():
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, b"x")
            time.sleep(60)
            os._exit(0)
        os.read(reading, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        assert signals.received() is None


@pytest.mark.parametrize("words", ["--help", "verify --help", "nothing"])
def test_a_reader_that_leaves_is_no_error(words: str) -> None:
    """The pipe's reading end is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "stemlode", *words.split()],
        stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    told = "error: stemlode: no verb 'nothing'; the verbs are"
    assert done.returncode == (2 if words == "nothing" else 0)
    assert done.stderr.startswith(told) if words == "nothing" else not done.stderr


def test_the_work_goes_on_where_nobody_reads(tmp_path: Path) -> None:
    script = f"""
import subprocess, sys
from pathlib import Path
from stemlode import signals
signals.outlive_readers()
for number in range(100_000):
    print(number)
subprocess.run(["echo", "a child"], check=True)
sys.stdout.flush()
Path({str(tmp_path / "done")!r}).touch()
"""
    line = f'"{sys.executable}" -c "$SCRIPT" | head -n 1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", line], env={**os.environ, "SCRIPT": script},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    assert (tmp_path / "done").exists()
