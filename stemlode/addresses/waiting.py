"""How long an answer is waited for, and what users hear meanwhile."""

import contextlib
import errno
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import fsspec.config

from stemlode.addresses.rules import STORES, scheme

VARIABLE = "STEMLODE_TIMEOUT_S"
SILENT_S = 60.0  # that a store or a web server may say nothing, in the middle of an answer too
CONNECT_S = 30.0
NOTICE_S = 20.0  # after which a line says what is waited for
# Whose exceptions are a store's way to say that something went wrong; Python's own stay.
_CLIENTS = ("aiobotocore", "aiohttp", "botocore", "gcsfs", "google", "requests", "s3fs", "urllib3")
PASSING = (429, 500, 502, 503, 504)  # statuses of HTTP
_last_notice = [0.0]


def silent_s() -> float:
    """The environment's word on it, or else SILENT_S."""
    try:
        found = float(os.environ.get(VARIABLE, ""))
    except ValueError:
        return SILENT_S
    return found if 0 < found < 1e6 else SILENT_S


def client_timeout() -> Any:
    """The same for aiohttp: of silence, not of all that an answer takes."""
    import aiohttp  # noqa: PLC0415 - where it is used at all

    silent = silent_s()
    return aiohttp.ClientTimeout(total=None, sock_connect=min(CONNECT_S, silent), sock_read=silent)


def options(name: str) -> dict[str, Any]:
    """What the client of a store is told, by the store's scheme; a user's own settings stay.

    The clients try again by themselves, some five times.
    """
    for client in ("gcsfs", "s3fs"):  # which log tracebacks of what they raise anyway
        log = logging.getLogger(client)
        if log.level == logging.NOTSET and not os.environ.get("STEMLODE_DEBUG"):
            log.setLevel(logging.CRITICAL)
    if name in ("s3", "s3a"):
        silent = silent_s()
        told = {"connect_timeout": min(CONNECT_S, silent), "read_timeout": silent}
        key, value = "config_kwargs", {**told, "retries": {"total_max_attempts": 1}}
        _heed_statuses()
    elif name in STORES:
        key, value = "requests_timeout", client_timeout()
    else:
        return {}
    return {} if key in fsspec.config.conf.get(name, {}) else {key: value}


def _heed_statuses() -> None:
    """Have s3fs try again where the server says that it may help: botocore would, by itself."""
    with contextlib.suppress(ImportError, AttributeError):  # not installed, or an older one
        import s3fs.core  # noqa: PLC0415 - where it is used at all

        s3fs.core.set_custom_error_handler(_may_pass)


def _may_pass(error: Exception) -> bool:
    kind = type(error)
    if kind.__module__ == "botocore.exceptions" and kind.__name__.endswith("ConnectionError"):
        return True
    answer = getattr(error, "response", None) or {}
    return answer.get("ResponseMetadata", {}).get("HTTPStatusCode") in PASSING


@contextlib.contextmanager
def asking(path: str, *, notice: bool = True) -> Iterator[None]:
    """While a store is asked for something: a line where that takes long, and OSError, with the
    path, for what its client raises in its own way."""
    if scheme(path) is None:
        yield
        return
    timer = threading.Timer(NOTICE_S, _notice, (path,))
    timer.daemon = True
    if notice:
        timer.start()
    try:
        yield
    except TimeoutError as error:
        if error.filename:
            raise
        raise OSError(errno.ETIMEDOUT, _silence(), path) from error
    except Exception as error:
        # s3fs has an OSError for what is no missing file and no lack of rights: it names no file.
        nameless = type(error) is OSError and not error.filename
        if type(error).__module__.split(".")[0] not in _CLIENTS and not nameless:
            raise
        told = (isinstance(error, OSError) and error.strerror) or str(error)
        said = told.strip().splitlines() or [type(error).__name__]
        late = "timeout" in type(error).__name__.lower()
        raise OSError(
            errno.ETIMEDOUT if late else errno.EIO,
            _silence() if late else f"cannot be reached: {said[0]}",
            path,
        ) from error
    finally:
        timer.cancel()


def _silence() -> str:
    return f"no answer within {silent_s():g} s ({VARIABLE} says how long to wait)"


def _notice(path: str) -> None:
    if time.monotonic() - _last_notice[0] > NOTICE_S:
        _last_notice[0] = time.monotonic()
        print(f"waiting for {path} ({NOTICE_S:.0f} s so far)", file=sys.stderr, flush=True)
