"""The command line as a user types it."""

import subprocess
import sys

import pytest

import stemlode


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stemlode", *words], capture_output=True, text=True, check=False
    )


def test_help_names_every_verb() -> None:
    done = _run("--help")
    assert done.returncode == 0
    for verb in ("demo", "scan", "match", "prune", "corpus", "train", "evaluate", "separate"):
        assert f"\n  {verb} " in done.stdout


@pytest.mark.parametrize("verb", stemlode.VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        stemlode.main([verb, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert f"stemlode {verb}" in said and "--output" in said


def test_a_misspelt_verb_is_bad_usage_with_a_suggestion() -> None:
    done = _run("mtach")
    assert done.returncode == 2
    assert done.stderr == "error: stemlode: no verb 'mtach'; did you mean match?\n"


def test_a_misspelt_option_is_bad_usage_with_a_suggestion() -> None:
    done = _run("match", "--catalogue", "x.parquet", "--output", "y")
    assert done.returncode == 2
    assert "did you mean --catalog?" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_missing_option_is_named() -> None:
    done = _run("prune", "--output", "y")
    assert done.returncode == 2
    assert "--candidates" in done.stderr


def test_no_verb_at_all_is_bad_usage() -> None:
    done = _run()
    assert done.returncode == 2
    assert "usage:" in done.stdout
