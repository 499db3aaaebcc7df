"""Work that is begun before it is asked for."""

import threading

import pytest

from pipelines.samples.ahead import ahead
from stemlode.audio import AudioError


def test_work_is_done_ahead_and_in_order() -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise AudioError("a bad one")
        if item > 1:
            go_on.wait(10)
        return 10 * item

    found = ahead(range(6), work, 2)
    assert [(item, future.result()) for item, future in (next(found), next(found))] == [
        (0, 0),
        (1, 10),
    ]
    go_on.set()
    rest = list(found)
    assert [item for item, _ in rest] == [2, 3, 4, 5]
    with pytest.raises(AudioError, match="a bad one"):
        rest[1][1].result()
    assert sorted(begun) == list(range(6))


def test_what_is_given_up_is_not_begun() -> None:
    begun: list[int] = []
    found = ahead(range(100), begun.append, 2)
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert len(begun) <= 4
