"""Faults of input and output that may pass: try again a few times, then stop. One rule for all.

What lasts, such as a full disk or a file that may not be read, is not tried again. Free of Beam.
"""

import contextlib
import errno
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from stemlode.addresses.rules import UNREACHABLE
from stemlode.runs import Failed, Run, reason

WAITS_S = (1.0, 4.0, 16.0)
NOT_TRIED = "not tried"
_SAID = "cannot be reached"
IN_A_ROW = 5  # files of one store that could not be reached: then it gets no further tries
_LASTING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_LASTING |= {errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
_LASTING |= {errno.ENXIO, errno.EINVAL, errno.EPROTONOSUPPORT}
_LASTING_KINDS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_T = TypeVar("_T")


class ReadFault(OSError):
    """Reading `filename` broke off; `errno` and `strerror` say why, as for any OSError."""


def read_fault(error: OSError, uri: str) -> ReadFault:
    """What went wrong while reading a file, with the file's name."""
    return ReadFault(error.errno, reason(error), uri)


def passes(error: BaseException) -> bool:
    """Whether trying again may help: an OSError of a kind that does not last."""
    if not isinstance(error, OSError) or isinstance(error, _LASTING_KINDS):
        return False
    return error.errno not in _LASTING


def repeatedly(
    call: Callable[[], _T],
    passing: Callable[[BaseException], bool] = passes,
    waits_s: tuple[float, ...] | None = None,
) -> _T:
    """What `call` returns, tried again after each pause while what it raises may pass.

    Raises the last error, or the first one that lasts.
    """
    for wait_s in WAITS_S if waits_s is None else waits_s:
        try:
            return call()
        except Exception as error:
            if not passing(error):
                raise
        time.sleep(wait_s)
    return call()


def patiently(call: Callable[[], _T], what: str) -> _T:
    """What `call` returns, tried again as by `repeatedly`; Failed where an OSError stays.

    The line names the file of a ReadFault, else `what`.
    """
    try:
        return repeatedly(call)
    except OSError as error:
        name = error.filename if isinstance(error, ReadFault) else what
        raise Failed(f"{name}: {reason(error)}; run again to resume") from error


class Unreachable(OSError):
    """A file that could not be had, tried again or not: no verdict on the file itself.

    `uri` says which of several, where they were read together.
    """

    error = UNREACHABLE  # as an AudioError has it

    def __init__(self, said: str, uri: str = "") -> None:
        super().__init__(said)
        self.uri = uri


def reach(call: Callable[[], _T]) -> _T:
    """What `call` makes of a file, tried again as by `repeatedly`; Unreachable where an OSError
    stays."""
    try:
        return repeatedly(call)
    except OSError as error:
        raise _unreachable(error) from error


def reach_all(call: Callable[[], _T], what: str) -> _T:
    """What `call` makes of several files and writes, tried again as by `repeatedly`: Unreachable
    where a ReadFault stays, and Failed, which names `what`, for any other OSError."""
    try:
        return patiently(call, what)
    except Failed as error:
        fault = error.__cause__
        if not isinstance(fault, ReadFault):
            raise
        raise _unreachable(fault, str(fault.filename)) from fault


def _unreachable(error: OSError, uri: str = "") -> Unreachable:
    said = reason(error)
    said = said if said.startswith(_SAID) else f"{_SAID}: {said}"
    return Unreachable(f"{uri}: {said}" if uri else said, uri)


class Stores:
    """Where a run's files lie, and which of these places do not answer.

    A store that failed for IN_A_ROW files in a row gets no further tries. Only what may pass
    counts: a store that refuses a file has answered, and asking for the next one costs no waiting.
    """

    def __init__(self) -> None:
        self._failed: dict[str, int] = {}

    @contextlib.contextmanager
    def file(self, uri: str) -> Iterator[None]:
        """What is done with one file, by `reach`; Unreachable at once where its store is out."""
        with self.files([uri]):
            yield

    @contextlib.contextmanager
    def files(self, uris: Iterable[str]) -> Iterator[None]:
        """What is done with several files, by `reach_all`; Unreachable at once where the store of
        one is out."""
        stores = {store_of(uri): uri for uri in uris}
        for store, uri in stores.items():
            if self._failed.get(store, 0) >= IN_A_ROW:
                raise Unreachable(f"{NOT_TRIED}: {store} failed for {IN_A_ROW} files in a row", uri)
        failed = dict.fromkeys(stores, 0)
        try:
            yield
        except Unreachable as error:
            cause, store = error.__cause__, store_of(error.uri or min(stores.values()))
            failed = {store: self._failed.get(store, 0) + 1 if cause and passes(cause) else 0}
            raise
        finally:
            self._failed |= failed


_OF_RUNS: dict[str, Stores] = {}


def stores_of(run: Run) -> Stores:
    """What this process knows of a run's stores; its workers that are other processes find out
    for themselves."""
    return _OF_RUNS.setdefault(f"{run.started} {run.output}", Stores())


def store_of(uri: str) -> str:
    """The store that a file lies in: a bucket, a web server, or this machine's disk."""
    scheme, _, rest = uri.partition("://")
    if not rest or scheme == "file":
        return "the local disk"
    host = rest.partition("/")[0].rpartition("@")[2]  # no password goes into a table
    return f"{scheme}://{host}"
