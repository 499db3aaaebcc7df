"""A file's bytes, wherever it lies, and whose fault it is where they do not come. Free of Beam."""

import contextlib
import errno
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from stemlode import files, retry
from stemlode.addresses import web
from stemlode.addresses.rules import REFUSED, refusal
from stemlode.audio.containers.info import AudioError
from stemlode.runs import reason

_GONE, _REFUSED = (404, 410), (401, 402, 403, 407, 451)  # of HTTP
_STORES = (
    "gs://",
    "gcs://",
    "s3://",
)  # whose libraries are our extras; without them nothing is read
_SCHEME = re.compile(r"(\w+::)*[A-Za-z][\w+.-]*://")
_T = TypeVar("_T")


def is_local(uri: str) -> bool:
    """Whether a URI is a plain path or file://."""
    return uri.startswith("file://") or not _SCHEME.match(uri)


def local_path(uri: str) -> Path:
    """The path that a local URI names, as it stands (nothing is unquoted)."""
    return Path(uri.removeprefix("file://"))


class Guarded:
    """A file that remembers what went wrong below the C code, which drops Python's exceptions.

    Otherwise a broken connection would look like the end of a file, a lasting verdict on a passing
    fault, and a disk that fills up in a format's last bytes would go unnoticed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        return self._guard(b"", self._file.read, size)

    def write(self, data: bytes) -> int:
        return self._guard(0, self._file.write, data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._guard(0, self._file.seek, offset, whence)

    def tell(self) -> int:
        return self._guard(0, self._file.tell)

    def _guard(self, otherwise: _T, call: Callable[..., _T], *args: Any) -> _T:
        if self._error is not None:
            return otherwise
        try:
            return call(*args)
        except ValueError:  # a damaged header sends the decoder to an impossible place
            return otherwise
        except Exception as error:
            self._error = error
            return otherwise

    def raise_error(self) -> None:
        """The first error met, as an OSError."""
        if (why := web.refusal(self._error)) is not None:
            raise AudioError(why, REFUSED) from self._error
        if isinstance(self._error, OSError) and str(self._error):
            raise self._error
        if self._error is not None:
            raise OSError(f"input or output failed: {reason(self._error)}") from self._error


class Section:
    """A part of a file, behind a few bytes in front of it, as a file of its own."""

    def __init__(self, file: "Bytes", start: int, end: int, front: bytes = b"") -> None:
        self._file, self._front, self._start = file, front, start
        self._size, self._at = len(front) + end - start, 0

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        size = left if size < 0 else min(size, left)
        data = self._front[self._at : self._at + size]
        if size > len(data):
            self._file.seek(self._start + self._at + len(data) - len(self._front))
            data += self._file.read(size - len(data))
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        return self._at


Bytes = IO[bytes] | Guarded | Section  # what decoders read from


@contextlib.contextmanager
def opened_bytes(uri: str) -> Iterator[Bytes]:
    """A file's bytes for a decoder; OSError where they could not be had, whatever the decoder
    made of it."""
    with open_bytes(uri) as file:
        if is_local(uri):
            try:
                yield file
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                raise AudioError("damaged: it points outside itself", "damaged") from error
            return
        remote = Guarded(file)
        try:
            yield remote
        except AudioError:
            remote.raise_error()
            raise
        remote.raise_error()


def pieces(uri: str, size: int) -> Iterator[bytes]:
    """A remote file's bytes in order; AudioError as `open_bytes`, OSError where they end early."""
    with open_bytes(uri, in_order=True) as file:
        count = 0
        while piece := _read(file, size, uri):
            count += len(piece)
            yield piece
        whole = getattr(file, "size", None)
        if isinstance(whole, int) and count < whole:
            raise OSError(errno.EIO, f"reading broke off after {count:,} of {whole:,} bytes")


def _read(file: IO[bytes], size: int, uri: str) -> bytes:
    try:
        return file.read(size)
    except Exception as error:
        raise _fault(error, uri, "reading broke off") from error


def open_bytes(uri: str, *, in_order: bool = False) -> IO[bytes]:
    """A file's bytes; AudioError for what no second try will open, or what a catalogue may not
    have opened.

    `in_order` promises not to seek, which not every web server lets one do.
    """
    if (why := refusal(uri)) is not None:
        raise AudioError(why, REFUSED)
    local = is_local(uri)
    try:
        if local:
            return files.open_local(str(local_path(uri)))
        file = files.open_input(uri, in_order=in_order)
        whole = in_order or getattr(file, "size", 0) is not None
        return file if whole else _fetched(file)
    except FileNotFoundError as error:
        cause = error.__cause__  # fsspec says "not found" of a web server that is down as well
        if isinstance(cause, OSError) or getattr(cause, "status", _GONE[0]) not in _GONE:
            raise _fault(cause or error, uri, "cannot be reached") from error
        raise AudioError("no such file", "missing") from None
    except ValueError as error:  # a null character in a path, a scheme that nobody knows
        raise AudioError(f"cannot be opened: {error}") from None
    except OSError as error:
        if local and not retry.passes(error):
            raise AudioError((error.strerror or "cannot be opened").lower()) from None
        if error.errno == errno.EPROTONOSUPPORT and not uri.startswith(_STORES):
            raise AudioError(f"cannot be opened: {error.strerror}") from None
        if local:
            raise
        raise _fault(error, uri, "cannot be reached") from error
    except Exception as error:
        raise _fault(error, uri, "cannot be reached") from error


def _fetched(file: IO[bytes]) -> IO[bytes]:
    """The bytes of a file whose server does not say how long it is, or sends it compressed: it
    comes in one answer, in which nobody can seek."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it is handed on
    with file:
        shutil.copyfileobj(file, copy, 1 << 20)
    copy.seek(0)
    return copy


def _fault(error: BaseException, uri: str, what: str) -> BaseException:
    """What a store's or a web server's client raised, as an OSError that says whether it may pass;
    AudioError where a connection was refused by the rules."""
    if (why := web.refusal(error)) is not None:
        return AudioError(why, REFUSED)
    if isinstance(error, ImportError | AudioError):
        return error
    status = getattr(error, "status", getattr(error.__cause__, "status", None))
    if status in _GONE:
        return AudioError("no such file", "missing")
    if status in _REFUSED:
        return PermissionError(errno.EACCES, f"{what}: {error}")
    if isinstance(error, OSError) and not retry.passes(error):
        return error
    number = error.errno if isinstance(error, OSError) else None
    why = reason(error) if number else str(error) or reason(error)
    return OSError(number or errno.EIO, why if why.startswith(what) else f"{what}: {why}")
