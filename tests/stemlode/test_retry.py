"""Passing faults are waited out, lasting ones are not."""

import errno
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
