"""The script that measures a new card runs where there is none, so that it runs where there is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu", "--dry-run", "--recipes"]


@pytest.mark.slow
def test_every_table_has_its_row(tmp_path: Path) -> None:
    words = [*COMMAND, "unet-vocals-small", "--output", str(tmp_path / "table.md")]
    told = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(words, cwd=root, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "table.md").read_text()
    assert "CPU" in table.splitlines()[0]
    rows = [line for line in table.splitlines() if line.startswith("| unet-vocals-small")]
    assert len(rows) >= 2 and "no time" not in table  # a third one where there is test data


@pytest.mark.slow
def test_what_there_is_no_time_for_says_so() -> None:
    words = [*COMMAND, "unet-vocals-small", "--minutes", "0.001"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.count("no time") > 6
