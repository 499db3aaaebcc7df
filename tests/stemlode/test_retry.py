"""Passing faults are waited out, lasting ones are not."""

import errno
import pickle
from collections.abc import Callable

import pytest

from stemlode import retry
from stemlode.runs import Failed


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", found.append)
    return found


def failing(times: int, error: Exception) -> Callable[[], str]:
    left = [error] * times

    def call() -> str:
        if left:
            raise left.pop()
        return "done"

    return call


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_passing_fault_is_waited_out(waits: list[float], times: int) -> None:
    assert retry.patiently(failing(times, TimeoutError()), "song.flac") == "done"
    assert waits == list(retry.WAITS_S[:times])


def test_a_fault_that_stays_ends_the_run_and_names_the_culprit(waits: list[float]) -> None:
    with pytest.raises(Failed, match=r"^song\.flac: reset; run again to resume$"):
        retry.patiently(failing(4, ConnectionResetError("reset")), "song.flac")
    assert len(waits) == 3


def test_nobody_waits_for_a_full_disk_or_after_a_bug(waits: list[float]) -> None:
    with pytest.raises(Failed, match="No space left"):
        retry.patiently(failing(1, OSError(errno.ENOSPC, "No space left")), "out.json")
    with pytest.raises(ValueError):
        retry.patiently(failing(1, ValueError()), "song.flac")
    assert waits == []


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("gone"),
        PermissionError("Forbidden"),
        OSError(errno.EISDIR, "Is a directory"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        ValueError(),
    ],
)
def test_what_lasts_is_not_tried_again(waits: list[float], error: Exception) -> None:
    assert not retry.passes(error)
    with pytest.raises(type(error)):
        retry.repeatedly(failing(1, error))
    assert waits == []


def test_a_fault_of_reading_keeps_its_number_and_names_its_file(waits: list[float]) -> None:
    cause = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
    fault = retry.read_fault(cause, "gs://songs/a.flac")
    for found in (fault, pickle.loads(pickle.dumps(fault))):
        assert isinstance(found, OSError) and retry.passes(found)
        assert (found.errno, found.filename) == (errno.ECONNRESET, "gs://songs/a.flac")
    with pytest.raises(Failed, match=r"^gs://songs/a\.flac: Connection reset by peer; run again"):
        retry.patiently(failing(4, fault), "--output corpus")
    assert len(waits) == 3
    full = retry.read_fault(OSError(errno.EACCES, "Permission denied"), "a.flac")
    with pytest.raises(Failed, match=r"^a\.flac: Permission denied"):
        retry.patiently(failing(1, full), "--output corpus")
    assert len(waits) == 3


def test_other_faults_can_be_called_passing(waits: list[float]) -> None:
    passing = [KeyError(), KeyError()]

    def call() -> str:
        if passing:
            raise passing.pop()
        return "done"

    assert retry.repeatedly(call, lambda error: isinstance(error, KeyError), (0.0, 0.5)) == "done"
    assert waits == [0.0, 0.5]
