"""Work on the next items while the caller is busy with one. Free of Beam."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def ahead(
    items: Iterable[_In], work: Callable[[_In], _Out], workers: int
) -> Iterator[tuple[_In, "Future[_Out]"]]:
    """Items in their order with what is made of them, begun before it is asked for: while the
    caller is busy with one, `workers` more are made in threads."""
    waiting: deque[tuple[_In, Future[_Out]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > workers:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for _, future in waiting:
                future.cancel()
