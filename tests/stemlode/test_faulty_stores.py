"""The file layer on stores that fail: a fifth of all requests failing loses and changes nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faulty_proxy import FAULTS, SOCKETS, STATUSES, faulty
from tests.stores import served

PROJECT = Path(__file__).resolve().parents[2]
FILES = 8
FAILS_WITHIN_S = 600
SHORT = {"STEMLODE_TIMEOUT_S": "1"}
# In a process of its own, whose clients know no other address. Prints what went wrong.
WORK = """
import os, sys
from stemlode import files
from tests import stores
stores.hurry()
folder, count = sys.argv[1], int(sys.argv[2])
wrong = []
def check(what, found, wanted):
    if found != wanted:
        wrong.append(what)
for number in range(count):
    path, data = f"{folder}/{number}.bin", os.urandom(1000 + 40_000 * number)
    files.write_bytes(path, data)
    check(f"{path} read", files.read_bytes(path), data)
    check(f"{path} in part", files.read_range(path, 100, 300), data[100:400])
    check(f"{path} exists", files.exists(path), True)
    check(f"{path}x exists", files.exists(path + "x"), False)
    check(f"{path} size", files.size(path), len(data))
    names = [name for name in files.list_files(folder) if not files.is_temporary(name)]
    check(f"{folder} listed", len(names), number + 1)
for number in range(count):
    files.remove(f"{folder}/{number}.bin")
check(f"{folder} emptied", [x for x in files.list_files(folder) if not files.is_temporary(x)], [])
print(wrong)
"""


def _work(
    kind: str, facts: dict[str, str], count: int, timeout_s: float | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WORK, f"{kind}://bucket/folder", str(count)],
        env={**os.environ, **facts, **SHORT}, cwd=PROJECT,
        capture_output=True, text=True, check=False, timeout=timeout_s,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_fifth_of_all_requests_failing_changes_nothing(kind: str, tmp_path: Path) -> None:
    with served(kind, tmp_path / "log") as (address, facts), faulty(address, 0.2) as proxy:
        place = {name: value.replace(address, proxy.address) for name, value in facts.items()}
        done = _work(kind, place, FILES)
    assert (done.returncode, done.stdout) == (0, "[]\n"), (proxy.done, done.stderr)
    assert all(proxy.done[fault] for fault in FAULTS), proxy.done


@pytest.mark.slow
@pytest.mark.parametrize("faults", [STATUSES, SOCKETS], ids=["statuses", "sockets"])
@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_store_that_always_fails_is_an_error_and_no_wrong_answer(
    kind: str, faults: tuple[str, ...], tmp_path: Path
) -> None:
    with served(kind, tmp_path / "log") as (address, facts), faulty(address, 1, faults) as proxy:
        place = {name: value.replace(address, proxy.address) for name, value in facts.items()}
        done = _work(kind, place, 1, FAILS_WITHIN_S)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.splitlines()[-1].startswith(("OSError: ", "TimeoutError: ")), done.stderr
    assert proxy.done["whole"] == 0
