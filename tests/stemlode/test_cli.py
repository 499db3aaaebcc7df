"""The command line as a user types it."""

import os
import subprocess
import sys

import pytest

from stemlode import cli


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stemlode", *words], capture_output=True, text=True, check=False
    )


def test_help_names_every_verb() -> None:
    done = _run("--help")
    assert done.returncode == 0
    for verb in ("demo", "scan", "match", "prune", "corpus", "train", "evaluate", "separate"):
        assert f"\n  {verb} " in done.stdout


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_explains_itself(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        cli.main([verb, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert f"stemlode {verb}" in said and ("--output" in said or verb in {"verify", "status"})
    _, _, below = said.partition("\n\n")  # the usage is one line that can be copied
    assert max(map(len, below.splitlines())) <= 80


def test_one_of_several_processes_that_is_done_cannot_be_aborted_at_its_end() -> None:
    program = "import atexit, os; from stemlode import cli; atexit.register(os.abort); "
    told = {**os.environ, "WORLD_SIZE": "2"}
    words = [sys.executable, "-c", f"{program}raise SystemExit(cli.program())", "--version"]
    done = subprocess.run(words, env=told, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()  # though the pipe was not read until the end


@pytest.mark.parametrize(
    "said", ["Gloo connectFullMesh failed with timed out connecting", "NCCL error in: init.cpp"]
)
def test_a_process_that_loses_the_others_says_so(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    line, status = cli.explained(RuntimeError(said), "train")
    assert (line, status) == (f"the other processes of this run cannot be reached: {said}", 1)
    assert "bug of ours" in str(cli.explained(RuntimeError("sizes do not match"), "train")[0])


def test_a_misspelt_verb_is_bad_usage_with_a_suggestion() -> None:
    done = _run("mtach")
    assert done.returncode == 2
    assert done.stderr == "error: stemlode: no verb 'mtach'; did you mean match?\n"


def test_a_misspelt_option_is_bad_usage_with_a_suggestion() -> None:
    done = _run("match", "--catalogue", "x.parquet", "--output", "y")
    assert done.returncode == 2
    assert "did you mean --catalog?" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_missing_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prune", "--output", "y"]) == 2
    assert "--candidates" in capsys.readouterr().err


def test_no_verb_at_all_is_bad_usage() -> None:
    done = _run()
    assert done.returncode == 2
    assert "usage:" in done.stdout


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["match", "--catalog", "foo://a/b", "--output", "y"], "foo://a/b: Protocol not known"),
        (["match", "--catalog", "x", "--output", "y", "--buckets", "x"], "--buckets"),
        (["prune", "--candidates", "x", "--output", "y", "--direct_num_workers", "x"], "workers"),
    ],
)
def test_a_value_that_cannot_be_is_one_line(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert named in said
    assert said.startswith("error: ") and said.count("\n") == 1


def test_a_terminal_that_only_knows_ascii_is_served() -> None:
    plain = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "stemlode", "--help"], capture_output=True, check=False, env=plain
    )
    assert done.returncode == 0
    assert b"separate" in done.stdout and not done.stderr


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("x: can't allocate memory: y")])
def test_too_little_memory_is_said_to_be_that(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(_: object) -> int:
        raise error

    monkeypatch.setattr("pipelines.report.command.main", main)
    assert cli.main(["report"]) == 1
    said = capsys.readouterr().err
    assert "not enough memory" in said and "bug" not in said


HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnos\n\rerror: none"


@pytest.mark.parametrize(
    "words",
    [
        ["separate", HOSTILE, "--checkpoint", HOSTILE, "--output", "x"],
        ["match", "--catalog", HOSTILE, "--output", "x"],
        ["match", "--explain", HOSTILE, "Song (Instrumental)"],
        ["verify", HOSTILE],
        [HOSTILE],
    ],
)
def test_what_a_name_holds_moves_no_cursor(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(words)
    said = "".join(capsys.readouterr())
    assert said.strip() and not {*"\x1b\x07\r\u202e"} & {*said}
